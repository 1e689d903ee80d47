//! Rows of numbers on the device, and what is done to each of them by itself.

use std::sync::Arc;

use candle_core::DType;
use half::{bf16, f16};

use crate::backend::Norm;
use crate::cuda::Gpu;
use crate::cuda::device::Shape;
use crate::cuda::fault::failed;
use crate::cuda::matrix::Stored;
use crate::cuda::memory::{Buffer, Scratch};
use crate::cuda::place::Placed;
use crate::{Activation, KernelError, Result};

/// Activations of a batch, [rows, width]. They live until the last clone is dropped.
#[derive(Clone, Debug)]
pub struct DeviceRows {
    memory: Arc<Scratch>,
    pub(crate) rows: usize,
    pub(crate) width: usize,
    pub(crate) dtype: DType,
}

impl DeviceRows {
    pub(crate) fn pointer(&self) -> u64 {
        self.memory.pointer()
    }

    fn bytes(&self) -> usize {
        self.rows * self.width * self.dtype.size_in_bytes()
    }

    /// The same rows, if they are of this type and width.
    pub(crate) fn expect(&self, dtype: DType, width: usize, what: &'static str) -> Result<&Self> {
        if self.dtype != dtype {
            return Err(KernelError::DType { what, found: self.dtype, expected: "the device's own type" });
        }
        if self.width != width {
            let expected = format!("[rows, {width}]");
            return Err(KernelError::Shape { what, found: vec![self.rows, self.width], expected });
        }
        Ok(self)
    }
}

/// A list of f32 on the device.
#[derive(Debug)]
pub struct DeviceVector(Buffer);

impl DeviceVector {
    pub(crate) fn pointer(&self) -> u64 {
        self.0.pointer()
    }
}

impl Gpu {
    /// A vector of these values.
    pub(crate) fn upload_vector(&self, values: &[f32]) -> Result<DeviceVector> {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Ok(DeviceVector(Buffer::from_bytes(&self.device.context, &bytes)?))
    }

    /// New rows, whatever they hold.
    pub(crate) fn rows(&self, rows: usize, width: usize, dtype: DType) -> Result<DeviceRows> {
        let memory = Arc::new(self.device.scratch(rows * width * dtype.size_in_bytes())?);
        Ok(DeviceRows { memory, rows, width, dtype })
    }

    /// The name that fits the type of the activations.
    pub(crate) fn named(&self, [f16, bf16]: [&'static str; 2]) -> &'static str {
        if self.dtype == DType::F16 { f16 } else { bf16 }
    }

    /// The embedding's rows for the batch's tokens, f32 [rows, width].
    pub(crate) fn embed_rows(&self, table: &super::DeviceMatrix, placed: &Placed) -> Result<DeviceRows> {
        let out = self.rows(placed.rows, table.inputs, DType::F32)?;
        let memory = match &table.stored {
            Stored::Plain(memory) => memory,
            Stored::Coded(parts) => {
                let mut first = 0;
                for part in parts {
                    self.embed_codes(part, first, &out, placed)?;
                    first += part.outputs;
                }
                return Ok(out);
            }
        };
        let arguments: [&dyn super::device::Argument; 4] =
            [&memory.pointer(), &out.pointer(), &placed.pointer, &word(table.inputs)];
        let shape = Shape { grid: (placed.rows, 1), block: threads(table.inputs / 8), shared: 0 };
        // SAFETY: tokens were checked against the table, and `out` has a row for each of them.
        unsafe { self.device.launch(self.named(["embed_f16", "embed_bf16"]), shape, &arguments) }?;
        Ok(out)
    }

    /// `residual += x`, in place, and its norm.
    pub(crate) fn norm_rows(
        &self,
        residual: &DeviceRows,
        x: Option<&DeviceRows>,
        norm: &Norm<DeviceVector>,
    ) -> Result<DeviceRows> {
        let width = residual.width;
        residual.expect(DType::F32, width, "residual")?;
        let (Norm::Rms { weight, eps } | Norm::Layer { weight, eps, .. }) = norm;
        vector_of(weight, width, "norm weight")?;
        if let Some(x) = x {
            x.expect(self.dtype, width, "x")?;
            same_rows(x, residual)?;
        }
        let out = self.rows(residual.rows, width, self.dtype)?;
        let add = x.map_or(0, DeviceRows::pointer);
        // With one vector each, a row is soonest done.
        let block = (width / 4).next_multiple_of(32).min(1024);
        let shape = Shape { grid: (residual.rows, 1), block, shared: 0 };
        let (residual, weight, out_at, width_word) = (residual.pointer(), weight.pointer(), out.pointer(), word(width));
        if let Norm::Layer { bias, .. } = norm {
            vector_of(bias, width, "norm bias")?;
            let arguments: [&dyn super::device::Argument; 7] =
                [&residual, &add, &weight, &bias.pointer(), &out_at, &width_word, eps];
            let name = self.named(["add_layer_norm_f16", "add_layer_norm_bf16"]);
            // SAFETY: all have been checked to be of these rows and this width.
            unsafe { self.device.launch(name, shape, &arguments) }?;
            return Ok(out);
        }
        // Each thread keeps up to 8 vectors of 4 numbers.
        if !width.is_multiple_of(8) || width > 8 * 4 * 1024 {
            return Err(KernelError::Parameter(format!("rows of {width} numbers cannot be normed on the device")));
        }
        let arguments: [&dyn super::device::Argument; 6] = [&residual, &add, &weight, &out_at, &width_word, eps];
        let name = self.named(["add_rms_norm_f16", "add_rms_norm_bf16"]);
        // SAFETY: as above.
        unsafe { self.device.launch(name, shape, &arguments) }?;
        Ok(out)
    }

    /// The norm of what is to be added to the residual stream.
    pub(crate) fn norm_update_rows(&self, x: &DeviceRows, norm: &Norm<DeviceVector>) -> Result<DeviceRows> {
        let Norm::Rms { weight, eps } = norm else {
            return Err(KernelError::Parameter("updates cannot be layer-normed on the device".into()));
        };
        x.expect(self.dtype, x.width, "x")?;
        vector_of(weight, x.width, "norm weight")?;
        let out = self.rows(x.rows, x.width, self.dtype)?;
        let arguments: [&dyn super::device::Argument; 5] =
            [&x.pointer(), &weight.pointer(), &out.pointer(), &word(x.width), eps];
        let shape = Shape { grid: (x.rows, 1), block: threads(x.width / 8), shared: 0 };
        // SAFETY: weight and rows are of this width.
        unsafe { self.device.launch(self.named(["norm_update_f16", "norm_update_bf16"]), shape, &arguments) }?;
        Ok(out)
    }

    /// `residual += x`, in place.
    pub(crate) fn add_rows(&self, residual: &DeviceRows, x: &DeviceRows) -> Result<()> {
        residual.expect(DType::F32, residual.width, "residual")?;
        x.expect(self.dtype, residual.width, "x")?;
        same_rows(x, residual)?;
        let count = residual.rows * residual.width;
        let arguments: [&dyn super::device::Argument; 3] = [&residual.pointer(), &x.pointer(), &word(count)];
        // SAFETY: both have as many numbers.
        unsafe { self.device.launch(self.named(["add_f16", "add_bf16"]), each(count), &arguments) }
    }

    /// `factor * x`, or `factor * tanh(x / factor)` if it is a cap; in place.
    pub(crate) fn scale_rows(&self, x: &DeviceRows, factor: f32, is_cap: bool) -> Result<()> {
        x.expect(DType::F32, x.width, "x")?;
        let count = x.rows * x.width;
        let arguments: [&dyn super::device::Argument; 4] = [&x.pointer(), &word(count), &factor, &u32::from(is_cap)];
        // SAFETY: there are as many numbers.
        unsafe { self.device.launch("scale_f32", each(count), &arguments) }
    }

    /// `activation(x)`, in place.
    pub(crate) fn activate_rows(&self, x: &DeviceRows, activation: Activation) -> Result<()> {
        x.expect(self.dtype, x.width, "x")?;
        let count = x.rows * x.width;
        let arguments: [&dyn super::device::Argument; 3] = [&x.pointer(), &word(count), &number(activation)];
        // SAFETY: there are as many numbers.
        unsafe { self.device.launch(self.named(["activate_f16", "activate_bf16"]), each(count), &arguments) }
    }

    /// `activation(gate) * up`.
    pub(crate) fn gate_rows(&self, gate_up: &DeviceRows, activation: Activation) -> Result<DeviceRows> {
        let width = gate_up.width / 2;
        gate_up.expect(self.dtype, 2 * width, "gate_up")?;
        if !width.is_multiple_of(8) {
            return Err(KernelError::Parameter(format!("{width} gates are not a multiple of 8")));
        }
        let out = self.rows(gate_up.rows, width, self.dtype)?;
        let kind = number(activation);
        let shape = Shape { grid: ((width / 8).div_ceil(128), gate_up.rows), block: 128, shared: 0 };
        let arguments: [&dyn super::device::Argument; 4] = [&gate_up.pointer(), &out.pointer(), &word(width), &kind];
        // SAFETY: the widths fit each other.
        unsafe { self.device.launch(self.named(["gated_f16", "gated_bf16"]), shape, &arguments) }?;
        Ok(out)
    }

    /// `x += bias`, in place.
    pub(crate) fn bias_rows(&self, x: &DeviceRows, bias: &DeviceVector) -> Result<()> {
        vector_of(bias, x.width, "bias")?;
        if x.dtype == DType::F32 {
            let shape = Shape { grid: (x.width.div_ceil(256), x.rows), block: 256, shared: 0 };
            let arguments: [&dyn super::device::Argument; 3] = [&x.pointer(), &bias.pointer(), &word(x.width)];
            // SAFETY: the bias is as wide as the rows.
            return unsafe { self.device.launch("add_bias_f32", shape, &arguments) };
        }
        x.expect(self.dtype, x.width, "x")?;
        if !x.width.is_multiple_of(2) {
            return Err(KernelError::Parameter(format!("{} outputs with a bias are not an even number", x.width)));
        }
        let shape = Shape { grid: ((x.width / 2).div_ceil(256), x.rows), block: 256, shared: 0 };
        let arguments: [&dyn super::device::Argument; 3] = [&x.pointer(), &bias.pointer(), &word(x.width)];
        // SAFETY: the bias is as wide as the rows.
        unsafe { self.device.launch(self.named(["add_bias_f16", "add_bias_bf16"]), shape, &arguments) }
    }

    /// The rows that the batch draws from.
    pub(crate) fn drawn_rows(&self, rows: DeviceRows, placed: &Placed) -> Result<DeviceRows> {
        let Some(count) = placed.draws else { return Ok(rows) };
        if rows.rows != placed.rows {
            let expected = format!("[{}, width]", placed.rows);
            return Err(KernelError::Shape { what: "rows", found: vec![rows.rows, rows.width], expected });
        }
        let bytes = rows.width * rows.dtype.size_in_bytes();
        if !bytes.is_multiple_of(16) {
            return Err(KernelError::Parameter(format!("rows of {bytes} bytes are not a multiple of 16")));
        }
        let out = self.rows(count, rows.width, rows.dtype)?;
        let shape = Shape { grid: (count, 1), block: threads(bytes / 16), shared: 0 };
        let arguments: [&dyn super::device::Argument; 4] =
            [&rows.pointer(), &out.pointer(), &placed.pointer, &word(bytes / 16)];
        // SAFETY: draw rows were checked to be rows of the batch.
        unsafe { self.device.launch("select_rows", shape, &arguments) }?;
        Ok(out)
    }

    /// Rows of `width` numbers from the host, rounded to `dtype`: f32, or the device's own type.
    ///
    /// # Errors
    /// The numbers do not fill rows, the type is another one, or the device fails.
    pub fn upload_rows(&self, values: &[f32], width: usize, dtype: DType) -> Result<DeviceRows> {
        if width == 0 || !values.len().is_multiple_of(width) {
            let expected = format!("[rows, {width}]");
            return Err(KernelError::Shape { what: "rows", found: vec![values.len()], expected });
        }
        if dtype != DType::F32 && dtype != self.dtype {
            return Err(KernelError::DType { what: "rows", found: dtype, expected: "F32 or the device's own type" });
        }
        let bytes: Vec<u8> = match dtype {
            DType::F16 => values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect(),
            DType::BF16 => values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect(),
            _ => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        };
        let rows = self.rows(values.len() / width, width, dtype)?;
        self.device.context.bind_to_thread().map_err(failed("using the device"))?;
        // SAFETY: there is as much memory on the device. The driver has read memory that is not pinned when it returns.
        unsafe { cudarc::driver::result::memcpy_htod_async(rows.pointer(), &bytes, self.device.stream.cu_stream()) }
            .map_err(failed("copying to the device"))?;
        Ok(rows)
    }

    /// The numbers of rows, on the host as f32. Waits for the device.
    pub(crate) fn download(&self, rows: &DeviceRows) -> Result<Vec<f32>> {
        self.download_bytes(rows, 0, rows.bytes())
    }

    /// The numbers of one row, likewise.
    pub(crate) fn download_row(&self, rows: &DeviceRows, row: usize) -> Result<Vec<f32>> {
        if row >= rows.rows {
            return Err(KernelError::Range { what: "row", index: row, count: rows.rows });
        }
        let bytes = rows.width * rows.dtype.size_in_bytes();
        self.download_bytes(rows, row * bytes, bytes)
    }

    /// What lies so many bytes behind the beginning of rows, inside of them.
    fn download_bytes(&self, rows: &DeviceRows, start: usize, count: usize) -> Result<Vec<f32>> {
        let mut bytes = vec![0u8; count];
        self.device.context.bind_to_thread().map_err(failed("using the device"))?;
        // SAFETY: there is as much memory on both sides, and the copy is over before the function returns.
        unsafe {
            cudarc::driver::result::memcpy_dtoh_async(
                &mut bytes,
                rows.pointer() + start as u64,
                self.device.stream.cu_stream(),
            )
        }
        .map_err(failed("copying from the device"))?;
        self.device.synchronise()?;
        Ok(match rows.dtype {
            DType::F16 => bytes.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect(),
            DType::BF16 => bytes.as_chunks().0.iter().map(|bytes| bf16::from_le_bytes(*bytes).to_f32()).collect(),
            _ => bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        })
    }
}

/// A vector that is as long as it must be.
pub(crate) fn vector_of(vector: &DeviceVector, len: usize, what: &'static str) -> Result<()> {
    let found = vector.0.bytes() / size_of::<f32>();
    if found == len {
        return Ok(());
    }
    Err(KernelError::Shape { what, found: vec![found], expected: format!("[{len}]") })
}

pub(crate) fn same_rows(a: &DeviceRows, b: &DeviceRows) -> Result<()> {
    if a.rows == b.rows {
        return Ok(());
    }
    let expected = format!("[{}, {}]", b.rows, b.width);
    Err(KernelError::Shape { what: "x", found: vec![a.rows, a.width], expected })
}

/// An activation as the kernels know it.
fn number(activation: Activation) -> u32 {
    match activation {
        Activation::Silu => 0,
        Activation::GeluTanh => 1,
        Activation::Gelu => 2,
    }
}

/// A thread for each of so many numbers.
pub(crate) fn each(count: usize) -> Shape {
    Shape { grid: (count.div_ceil(256), 1), block: 256, shared: 0 }
}

/// Threads for so many pieces of work.
pub(crate) fn threads(pieces: usize) -> usize {
    pieces.next_multiple_of(32).clamp(32, 256)
}

/// A width as the kernels take it; widths are far below 2³².
#[expect(clippy::cast_possible_truncation, reason = "see above")]
pub(crate) fn word(width: usize) -> u32 {
    width as u32
}
