//! What a forward pass is computed with.

use candle_core::DType;
use candle_core::quantized::GgmlDType;

use crate::lora::Site;
use crate::sample::{DrawFault, Drawn, Draws};
use crate::{Activation, AttentionParams, Experts, Heads, KernelError, Layout, Result, Rope};

/// The indices of a batch as its owner gives them, and its adapters.
#[derive(Debug)]
pub struct Indices<'a, A> {
    /// [tokens] Rows of the embedding.
    pub tokens: &'a [u32],
    /// Where the tokens belong.
    pub layout: &'a Layout,
    /// [draws] Rows whose logits are wanted.
    pub draws: &'a [u32],
    /// [spans] The adapter of each span, for its products to be added to those of the weights; empty if none has one.
    pub adapters: &'a [Option<&'a A>],
}

/// The heads of a layer, and what they go through before they are rotated.
#[derive(Clone, Copy, Debug)]
pub struct LayerHeads<'a, V> {
    /// Their numbers and their size.
    pub heads: Heads,
    /// Weights of the norms of query and key heads, [head dim] each, where the model has them.
    pub norms: Option<&'a [V; 2]>,
    /// Added to the mean square of a head.
    pub eps: f32,
}

/// How rows are normed.
#[derive(Clone, Debug)]
pub enum Norm<V> {
    /// `x / sqrt(mean(x²) + eps) * weight`
    Rms {
        /// [width]
        weight: V,
        /// Added to the mean square.
        eps: f32,
    },
    /// `(x - mean(x)) / sqrt(variance(x) + eps) * weight + bias`
    Layer {
        /// [width]
        weight: V,
        /// [width]
        bias: V,
        /// Added to the variance.
        eps: f32,
    },
}

/// Weight number `index` of a matrix with `cols` inputs: uniform, with the variance 1 / `cols`, so that activations keep
/// their size. A hash of seed and index (Wellons' triple32), so that it can be made anywhere and in any order.
#[expect(clippy::cast_precision_loss, reason = "24 bits are kept")]
pub fn random_weight(seed: u32, index: u32, cols: usize) -> f32 {
    let mut x = index.wrapping_add(seed.wrapping_mul(0x9E37_79B9));
    x = (x ^ (x >> 17)).wrapping_mul(0xED5A_D4BB);
    x = (x ^ (x >> 11)).wrapping_mul(0xAC4C_1B51);
    x = (x ^ (x >> 15)).wrapping_mul(0x3184_8BAB);
    x ^= x >> 14;
    ((x >> 8) as f32 / 8_388_608.0 - 1.0) * (3.0 / cols as f32).sqrt()
}

/// What a forward pass is computed with: the CPU's kernels, or a device's.
///
/// All calls of one batch come from one thread. A batch's indices are placed first; what is computed refers to them.
pub trait Backend: Send + Sync + Sized + 'static {
    /// Activations of a batch, [rows, width].
    type Rows: Clone;
    /// Weights [outputs, inputs].
    type Matrix: Send + Sync;
    /// f32 weights of a norm, or a bias.
    type Vector: Send + Sync;
    /// The experts of one layer.
    type Experts: Send + Sync;
    /// The rotation of all positions.
    type Rope;
    /// Keys and values of one layer.
    type Pages;
    /// A batch whose indices are where the kernels can read them.
    type Placed<'a>;
    /// An adapter's low-rank matrices for the projections of one model.
    type Adapter: Send + Sync;
    /// Work that was recorded to be done again.
    type Recorded: Default;
    /// Host memory that blocks are copied out to, and in from.
    type Staged: AsRef<[u8]> + AsMut<[u8]> + Send + Sync;
    /// The end of copies that were begun.
    type Mark;

    /// Bytes of such copies that may be begun at once without holding up the next step for more than a millisecond or two.
    const SLICE: usize;

    /// The order of elements inside a block of pages, and what else of the device its bits depend on, as part of the
    /// name of whatever was copied out of one.
    fn pages_order(&self) -> &'static str;
    /// Threads that may prepare weights at once.
    fn threads(&self) -> usize;
    /// The type in which keys and values are kept; `asked` is what the CPU would take.
    fn pages_dtype(&self, asked: DType) -> DType;

    /// A matrix of `rows` outputs and `cols` inputs from the bytes of a GGUF tensor.
    ///
    /// # Errors
    /// The bytes do not fill the shape, or the form is not supported.
    fn pack(&self, form: GgmlDType, rows: usize, cols: usize, bytes: &[u8]) -> Result<Self::Matrix>;
    /// A matrix of random weights, for measurements: [`random_weight`] of `seed`, rounded to a 16-bit type. Devices of
    /// one type give the same values.
    ///
    /// # Errors
    /// There is not enough memory.
    fn random(&self, rows: usize, cols: usize, seed: u32) -> Result<Self::Matrix>;
    /// One matrix whose outputs are those of `parts`, one after the other.
    ///
    /// # Errors
    /// Their inputs differ in number, or there are no parts.
    fn stack(&self, parts: Vec<Self::Matrix>) -> Result<Self::Matrix>;
    /// A vector of these values.
    ///
    /// # Errors
    /// The device has not enough memory.
    fn vector(&self, values: &[f32]) -> Result<Self::Vector>;
    /// The experts of a layer as the kernels want them.
    ///
    /// # Errors
    /// The device has not enough memory.
    fn bundle(&self, experts: Experts<Self::Matrix>) -> Result<Self::Experts>;
    /// An adapter's matrices where the kernels can read them: a site for each projection of the model, in an order that
    /// the caller knows. May be called while another thread computes.
    ///
    /// # Errors
    /// There is not enough memory, or no kernel for these sizes.
    fn adapter(&self, sites: &[Site]) -> Result<Self::Adapter>;
    /// Bytes that an adapter takes where the kernels read it.
    fn adapter_bytes(adapter: &Self::Adapter) -> usize;
    /// The tables of a rotation where the kernels can read them.
    ///
    /// # Errors
    /// The device has not enough memory.
    fn rope(&self, rope: Rope) -> Result<Self::Rope>;

    /// Bytes that a device reads and writes a second when it copies memory of so many `bytes`; absent on the CPU, which
    /// [`crate::peak`] measures.
    ///
    /// # Errors
    /// There is not enough memory, or the device failed.
    fn copy_speed(&self, bytes: usize) -> Result<Option<f64>>;
    /// What computes, for people.
    fn describe(&self) -> String;
    /// Waits until everything that was started is done, copies beside the steps too.
    ///
    /// # Errors
    /// Something that was started has failed.
    fn wait(&self) -> Result<()>;

    /// Pages of so many blocks, all zeros.
    ///
    /// # Errors
    /// There is not enough memory, or no kernel for these heads or this type.
    fn pages(&self, blocks: usize, heads: Heads, dtype: DType) -> Result<Self::Pages>;
    /// Copies one block of keys and values onto another.
    ///
    /// # Errors
    /// A block does not exist.
    fn copy_block(&self, pages: &Self::Pages, from: u32, to: u32) -> Result<()>;
    /// Has the copies that are begun from now on wait for everything that was started so far. What is started later
    /// does not wait for them: that is what their [`Mark`](Self::Mark) is for.
    ///
    /// # Errors
    /// The device failed.
    fn follow_steps(&self) -> Result<()>;
    /// Begins to copy blocks out, one after the other from byte `at` of `to` on: of each keys, then values. Neither the
    /// blocks may be written nor `to` be read before that is over.
    ///
    /// # Errors
    /// A block does not exist, or `to` is too short.
    fn begin_export(&self, pages: &Self::Pages, blocks: &[u32], to: &mut Self::Staged, at: usize) -> Result<()>;
    /// Begins to copy blocks in that were copied out of pages of the same kind, from byte `at` of `from` on. Neither the
    /// blocks may be read nor `from` be written before that is over.
    ///
    /// # Errors
    /// A block does not exist, or `from` is too short.
    fn begin_import(&self, pages: &Self::Pages, blocks: &[u32], from: &Self::Staged, at: usize) -> Result<()>;
    /// Writes zeros for the positions from `tokens` on in a block that was copied out, which may be another's.
    fn blank(&self, pages: &Self::Pages, tokens: usize, block: &mut [u8]);
    /// Names the end of all copies that have been begun.
    ///
    /// # Errors
    /// The device failed.
    fn mark(&self) -> Result<Self::Mark>;
    /// Whether the copies up to a mark are over; if `wait`, it waits until they are.
    ///
    /// # Errors
    /// The device failed.
    fn is_over(&self, mark: &Self::Mark, wait: bool) -> Result<bool>;
    /// What makes host memory for such copies, on any thread: so many bytes of zeros.
    fn stager(&self) -> Box<dyn Fn(usize) -> Result<Self::Staged> + Send>;

    /// Checks a batch and brings its indices to where the kernels read them.
    ///
    /// # Errors
    /// The layout does not describe the tokens, or a draw row does not exist.
    fn place<'a>(&self, indices: Indices<'a, Self::Adapter>, heads: Heads) -> Result<Self::Placed<'a>>;
    /// The rows of the embedding for the batch's tokens, each number multiplied by `scale`.
    ///
    /// # Errors
    /// A token does not exist.
    fn embed(&self, table: &Self::Matrix, scale: f32, placed: &Self::Placed<'_>) -> Result<Self::Rows>;
    /// The norm of each row of the residual stream.
    ///
    /// # Errors
    /// Shapes or types do not fit.
    fn norm(&self, x: &Self::Rows, norm: &Norm<Self::Vector>) -> Result<Self::Rows>;
    /// `residual + x`, and its norm.
    ///
    /// # Errors
    /// Shapes or types do not fit.
    fn add_norm(
        &self,
        residual: Self::Rows,
        x: &Self::Rows,
        norm: &Norm<Self::Vector>,
    ) -> Result<(Self::Rows, Self::Rows)>;
    /// `residual + x`.
    ///
    /// # Errors
    /// Shapes or types do not fit.
    fn add(&self, residual: Self::Rows, x: &Self::Rows) -> Result<Self::Rows>;
    /// The norm of each row of what is to be added to the residual stream.
    ///
    /// # Errors
    /// Shapes or types do not fit.
    fn norm_update(&self, x: &Self::Rows, norm: &Norm<Self::Vector>) -> Result<Self::Rows>;
    /// `x` [rows, inputs] times the weights' transpose, plus the bias: [rows, outputs].
    ///
    /// # Errors
    /// Shapes or types do not fit.
    fn linear(&self, x: &Self::Rows, weight: &Self::Matrix, bias: Option<&Self::Vector>) -> Result<Self::Rows>;
    /// `y` [rows, outputs], the product of `x` [rows, inputs], with what each row's adapter adds to it at site number
    /// `site`. The rows are those that the batch draws from if `drawn`, else all. `y` itself if the batch has no adapters.
    ///
    /// # Errors
    /// Shapes or types do not fit, or there is no such site.
    fn add_low_rank(
        &self,
        y: Self::Rows,
        x: &Self::Rows,
        site: usize,
        drawn: bool,
        placed: &Self::Placed<'_>,
    ) -> Result<Self::Rows>;
    /// As [`Self::linear`], in f32 [rows, outputs]: logits, or a router's scores.
    ///
    /// # Errors
    /// Shapes or types do not fit.
    fn logits(&self, x: &Self::Rows, head: &Self::Matrix, bias: Option<&Self::Vector>) -> Result<Self::Rows>;
    /// `cap * tanh(logit / cap)` of logits.
    ///
    /// # Errors
    /// `cap` is not above zero, or the type does not fit.
    fn cap(&self, logits: Self::Rows, cap: f32) -> Result<Self::Rows>;
    /// Norms heads if the model does, turns queries and keys of `qkv` [rows, (query + 2 * kv) * dim], writes keys and
    /// values to their slots and gives the queries [rows, query * dim].
    ///
    /// # Errors
    /// Shapes, types, slots or positions do not fit.
    fn turn_and_write(
        &self,
        qkv: &Self::Rows,
        layer: LayerHeads<'_, Self::Vector>,
        rope: &Self::Rope,
        pages: &Self::Pages,
        placed: &Self::Placed<'_>,
    ) -> Result<Self::Rows>;
    /// What each row's query finds in its sequence up to its own position, [rows, query heads * dim].
    ///
    /// # Errors
    /// Shapes or types do not fit.
    fn attention(
        &self,
        query: &Self::Rows,
        heads: Heads,
        pages: &Self::Pages,
        placed: &Self::Placed<'_>,
        params: &AttentionParams,
    ) -> Result<Self::Rows>;
    /// `activation(gate) * up` of rows of gates and ups.
    ///
    /// # Errors
    /// The width is odd, or the type does not fit.
    fn gate(&self, gate_up: &Self::Rows, activation: Activation) -> Result<Self::Rows>;
    /// `activation(x)` of each number.
    ///
    /// # Errors
    /// The type does not fit.
    fn activate(&self, x: Self::Rows, activation: Activation) -> Result<Self::Rows>;
    /// What the experts that `scores` [rows, experts] choose make of each row of `x` [rows, hidden], weighted.
    ///
    /// # Errors
    /// Shapes or types do not fit, or the device has no kernel for it.
    fn experts(
        &self,
        x: &Self::Rows,
        scores: &Self::Rows,
        experts: &Self::Experts,
        activation: Activation,
    ) -> Result<Self::Rows>;
    /// The rows that the batch draws from.
    ///
    /// # Errors
    /// These are not the batch's rows.
    fn drawn(&self, rows: Self::Rows, placed: &Self::Placed<'_>) -> Result<Self::Rows>;

    /// Does `work`, or what was recorded of it when it was last done for a batch of the same kind. `whose` tells apart
    /// what must not be taken for each other.
    ///
    /// # Errors
    /// The work's own.
    fn replay<E: From<KernelError>>(
        &self,
        recorded: &mut Self::Recorded,
        whose: u64,
        placed: &Self::Placed<'_>,
        work: impl FnMut() -> Result<Self::Rows, E>,
    ) -> Result<Self::Rows, E>;
    /// Rows as numbers on the host, [rows * width]. Waits for the device.
    ///
    /// # Errors
    /// The device failed.
    fn read(&self, rows: &Self::Rows) -> Result<Vec<f32>>;
    /// One row as numbers on the host, [width]. Waits for the device.
    ///
    /// # Errors
    /// There is no such row, or the device failed.
    fn read_row(&self, rows: &Self::Rows, row: usize) -> Result<Vec<f32>>;

    /// The sizes to which batches of up to `most` rows are padded, where the first batch of a size takes longer than later
    /// ones, smallest first; empty where it does not.
    fn sizes(&self, most: usize) -> Vec<usize>;
    /// Whether tokens are best drawn where the logits are.
    fn draws(&self) -> bool;
    /// Draws a token from each of the first rows of logits, [rows or more, vocabulary] in f32, and waits for them. Rows that
    /// are drawn from may be written over.
    ///
    /// # Errors
    /// There are fewer rows than draws, the vocabularies differ, or the device failed.
    fn draw(&self, logits: &Self::Rows, draws: &Draws) -> Result<Vec<Result<Drawn, DrawFault>>>;
}
