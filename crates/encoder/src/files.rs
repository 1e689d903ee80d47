//! A folder in Hugging Face's layout: small files as JSON, weights as named tensors.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use baton_kernels::PackedMatrix;
use candle_core::quantized::GgmlDType;
use candle_core::{Device, Tensor};
use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value};

use crate::Error;

/// Bytes that a description or a vocabulary may have.
const TEXT_BYTES: u64 = 64 << 20;
/// Bytes that the weights may have.
const WEIGHT_BYTES: u64 = 8 << 30;
/// The weights' name.
pub(crate) const WEIGHTS: &str = "model.safetensors";

/// A file's bytes; nothing if there is no such file.
pub(crate) fn optional(folder: &Path, name: &str) -> Result<Option<Vec<u8>>, Error> {
    let path = folder.join(name);
    if !path.exists() {
        return Ok(None);
    }
    let most = if name == WEIGHTS { WEIGHT_BYTES } else { TEXT_BYTES };
    let failed = |source| Error::Read { path: path.clone(), source };
    let file = File::open(&path).map_err(failed)?;
    // A pipe would block for ever, a device may be endless.
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(failed(std::io::Error::other("it is not a regular file")));
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > most {
        return Err(Error::file(name, format!("it has more than {most} bytes")));
    }
    Ok(Some(bytes))
}

/// A file's bytes.
pub(crate) fn needed(folder: &Path, name: &str) -> Result<Vec<u8>, Error> {
    optional(folder, name)?.ok_or_else(|| Error::file(name, format!("it is not in {}", folder.display())))
}

/// A JSON document of any kind.
pub(crate) fn json(name: &str, bytes: &[u8]) -> Result<Value, Error> {
    serde_json::from_slice(bytes).map_err(|error| Error::file(name, error.to_string()))
}

/// A JSON object.
pub(crate) fn object(name: &str, bytes: &[u8]) -> Result<Map<String, Value>, Error> {
    match json(name, bytes)? {
        Value::Object(fields) => Ok(fields),
        _ => Err(Error::file(name, "it is not a JSON object")),
    }
}

/// Named tensors of one file.
pub(crate) struct Weights<'a>(SafeTensors<'a>);

impl<'a> Weights<'a> {
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        let read = SafeTensors::deserialize(bytes);
        read.map(Self).map_err(|error| Error::file(WEIGHTS, format!("it is damaged or cut off ({error})")))
    }

    /// Some checkpoints have everything below `bert.`.
    fn view(&self, name: &str, shape: &[usize]) -> Result<TensorView<'a>, Error> {
        let found = self.0.tensor(name).or_else(|_| self.0.tensor(&format!("bert.{name}")));
        let view = found.map_err(|_| Error::file(WEIGHTS, format!("it has no tensor `{name}`")))?;
        if view.shape() != shape {
            let message = format!("`{name}` has shape {:?}, but the description asks for {shape:?}", view.shape());
            return Err(Error::file(WEIGHTS, message));
        }
        Ok(view)
    }

    /// The matrix `name` [rows, cols].
    pub(crate) fn matrix(&self, name: &str, rows: usize, cols: usize) -> Result<PackedMatrix, Error> {
        let view = self.view(name, &[rows, cols])?;
        let form = match view.dtype() {
            Dtype::F32 => GgmlDType::F32,
            Dtype::F16 => GgmlDType::F16,
            Dtype::BF16 => GgmlDType::BF16,
            other => return Err(Error::Unsupported(format!("the form {other:?} of the tensor `{name}`"))),
        };
        Ok(PackedMatrix::pack(form, rows, cols, view.data())?)
    }

    /// The values of the vector `name` [width].
    pub(crate) fn values(&self, name: &str, width: usize) -> Result<Vec<f32>, Error> {
        let view = self.view(name, &[width])?;
        let bytes = view.data();
        Ok(match view.dtype() {
            Dtype::F32 => bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
            Dtype::F16 => bytes.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect(),
            Dtype::BF16 => bytes.as_chunks().0.iter().map(|bytes| bf16::from_le_bytes(*bytes).to_f32()).collect(),
            other => return Err(Error::Unsupported(format!("the form {other:?} of the tensor `{name}`"))),
        })
    }

    /// The vector `name` [width].
    pub(crate) fn vector(&self, name: &str, width: usize) -> Result<Tensor, Error> {
        vector(self.values(name, width)?)
    }
}

/// A vector on the CPU.
pub(crate) fn vector(values: Vec<f32>) -> Result<Tensor, Error> {
    let width = values.len();
    Tensor::from_vec(values, width, &Device::Cpu).map_err(|error| Error::Kernel(error.into()))
}
