//! Prefixes that outlive an engine.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use baton_contract::Digest;
use baton_engine::EngineHandle;
use baton_kernels::REVISION;
use baton_testkit::{block_on, limits};
use expect_test::expect;

use crate::{SMALL, assert_same_as_alone, engine_in, engine_with, requests};

/// Computations and restorations of the requests' two prefixes, damaged files, and input tokens computed.
fn counts(engine: &EngineHandle) -> (u64, u64, u64, u64) {
    let status = engine.status();
    let of_twin = |counts: &std::collections::BTreeMap<String, u64>| counts.get("twin").copied().unwrap_or(0);
    (
        of_twin(&status.scheduler.prefixes_computed),
        of_twin(&status.scheduler.prefixes_restored),
        of_twin(&status.counters.prefixes_damaged),
        status.counters.prompt_tokens,
    )
}

/// Ends an engine, and with it the writing.
fn end(engine: &EngineHandle) {
    block_on(engine.drain(Duration::ZERO));
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn a_restored_prefix_gives_the_same_bits_and_costs_no_prompt_token() {
    let folder = tempfile::tempdir().unwrap();
    let prompts: usize = requests().iter().map(|asked| asked.prompt.len()).sum();
    let first = assert_same_as_alone(engine_in(Some(folder.path()), limits()));
    assert_eq!(counts(&first), (2, 0, 0, prompts as u64 + 2 * 70));
    end(&first);
    assert_eq!(files(folder.path()).len(), 2);

    let second = assert_same_as_alone(engine_in(Some(folder.path()), limits()));
    assert_eq!(counts(&second), (0, 2, 0, prompts as u64));
    end(&second);

    // Prompts in small chunks after it, and eviction again and again.
    let third = assert_same_as_alone(engine_in(Some(folder.path()), SMALL));
    let (computed, restored, ..) = counts(&third);
    assert!(computed == 0 && restored > 2, "{restored} times restored, {computed} times computed");
    assert!(third.status().scheduler.preemptions > 0, "blocks were not short");
}

#[test]
fn an_evicted_prefix_comes_back_from_memory_while_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let from_memory = |memory: usize| {
        let engine = assert_same_as_alone(engine_with(Some(folder.path()), memory, SMALL));
        let (computed, restored, ..) = counts(&engine);
        let from_memory = engine.status().counters.prefixes_from_memory.get("twin").copied().unwrap_or(0);
        end(&engine);
        (computed, restored, from_memory)
    };
    let (computed, restored, found) = from_memory(64 << 20);
    assert!(computed == 2 && found == restored && found > 2, "{found} of {restored} from memory, {computed} computed");
    // One of the two fits, and each is read from its file once before it is in memory.
    let (computed, restored, found) = from_memory(3 << 20);
    assert!(computed == 0 && found < restored, "{found} of {restored} from memory, {computed} computed");
    assert_eq!(from_memory(1 << 20).2, 0, "neither fits");
}

#[test]
fn prefixes_computed_in_chunks_are_stored_with_the_same_bits() {
    let (whole, chunked) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (folder, scheduler) in [(&whole, limits()), (&chunked, SMALL)] {
        end(&assert_same_as_alone(engine_in(Some(folder.path()), scheduler)));
    }
    let contents = |folder: &Path| files(folder).iter().map(|file| fs::read(file).unwrap()).collect::<Vec<_>>();
    assert!(contents(whole.path()) == contents(chunked.path()), "files differ");
}

#[test]
fn a_damaged_prefix_is_computed_and_replaced() {
    let folder = tempfile::tempdir().unwrap();
    end(&assert_same_as_alone(engine_in(Some(folder.path()), limits())));
    let [damaged, good] = files(folder.path()).try_into().unwrap();
    let mut bytes = fs::read(&damaged).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&damaged, &bytes).unwrap();
    let second = assert_same_as_alone(engine_in(Some(folder.path()), limits()));
    let (computed, restored, reported, _) = counts(&second);
    assert_eq!((computed, restored, reported), (1, 1, 1));
    end(&second);
    bytes[middle] ^= 1;
    assert!(fs::read(&damaged).unwrap() == bytes && good.exists(), "it was replaced");
}

/// Should this fail, the kernels or the decoder give other bits than before: raise `baton_kernels::REVISION`, lest
/// prefixes that were stored by older builds are mixed with newer arithmetic, and take over what is found here.
#[test]
fn the_bits_of_keys_and_values_belong_to_their_revision() {
    let folder = tempfile::tempdir().unwrap();
    end(&assert_same_as_alone(engine_in(Some(folder.path()), limits())));
    let mut payloads: Vec<_> = files(folder.path())
        .iter()
        .map(|file| fs::read(file).unwrap())
        // Between header and checksum.
        .map(|bytes| Digest::of(&bytes[76..bytes.len() - 32]).to_string())
        .collect();
    payloads.sort();
    expect![[r"
        revision 2
        blake3:4c72a34268d8a60c359eb99a438cd72b3f4e081e4bc355ab035fcb9b59d5a743
        blake3:79ad3c29c0c14ac687501d759e72741bd43ac945d29c2aa7f0d94303754b5fec
    "]]
    .assert_eq(&format!("revision {REVISION}\n{}\n", payloads.join("\n")));
}
