//! From tensors to slices and back.

use candle_core::{CpuStorage, DType, Device, Layout, Storage, Tensor, WithDType};

use crate::{KernelError, Result};

/// `x` as contiguous f32 [rows, width], and its two dimensions.
pub(crate) fn matrix(x: &Tensor, what: &'static str) -> Result<(Tensor, usize, usize)> {
    match *x.dims() {
        [rows, width] if width > 0 => Ok((contiguous(x, what)?, rows, width)),
        _ => Err(KernelError::Shape { what, found: x.dims().to_vec(), expected: "[rows, width]".into() }),
    }
}

/// `x` as contiguous f32 [rows, width] of exactly these dimensions.
pub(crate) fn matrix_of(x: &Tensor, rows: usize, width: usize, what: &'static str) -> Result<Tensor> {
    expect_dims(x, &[rows, width], what)?;
    contiguous(x, what)
}

/// `x` as contiguous f32 [width].
pub(crate) fn vector_of(x: &Tensor, width: usize, what: &'static str) -> Result<Tensor> {
    expect_dims(x, &[width], what)?;
    contiguous(x, what)
}

fn expect_dims(x: &Tensor, dims: &[usize], what: &'static str) -> Result<()> {
    if x.dims() == dims {
        return Ok(());
    }
    Err(KernelError::Shape { what, found: x.dims().to_vec(), expected: format!("{dims:?}") })
}

fn contiguous(x: &Tensor, what: &'static str) -> Result<Tensor> {
    if !matches!(x.device(), Device::Cpu) {
        return Err(KernelError::Device { what });
    }
    if x.dtype() != DType::F32 {
        return Err(KernelError::DType { what, found: x.dtype(), expected: "F32" });
    }
    Ok(x.contiguous()?)
}

/// The elements of a contiguous CPU tensor.
pub(crate) fn slice<'a, T: WithDType>(storage: &'a Storage, layout: &Layout, what: &'static str) -> Result<&'a [T]> {
    let Storage::Cpu(storage) = storage else { return Err(KernelError::Device { what }) };
    let (start, end) = layout.contiguous_offsets().ok_or(KernelError::Strided { what })?;
    Ok(&cpu_slice::<T>(storage)?[start..end])
}

fn cpu_slice<T: WithDType>(storage: &CpuStorage) -> Result<&[T]> {
    Ok(storage.as_slice::<T>()?)
}

/// A new CPU tensor [rows, width].
pub(crate) fn output(values: Vec<f32>, rows: usize, width: usize) -> Result<Tensor> {
    Ok(Tensor::from_vec(values, (rows, width), &Device::Cpu)?)
}
