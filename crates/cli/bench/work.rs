//! What a token costs, by the model's matrices.

use baton_decoder::ModelFile;

/// The matrices' part of the work; attention over a short context adds little to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Work {
    /// Bytes of weights that are read for one step of one sequence.
    pub(crate) bytes: usize,
    /// Multiplications and additions for a token of a prompt, without the last layer's choice among the vocabulary.
    pub(crate) operations: usize,
}

impl Work {
    pub(crate) fn of(file: &ModelFile) -> Self {
        let (embedding, head) = ("token_embd.weight", "output.weight");
        let own_head = file.tensor(head).is_some();
        let mut work = Self { bytes: 0, operations: 0 };
        for (name, info) in file.tensors().filter(|(_, info)| info.dims.len() == 2) {
            // Of an embedding that is not the head as well, one row is read.
            if name != embedding || !own_head {
                work.bytes += file.bytes(info).len();
            }
            if name != embedding && name != head {
                work.operations += 2 * info.dims.iter().product::<usize>();
            }
        }
        work
    }

    #[expect(clippy::cast_precision_loss, reason = "weights are far below 2^52 bytes")]
    pub(crate) fn megabytes(self) -> f64 {
        self.bytes as f64 / 1e6
    }

    #[expect(clippy::cast_precision_loss, reason = "a token is far below 2^52 operations")]
    pub(crate) fn giga_operations(self) -> f64 {
        self.operations as f64 / 1e9
    }
}
