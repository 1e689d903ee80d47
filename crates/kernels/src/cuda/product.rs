//! Products with matrices: our own kernels for a few rows, cuBLASLt for more.
//!
//! Which of them, and which of the library's algorithms, is found out by trying when a product of these sizes is first
//! asked for. So the same product gives the same bits as long as the process lives.

use std::collections::HashMap;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::sync::{Mutex, PoisonError};

use candle_core::DType;
use cudarc::cublaslt::{result, sys};
use cudarc::driver::result::memset_d8_async;
use cudarc::driver::sys::CUevent_flags;

use crate::blocks::Codes;
use crate::cuda::coded::CodedSlice;
use crate::cuda::device::{Argument, Device, Shape};
use crate::cuda::fault::failed as driver;
use crate::cuda::matrix::Stored;
use crate::cuda::memory::Buffer;
use crate::cuda::rows::word;
use crate::cuda::{DeviceMatrix, DeviceRows, Gpu};
use crate::{KernelError, Result};

/// Rows up to which our own kernels are tried, which read every weight once and use no tensor cores.
const FEW: usize = 8;
/// Rows up to which nothing else is: reading the weights is all there is to it.
const FEWEST: usize = 2;
/// The same for weights that are kept quantised; our own kernel for them uses tensor cores.
const FEW_CODED: usize = 128;
const FEWEST_CODED: usize = 8;
/// Rows of these from which and up to which our kernel is tried that keeps rows and weights in shared memory.
const STAGED_CODED: std::ops::RangeInclusive<usize> = 33..=512;
/// Algorithms of the library that are tried.
const TRIED: usize = 8;
/// How often each is tried.
const TIMES: usize = 3;
/// More than the caches hold: between two tries it is written, because a step does not find its weights there either.
const FLUSHED: usize = 128 << 20;
/// Outputs of a block of our own kernel: 8 warps of 2.
const BLOCK_OUTPUTS: usize = 16;
/// What the columns of a part of a result are aligned to; the library takes it for more otherwise.
const PART_ALIGNMENT: u32 = 16;
/// What cuBLASLt may use to split a sum; NVIDIA's advice for Hopper.
const WORKSPACE: usize = 32 << 20;

/// What a product looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Sizes {
    rows: usize,
    outputs: usize,
    inputs: usize,
    /// Whether the result is f32.
    wide: bool,
    /// Columns of the rows that the result is part of.
    stride: usize,
    /// How the weights are kept, if they are quantised.
    kept: Option<Codes>,
}

/// A product's weights.
#[derive(Clone, Copy)]
enum Weights<'a> {
    /// Where they are, in the device's own type.
    Plain(u64),
    Coded(&'a CodedSlice),
}

/// What is multiplied, and where the first column of the result is.
#[derive(Clone, Copy)]
struct Operands<'a> {
    x: &'a DeviceRows,
    weights: Weights<'a>,
    y: u64,
}

/// Which way of computing products is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProductWay {
    /// The fastest, found out by trying.
    #[default]
    Fastest,
    /// By our own kernel for few rows.
    Own,
    /// By our own kernel for many rows and quantised weights.
    Staged,
    /// By the library.
    Library,
}

/// How products of some sizes are computed; kept for ever, there are not many.
#[derive(Clone, Copy)]
enum Way {
    /// By our own kernel for few rows.
    Own,
    /// By our own kernel for many rows and quantised weights.
    Staged,
    /// By the library, after quantised weights were widened.
    Library(Planned),
}

impl Way {
    fn is(self, kind: ProductWay) -> bool {
        match self {
            Self::Own => kind == ProductWay::Own,
            Self::Staged => kind == ProductWay::Staged,
            Self::Library(_) => kind == ProductWay::Library,
        }
    }
}

/// A product as the library wants it described.
#[derive(Clone, Copy)]
struct Planned {
    description: sys::cublasLtMatmulDesc_t,
    weights: sys::cublasLtMatrixLayout_t,
    x: sys::cublasLtMatrixLayout_t,
    y: sys::cublasLtMatrixLayout_t,
    algorithm: sys::cublasLtMatmulAlgo_t,
}

/// cuBLASLt with its workspace.
pub(crate) struct Blas {
    handle: sys::cublasLtHandle_t,
    workspace: Buffer,
    ways: Mutex<Ways>,
}

#[derive(Default)]
struct Ways {
    preferred: ProductWay,
    known: HashMap<Sizes, Way>,
}

// SAFETY: the library's handle may be used from any thread.
unsafe impl Send for Blas {}
// SAFETY: as above, and the plans are behind a lock.
unsafe impl Sync for Blas {}

impl std::fmt::Debug for Blas {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blas").finish_non_exhaustive()
    }
}

fn failed(what: &'static str) -> impl Fn(result::CublasError) -> KernelError {
    move |error| KernelError::Cuda { what, reason: format!("{error:?}") }
}

impl Blas {
    /// For a device that was opened, so that the library is there.
    ///
    /// # Errors
    /// The library does not start.
    pub(crate) fn new(device: &Device) -> Result<Self> {
        let handle = result::create_handle().map_err(failed("starting cuBLASLt"))?;
        Ok(Self { handle, workspace: Buffer::new(&device.context, WORKSPACE)?, ways: Mutex::default() })
    }

    /// What the library offers for a product, what it takes to be best first.
    fn offers(&self, sizes: Sizes, dtype: DType) -> Result<Vec<Planned>> {
        let narrow = if dtype == DType::F16 { sys::cudaDataType::CUDA_R_16F } else { sys::cudaDataType::CUDA_R_16BF };
        let f32 = sys::cudaDataType::CUDA_R_32F;
        let Sizes { rows, outputs, inputs, wide, stride, .. } = sizes;
        let ask = || -> Result<Vec<Planned>, result::CublasError> {
            let compute = sys::cublasComputeType_t::CUBLAS_COMPUTE_32F;
            let description = result::create_matmul_desc(compute, f32)?;
            // The library thinks in columns: y' [outputs, rows] = weights [inputs, outputs]' * x' [inputs, rows].
            let transposed = 1i32;
            let attribute = sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_TRANSA;
            // SAFETY: the attribute is a number of this size.
            unsafe {
                let value = std::ptr::from_ref(&transposed).cast::<c_void>();
                result::set_matmul_desc_attribute(description, attribute, value, size_of::<i32>())?;
            }
            let layout = |kind, rows: usize, columns: usize, stride: usize| {
                let stride = i64::try_from(stride).unwrap_or(i64::MAX);
                result::create_matrix_layout(kind, rows as u64, columns as u64, stride)
            };
            let weights = layout(narrow, inputs, outputs, inputs)?;
            let x = layout(narrow, inputs, rows, inputs)?;
            let y = layout(if wide { f32 } else { narrow }, outputs, rows, stride)?;
            let preference = result::create_matmul_pref()?;
            if stride != outputs {
                for attribute in [
                    sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
                    sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
                ] {
                    // SAFETY: the attribute is a number of this size.
                    unsafe {
                        let value = std::ptr::from_ref(&PART_ALIGNMENT).cast::<c_void>();
                        result::set_matmul_pref_attribute(preference, attribute, value, size_of::<u32>())?;
                    }
                }
            }
            let attribute = sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
            let mut found = [MaybeUninit::<sys::cublasLtMatmulHeuristicResult_t>::uninit(); TRIED];
            let mut count = 0;
            // SAFETY: the attribute is a number of this size, all descriptions were made above, and the library writes at
            // most as many results as it is told there is room for.
            unsafe {
                let value = std::ptr::from_ref(&WORKSPACE).cast::<c_void>();
                result::set_matmul_pref_attribute(preference, attribute, value, size_of::<usize>())?;
                let room = i32::try_from(TRIED).unwrap_or(1);
                let to = found.as_mut_ptr().cast();
                sys::cublasLtMatmulAlgoGetHeuristic(
                    self.handle,
                    description,
                    weights,
                    x,
                    y,
                    y,
                    preference,
                    room,
                    to,
                    &raw mut count,
                )
                .result()?;
                result::destroy_matmul_pref(preference)?;
            }
            let count = usize::try_from(count).unwrap_or(0).min(TRIED);
            // SAFETY: the library has written so many.
            let found = found[..count].iter().map(|one| unsafe { one.assume_init() });
            let usable = found.filter(|one| one.state == sys::cublasStatus_t::CUBLAS_STATUS_SUCCESS);
            Ok(usable.map(|one| Planned { description, weights, x, y, algorithm: one.algo }).collect())
        };
        ask().map_err(failed("planning a product"))
    }
}

impl Gpu {
    /// From now on, products are computed in this way wherever it can, so that a test or a measurement meets each of them.
    pub fn prefer(&self, way: ProductWay) {
        let mut ways = self.blas.ways.lock().unwrap_or_else(PoisonError::into_inner);
        *ways = Ways { preferred: way, known: HashMap::new() };
    }

    /// `x` [rows, in] times the transpose of `weights` [out, in]: [rows, out], f32 if `wide`.
    pub(crate) fn product(&self, x: &DeviceRows, weights: &DeviceMatrix, wide: bool) -> Result<DeviceRows> {
        x.expect(self.dtype, weights.inputs, "x")?;
        let dtype = if wide { DType::F32 } else { self.dtype };
        let out = self.rows(x.rows, weights.outputs, dtype)?;
        let (rows, outputs, inputs, stride) = (x.rows, weights.outputs, weights.inputs, weights.outputs);
        match &weights.stored {
            Stored::Plain(memory) => {
                let sizes = Sizes { rows, outputs, inputs, wide, stride, kept: None };
                self.multiply(sizes, Operands { x, weights: Weights::Plain(memory.pointer()), y: out.pointer() })?;
            }
            Stored::Coded(parts) => {
                let mut first = 0;
                for part in parts {
                    for slice in part.slices() {
                        let sizes = Sizes { rows, outputs: slice.outputs, inputs, wide, stride, kept: Some(part.kept) };
                        let y = out.pointer() + ((first + slice.first) * dtype.size_in_bytes()) as u64;
                        self.multiply(sizes, Operands { x, weights: Weights::Coded(&slice), y })?;
                    }
                    first += part.outputs;
                }
            }
        }
        Ok(out)
    }

    fn multiply(&self, sizes: Sizes, operands: Operands<'_>) -> Result<()> {
        match self.way(sizes, operands)? {
            Way::Own => self.product_of_few(sizes, operands),
            Way::Staged => self.product_staged(sizes, operands),
            Way::Library(planned) => self.product_of_many(sizes, operands, &planned),
        }
    }

    /// How this product is computed fastest.
    fn way(&self, sizes: Sizes, operands: Operands<'_>) -> Result<Way> {
        let mut ways = self.blas.ways.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = ways.known.get(&sizes) {
            return Ok(*known);
        }
        let (fewest, few) = if sizes.kept.is_some() { (FEWEST_CODED, FEW_CODED) } else { (FEWEST, FEW) };
        if sizes.rows <= fewest && matches!(ways.preferred, ProductWay::Fastest | ProductWay::Own) {
            return Ok(Way::Own);
        }
        let own = (sizes.rows <= few).then_some(Way::Own);
        let staged = may_stage(sizes, operands).then_some(Way::Staged);
        let offers = self.blas.offers(sizes, self.dtype)?.into_iter().map(Way::Library);
        let mut all: Vec<Way> = own.into_iter().chain(staged).chain(offers).collect();
        if all.iter().any(|way| way.is(ways.preferred)) {
            all.retain(|way| way.is(ways.preferred));
        }
        if let [only] = all[..] {
            ways.known.insert(sizes, only);
            return Ok(only);
        }
        // Where there is no room for it, the caches stay as they are.
        let flush = match Buffer::new(&self.device.context, FLUSHED) {
            Err(error) if !error.is_want_of_memory() => return Err(error),
            found => found.ok(),
        };
        let mut best: Option<(f32, Way)> = None;
        for way in all {
            let run = || match way {
                Way::Own => self.product_of_few(sizes, operands).map(|()| true),
                Way::Staged => self.product_staged(sizes, operands).map(|()| true),
                // The library refuses some of what it has offered.
                Way::Library(planned) => Ok(self.product_of_many(sizes, operands, &planned).is_ok()),
            };
            let Some(took) = self.time(flush.as_ref(), run)? else { continue };
            if best.is_none_or(|(fastest, _)| took < fastest) {
                best = Some((took, way));
            }
        }
        let (_, way) = best.ok_or_else(|| {
            let Sizes { rows, outputs, inputs, .. } = sizes;
            let reason = format!("cuBLASLt has none for {rows} rows and {outputs} x {inputs} weights");
            KernelError::Cuda { what: "finding a product", reason }
        })?;
        ways.known.insert(sizes, way);
        Ok(way)
    }

    /// Milliseconds of the fastest try with cold caches; absent if `run` says that it was refused.
    fn time(&self, flush: Option<&Buffer>, run: impl Fn() -> Result<bool>) -> Result<Option<f32>> {
        let stream = &self.device.stream;
        let event = || stream.record_event(Some(CUevent_flags::CU_EVENT_DEFAULT)).map_err(driver("recording an event"));
        let mut fastest = f32::INFINITY;
        for _ in 0..TIMES {
            if let Some(flush) = flush {
                // SAFETY: the buffer has so many bytes.
                unsafe { memset_d8_async(flush.pointer(), 0, FLUSHED, stream.cu_stream()) }
                    .map_err(driver("clearing memory"))?;
            }
            let start = event()?;
            if !run()? {
                return Ok(None);
            }
            let end = event()?;
            self.device.synchronise()?;
            fastest = fastest.min(start.elapsed_ms(&end).map_err(driver("reading an event"))?);
        }
        Ok(Some(fastest))
    }

    fn product_of_few(&self, sizes: Sizes, operands: Operands<'_>) -> Result<()> {
        let Operands { x, weights, y } = operands;
        let Sizes { outputs, inputs, wide, stride, .. } = sizes;
        let weights = match weights {
            Weights::Coded(slice) => return self.product_of_codes(x, slice, y, (stride, wide)),
            Weights::Plain(weights) => weights,
        };
        let names = match (x.rows, wide) {
            (0..=1, false) => ["product_1_f16", "product_1_bf16"],
            (2, false) => ["product_2_f16", "product_2_bf16"],
            (3..=4, false) => ["product_4_f16", "product_4_bf16"],
            (_, false) => ["product_8_f16", "product_8_bf16"],
            (0..=1, true) => ["product_1_f16_f32", "product_1_bf16_f32"],
            (2, true) => ["product_2_f16_f32", "product_2_bf16_f32"],
            (3..=4, true) => ["product_4_f16_f32", "product_4_bf16_f32"],
            (_, true) => ["product_8_f16_f32", "product_8_bf16_f32"],
        };
        let shape = Shape { grid: (outputs.div_ceil(BLOCK_OUTPUTS), 1), block: 256, shared: 0 };
        let arguments: [&dyn Argument; 6] = [&x.pointer(), &weights, &y, &word(x.rows), &word(outputs), &word(inputs)];
        // SAFETY: `x` is as wide as the weights, whose rows are whole vectors, and the result has a row for each of its rows.
        unsafe { self.device.launch(self.named(names), shape, &arguments) }
    }

    fn product_staged(&self, sizes: Sizes, operands: Operands<'_>) -> Result<()> {
        let Operands { x, weights, y } = operands;
        match weights {
            Weights::Coded(slice) => self.product_of_staged_codes(x, slice, y, (sizes.stride, sizes.wide)),
            Weights::Plain(_) => {
                Err(KernelError::Parameter("only quantised weights are multiplied this way".to_owned()))
            }
        }
    }

    fn product_of_many(&self, sizes: Sizes, operands: Operands<'_>, planned: &Planned) -> Result<()> {
        let Operands { x, weights, y } = operands;
        // Given back when it goes out of scope: whoever gets it next writes it after this product has read it.
        let widened;
        let weights = match weights {
            Weights::Plain(weights) => weights,
            Weights::Coded(slice) => {
                widened = self.device.scratch(sizes.outputs * sizes.inputs * self.dtype.size_in_bytes())?;
                self.widen_codes(slice, widened.pointer())?;
                widened.pointer()
            }
        };
        let (one, zero) = (1f32, 0f32);
        let at = |pointer: u64| pointer as *mut c_void;
        // SAFETY: the plan was made for these sizes and types, and the memory has them.
        unsafe {
            result::matmul(
                self.blas.handle,
                planned.description,
                std::ptr::from_ref(&one).cast(),
                std::ptr::from_ref(&zero).cast(),
                at(weights),
                planned.weights,
                at(x.pointer()),
                planned.x,
                at(y),
                planned.y,
                at(y),
                planned.y,
                &raw const planned.algorithm,
                at(self.blas.workspace.pointer()),
                WORKSPACE,
                self.device.stream.cu_stream().cast(),
            )
        }
        .map_err(|error| self.device.judged(failed("starting a product")(error)))
    }
}

/// Whether our kernel for many rows can compute a product, and may be the fastest way: it writes pairs of outputs.
fn may_stage(sizes: Sizes, operands: Operands<'_>) -> bool {
    let Sizes { rows, outputs, stride, wide, kept, .. } = sizes;
    let pair = if wide { 2 * size_of::<f32>() } else { size_of::<f32>() } as u64;
    let pairs = outputs.is_multiple_of(2) && stride.is_multiple_of(2) && operands.y.is_multiple_of(pair);
    kept.is_some() && pairs && STAGED_CODED.contains(&rows)
}
