//! Writes a pack to begin with.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use baton_contract::TwinId;
use jiff::{ToSpan, civil::Date};

use crate::CreateError;

/// The files of a new pack. `{id}` and `{review_by}` are filled in here; what only the author knows is marked, and
/// [`check`](crate::check()) lists every mark that is left, so that a new pack is not served by mistake.
const FILES: [(&str, &str); 4] = [
    ("twin.toml", include_str!("new/twin.toml")),
    ("instructions.md", include_str!("new/instructions.md")),
    ("context/facts.md", include_str!("new/context/facts.md")),
    ("cases/first.toml", include_str!("new/cases/first.toml")),
];

/// Writes a new pack into the folder `id` in `parent`, to be reviewed in six months, and returns the folder.
///
/// # Errors
/// If something is at the place already or the file system refuses. What was written until then is left.
pub fn create_new(parent: &Path, id: &TwinId, today: Date) -> Result<PathBuf, CreateError> {
    let dir = parent.join(id.as_str());
    let fail = |path: &Path| {
        let path = path.to_owned();
        move |error| CreateError::Io { path, error }
    };
    fs::create_dir_all(parent).map_err(fail(parent))?;
    fs::create_dir(&dir).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => CreateError::Exists(dir.clone()),
        _ => CreateError::Io { path: dir.clone(), error },
    })?;
    let review_by = today.saturating_add(6.months()).to_string();
    for (name, text) in FILES {
        let path = dir.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(fail(folder))?;
        }
        let text = text.replace("{id}", id.as_str()).replace("{review_by}", &review_by);
        fs::write(&path, text).map_err(fail(&path))?;
    }
    Ok(dir)
}
