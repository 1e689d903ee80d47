//! What is added to a model's weights for some of its sequences.

use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::Digest;

/// An adapter, by its digest, with the weights that an executor knows how to read; nobody else looks at them.
///
/// Two of them are the same if their digests are. Clones share the weights, which stay in memory as long as one is left:
/// a sequence ends with the adapter that it began with, whatever happens to its twin meanwhile.
#[derive(Clone)]
pub struct Adapter {
    digest: Digest,
    weights: Arc<dyn Any + Send + Sync>,
}

impl Adapter {
    /// An adapter whose content has this digest.
    pub fn new(digest: Digest, weights: Arc<dyn Any + Send + Sync>) -> Self {
        Self { digest, weights }
    }

    /// Identifies the content.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The same without its weights: enough to know it again, not to compute with it.
    #[must_use]
    pub fn named(&self) -> Self {
        Self { digest: self.digest, weights: Arc::new(()) }
    }

    /// The weights, if they are of the type that the executor reads.
    pub fn weights<W: 'static>(&self) -> Option<&W> {
        self.weights.downcast_ref()
    }
}

impl fmt::Debug for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Adapter").field(&self.digest).finish()
    }
}

impl PartialEq for Adapter {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Adapter {}

impl Hash for Adapter {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}
