//! Stored prefixes: what comes back is what was given, or nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use baton_contract::Prefix;
use baton_decoder::{CacheForm, KvPages};
use baton_engine::{PrefixStore, StoreConfig, StoreContent};
use baton_testkit::prefix;
use candle_core::DType;
use expect_test::expect;
use tempfile::TempDir;

const FORM: CacheForm = CacheForm { layers: 2, kv_heads: 1, head_dim: 2, dtype: DType::F16, order: KvPages::ORDER };
/// A file of one block: header, two layers, checksum.
const FILE_BYTES: u64 = 76 + 2 * 256 + 32;

/// A folder that is made when the first file is written, and a clock that stands still until it is told.
struct Place {
    _parent: TempDir,
    folder: PathBuf,
    seconds: Arc<AtomicU64>,
}

impl Place {
    fn new() -> Self {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("cache/prefixes");
        Self { _parent: parent, folder, seconds: Arc::new(AtomicU64::new(1_000_000)) }
    }

    fn store(&self, limit: u64) -> PrefixStore {
        let seconds = Arc::clone(&self.seconds);
        let now = Arc::new(move || SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.load(Ordering::Relaxed)));
        PrefixStore::new(StoreConfig { folder: self.folder.clone(), limit, memory: 0, now })
    }

    fn pass(&self, seconds: u64) {
        self.seconds.fetch_add(seconds, Ordering::Relaxed);
    }

    /// Writes with a store of its own, which waits until that is done.
    fn write(&self, prefix: &Prefix, limit: u64) {
        self.store(limit).write(prefix, &FORM, Arc::new(payload(prefix)));
    }

    fn path(&self, prefix: &Prefix) -> PathBuf {
        PrefixStore::path(&self.folder, prefix, &FORM)
    }

    /// What is read: the payload if it is whole, else the reason in words.
    fn read(&self, prefix: &Prefix) -> Result<Option<Vec<u8>>, String> {
        let stored = self.store(u64::MAX).stored(prefix, &FORM);
        let mut bytes = vec![0; stored.payload_bytes()];
        assert!(stored.path() == self.path(prefix));
        stored.read(&mut bytes).map(|is_whole| is_whole.then_some(bytes)).map_err(|damage| damage.to_string())
    }

    fn files(&self) -> usize {
        StoreContent::of(&self.folder).unwrap().files
    }
}

/// Bytes that are this prefix's only.
fn payload(prefix: &Prefix) -> Vec<u8> {
    let bytes = FORM.layers * FORM.layer_bytes(prefix.tokens.len().div_ceil(32));
    prefix.digest.as_bytes().iter().copied().cycle().take(bytes).collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_was_written_is_read_again_and_is_private() {
    let place = Place::new();
    for prefix in [prefix("ux", &[1]), prefix("ux", &[1; 32]), prefix("ux", &[1; 100])] {
        assert_eq!(place.read(&prefix), Ok(None));
        place.write(&prefix, u64::MAX);
        assert_eq!(place.read(&prefix), Ok(Some(payload(&prefix))));
        assert_eq!(mode(&place.path(&prefix)), 0o600);
    }
    assert_eq!(mode(&place.folder), 0o700);
    let bytes = FILE_BYTES * 3 + 3 * 512;
    assert_eq!(StoreContent::of(&place.folder).unwrap(), StoreContent { files: 3, bytes });
    assert_eq!(fs::read_dir(&place.folder).unwrap().count(), 3, "nothing else is left there");
}

#[test]
fn other_tokens_and_other_caches_have_other_files() {
    let place = Place::new();
    let known = prefix("ux", &[1, 2]);
    let forms = [
        FORM,
        CacheForm { layers: 1, ..FORM },
        CacheForm { kv_heads: 2, head_dim: 1, ..FORM },
        CacheForm { dtype: DType::BF16, ..FORM },
    ];
    let mut paths: Vec<_> = forms.iter().map(|form| PrefixStore::path(&place.folder, &known, form)).collect();
    paths.push(place.path(&prefix("ux", &[2, 1])));
    // The same digest with other tokens: a mistake elsewhere must not become a wrong answer.
    paths.push(place.path(&Prefix { digest: known.digest, label: "ux".to_owned(), tokens: vec![3], adapter: None }));
    // The name does not matter.
    let renamed =
        Prefix { digest: known.digest, label: "other".to_owned(), tokens: known.tokens.clone(), adapter: None };
    assert_eq!(place.path(&renamed), paths[0]);
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), 6);
}

/// Numbers become `N`.
fn without_numbers(text: &str) -> String {
    let mut shown = text.replace(|c: char| c.is_ascii_digit(), "N");
    while shown.contains("NN") {
        shown = shown.replace("NN", "N");
    }
    shown
}

#[test]
fn no_changed_byte_and_no_cut_is_overlooked() {
    let place = Place::new();
    let prefix = prefix("ux", &[7; 20]);
    place.write(&prefix, u64::MAX);
    let (path, good) = (place.path(&prefix), fs::read(place.path(&prefix)).unwrap());
    assert_eq!(good.len() as u64, FILE_BYTES);
    let mut reasons = Vec::new();
    let mut note = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        reasons.push(without_numbers(&place.read(&prefix).expect_err("it is damaged")));
    };
    for index in 0..good.len() {
        let mut bytes = good.clone();
        bytes[index] ^= 1 << (index % 8);
        note(&bytes);
    }
    for cut in 0..good.len() {
        note(&good[..cut]);
    }
    note(&[&good[..], b"x"].concat());
    reasons.dedup();
    expect![[r"
        it is not a stored prefix
        it has version N of the format, and this build reads N
        it is another prefix's
        its header is damaged
        its checksum is wrong
        it has N bytes, not N"]]
    .assert_eq(&reasons.join("\n"));
    place.write(&prefix, u64::MAX);
    assert_eq!(place.read(&prefix), Ok(Some(payload(&prefix))), "a damaged file is replaced");
}

#[test]
fn foreign_things_in_its_place_are_named() {
    let place = Place::new();
    let (one, other) = (prefix("ux", &[1]), prefix("security", &[2]));
    place.write(&other, u64::MAX);
    fs::copy(place.path(&other), place.path(&one)).unwrap();
    expect!["it is another prefix's"].assert_eq(&place.read(&one).unwrap_err());
    fs::remove_file(place.path(&one)).unwrap();
    fs::create_dir(place.path(&one)).unwrap();
    expect!["it is not a stored prefix"].assert_eq(&place.read(&one).unwrap_err());
    // Neither can it be replaced, and that is no reason to fail.
    place.write(&one, u64::MAX);
    assert_eq!(place.read(&other), Ok(Some(payload(&other))));
}

#[test]
fn a_folder_that_cannot_be_used_is_no_reason_to_fail() {
    let place = Place::new();
    fs::create_dir_all(place.folder.parent().unwrap()).unwrap();
    fs::write(&place.folder, "a file where the folder should be").unwrap();
    let prefix = prefix("ux", &[1]);
    let mut store = place.store(u64::MAX);
    for _ in 0..20 {
        store.write(&prefix, &FORM, Arc::new(payload(&prefix)));
    }
    drop(store);
    expect!["it cannot be read"].assert_eq(&place.read(&prefix).unwrap_err());
    assert!(StoreContent::of(&place.folder).is_err());
}

#[test]
fn the_longest_unused_give_way_to_new_ones() {
    let place = Place::new();
    let prefixes: Vec<_> = (0..4).map(|token| prefix("ux", &[token])).collect();
    let limit = 3 * FILE_BYTES;
    for prefix in &prefixes[..3] {
        place.write(prefix, limit);
        place.pass(10);
    }
    assert_eq!(place.files(), 3);
    place.read(&prefixes[0]).unwrap();
    // What is replaced makes room for itself.
    place.pass(10);
    place.write(&prefixes[2], limit);
    assert_eq!(place.files(), 3);
    place.pass(10);
    place.write(&prefixes[3], limit);
    let kept: Vec<_> = prefixes.iter().map(|prefix| place.path(prefix).exists()).collect();
    assert_eq!(kept, [true, false, true, true]);
    // One that is larger than all that may be kept is not even copied out of the cache.
    assert!(place.store(limit).has_room(&prefixes[1], &FORM));
    assert!(!place.store(FILE_BYTES - 1).has_room(&prefixes[1], &FORM));
}

#[test]
fn what_a_killed_process_left_behind_is_removed() {
    let place = Place::new();
    fs::create_dir_all(&place.folder).unwrap();
    let part = |name: &str, age: u64| {
        let path = place.folder.join(name);
        let file = fs::File::create(&path).unwrap();
        let seconds = place.seconds.load(Ordering::Relaxed) - age;
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
        path
    };
    let (old, new, other) = (part("a.part", 4000), part("b.part", 60), part("notes.txt", 4000));
    place.write(&prefix("ux", &[1]), u64::MAX);
    assert_eq!([old.exists(), new.exists(), other.exists()], [false, true, true]);
    assert_eq!(place.files(), 1, "only prefixes are counted");
}

#[test]
fn processes_that_share_a_folder_see_whole_files_only() {
    let place = Place::new();
    let prefixes: Vec<_> = (0..3).map(|token| prefix("ux", &[token; 40])).collect();
    // Room for two of three, so that they also delete each other's.
    let limit = 2 * (FILE_BYTES + 512);
    thread::scope(|scope| {
        for first in 0..4 {
            let (place, prefixes) = (&place, &prefixes);
            scope.spawn(move || {
                for turn in 0..30 {
                    let prefix = &prefixes[(first + turn) % 3];
                    place.write(prefix, limit);
                    let found = place.read(prefix);
                    assert!(found == Ok(None) || found == Ok(Some(payload(prefix))), "{found:?}");
                }
            });
        }
    });
    assert!(fs::read_dir(&place.folder).unwrap().all(|entry| {
        let path = entry.unwrap().path();
        path.extension().is_some_and(|ending| ending == "prefix")
    }));
}
