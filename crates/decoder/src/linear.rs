//! A linear layer is whatever maps rows to rows.

use std::sync::Arc;

use baton_kernels::Backend;

use crate::Error;

/// A linear layer over the rows of a ragged batch.
pub(crate) trait Linear<B: Backend>: Send + Sync {
    /// `rows` [tokens, in] to [tokens, out].
    fn forward(&self, backend: &B, rows: &B::Rows) -> Result<B::Rows, Error>;
}

/// A matrix, with a bias or without.
pub(crate) struct PlainLinear<B: Backend> {
    /// [out, in]
    pub(crate) weight: Arc<B::Matrix>,
    /// [out]
    pub(crate) bias: Option<B::Vector>,
}

impl<B: Backend> Linear<B> for PlainLinear<B> {
    fn forward(&self, backend: &B, rows: &B::Rows) -> Result<B::Rows, Error> {
        Ok(backend.linear(rows, &self.weight, self.bias.as_ref())?)
    }
}
