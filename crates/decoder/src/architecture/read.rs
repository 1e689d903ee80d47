//! From a file's metadata, and the names and shapes of its tensors, to an architecture.

use baton_kernels::{Activation, Heads, RopeStyle};

use super::fields::{Fields, narrow};
use super::rope::{Divisors, RopeSpec, Yarn};
use super::{Architecture, ExpertSpec, LayerKind, Rotation, Variations};
use crate::{Error, ModelFile};

/// Memory that the rotation tables may take whatever the file's size.
const FREE_TABLE_BYTES: usize = 64 << 20;
/// Experts that a layer may have.
const MOST_EXPERTS: usize = 1024;

/// Families by the names that GGUF gives them.
const FAMILIES: [&str; 10] =
    ["llama", "qwen2", "qwen3", "qwen3moe", "gemma", "gemma2", "gemma3", "phi2", "phi3", "smollm3"];

/// Layers of the Gemma 2 and Gemma 3 models whose scores are scaled by the width for each head, not by that of a head.
/// GGUF does not say it.
const WIDE_SCALE: [(&str, usize); 2] = [("gemma2", 46), ("gemma3", 62)];

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
        if !FAMILIES.contains(&family) {
            return Err(Error::Unsupported(format!("the model family `{family}`")));
        }
        let fields = Fields { metadata, family };
        fields.refuse_foreign()?;

        let hidden = fields.needed("embedding_length")?;
        let layers = fields.needed("block_count")?;
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
        // Each layer has tensors, so no file has more layers than tensors.
        if layers > file.tensors().count() {
            return Err(Error::Inconsistent(format!(
                "{layers} layers in a file of {} tensors",
                file.tensors().count()
            )));
        }
        let has = |name: &str| file.tensor(name).is_some();
        let max_context = fields.needed("context_length")?;
        let variations = fields.variations(file, hidden, layers, heads)?;
        let architecture = Self {
            family: family.to_owned(),
            vocabulary,
            max_context,
            hidden,
            layers,
            heads,
            feed_forward: match fields.count("expert_feed_forward_length")? {
                Some(width) => width,
                None => fields.needed("feed_forward_length")?,
            },
            norm_eps: fields.norm_eps(variations.layer_norm)?,
            attention_scale: fields.attention_scale(heads, hidden, layers)?,
            rope: fields.rope(file, heads, max_context)?,
            qkv_bias: has("blk.0.attn_q.bias") || has("blk.0.attn_qkv.bias"),
            output_bias: has("blk.0.attn_output.bias"),
            query_key_norm: has("blk.0.attn_q_norm.weight"),
            tied_head: !has("output.weight"),
            variations,
        };
        let tables = 1 + usize::from(architecture.variations.local_rope.is_some());
        let table = max_context.checked_mul(tables * architecture.rope.dim * size_of::<f32>());
        if table.is_none_or(|bytes| bytes > FREE_TABLE_BYTES.max(file.size())) {
            let what = format!("a context of {max_context} tokens in a file of {} bytes", file.size());
            return Err(Error::Unsupported(what));
        }
        Ok(architecture)
    }
}

impl Fields<'_> {
    fn is_gemma(&self) -> bool {
        self.family.starts_with("gemma")
    }

    fn variations(&self, file: &ModelFile, hidden: usize, layers: usize, heads: Heads) -> Result<Variations, Error> {
        let has = |name: &str| file.tensor(name).is_some();
        let phi2 = self.family == "phi2";
        let cap = |name| Ok::<_, Error>(self.positive_or_none(name)?.map(narrow));
        let local_rope = if self.family == "gemma3" {
            // Local layers are never stretched.
            let base = self.positive("rope.freq_base_swa")?.unwrap_or(10_000.0);
            Some(RopeSpec::new(base, heads.dim, RopeStyle::Halves))
        } else {
            None
        };
        #[expect(clippy::cast_precision_loss, reason = "widths are far below 2^52")]
        let embedding_scale = if self.is_gemma() { narrow((hidden as f64).sqrt()) } else { 1.0 };
        Ok(Variations {
            activation: if self.is_gemma() || phi2 { Activation::GeluTanh } else { Activation::Silu },
            gateless: phi2,
            feed_forward_bias: has("blk.0.ffn_up.bias"),
            layer_norm: phi2,
            parallel: phi2,
            update_norms: has("blk.0.post_attention_norm.weight"),
            head_bias: has("output.bias"),
            embedding_scale,
            score_cap: cap("attn_logit_softcapping")?,
            logit_cap: cap("final_logit_softcapping")?,
            experts: self.experts()?,
            local_rope,
            layers: self.layers(layers, local_rope.is_some())?,
        })
    }

    fn experts(&self) -> Result<Option<ExpertSpec>, Error> {
        let Some(count) = self.count_or_none("expert_count")? else { return Ok(None) };
        let used = self.needed("expert_used_count")?;
        if used > count || count > MOST_EXPERTS {
            return Err(Error::Inconsistent(format!("a token goes through {used} of {count} experts")));
        }
        // Mixtral's and Qwen3's weights add up to one unless the file says otherwise.
        let normalised = self.metadata.flag(&self.key("expert_weights_norm"))?.unwrap_or(true);
        Ok(Some(ExpertSpec { count, used, normalised }))
    }

    /// How each layer attends; nothing if all attend to everything and are rotated alike.
    fn layers(&self, layers: usize, has_local_rope: bool) -> Result<Vec<LayerKind>, Error> {
        let window = self.count_or_none("attention.sliding_window")?;
        // What the file says of each layer, or the family's habit where GGUF says nothing.
        let windowed = self.flags("attention.sliding_window_pattern", layers)?;
        let is_windowed = |index: usize| match (&windowed, self.family) {
            (Some(flags), _) => flags[index],
            (None, "gemma2") => index.is_multiple_of(2),
            (None, "gemma3") => index % 6 != 5,
            (None, _) => true,
        };
        let rotated = self.flags("rope.layer_pattern", layers)?;
        let is_rotated = |index: usize| match (&rotated, self.family) {
            (Some(flags), _) => flags[index],
            (None, "smollm3") => index % 4 != 3,
            (None, _) => true,
        };
        let kind = |index: usize| {
            let window = window.filter(|_| is_windowed(index));
            let rotation = match (is_rotated(index), window.is_some() && has_local_rope) {
                (false, _) => Rotation::Absent,
                (true, true) => Rotation::Local,
                (true, false) => Rotation::Global,
            };
            LayerKind { window, rotation }
        };
        let kinds: Vec<_> = (0..layers).map(kind).collect();
        Ok(if kinds.iter().all(|kind| *kind == LayerKind::default()) { Vec::new() } else { kinds })
    }

    fn attention_scale(&self, heads: Heads, hidden: usize, layers: usize) -> Result<f32, Error> {
        if let Some(scale) = self.positive_or_none("attention.scale")? {
            return Ok(narrow(scale));
        }
        let wide = WIDE_SCALE.contains(&(self.family, layers));
        let width = if wide { hidden / heads.query } else { heads.dim };
        #[expect(clippy::cast_precision_loss, reason = "head dimensions are small")]
        Ok(narrow(1.0 / (width.max(1) as f64).sqrt()))
    }

    fn rope(&self, file: &ModelFile, heads: Heads, max_context: usize) -> Result<RopeSpec, Error> {
        // A GGUF file has the queries and keys of these permuted, so that neighbours are pairs.
        let style = match self.family {
            "llama" | "smollm3" if !file.is_folder() => RopeStyle::Interleaved,
            _ => RopeStyle::Halves,
        };
        let kind = self.metadata.text(&self.key("rope.scaling.type"))?;
        let factor = self.positive("rope.scaling.factor")?.unwrap_or(1.0);
        let original = self.positive_count("rope.scaling.original_context_length")?;
        let magnitude = self.positive("rope.scaling.attn_factor")?.unwrap_or(1.0);
        let mut rope = RopeSpec::new(self.positive("rope.freq_base")?.unwrap_or(10_000.0), heads.dim, style);
        rope.dim = self.count("rope.dimension_count")?.unwrap_or(heads.dim);
        if rope.dim > heads.dim || !rope.dim.is_multiple_of(2) {
            return Err(Error::Inconsistent(format!("{} of {} dimensions are to be rotated", rope.dim, heads.dim)));
        }
        rope.magnitude = narrow(magnitude);
        match kind {
            Some("none" | "longrope") => {}
            None | Some("linear") => rope.scale = factor,
            Some("yarn") => {
                let key = || Error::Missing(format!("`{}`", self.key("rope.scaling.original_context_length")));
                let original = original.ok_or_else(key)?;
                let fast = self.positive("rope.scaling.yarn_beta_fast")?.unwrap_or(32.0);
                let slow = self.positive("rope.scaling.yarn_beta_slow")?.unwrap_or(1.0);
                rope.scale = factor;
                rope.yarn = Some(Yarn { original, fast, slow });
                // The paper's temperature of the softmax, on both queries and keys.
                rope.magnitude = narrow(magnitude * (0.1 * factor.max(1.0).ln() + 1.0));
            }
            Some(other) => return Err(Error::Unsupported(format!("`{other}` scaling of positions"))),
        }
        let has = |divisors: Divisors| divisors.tensor().is_some_and(|name| file.tensor(name).is_some());
        // The model's whole context decides, not a request's: what is cached must fit whoever comes next.
        #[expect(clippy::cast_precision_loss, reason = "contexts are far below 2^52")]
        let stretched = original.is_some_and(|original| max_context as f64 > original);
        rope.divisors = match (has(Divisors::Plain), has(Divisors::Long)) {
            (true, _) => Divisors::Plain,
            (false, true) if stretched => Divisors::Long,
            (false, true) => Divisors::Short,
            (false, false) => Divisors::Absent,
        };
        Ok(rope)
    }

    fn positive_count(&self, name: &str) -> Result<Option<f64>, Error> {
        #[expect(clippy::cast_precision_loss, reason = "a count of at most 32 bits")]
        Ok(self.count(name)?.map(|count| count as f64))
    }
}
