//! Products with matrices: our own kernels for a few rows, cuBLASLt for more.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::{Mutex, PoisonError};

use candle_core::DType;
use cudarc::cublaslt::{result, sys};

use crate::cuda::device::{Argument, Device, Shape};
use crate::cuda::memory::Buffer;
use crate::cuda::rows::word;
use crate::cuda::{DeviceMatrix, DeviceRows, Gpu};
use crate::{KernelError, Result};

/// Rows up to which every weight is read once and multiplied with all of them, without tensor cores.
const FEW: usize = 8;
/// Outputs of a block of our own kernel: 8 warps of 2.
const BLOCK_OUTPUTS: usize = 16;
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
}

/// A product that the library has been asked about; kept for ever, there are not many.
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
    planned: Mutex<HashMap<Sizes, Planned>>,
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
        Ok(Self { handle, workspace: Buffer::new(&device.context, WORKSPACE)?, planned: Mutex::default() })
    }

    fn plan(&self, sizes: Sizes, dtype: DType) -> Result<Planned> {
        let mut planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = planned.get(&sizes) {
            return Ok(*known);
        }
        let narrow = if dtype == DType::F16 { sys::cudaDataType::CUDA_R_16F } else { sys::cudaDataType::CUDA_R_16BF };
        let f32 = sys::cudaDataType::CUDA_R_32F;
        let Sizes { rows, outputs, inputs, wide } = sizes;
        let made = || -> Result<Planned, result::CublasError> {
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
            let layout = |kind, rows: usize, columns: usize| {
                result::create_matrix_layout(kind, rows as u64, columns as u64, i64::try_from(rows).unwrap_or(i64::MAX))
            };
            let weights = layout(narrow, inputs, outputs)?;
            let x = layout(narrow, inputs, rows)?;
            let y = layout(if wide { f32 } else { narrow }, outputs, rows)?;
            let preference = result::create_matmul_pref()?;
            let attribute = sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
            // SAFETY: the attribute is a number of this size, and all descriptions were made above.
            let found = unsafe {
                let value = std::ptr::from_ref(&WORKSPACE).cast::<c_void>();
                result::set_matmul_pref_attribute(preference, attribute, value, size_of::<usize>())?;
                result::get_matmul_algo_heuristic(self.handle, description, weights, x, y, y, preference)
            };
            // SAFETY: it is not used again.
            unsafe { result::destroy_matmul_pref(preference) }?;
            Ok(Planned { description, weights, x, y, algorithm: found?.algo })
        };
        let made = made().map_err(failed("planning a product"))?;
        planned.insert(sizes, made);
        Ok(made)
    }
}

impl Gpu {
    /// `x` [rows, in] times the transpose of `weights` [out, in]: [rows, out], f32 if `wide`.
    pub(crate) fn product(&self, x: &DeviceRows, weights: &DeviceMatrix, wide: bool) -> Result<DeviceRows> {
        x.expect(self.dtype, weights.inputs, "x")?;
        let out = self.rows(x.rows, weights.outputs, if wide { DType::F32 } else { self.dtype })?;
        if x.rows <= FEW {
            self.product_of_few(x, weights, &out, wide)?;
        } else {
            self.product_of_many(x, weights, &out, wide)?;
        }
        Ok(out)
    }

    fn product_of_few(&self, x: &DeviceRows, weights: &DeviceMatrix, out: &DeviceRows, wide: bool) -> Result<()> {
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
        let shape = Shape { grid: (weights.outputs.div_ceil(BLOCK_OUTPUTS), 1), block: 256, shared: 0 };
        let arguments: [&dyn Argument; 6] = [
            &x.pointer(),
            &weights.pointer(),
            &out.pointer(),
            &word(x.rows),
            &word(weights.outputs),
            &word(weights.inputs),
        ];
        // SAFETY: `x` is as wide as the weights, whose rows are whole vectors, and `out` has a row for each of its rows.
        unsafe { self.device.launch(self.named(names), shape, &arguments) }
    }

    fn product_of_many(&self, x: &DeviceRows, weights: &DeviceMatrix, out: &DeviceRows, wide: bool) -> Result<()> {
        let sizes = Sizes { rows: x.rows, outputs: weights.outputs, inputs: weights.inputs, wide };
        let planned = self.blas.plan(sizes, self.dtype)?;
        let (one, zero) = (1f32, 0f32);
        let at = |pointer: u64| pointer as *mut c_void;
        // SAFETY: the plan was made for these sizes and types, and the memory has them.
        unsafe {
            result::matmul(
                self.blas.handle,
                planned.description,
                std::ptr::from_ref(&one).cast(),
                std::ptr::from_ref(&zero).cast(),
                at(weights.pointer()),
                planned.weights,
                at(x.pointer()),
                planned.x,
                at(out.pointer()),
                planned.y,
                at(out.pointer()),
                planned.y,
                &raw const planned.algorithm,
                at(self.blas.workspace.pointer()),
                WORKSPACE,
                self.device.stream.cu_stream().cast(),
            )
        }
        .map_err(failed("starting a product"))
    }
}
