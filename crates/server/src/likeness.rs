//! Which typed keys mean the same, by the model that embeds texts. A key's vector depends on its words and the model alone, so
//! it is the same whenever it is computed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use baton_authority::docket::{Decision, Docket, TypedKey};
use baton_encoder::{EncoderHandle, nearness};

/// Knows how near typed keys are, if a model for it is loaded.
#[derive(Default)]
pub(crate) struct Likeness {
    encoder: Option<EncoderHandle>,
    /// Of the keys that were asked for last.
    known: Mutex<Vectors>,
}

/// How near keys are.
#[derive(Default)]
pub(crate) struct Nearness(Vectors);

type Vectors = BTreeMap<TypedKey, Arc<[f32]>>;

impl Likeness {
    pub(crate) fn new(encoder: Option<EncoderHandle>) -> Self {
        Self { encoder, known: Mutex::default() }
    }

    /// How near the keys of `decisions` are; blocks until it is computed. Without a model, and if that fails, no key is near
    /// another.
    pub(crate) fn of(&self, keys: BTreeSet<TypedKey>) -> Nearness {
        let Some(encoder) = &self.encoder else { return Nearness::default() };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|key, _| keys.contains(key));
        let new: Vec<TypedKey> = keys.into_iter().filter(|key| !known.contains_key(key)).collect();
        let texts = new.iter().map(|key| encoder.card().words.beginning(&words(key))).collect();
        match encoder.embed_blocking(texts) {
            Ok(vectors) => known.extend(new.into_iter().zip(vectors.into_iter().map(Arc::from))),
            Err(error) => tracing::warn!(%error, "only equal keys are taken for the same question now"),
        }
        Nearness(known.clone())
    }
}

impl Nearness {
    /// How near the keys of two decisions are: the cosine of their vectors, 0 where one has none.
    pub(crate) fn between(&self, one: &Decision, other: &Decision) -> f64 {
        let vector = |decision: &Decision| self.0.get(&decision.opening().subject.as_ref()?.key);
        vector(one).zip(vector(other)).map_or(0.0, |(one, other)| f64::from(nearness(one, other)))
    }
}

/// The typed keys of all decisions.
pub(crate) fn typed_keys(docket: &Docket) -> BTreeSet<TypedKey> {
    docket.decisions().filter_map(|decision| Some(decision.opening().subject.as_ref()?.key.clone())).collect()
}

/// A key as words: `drop-column` is two.
fn words(key: &TypedKey) -> String {
    key.as_str().replace(['-', '_', '/', '.'], " ")
}
