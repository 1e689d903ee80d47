//! Damaged files give errors: no panic, no abort, no memory that the file does not justify.

use baton_decoder::Decoder;
use baton_kernels::Kernels;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::{open, tiny};

/// Reads everything that a file says and loads the model.
fn read_all(bytes: &[u8]) {
    let Ok(file) = open(bytes) else { return };
    for (_, info) in file.tensors() {
        assert!(!file.bytes(info).is_empty());
    }
    // Either answer will do.
    let _ = file.tokenizer();
    let _ = Decoder::load(&file, Kernels::new(1), &mut |_, _| ());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn changed_bytes(changes in vec((0usize..4000, any::<u8>()), 1..8), cut in proptest::option::of(0usize..4000)) {
        let mut bytes = tiny::model("llama").bytes();
        for (at, value) in changes {
            bytes[at] = value;
        }
        bytes.truncate(cut.unwrap_or(bytes.len()));
        read_all(&bytes);
    }

    #[test]
    fn changed_lengths(at in 8usize..4000, value in prop_oneof![any::<u64>(), 0u64..1 << 24, Just(u64::MAX)]) {
        let mut bytes = tiny::model("qwen2").bytes();
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        read_all(&bytes);
    }
}

#[test]
fn every_cut() {
    let bytes = tiny::model("llama").bytes();
    for end in 0..4000 {
        read_all(&bytes[..end]);
        assert!(open(&bytes[..end]).is_err(), "{end}");
    }
    assert!(open(&bytes).is_ok());
}
