//! A linear layer is whatever maps rows to rows.

use std::sync::Arc;

use baton_kernels::{Kernels, PackedMatrix};
use candle_core::Tensor;

use crate::Error;

/// A linear layer over the rows of a ragged batch.
pub(crate) trait Linear: Send + Sync {
    /// `rows` [tokens, in] to [tokens, out]. A row's result depends on that row alone.
    fn forward(&self, kernels: &Kernels, rows: &Tensor) -> Result<Tensor, Error>;
}

/// A packed matrix, with a bias or without.
pub(crate) struct PackedLinear {
    /// [out, in]
    pub(crate) weight: Arc<PackedMatrix>,
    /// [out]
    pub(crate) bias: Option<Tensor>,
}

impl Linear for PackedLinear {
    fn forward(&self, kernels: &Kernels, rows: &Tensor) -> Result<Tensor, Error> {
        let product = kernels.matmul(rows, &self.weight)?;
        match &self.bias {
            Some(bias) => Ok(product.broadcast_add(bias)?),
            None => Ok(product),
        }
    }
}
