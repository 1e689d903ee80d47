//! `baton quantize`: a model's files, rounded and in one GGUF file.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;

use anyhow::{Context, Result, bail};
use baton_decoder::ModelFile;
use baton_decoder::gguf::Value;
use baton_text::{LeadingBlank, TokenizerSpec};
use indicatif::BinaryBytes;

use crate::args::QuantizeArgs;
use crate::config::Config;
use crate::progress::Progress;
use crate::{Outcome, output, reading};

/// Writes the file beside its place and renames it, so that no half of a model lies where a whole one is looked for.
pub(crate) fn run(args: &QuantizeArgs, config: &Config) -> Result<Outcome> {
    let QuantizeArgs { model, out, to } = args;
    if out.exists() {
        bail!("{} exists\nhint: name another file, or remove it", out.display());
    }
    let file = ModelFile::open(model).with_context(|| format!("cannot use the model {}", model.display()))?;
    let tokenizer = if file.is_folder() {
        let (spec, template) = reading::text_of_folder(model)?;
        described(&spec, template)
    } else {
        Vec::new()
    };
    let part = out.with_extension("gguf.part");
    let progress = Progress::bytes("quantising", file.size() as u64, 0);
    let write = || -> Result<()> {
        let mut writer = BufWriter::new(File::create(&part)?);
        file.write_gguf(tokenizer, *to, config.threads, &mut writer, &mut |done, _| progress.set(done as u64))?;
        writer.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
        Ok(fs::rename(&part, out)?)
    };
    let written = write();
    progress.finish();
    if written.is_err() {
        // What is left of it is of no use; that it may not be there does not matter.
        let _ = fs::remove_file(&part);
    }
    written.with_context(|| format!("cannot write {}", out.display()))?;
    let (before, after) = (file.size() as u64, size(out)?);
    output::line(format!("{}: {}, of {}", out.display(), BinaryBytes(after), BinaryBytes(before)))?;
    Ok(Outcome::Good)
}

fn size(path: &Path) -> Result<u64> {
    Ok(fs::metadata(path)?.len())
}

/// A tokenizer in the words of GGUF.
fn described(spec: &TokenizerSpec, template: Option<String>) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    let mut put = |name: &str, value: Value| all.push((format!("tokenizer.ggml.{name}"), value));
    put("model", Value::Text(spec.model.clone()));
    put("pre", Value::Text(spec.pre.clone().unwrap_or_else(|| "default".to_owned())));
    put("tokens", Value::Texts(spec.tokens.iter().cloned().collect()));
    put("token_type", Value::Scalars(spec.token_types.clone().into()));
    if spec.model == "gpt2" {
        put("merges", Value::Texts(spec.merges.iter().cloned().collect()));
    } else {
        let scores = if spec.scores.is_empty() { scores(spec) } else { spec.scores.clone() };
        put("scores", Value::Scalars(scores.into()));
        put("add_space_prefix", Value::Flag(spec.leading_blank != LeadingBlank::Never));
    }
    let special = spec.special;
    let roles = [
        ("bos_token_id", special.bos),
        ("eos_token_id", special.eos),
        ("eot_token_id", special.eot),
        ("unknown_token_id", special.unknown),
    ];
    for (name, id) in roles {
        if let Some(id) = id {
            put(name, Value::Unsigned(id.into()));
        }
    }
    put("add_bos_token", Value::Flag(special.add_bos));
    all.extend(template.map(|source| ("tokenizer.chat_template".to_owned(), Value::Text(source))));
    all
}

/// Scores that have the order of the merges: of a token, how late the first of them comes that makes it.
fn scores(spec: &TokenizerSpec) -> Vec<f32> {
    let mut first: HashMap<String, usize> = HashMap::new();
    for (rank, merge) in spec.merges.iter().enumerate() {
        first.entry(merge.replacen(' ', "", 1)).or_insert(rank);
    }
    #[expect(clippy::cast_precision_loss, reason = "there are fewer merges than f32 counts")]
    let score = |text: &String| first.get(text).map_or(0.0, |rank| -(*rank as f32) - 1.0);
    spec.tokens.iter().map(score).collect()
}
