//! A case that is added to a pack's folder by a program: its draft, until somebody looks it over.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::folder::is_plain_name;
use crate::{Pack, Report};

/// Why a case was not added; the pack is as it was.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// The name cannot be a file's.
    #[error("`{0}` cannot name a file of a pack")]
    Name(String),
    /// It was added before.
    #[error("there is a `{0}` already")]
    Exists(String),
    /// With the case the pack has errors, or had some before.
    #[error("the pack has errors then\n{0}")]
    Broken(Box<Report>),
    /// The folder cannot be written.
    #[error("cannot write {}: {error}", path.display())]
    Io {
        /// What could not be written.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Adds a case to the pack in `dir`, as `cases/NAME.toml`, and says where it stands relative to the pack.
///
/// The file comes into its place whole, and is taken out again if the pack has errors with it.
///
/// # Errors
/// The name cannot be a file's or is taken, the pack has errors with the case, or the folder cannot be written.
pub fn add_case(dir: &Path, name: &str, text: &str) -> Result<String, AddError> {
    let file = format!("{name}.toml");
    if !is_plain_name(&file) {
        return Err(AddError::Name(name.chars().take(80).collect()));
    }
    let (place, path) = (format!("cases/{file}"), dir.join("cases").join(&file));
    // What begins with a dot is no part of a pack.
    let beside = dir.join("cases").join(format!(".{file}.new"));
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error: io::Error| AddError::Io { path, error }
    };
    fs::create_dir_all(dir.join("cases")).map_err(failed(&path))?;
    fs::write(&beside, text).map_err(failed(&beside))?;
    // A link, unlike a renaming, does not put it in the place of another.
    let linked = fs::hard_link(&beside, &path);
    fs::remove_file(&beside).map_err(failed(&beside))?;
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(AddError::Exists(place)),
        other => other.map_err(failed(&path))?,
    }
    match Pack::load(dir) {
        Ok(_) => Ok(place),
        Err(report) => {
            fs::remove_file(&path).map_err(failed(&path))?;
            Err(AddError::Broken(Box::new(report)))
        }
    }
}
