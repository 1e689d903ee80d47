//! What distinguishes one decoder from another, as plain data.

use baton_kernels::{Heads, RopeStyle};

use crate::Error;
use crate::ModelFile;
use crate::gguf::{Metadata, Value};

/// Memory that the rotation tables may take whatever the file's size.
const FREE_TABLE_BYTES: usize = 64 << 20;

/// A complete description of one decoder: no tensors, no device, no file.
///
/// All supported families are pre-norm, RMS-normed, with a `SiLU`-gated feed-forward part and full causal attention.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, as a table has them")]
pub struct Architecture {
    /// The family's name in the file. For people; nothing depends on it.
    pub family: String,
    /// Tokens that exist; at least as many as the tokenizer knows.
    pub vocabulary: usize,
    /// Most tokens of a sequence.
    pub max_context: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Layers.
    pub layers: usize,
    /// Attention heads of each layer.
    pub heads: Heads,
    /// Width of the feed-forward part.
    pub feed_forward: usize,
    /// Added to the mean square before its root is taken.
    pub norm_eps: f32,
    /// Multiplies the scores before the softmax.
    pub attention_scale: f32,
    /// How positions are told to queries and keys.
    pub rope: RopeSpec,
    /// Whether the query, key and value projections have a bias.
    pub qkv_bias: bool,
    /// Whether the attention's output projection has a bias.
    pub output_bias: bool,
    /// Whether each head's query and key are RMS-normed before they are rotated.
    pub query_key_norm: bool,
    /// Whether the head is the embedding.
    pub tied_head: bool,
}

/// Rotary position embedding (Su et al., 2021).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RopeSpec {
    /// Pair `i` of `dim / 2` turns by `position / (scale * base^(2i / dim))`.
    pub base: f64,
    /// Positions are divided by this: 1, or more where a context was stretched.
    pub scale: f64,
    /// Rotated dimensions of each head; the rest pass through.
    pub dim: usize,
    /// Which two numbers are a pair.
    pub style: RopeStyle,
    /// Whether the file has a divisor for each pair's frequency, as Llama 3.1's has.
    pub divisors: bool,
}

/// Parts of other models whose metadata would change the answer. Zero means absent.
const FOREIGN: [(&str, &str); 9] = [
    ("expert_count", "a mixture of experts"),
    ("attention.sliding_window", "sliding-window attention"),
    ("attention.clamp_kqv", "clamping of keys and queries"),
    ("attention.scale", "a stated attention scale"),
    ("attn_logit_softcapping", "soft-capping of attention scores"),
    ("final_logit_softcapping", "soft-capping of logits"),
    ("logit_scale", "a logit scale"),
    ("residual_scale", "a residual scale"),
    ("embedding_scale", "an embedding scale"),
];

/// The fields of one family, which all begin with its name.
struct Fields<'a> {
    metadata: &'a Metadata,
    family: &'a str,
}

impl Architecture {
    /// Reads the architecture off a file's metadata and the names and shapes of its tensors.
    ///
    /// # Errors
    /// A field is missing or contradicts another, or the model needs something that is not supported, which the
    /// error names.
    pub fn of(file: &ModelFile) -> Result<Self, Error> {
        let metadata = file.metadata();
        if let Some(kind) = metadata.text("general.type")?.filter(|kind| *kind != "model") {
            return Err(Error::Unsupported(format!("a GGUF file of type `{kind}` instead of `model`")));
        }
        let family = metadata.text("general.architecture")?;
        let family = family.ok_or_else(|| Error::Missing("`general.architecture`".into()))?;
        // A GGUF file has llama's queries and keys permuted, so that neighbours are pairs.
        let style = match family {
            "llama" if !file.is_folder() => RopeStyle::Interleaved,
            "llama" | "qwen2" | "qwen3" => RopeStyle::Halves,
            _ => return Err(Error::Unsupported(format!("the model family `{family}`"))),
        };
        let fields = Fields { metadata, family };
        fields.refuse_foreign()?;

        let hidden = fields.needed("embedding_length")?;
        let heads = fields.heads(hidden)?;
        let embedding = file.tensor("token_embd.weight");
        let embedding = embedding.ok_or_else(|| Error::Missing("tensor `token_embd.weight`".into()))?;
        let vocabulary = match *embedding.dims {
            [rows, columns] if columns == hidden => rows,
            _ => {
                return Err(Error::Inconsistent(format!(
                    "the embedding has the shape {:?}, but the width is {hidden}",
                    embedding.dims
                )));
            }
        };
        let has = |name: &str| file.tensor(name).is_some();
        let architecture = Self {
            family: family.to_owned(),
            vocabulary,
            max_context: fields.needed("context_length")?,
            hidden,
            layers: fields.needed("block_count")?,
            heads,
            feed_forward: fields.needed("feed_forward_length")?,
            norm_eps: fields.norm_eps()?,
            attention_scale: inverse_root(heads.dim),
            rope: RopeSpec { divisors: has("rope_freqs.weight"), ..fields.rope(heads, style)? },
            qkv_bias: has("blk.0.attn_q.bias"),
            output_bias: has("blk.0.attn_output.bias"),
            query_key_norm: has("blk.0.attn_q_norm.weight"),
            tied_head: !has("output.weight"),
        };
        let table = architecture.max_context.checked_mul(architecture.rope.dim * size_of::<f32>());
        if table.is_none_or(|bytes| bytes > FREE_TABLE_BYTES.max(file.size())) {
            let what = format!("a context of {} tokens in a file of {} bytes", architecture.max_context, file.size());
            return Err(Error::Unsupported(what));
        }
        Ok(architecture)
    }
}

impl RopeSpec {
    /// Radians by which each pair turns from one position to the next, [dim / 2].
    pub(crate) fn inverse_frequencies(&self, divisors: Option<&[f32]>) -> Vec<f32> {
        let divisor =
            |pair: usize| divisors.and_then(|divisors| divisors.get(pair)).map_or(1.0, |divisor| f64::from(*divisor));
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "head dimensions are small")]
        let frequency = |pair: usize| {
            let turn = self.base.powf(-2.0 * pair as f64 / self.dim as f64);
            (turn / (self.scale * divisor(pair))) as f32
        };
        (0..self.dim / 2).map(frequency).collect()
    }
}

impl Fields<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.family)
    }

    /// A number above zero.
    fn count(&self, name: &str) -> Result<Option<usize>, Error> {
        let key = self.key(name);
        match self.metadata.count(&key)?.map(usize::try_from) {
            None => Ok(None),
            Some(Ok(count)) if count > 0 => Ok(Some(count)),
            Some(_) => Err(Error::Inconsistent(format!("`{key}` is zero"))),
        }
    }

    fn needed(&self, name: &str) -> Result<usize, Error> {
        self.count(name)?.ok_or_else(|| Error::Missing(format!("`{}`", self.key(name))))
    }

    /// A float above zero.
    fn positive(&self, name: &str) -> Result<Option<f64>, Error> {
        let key = self.key(name);
        match self.metadata.float(&key)? {
            Some(number) if number <= 0.0 => Err(Error::Inconsistent(format!("`{key}` is {number}, not above zero"))),
            number => Ok(number),
        }
    }

    fn refuse_foreign(&self) -> Result<(), Error> {
        for (name, part) in FOREIGN {
            match self.metadata.get(&self.key(name)) {
                None | Some(Value::Unsigned(0) | Value::Signed(0) | Value::Flag(false)) => {}
                Some(Value::Float(number)) if *number == 0.0 => {}
                Some(_) => return Err(Error::Unsupported(format!("{part} (`{}`)", self.key(name)))),
            }
        }
        match self.metadata.flag(&self.key("attention.causal"))? {
            Some(false) => Err(Error::Unsupported("attention to later tokens (`attention.causal` is false)".into())),
            _ => Ok(()),
        }
    }

    fn heads(&self, hidden: usize) -> Result<Heads, Error> {
        let query = self.needed("attention.head_count")?;
        let kv = self.count("attention.head_count_kv")?.unwrap_or(query);
        let dim = self.count("attention.key_length")?.unwrap_or(hidden / query);
        let value = self.count("attention.value_length")?.unwrap_or(dim);
        if value != dim {
            return Err(Error::Unsupported(format!("a value length of {value} beside a key length of {dim}")));
        }
        // The product is a tensor's dimension later; here it only must not overflow.
        if !query.is_multiple_of(kv) || dim == 0 || query.checked_mul(dim).is_none() {
            let what = format!("{query} query heads of {dim} dimensions cannot share {kv} key heads");
            return Err(Error::Inconsistent(what));
        }
        Ok(Heads { query, kv, dim })
    }

    fn norm_eps(&self) -> Result<f32, Error> {
        let name = "attention.layer_norm_rms_epsilon";
        let eps = self.positive(name)?.ok_or_else(|| Error::Missing(format!("`{}`", self.key(name))))?;
        #[expect(clippy::cast_possible_truncation, reason = "it is stored as f32")]
        Ok(eps as f32)
    }

    fn rope(&self, heads: Heads, style: RopeStyle) -> Result<RopeSpec, Error> {
        let kind = self.metadata.text(&self.key("rope.scaling.type"))?;
        let factor = self.positive("rope.scaling.factor")?.unwrap_or(1.0);
        let scale = match kind {
            Some("none") => 1.0,
            None | Some("linear") => factor,
            Some(other) => return Err(Error::Unsupported(format!("`{other}` scaling of positions"))),
        };
        let dim = self.count("rope.dimension_count")?.unwrap_or(heads.dim);
        if dim > heads.dim || !dim.is_multiple_of(2) {
            return Err(Error::Inconsistent(format!("{dim} of {} dimensions are to be rotated", heads.dim)));
        }
        Ok(RopeSpec { base: self.positive("rope.freq_base")?.unwrap_or(10_000.0), scale, dim, style, divisors: false })
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "head dimensions are small")]
fn inverse_root(dim: usize) -> f32 {
    (1.0 / (dim as f64).sqrt()) as f32
}
