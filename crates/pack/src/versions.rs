//! Versions of packs that went live: a copy of the content of each, and the journal that says which is live.
//!
//! Both lie in `twins/ID/versions` of the data folder: a folder named after the digest of its content for each version,
//! and `journal.json`, whose last line is what is live. A copy is made beside its place, looked at, and renamed; the
//! journal is put in the place of the older one in the same way. So whatever ends the process in between, what was
//! live is live, or what is to be live is.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use baton_contract::{Digest, TwinId};
use jiff::Timestamp;

use crate::limits::JOURNAL_BYTES;
use crate::publication::{from_json, to_json};
use crate::{Pack, Publication, Tested, VersionError};

const JOURNAL: &str = "journal.json";
const LOCK: &str = "journal.lock";

/// The versions of all twins in a data folder.
#[derive(Clone, Debug)]
pub struct Versions {
    /// A folder for each twin.
    twins: PathBuf,
}

/// A twin's journal, kept from everybody else who would write it.
#[derive(Debug)]
pub struct Journal {
    twin: TwinId,
    path: PathBuf,
    publications: Vec<Publication>,
    /// Held until the journal is dropped.
    _lock: File,
}

impl Versions {
    /// Those in the data folder `data`.
    pub fn of(data: &Path) -> Self {
        Self { twins: data.join("twins") }
    }

    /// The twins that a version went live of, sorted.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn twins(&self) -> Result<Vec<TwinId>, VersionError> {
        let entries = match fs::read_dir(&self.twins) {
            Ok(entries) => entries.collect::<io::Result<Vec<_>>>(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => Err(error),
        };
        let entries = entries.map_err(|error| VersionError::Io { path: self.twins.clone(), error })?;
        let named = entries.iter().filter_map(|entry| entry.file_name().to_str()?.parse::<TwinId>().ok());
        let mut twins: Vec<TwinId> = named.filter(|twin| self.journal_of(twin).exists()).collect();
        twins.sort();
        Ok(twins)
    }

    /// All that went live of a twin, in order; the last one is live. Empty if nothing ever did.
    ///
    /// # Errors
    /// The journal cannot be read, or is damaged.
    pub fn publications(&self, twin: &TwinId) -> Result<Vec<Publication>, VersionError> {
        let path = self.journal_of(twin);
        let mut text = String::new();
        match File::open(&path).and_then(|file| file.take(JOURNAL_BYTES + 1).read_to_string(&mut text)) {
            Ok(bytes) if bytes as u64 > JOURNAL_BYTES => {
                Err(VersionError::Journal { path, reason: format!("it is larger than {JOURNAL_BYTES} bytes") })
            }
            Ok(_) => from_json(&text, twin).map_err(|reason| VersionError::Journal { path, reason }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(VersionError::Io { path, error }),
        }
    }

    /// What is live of a twin, if anything ever went live.
    ///
    /// # Errors
    /// The journal or the version's copy cannot be read, or is damaged.
    pub fn live(&self, twin: &TwinId) -> Result<Option<(Publication, Pack)>, VersionError> {
        let Some(publication) = self.publications(twin)?.pop() else { return Ok(None) };
        let pack = self.load(twin, publication.pack)?;
        Ok(Some((publication, pack)))
    }

    /// The version with this digest, as it was when it was kept.
    ///
    /// # Errors
    /// There is no copy of it, or it is damaged.
    pub fn load(&self, twin: &TwinId, digest: Digest) -> Result<Pack, VersionError> {
        let path = self.folder(twin, digest);
        match Pack::load(&path) {
            Ok(pack) if pack.digest() == digest && pack.id() == twin => Ok(pack),
            Ok(_) | Err(_) => Err(VersionError::Copy(path)),
        }
    }

    /// Where the copy of a version lies.
    pub fn folder(&self, twin: &TwinId, digest: Digest) -> PathBuf {
        self.of_twin(twin).join(digest.to_hex())
    }

    /// Copies the content of `pack`, which was read from `from`. What is kept already and whole is left as it is.
    ///
    /// # Errors
    /// The file system refuses, or the folder is not what was read any more.
    pub fn keep(&self, pack: &Pack, from: &Path) -> Result<(), VersionError> {
        let (twin, digest) = (pack.id(), pack.digest());
        let place = self.folder(twin, digest);
        if self.load(twin, digest).is_ok() {
            return Ok(());
        }
        let beside = self.of_twin(twin).join(format!("new-{}", std::process::id()));
        let copied = copy(pack, from, &beside).map_err(|error| VersionError::Io { path: beside.clone(), error });
        let whole = copied.and_then(|()| match Pack::load(&beside) {
            Ok(copy) if copy.digest() == digest => Ok(()),
            Ok(_) | Err(_) => Err(VersionError::Changed(from.to_owned())),
        });
        let put =
            whole.and_then(|()| put(&beside, &place).map_err(|error| VersionError::Io { path: place.clone(), error }));
        if put.is_err() {
            // What is left of it would only be in the way.
            _ = fs::remove_dir_all(&beside);
        }
        put
    }

    /// Opens a twin's journal to write it; waits for whoever is writing it.
    ///
    /// # Errors
    /// The file system refuses, or the journal is damaged.
    pub fn open(&self, twin: &TwinId) -> Result<Journal, VersionError> {
        let folder = self.of_twin(twin);
        let path = folder.join(LOCK);
        let open = || -> io::Result<File> {
            fs::create_dir_all(&folder)?;
            let lock = OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
            lock.lock()?;
            Ok(lock)
        };
        let lock = open().map_err(|error| VersionError::Io { path: path.clone(), error })?;
        let publications = self.publications(twin)?;
        Ok(Journal { twin: twin.clone(), path: self.journal_of(twin), publications, _lock: lock })
    }

    /// Where a twin's journal lies, whether or not it is there.
    pub fn journal_of(&self, twin: &TwinId) -> PathBuf {
        self.of_twin(twin).join(JOURNAL)
    }

    fn of_twin(&self, twin: &TwinId) -> PathBuf {
        // An id begins with a letter or digit and has no `/`: it leads nowhere else.
        self.twins.join(twin.as_str()).join("versions")
    }
}

impl Journal {
    /// All that went live so far, in order.
    pub fn publications(&self) -> &[Publication] {
        &self.publications
    }

    /// Lets a pack go live whose content is kept.
    ///
    /// # Errors
    /// Another content went live under the same version, or the file system refuses; then what was live still is.
    pub fn publish(
        &mut self,
        pack: &Pack,
        tested: Tested,
        (by, at): (&str, Timestamp),
    ) -> Result<&Publication, VersionError> {
        may_publish(&self.publications, pack)?;
        let version = pack.manifest().version.clone();
        self.add(Publication {
            number: self.next(),
            rolled_back: false,
            at,
            by: by.to_owned(),
            version,
            pack: pack.digest(),
            tested,
        })
    }

    /// Lets a version go live again that was live before.
    ///
    /// # Errors
    /// The file system refuses; then what was live still is.
    pub fn roll_back(&mut self, to: &Publication, (by, at): (&str, Timestamp)) -> Result<&Publication, VersionError> {
        self.add(Publication { number: self.next(), rolled_back: true, at, by: by.to_owned(), ..to.clone() })
    }

    fn next(&self) -> u64 {
        self.publications.len() as u64 + 1
    }

    fn add(&mut self, publication: Publication) -> Result<&Publication, VersionError> {
        let with = [&self.publications[..], &[publication]].concat();
        let beside = self.path.with_extension("new");
        let write = || -> io::Result<()> {
            let mut file = File::create(&beside)?;
            file.write_all(to_json(&self.twin, &with).as_bytes())?;
            file.sync_all()?;
            fs::rename(&beside, &self.path)
        };
        write().map_err(|error| VersionError::Io { path: self.path.clone(), error })?;
        self.publications = with;
        Ok(&self.publications[self.publications.len() - 1])
    }
}

/// Whether a pack may go live after these: one version is one content.
///
/// # Errors
/// Another content went live under the same version.
pub fn may_publish(publications: &[Publication], pack: &Pack) -> Result<(), VersionError> {
    let version = &pack.manifest().version;
    let other = publications.iter().find(|one| one.version == *version && one.pack != pack.digest());
    other.map_or(Ok(()), |one| Err(VersionError::Taken { version: version.clone(), by: one.pack }))
}

/// The version that a twin goes back to: `wanted`, as a version or the beginning of a digest's digits, or else what was
/// published before what is live.
///
/// # Errors
/// There is none such, several, or it is live already.
pub fn target<'a>(publications: &'a [Publication], wanted: Option<&str>) -> Result<&'a Publication, VersionError> {
    let live = publications.last().ok_or(VersionError::NeverLive)?;
    // As they were first published, which is their order.
    let mut versions: Vec<&Publication> = Vec::new();
    for one in publications {
        match versions.iter_mut().find(|known| known.pack == one.pack) {
            // What was found out last counts.
            Some(known) => *known = one,
            None => versions.push(one),
        }
    }
    let Some(wanted) = wanted else {
        let at = versions.iter().position(|one| one.pack == live.pack).unwrap_or(0);
        return at.checked_sub(1).map(|before| versions[before]).ok_or(VersionError::NothingBefore);
    };
    let digits = wanted.strip_prefix("blake3:").unwrap_or(wanted);
    let meant =
        |one: &&&Publication| one.version == wanted || (digits.len() >= 8 && one.pack.to_hex().starts_with(digits));
    let mut found = versions.iter().filter(meant);
    match (found.next(), found.next()) {
        (Some(one), None) if one.pack == live.pack => Err(VersionError::LiveAlready(one.version.clone())),
        (Some(one), None) => Ok(one),
        _ => {
            let known = versions.iter().map(|one| format!("{} ({})", one.version, one.pack.short()));
            let known = known.collect::<Vec<_>>().join(", ");
            Err(VersionError::Unknown { wanted: wanted.chars().take(80).collect(), known })
        }
    }
}

/// Copies the files of a pack into a new folder, and has them on the disk.
fn copy(pack: &Pack, from: &Path, to: &Path) -> io::Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    fs::create_dir_all(to)?;
    for file in pack.files() {
        let place = to.join(&file.path);
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::copy(from.join(&file.path), &place)?;
        File::open(&place)?.sync_all()?;
    }
    File::open(to)?.sync_all()
}

/// Renames a folder to its place, of which nothing whole is there.
fn put(from: &Path, place: &Path) -> io::Result<()> {
    if place.exists() {
        fs::remove_dir_all(place)?;
    }
    fs::rename(from, place)?;
    place.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
