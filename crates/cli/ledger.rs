//! The ledger on disk: where its files lie in the data folder, and how they are opened.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use baton_authority::KeyRing;
use baton_ledger::{Ledger, Options, PublicKey, Random, Reader, Secret, Signer};
use baton_pack::Versions;
use baton_register::{Change, Held, Published, record};

use crate::keys::{SIGNING_KEY, fill_random, installation_secret, read_32, read_or_make, replace, secret_file};
use crate::mandate;

/// The folder that can be copied for an auditor; no secret lies in it.
const FOLDER: &str = "ledger";
const DATABASE: &str = "ledger.db";
const PUBLIC_KEY: &str = "public-key";
/// Who makes and revokes keys: whoever may write the data folder. Their name is not known.
const OPERATOR: &str = "operator";

/// The database of the ledger in a data folder.
pub(crate) fn database(data: &Path) -> PathBuf {
    data.join(FOLDER).join(DATABASE)
}

/// Opens the ledger of a data folder to write it, and makes it with its keys if it is not there.
pub(crate) fn open_to_write(data: &Path) -> Result<Ledger> {
    let secret = Secret::new(&installation_secret(data)?);
    let path = database(data);
    let key = data.join(SIGNING_KEY);
    if path.exists() && !key.exists() {
        anyhow::bail!(
            "{} is gone, but the ledger was signed with it\nhint: restore it from a backup; reading and verifying work \
             without it",
            key.display()
        );
    }
    let folder = data.join(FOLDER);
    let make = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    make.with_context(|| format!("cannot make {}", folder.display()))?;
    let signer = Signer::from_seed(&read_or_make(&key)?);
    let public = format!("{}\n", signer.public_key());
    let random: Random = Arc::new(|bytes| fill_random(bytes).map_err(std::io::Error::other));
    let ledger = Ledger::open(Options { path, secret, signer, random })?;
    replace(&folder.join(PUBLIC_KEY), public.as_bytes())?;
    Ok(ledger)
}

/// Opens the ledger of a data folder to read it. Without the installation's secret its texts stay sealed.
pub(crate) fn open_to_read(data: &Path) -> Result<Reader> {
    let secret = read_32(&secret_file(data))?.map(|bytes| Secret::new(&bytes));
    let path = database(data);
    if !path.exists() {
        anyhow::bail!(
            "there is no ledger in {}\nhint: a server makes one at its first start; --data says where it is",
            data.display()
        );
    }
    Ok(Reader::open(&path, secret)?)
}

/// What there is to say about the keys of a ring.
pub(crate) fn changes_of(ring: &KeyRing) -> Vec<Change> {
    let changes = ring.records().flat_map(|key| {
        let (id, conductor, mandate) = (key.id.clone(), key.conductor.clone(), mandate::describe(&key.mandate));
        let made = (Held::KeyMade { id, conductor, mandate }, key.created);
        let revoked = key.revoked.map(|at| (Held::KeyRevoked { id: key.id.clone() }, at));
        [Some(made), revoked]
    });
    changes.flatten().map(|(what, at)| Change { what, by: OPERATOR.to_owned(), at }).collect()
}

/// What there is to say about the versions of twins' packs that went live.
pub(crate) fn changes_of_versions(versions: &Versions) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    for twin in versions.twins()? {
        for one in versions.publications(&twin)? {
            let on_trial = !one.tested.meets_bar();
            let what = Held::Published(Published {
                twin: twin.clone(),
                number: one.number,
                rolled_back: one.rolled_back,
                version: one.version,
                digest: one.pack,
                model: one.tested.model,
                embedding_model: one.tested.embedding_model,
                passed: (one.tested.passed, one.tested.cases),
                bar: one.tested.bar,
                on_trial,
            });
            changes.push(Change { what, by: one.by, at: one.at });
        }
    }
    Ok(changes)
}

/// Has the ledger say what it does not say yet; false if another process has it.
pub(crate) fn record_if_free(data: &Path, changes: &[Change]) -> Result<bool> {
    let ledger = match open_to_write(data) {
        Ok(ledger) => ledger,
        Err(error) if matches!(error.downcast_ref(), Some(baton_ledger::Error::Held(_))) => return Ok(false),
        Err(error) => return Err(error),
    };
    record(&ledger, changes)?;
    ledger.close().wait()?;
    Ok(true)
}

/// The public key of the ledger in a data folder: from the private key, or else from the file that lies beside the
/// ledger.
pub(crate) fn public_key(data: &Path) -> Result<PublicKey> {
    if let Some(seed) = read_32(&data.join(SIGNING_KEY))? {
        return Ok(Signer::from_seed(&seed).public_key().clone());
    }
    let path = data.join(FOLDER).join(PUBLIC_KEY);
    match fs::read_to_string(&path) {
        Ok(text) => text.trim_end().parse::<PublicKey>().with_context(|| path.display().to_string()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            anyhow::bail!("{} is not there\nhint: give the ledger's public key with --key", path.display())
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}
