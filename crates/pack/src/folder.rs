//! Reads a pack's folder: what belongs to it, nothing that leads out of it, and the digest of all of it.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::Path;

use baton_contract::{Digest, Digester};

use crate::limits::{ADAPTER_BYTES, FOLDER_ENTRIES, RULE_BYTES, RULE_FILES, TEXT_BYTES};
use crate::source::{clip, did_you_mean, position};
use crate::{Finding, Report};

pub(crate) const MANIFEST: &str = "twin.toml";
pub(crate) const INSTRUCTIONS: &str = "instructions.md";
pub(crate) const SPEC: &str = "spec.json";
const ROOT_FILES: [&str; 3] = [MANIFEST, INSTRUCTIONS, SPEC];
const ADAPTER: &str = "adapter";
const RULES: &str = "rules";
/// Folders of a pack, and the extension that their files must have.
const FOLDERS: [(&str, Option<&str>); 4] =
    [("context", Some(".md")), ("cases", Some(".toml")), (RULES, Some(".cedar")), (ADAPTER, None)];

const DIGEST_DOMAIN: &str = "baton twin pack v1";

/// One file of a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackFile {
    /// Relative to the pack, with `/`.
    pub path: String,
    /// Length in bytes of what the digest covers; in a text file CRLF counts as one.
    pub bytes: u64,
    /// Digest of the content alone.
    pub digest: Digest,
}

/// What a folder holds, before anybody looks at what it means.
#[derive(Debug, Default)]
pub(crate) struct Folder {
    /// Text files by path, line endings LF.
    pub(crate) texts: BTreeMap<String, String>,
    /// All files by path.
    pub(crate) files: BTreeMap<String, PackFile>,
}

/// Reads `dir`; what does not belong or cannot be read goes into the report.
pub(crate) fn read(dir: &Path, report: &mut Report) -> Folder {
    let mut folder = Folder::default();
    let Some(entries) = list(dir, "", FOLDER_ENTRIES, report) else { return folder };
    for (name, metadata) in entries {
        if metadata.is_dir() {
            match FOLDERS.iter().find(|(folder, _)| *folder == name) {
                Some((_, extension)) => folder.read_sub(dir, &name, *extension, report),
                None => report.push(unknown(&name, "folder", &FOLDERS.map(|(folder, _)| folder))),
            }
        } else if ROOT_FILES.contains(&name.as_str()) {
            folder.read_text(dir, name, &metadata, report);
        } else {
            report.push(unknown(&name, "file", &ROOT_FILES));
        }
    }
    folder
}

impl Folder {
    /// Covers sorted paths and contents. Fields: for each file its path and the digest of its content.
    pub(crate) fn digest(&self) -> Digest {
        digest_of(self.files.values())
    }

    fn read_sub(&mut self, dir: &Path, name: &str, extension: Option<&str>, report: &mut Report) {
        let most = if name == RULES { RULE_FILES } else { FOLDER_ENTRIES };
        let Some(entries) = list(&dir.join(name), name, most, report) else { return };
        for (entry, metadata) in entries {
            let path = format!("{name}/{entry}");
            if metadata.is_dir() {
                report.push(Finding::error(&path, "a folder inside a folder of the pack").hint("keep it flat"));
            } else if !is_plain_name(&entry) {
                let hint = "use lowercase letters, digits, `-`, `_` and `.`, starting with a letter or digit";
                report.push(Finding::error(&path, "the file name is not portable").hint(hint));
            } else if let Some(extension) = extension {
                if entry.ends_with(extension) {
                    self.read_text(dir, path, &metadata, report);
                } else {
                    let message = format!("`{name}/` holds only `*{extension}` files");
                    report.push(Finding::error(&path, message).hint("move the file out of the pack, or rename it"));
                }
            } else {
                self.read_binary(dir, path, &metadata, report);
            }
        }
    }

    fn read_text(&mut self, dir: &Path, path: String, metadata: &Metadata, report: &mut Report) {
        let most = if path.starts_with("rules/") { RULE_BYTES } else { TEXT_BYTES };
        if too_large(&path, metadata.len(), most, report) {
            return;
        }
        let mut bytes = Vec::new();
        let read = open(&dir.join(&path), metadata).and_then(|file| file.take(most + 1).read_to_end(&mut bytes));
        if let Err(error) = read {
            report.push(Finding::error(&path, format!("cannot be read: {error}")));
            return;
        }
        if too_large(&path, bytes.len() as u64, most, report) {
            return;
        }
        let text = match String::from_utf8(bytes) {
            Ok(text) => text.replace("\r\n", "\n"),
            Err(error) => {
                let place = position(error.as_bytes(), error.utf8_error().valid_up_to());
                report.push(Finding::error(&path, "not UTF-8 text").at(place).hint("save the file as UTF-8"));
                return;
            }
        };
        if let Some((offset, c)) = text.char_indices().find(|(_, c)| is_invisible(*c)) {
            let message = format!("the invisible character U+{:04X}", u32::from(c));
            let place = position(text.as_bytes(), offset);
            report.push(Finding::error(&path, message).at(place).hint("remove it: a reviewer cannot see it"));
            return;
        }
        if text.trim().is_empty() {
            report.push(Finding::error(&path, "the file is empty"));
            return;
        }
        let digest = Digest::of(text.as_bytes());
        self.files.insert(path.clone(), PackFile { path: path.clone(), bytes: text.len() as u64, digest });
        self.texts.insert(path, text);
    }

    fn read_binary(&mut self, dir: &Path, path: String, metadata: &Metadata, report: &mut Report) {
        if too_large(&path, metadata.len(), ADAPTER_BYTES, report) {
            return;
        }
        let mut hasher = blake3::Hasher::new();
        let read = open(&dir.join(&path), metadata)
            .and_then(|file| hasher.update_reader(file.take(ADAPTER_BYTES + 1)).map(|hasher| hasher.count()));
        match read {
            Err(error) => report.push(Finding::error(&path, format!("cannot be read: {error}"))),
            Ok(bytes) if too_large(&path, bytes, ADAPTER_BYTES, report) => {}
            Ok(bytes) => {
                let digest = Digest::from_bytes(*hasher.finalize().as_bytes());
                self.files.insert(path.clone(), PackFile { path, bytes, digest });
            }
        }
    }

    /// The text files whose path begins so, sorted by path.
    pub(crate) fn texts_in<'a>(&'a self, start: &'a str) -> impl Iterator<Item = (&'a String, &'a String)> {
        self.texts.range(start.to_owned()..).take_while(move |(path, _)| path.starts_with(start))
    }

    /// Whether the pack carries an adapter.
    pub(crate) fn has_adapter(&self) -> bool {
        self.files.keys().any(|path| path.strip_prefix(ADAPTER).is_some_and(|rest| rest.starts_with('/')))
    }
}

fn digest_of<'a>(files: impl Iterator<Item = &'a PackFile>) -> Digest {
    let mut files: Vec<_> = files.collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let mut digester = Digester::new(DIGEST_DOMAIN);
    for file in files {
        digester.field(file.path.as_bytes()).field(file.digest.as_bytes());
    }
    digester.finish()
}

/// The files and folders in `dir`, sorted by name. What is neither, hidden entries, links and names that are
/// not text go into the report, under `shown`. `None` if the folder itself cannot be listed.
pub(crate) fn list(dir: &Path, shown: &str, most: usize, report: &mut Report) -> Option<Vec<(String, Metadata)>> {
    let path_of = |name: &str| if shown.is_empty() { name.to_owned() } else { format!("{shown}/{name}") };
    // One more than allowed is enough to know that there are too many.
    let listed = fs::read_dir(dir).and_then(|entries| entries.take(most + 1).collect::<io::Result<Vec<_>>>());
    let mut listed = match listed {
        Ok(listed) if listed.len() <= most => listed,
        Ok(_) => {
            report.push(Finding::error(shown, format!("more than {most} entries in one folder")));
            return None;
        }
        Err(error) => {
            report.push(Finding::error(shown, format!("the folder cannot be read: {error}")));
            return None;
        }
    };
    listed.sort_by_key(fs::DirEntry::file_name);
    let mut entries = Vec::new();
    for entry in listed {
        let name = match entry.file_name().into_string() {
            Ok(name) => name,
            Err(name) => {
                let path = path_of(&clip(&name.to_string_lossy()));
                report.push(Finding::error(&path, "the file name is not UTF-8").hint("rename the file"));
                continue;
            }
        };
        let path = path_of(&clip(&name));
        if name.starts_with('.') {
            // What version control keeps beside the text is nobody's mistake.
            if !name.starts_with(".git") {
                let hint = "names that begin with a dot are not part of the pack";
                report.push(Finding::warning(&path, "the hidden entry is ignored").hint(hint));
            }
            continue;
        }
        match entry.path().symlink_metadata() {
            Ok(metadata) if metadata.is_symlink() => {
                let hint = "put the file itself here: a pack must not depend on anything outside its folder";
                report.push(Finding::error(&path, "a symbolic link, which may leave the pack").hint(hint));
            }
            Ok(metadata) if metadata.is_file() || metadata.is_dir() => entries.push((name, metadata)),
            Ok(_) => report.push(Finding::error(&path, "neither a file nor a folder").hint("remove it")),
            Err(error) => report.push(Finding::error(&path, format!("cannot be read: {error}"))),
        }
    }
    Some(entries)
}

fn unknown(name: &str, what: &str, known: &[&str]) -> Finding {
    let hint = did_you_mean(name, known).unwrap_or_else(|| {
        format!("a pack holds {} and {}", ROOT_FILES.join(", "), FOLDERS.map(|(name, _)| format!("{name}/")).join(", "))
    });
    Finding::error(&clip(name), format!("the {what} is not part of a pack")).hint(hint)
}

fn too_large(path: &str, bytes: u64, most: u64, report: &mut Report) -> bool {
    if bytes > most {
        let message = format!("the file is larger than {} KiB", most / 1024);
        report.push(Finding::error(path, message).hint("a twin reads little and well: split or shorten it"));
    }
    bytes > most
}

/// Opens the very file that was looked at: a link put in its place meanwhile is refused.
fn open(path: &Path, seen: &Metadata) -> io::Result<File> {
    let file = File::open(path)?;
    if is_same(&file.metadata()?, seen) { Ok(file) } else { Err(io::Error::other("it changed while it was read")) }
}

#[cfg(unix)]
fn is_same(a: &Metadata, b: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(not(unix))]
fn is_same(a: &Metadata, b: &Metadata) -> bool {
    a.is_file() && a.len() == b.len()
}

/// Names that mean the same on every file system: no case, no spaces, nothing to quote.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let alphanumeric = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 64
        && name.bytes().next().is_some_and(alphanumeric)
        && name.bytes().all(|c| alphanumeric(c) || b"-_.".contains(&c))
}

/// Control characters but tab and newline, the byte order mark, and what reorders or hides text.
fn is_invisible(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}')
        || matches!(c, '\u{E0000}'..='\u{E007F}')
}
