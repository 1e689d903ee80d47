//! Fitted temperatures on disk: JSON with a format number, one file a pack and model. Format 1 is frozen.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use baton_contract::Digest;
use baton_judge::{Fit, Temperature};
use baton_pack::Pack;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::output;

const FORMAT: u32 = 1;
/// Far more than a file has.
const MOST_BYTES: u64 = 1 << 16;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CalibrationV1 {
    format: u32,
    twin: String,
    version: String,
    pack: String,
    model: String,
    at: String,
    temperature: f64,
    cases: usize,
    accuracy: f64,
    before: QualityV1,
    after: QualityV1,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct QualityV1 {
    loss: f64,
    calibration_error: f64,
}

/// What is looked at first: a file of another format has other fields.
#[derive(Deserialize)]
struct Head {
    format: u32,
}

/// Keeps a fit in the data folder, in place of an older one for the same pack on the same model.
pub(crate) fn write(data: &Path, pack: &Pack, model: Digest, fit: &Fit, at: Timestamp) -> Result<PathBuf> {
    let quality =
        |quality: baton_judge::Quality| QualityV1 { loss: quality.loss, calibration_error: quality.calibration_error };
    let wire = CalibrationV1 {
        format: FORMAT,
        twin: pack.id().to_string(),
        version: pack.manifest().version.clone(),
        pack: pack.digest().to_string(),
        model: model.to_string(),
        at: at.to_string(),
        temperature: fit.temperature.value(),
        cases: fit.cases,
        accuracy: fit.accuracy,
        before: quality(fit.before),
        after: quality(fit.after),
    };
    let path = path(data, pack, model);
    let write = || -> Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        // The file is old or new, never half.
        let beside = path.with_extension(format!("{}.new", std::process::id()));
        let mut file = File::create(&beside)?;
        file.write_all(serde_json::to_string_pretty(&wire)?.as_bytes())?;
        file.sync_all()?;
        Ok(fs::rename(&beside, &path)?)
    };
    write().with_context(|| format!("cannot write {}\nhint: check --data", path.display()))?;
    Ok(path)
}

/// What was fitted for each of these packs on this model, by the packs' digests. A file that cannot be used is told of,
/// and counts as none.
pub(crate) fn read_all(data: &Path, packs: &[Pack], model: Digest) -> BTreeMap<Digest, Temperature> {
    let mut found = BTreeMap::new();
    for pack in packs {
        match read(data, pack, model) {
            Ok(Some(temperature)) => _ = found.insert(pack.digest(), temperature),
            Ok(None) => {}
            Err(error) => output::warning(&error.context(format!("`{}` is taken as not calibrated", pack.id()))),
        }
    }
    found
}

/// What was fitted for this pack, exactly as it is, on this model.
pub(crate) fn read(data: &Path, pack: &Pack, model: Digest) -> Result<Option<Temperature>> {
    let path = path(data, pack, model);
    let size = match fs::metadata(&path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let parsed = || -> Result<Temperature> {
        if size > MOST_BYTES {
            bail!("it has {size} bytes, and {MOST_BYTES} at most were written");
        }
        parse(&fs::read_to_string(&path)?, pack.digest(), model)
    };
    let again = "fit it again with `baton twin calibrate`";
    parsed().map(Some).with_context(|| format!("{} cannot be used\nhint: {again}", path.display()))
}

/// The temperature in a file about this pack and model.
fn parse(text: &str, pack: Digest, model: Digest) -> Result<Temperature> {
    let Head { format } = serde_json::from_str(text)?;
    if format != FORMAT {
        bail!("its format is {format}, and this build reads {FORMAT}");
    }
    let wire: CalibrationV1 = serde_json::from_str(text)?;
    if (wire.pack.parse(), wire.model.parse()) != (Ok(pack), Ok(model)) {
        bail!("it is about another pack or model");
    }
    Ok(Temperature::new(wire.temperature)?)
}

/// Names of files show the beginnings of digests only; the whole ones stand inside.
fn path(data: &Path, pack: &Pack, model: Digest) -> PathBuf {
    let name = format!("{}-{}.json", pack.digest().short(), model.short());
    // An id begins with a letter or digit and has no `/`: it leads nowhere else.
    data.join("twins").join(pack.id().as_str()).join("calibrations").join(name)
}

#[cfg(test)]
mod tests {
    use baton_judge::{Known, fit};

    use super::*;

    const FROZEN: &str = include_str!("../../tests/fixtures/calibrations/calibration-v1.json");

    fn digest(digit: char) -> Digest {
        format!("blake3:{}", String::from(digit).repeat(64)).parse().expect("a digest")
    }

    #[test]
    fn files_of_format_1_are_read_for_ever_and_only_for_their_pack_and_model() {
        let of = |text: &str, pack, model| parse(text, digest(pack), digest(model)).map(Temperature::value);
        assert_eq!(of(FROZEN, '1', '2').ok(), Some(1.75));
        let refused = [
            (FROZEN.to_owned(), '1', '1', "it is about another pack or model"),
            (FROZEN.to_owned(), '2', '2', "it is about another pack or model"),
            (FROZEN.replace("1.75", "99.0"), '1', '2', "a temperature is between 0.05 and 20, not 99"),
            (
                FROZEN.replace("\"format\": 1", "\"format\": 2, \"new\": 0"),
                '1',
                '2',
                "its format is 2, and this build reads 1",
            ),
            (FROZEN.replace("cases", "cakes"), '1', '2', "unknown field `cakes`"),
            (FROZEN[..40].to_owned(), '1', '2', "EOF"),
        ];
        for (text, pack, model, reason) in refused {
            let error = of(&text, pack, model).expect_err(reason).to_string();
            assert!(error.contains(reason), "{error} should contain {reason}");
        }
    }

    #[test]
    fn what_was_fitted_is_found_again_and_damage_counts_as_nothing() {
        let data = tempfile::tempdir().expect("a folder");
        let pack = Pack::load(Path::new("twin-packs/ux")).expect("a good pack");
        let known = [0, 0, 0, 1, 0].map(|right| Known { scores: vec![-0.1, -2.0], right });
        let fit = fit(&known).expect("enough cases");
        let packs = [pack.clone()];
        assert!(read_all(data.path(), &packs, digest('2')).is_empty());
        let path = write(data.path(), &pack, digest('2'), &fit, Timestamp::UNIX_EPOCH).expect("written");
        let found = BTreeMap::from([(pack.digest(), fit.temperature)]);
        assert_eq!(read_all(data.path(), &packs, digest('2')), found);
        assert!(read_all(data.path(), &packs, digest('3')).is_empty(), "another model");
        fs::write(&path, "{").expect("written");
        assert!(read_all(data.path(), &packs, digest('2')).is_empty());
        assert!(read(data.path(), &pack, digest('2')).is_err());
    }
}
