//! The fields of one family in a file's metadata.

use baton_kernels::Heads;

use crate::Error;
use crate::gguf::{Metadata, Value};

/// Parts of other models whose metadata would change the answer. Zero means absent.
const FOREIGN: [(&str, &str); 7] = [
    ("attention.clamp_kqv", "clamping of keys and queries"),
    ("logit_scale", "a logit scale"),
    ("residual_scale", "a residual scale"),
    ("embedding_scale", "an embedding scale"),
    ("expert_shared_count", "shared experts"),
    ("expert_group_count", "groups of experts"),
    ("leading_dense_block_count", "layers without experts beside layers with experts"),
];

/// Fields that all begin with the family's name.
pub(super) struct Fields<'a> {
    pub(super) metadata: &'a Metadata,
    pub(super) family: &'a str,
}

impl Fields<'_> {
    pub(super) fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.family)
    }

    /// A number above zero.
    pub(super) fn count(&self, name: &str) -> Result<Option<usize>, Error> {
        let key = self.key(name);
        match self.metadata.count(&key)?.map(usize::try_from) {
            None => Ok(None),
            Some(Ok(count)) if count > 0 => Ok(Some(count)),
            Some(_) => Err(Error::Inconsistent(format!("`{key}` is zero"))),
        }
    }

    /// A number, where zero means that there is none.
    pub(super) fn count_or_none(&self, name: &str) -> Result<Option<usize>, Error> {
        let count = self.metadata.count(&self.key(name))?;
        Ok(count.filter(|count| *count > 0).and_then(|count| usize::try_from(count).ok()))
    }

    pub(super) fn needed(&self, name: &str) -> Result<usize, Error> {
        self.count(name)?.ok_or_else(|| Error::Missing(format!("`{}`", self.key(name))))
    }

    /// A float above zero.
    pub(super) fn positive(&self, name: &str) -> Result<Option<f64>, Error> {
        let key = self.key(name);
        match self.metadata.float(&key)? {
            Some(number) if number <= 0.0 => Err(Error::Inconsistent(format!("`{key}` is {number}, not above zero"))),
            number => Ok(number),
        }
    }

    /// A float above zero, where zero means that there is none.
    pub(super) fn positive_or_none(&self, name: &str) -> Result<Option<f64>, Error> {
        match self.metadata.get(&self.key(name)) {
            Some(Value::Float(number)) if *number == 0.0 => Ok(None),
            _ => self.positive(name),
        }
    }

    /// A truth value for each layer.
    pub(super) fn flags(&self, name: &str, layers: usize) -> Result<Option<Vec<bool>>, Error> {
        let key = self.key(name);
        let Some(scalars) = self.metadata.scalars(&key)? else { return Ok(None) };
        let flags = scalars.values().map(|value| match value {
            Value::Flag(flag) => Some(flag),
            _ => None,
        });
        match flags.collect::<Option<Vec<_>>>() {
            Some(flags) if flags.len() == layers => Ok(Some(flags)),
            Some(flags) => Err(Error::Inconsistent(format!("`{key}` speaks of {} of {layers} layers", flags.len()))),
            None => Err(Error::Inconsistent(format!("`{key}` holds something else than truth values"))),
        }
    }

    pub(super) fn refuse_foreign(&self) -> Result<(), Error> {
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

    pub(super) fn heads(&self, hidden: usize) -> Result<Heads, Error> {
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

    pub(super) fn norm_eps(&self, layer_norm: bool) -> Result<f32, Error> {
        let name = if layer_norm { "attention.layer_norm_epsilon" } else { "attention.layer_norm_rms_epsilon" };
        let eps = self.positive(name)?.ok_or_else(|| Error::Missing(format!("`{}`", self.key(name))))?;
        Ok(narrow(eps))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the models compute with f32")]
pub(super) fn narrow(number: f64) -> f32 {
    number as f32
}
