//! How a model reads: its tokenizer, and the chat template that it brings or that is named.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use baton_contract::{Digest, Digester};
use baton_decoder::ModelFile;
use baton_text::{ChatTemplate, LeadingBlank, SpecialTokens, Tokenizer, TokenizerSpec};

use crate::config::{ByteSize, Config};

/// Bytes that a tokenizer's file may have.
const TEXT_BYTES: u64 = 64 << 20;
/// Bytes that a file with a chat template may have; fewer can be compiled.
const TEMPLATE_BYTES: u64 = 1 << 20;

/// A model file whose text part has been read.
pub(crate) struct Opened {
    pub(crate) file: ModelFile,
    pub(crate) tokenizer: Tokenizer,
    /// The chat template that it brings, if it brings one.
    pub(crate) template: Option<String>,
}

/// A chat template that was named, and where it lies.
pub(crate) struct Named {
    path: PathBuf,
    source: String,
}

/// The chat template in use.
pub(crate) struct Reads {
    pub(crate) template: ChatTemplate,
    /// Of its source, where that is not the model's own.
    replaced_by: Option<Digest>,
}

impl Reads {
    /// Compiles the template that was `named`, or else the model's `own`.
    ///
    /// # Errors
    /// There is none, or it cannot be used with this tokenizer.
    pub(crate) fn new(own: Option<String>, named: Option<Named>, tokenizer: &Tokenizer) -> Result<Self> {
        let Some(Named { path, source }) = named else {
            let Some(own) = own else {
                bail!(
                    "it has no chat template, so there is no telling how it reads a conversation\n\
                     hint: use a model that was made for chat (its name often ends with -instruct), or name a template with \
                     --chat-template FILE"
                );
            };
            return Ok(Self { template: ChatTemplate::compile(&own, tokenizer)?, replaced_by: None });
        };
        let template = ChatTemplate::compile(&source, tokenizer)
            .with_context(|| format!("the chat template {} cannot be used", path.display()))?;
        let replaced_by = (own.as_deref() != Some(source.as_str())).then(|| Digest::of(source.as_bytes()));
        Ok(Self { template, replaced_by })
    }

    /// Identifies the model with this template, where `weights` identifies it with its own: what reads otherwise says
    /// otherwise, so no trial, calibration or prefix of the one counts for the other.
    pub(crate) fn digest(&self, weights: Digest) -> Digest {
        let Some(template) = self.replaced_by else { return weights };
        let mut digester = Digester::new("baton model with another chat template v1");
        digester.field(weights.as_bytes()).field(template.as_bytes()).finish()
    }
}

/// Reads the chat template that is named, if one is.
pub(crate) fn named_template(config: &Config) -> Result<Option<Named>> {
    let Some(path) = &config.chat_template else { return Ok(None) };
    let read = || -> Result<String> {
        let found = fs::metadata(path)?;
        if !found.is_file() {
            bail!("it is not a regular file");
        }
        if found.len() > TEMPLATE_BYTES {
            bail!("it has more than {}", ByteSize(TEMPLATE_BYTES));
        }
        Ok(fs::read_to_string(path)?)
    };
    let source = read()
        .with_context(|| format!("cannot read the chat template {}\nhint: check --chat-template", path.display()))?;
    Ok(Some(Named { path: path.clone(), source }))
}

/// Opens a model file and builds its tokenizer.
pub(crate) fn open_text(path: &Path) -> Result<Opened> {
    let open = || -> Result<Opened> {
        let file = ModelFile::open(path)?;
        let (tokenizer, template) = read_text(&file, path)?;
        Ok(Opened { file, tokenizer, template })
    };
    open().with_context(|| format!("cannot use the model {}", path.display()))
}

/// Builds the tokenizer from what a model's file or folder says of it; with the chat template that it brings.
pub(crate) fn read_text(file: &ModelFile, path: &Path) -> Result<(Tokenizer, Option<String>)> {
    let (spec, template) = if file.is_folder() { text_of_folder(path)? } else { text_of_file(file)? };
    Ok((Tokenizer::from_gguf(spec)?, template))
}

fn text_of_file(file: &ModelFile) -> Result<(TokenizerSpec, Option<String>)> {
    let metadata = file.tokenizer()?;
    let pieces = metadata.model == "llama";
    let spec = TokenizerSpec {
        model: metadata.model,
        pre: metadata.pre,
        tokens: metadata.tokens,
        token_types: metadata.token_types.unwrap_or_default(),
        merges: metadata.merges,
        scores: metadata.scores.unwrap_or_default(),
        // What a `SentencePiece` vocabulary does unless the file says otherwise.
        leading_blank: match metadata.add_space_prefix {
            Some(true) | None if pieces => LeadingBlank::Each,
            _ => LeadingBlank::Never,
        },
        special: SpecialTokens {
            bos: metadata.bos,
            eos: metadata.eos,
            eot: metadata.eot,
            unknown: metadata.unknown,
            add_bos: metadata.add_bos.unwrap_or(pieces),
        },
    };
    Ok((spec, metadata.chat_template))
}

/// The same from files of their own. A template in `chat_template.jinja` goes before one in the configuration.
pub(crate) fn text_of_folder(folder: &Path) -> Result<(TokenizerSpec, Option<String>)> {
    let read = |name: &str| match fs::metadata(folder.join(name)) {
        Ok(found) if found.len() > TEXT_BYTES => bail!("{name} has more than {}", ByteSize(TEXT_BYTES)),
        Ok(_) => Ok(Some(fs::read(folder.join(name)).with_context(|| format!("cannot read {name}"))?)),
        Err(_) => Ok(None),
    };
    let tokenizer = read("tokenizer.json")?.context("it has no tokenizer.json")?;
    let (spec, template) = TokenizerSpec::from_json(&tokenizer, read("tokenizer_config.json")?.as_deref())?;
    let own =
        read("chat_template.jinja")?.map(String::from_utf8).transpose().context("chat_template.jinja is no text")?;
    Ok((spec, own.or(template)))
}
