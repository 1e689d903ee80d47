//! What a cue is for.

/// The intent of a cue beside its *what*: why it is asked, and for which product and process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intent {
    /// Why it is asked; a cue without a why is accepted, marked and counted.
    pub why: Option<String>,
    /// The product it is asked for.
    pub product: Option<String>,
    /// The process it is a part of.
    pub process: Option<String>,
}

impl Intent {
    /// The intent as a twin reads it, right after its pack; nothing where nothing is known.
    pub fn in_words(&self) -> Option<String> {
        let parts = [("Why it is asked", &self.why), ("Product", &self.product), ("Process", &self.process)];
        let known = parts.into_iter().filter_map(|(label, value)| Some(format!("\n{label}: {}", value.as_ref()?)));
        let known: String = known.collect();
        (!known.is_empty()).then(|| format!("About the question that follows.{known}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_is_said() {
        assert_eq!(Intent::default().in_words(), None);
        let intent = Intent { why: Some("to ship".into()), process: Some("support".into()), ..Intent::default() };
        let words = "About the question that follows.\nWhy it is asked: to ship\nProcess: support";
        assert_eq!(intent.in_words().as_deref(), Some(words));
    }
}
