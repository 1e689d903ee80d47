//! Descriptions of rotations whose context was stretched.

use serde_json::Value as Json;

use super::fields::Fields;
use super::{CONFIG, wrong};
use crate::Error;
use crate::gguf::Value;

/// Divisors of frequencies, [rotated / 2], by the name of GGUF's tensor.
pub(super) type Divisors = (&'static str, Vec<f32>);

/// What a stretched rotation is computed from.
pub(super) struct Stretch<'a> {
    /// The part of the description that is about it.
    pub(super) rope: &'a Fields<'a>,
    /// The whole description.
    pub(super) fields: &'a Fields<'a>,
    pub(super) base: f64,
    /// Rotated elements of a head.
    pub(super) rotated: u64,
    /// The stretched context.
    pub(super) context: f64,
}

impl Stretch<'_> {
    /// A number above zero that must be there.
    pub(super) fn number(&self, name: &str) -> Result<f64, Error> {
        let found = Fields::needed(name, self.rope.number(name)?)?;
        if found > 0.0 { Ok(found) } else { Err(wrong(CONFIG, format!("`{name}` is {found}, not above zero"))) }
    }

    fn number_or(&self, name: &str, usual: f64) -> Result<f64, Error> {
        if self.rope.get(name).is_some() { self.number(name) } else { Ok(usual) }
    }

    /// Llama 3.1's divisors: long waves are slowed by `factor`, short ones left alone, those between blended. Source:
    /// `_compute_llama3_parameters` of Transformers.
    pub(super) fn llama3(&self) -> Result<Vec<f32>, Error> {
        let (factor, old) = (self.number("factor")?, self.number("original_max_position_embeddings")?);
        let (low, high) = (self.number("low_freq_factor")?, self.number("high_freq_factor")?);
        if high <= low {
            return Err(wrong(CONFIG, format!("`high_freq_factor` is {high}, not above `low_freq_factor`, {low}")));
        }
        let dim = u32::try_from(self.rotated).unwrap_or(0);
        let divisor = |pair: u32| {
            let wave = 2.0 * std::f64::consts::PI * self.base.powf(2.0 * f64::from(pair) / f64::from(dim));
            if wave < old / high {
                1.0
            } else if wave > old / low {
                factor
            } else {
                let smooth = (old / wave - low) / (high - low);
                1.0 / ((1.0 - smooth) / factor + smooth)
            }
        };
        #[expect(clippy::cast_possible_truncation, reason = "as GGUF stores them")]
        Ok((0..dim / 2).map(|pair| divisor(pair) as f32).collect())
    }

    /// What GGUF says of `YaRN` beside the factor. Source: `_compute_yarn_parameters` of Transformers.
    pub(super) fn yarn(&self) -> Result<[(&'static str, Value); 4], Error> {
        if self.rope.flag("truncate")? == Some(false) {
            return Err(Error::Unsupported("YaRN between fractions of pairs (`truncate` is false)".into()));
        }
        let factor = self.number("factor")?;
        let original = match self.rope.count("original_max_position_embeddings")? {
            Some(original) => original,
            None => Fields::needed("max_position_embeddings", self.fields.count("max_position_embeddings")?)?,
        };
        let magnitude = |scale: f64| if factor > 1.0 { 0.1 * scale * factor.ln() + 1.0 } else { 1.0 };
        let wanted = match (self.rope.number("mscale")?, self.rope.number("mscale_all_dim")?) {
            (Some(own), Some(all)) if own != 0.0 && all != 0.0 => magnitude(own) / magnitude(all),
            _ => magnitude(1.0),
        };
        let wanted = self.number_or("attention_factor", wanted)?;
        Ok([
            ("rope.scaling.original_context_length", Value::Unsigned(original)),
            // GGUF's is what the usual magnitude is multiplied by.
            ("rope.scaling.attn_factor", Value::Float(wanted / magnitude(1.0))),
            ("rope.scaling.yarn_beta_fast", Value::Float(self.number_or("beta_fast", 32.0)?)),
            ("rope.scaling.yarn_beta_slow", Value::Float(self.number_or("beta_slow", 1.0)?)),
        ])
    }

    /// The context before it was stretched, the magnitude, and two lists of divisors. Source:
    /// `_compute_longrope_parameters` of Transformers.
    pub(super) fn longrope(&self) -> Result<(u64, f64, Vec<Divisors>), Error> {
        let name = "original_max_position_embeddings";
        let original = match self.rope.count(name)? {
            Some(original) => Some(original),
            None => self.fields.count(name)?,
        };
        let original = Fields::needed(name, original)?;
        #[expect(clippy::cast_precision_loss, reason = "contexts are far below 2^52")]
        let (factor, old) = (self.context / original.max(1) as f64, original.max(2) as f64);
        let usual = if factor > 1.0 { (1.0 + factor.ln() / old.ln()).sqrt() } else { 1.0 };
        let magnitude = self.number_or("attention_factor", usual)?;
        let divisors = |name: &str| {
            let list = self.rope.get(name).and_then(Json::as_array);
            #[expect(clippy::cast_possible_truncation, reason = "as GGUF stores them")]
            let list = list.and_then(|all| all.iter().map(|one| one.as_f64().map(|one| one as f32)).collect());
            let list: Vec<f32> = list.ok_or_else(|| wrong(CONFIG, format!("`{name}` is not an array of numbers")))?;
            if list.len() as u64 * 2 != self.rotated || list.iter().any(|one| !(one.is_finite() && *one > 0.0)) {
                let what = format!("`{name}` has not {} numbers above zero", self.rotated / 2);
                return Err(wrong(CONFIG, what));
            }
            Ok(list)
        };
        let lists = vec![
            ("rope_factors_long.weight", divisors("long_factor")?),
            ("rope_factors_short.weight", divisors("short_factor")?),
        ];
        Ok((original, magnitude, lists))
    }
}
