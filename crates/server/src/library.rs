//! A pack's documents in passages, where they are more than its budget: those that fit a question best are looked up at each
//! cue, by the model that embeds texts, and stand after what every cue reads.
//!
//! Each twin has a library of its own, so no question reaches another twin's documents. Vectors are computed once for the same
//! passages and the same model, and kept in a file.

use std::fs;
use std::path::Path;

use baton_contract::{Digest, Digester};
use baton_encoder::{EmbedError, EncoderHandle, REVISION, nearness};
use baton_pack::{Pack, Passage};
use baton_text::{ChatMessage, Tokenizer};
use serde::Serialize;

use crate::Error;
use crate::error::ApiError;
use crate::twins::Model;

/// Characters of a passage: about as much as small encoders read.
const PASSAGE_CHARS: usize = 800;
/// How near a passage is at least to be looked up, as a share of the nearest one's: room that is left is no reason to read
/// what has nothing to do with the question.
const LEAST_SHARE: f32 = 0.5;
/// Tokens that the message has beside its passages.
const FRAME_TOKENS: usize = 48;
/// What files of vectors begin with.
const MAGIC: &[u8] = b"baton passages 1\n";
const HEADER: usize = 8;
const CHECKSUM: usize = 32;

/// A twin's documents. A clone shares the encoder, not the vectors.
#[derive(Clone, Debug)]
pub struct Library {
    encoder: EncoderHandle,
    passages: Vec<Passage>,
    /// One of each passage.
    vectors: Vec<Vec<f32>>,
    /// Tokens of each passage in the model that reads it.
    tokens: Vec<usize>,
    /// Tokens that the passages of one cue may have.
    room: usize,
}

/// A passage that was looked up for an answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Citation {
    /// Names the passage in its pack.
    id: String,
    document: String,
    /// Its place in the document, from 1 on.
    passage: usize,
    /// How near it is to the question: the cosine of their vectors.
    nearness: f32,
}

/// What was looked up.
#[derive(Debug, Default)]
pub struct LookedUp {
    /// The passages as the twin reads them, right after its pack; nothing where nothing is looked up.
    pub message: Option<ChatMessage>,
    /// Which they are, in the order of the documents.
    pub cited: Vec<Citation>,
}

impl Library {
    /// The documents of a pack that has more of them than its budget allows; nothing for any other pack. They are cut and
    /// embedded, or their vectors read from a file in `folder`: that may take a while, and blocks.
    ///
    /// # Errors
    /// There is no `encoder`, or the passages cannot be embedded.
    pub fn of(
        pack: &Pack,
        encoder: Option<&EncoderHandle>,
        tokenizer: &Tokenizer,
        folder: Option<&Path>,
    ) -> Result<Option<Self>, Error> {
        let count = |text: &str| tokenizer.encode(text).len();
        if !pack.looks_up(&count) {
            return Ok(None);
        }
        let (twin, budget) = (pack.id().clone(), pack.manifest().context_budget);
        let Some(encoder) = encoder else {
            return Err(Error::OverBudget { twin, tokens: count(&pack.system_text()), budget });
        };
        let passages = pack.passages(PASSAGE_CHARS);
        let tokens = passages.iter().map(|passage| count(&shown(passage))).collect();
        let room = budget.saturating_sub(count(&pack.lookup_text()) + FRAME_TOKENS);
        let vectors = vectors(&passages, encoder, folder).map_err(|source| Error::Lookup { twin, source })?;
        Ok(Some(Self { encoder: encoder.clone(), passages, vectors, tokens, room }))
    }

    /// Identifies the model that embeds the documents.
    pub fn embedded_by(&self) -> Digest {
        self.encoder.card().digest
    }

    /// Looks up what the documents say on `question`.
    ///
    /// # Errors
    /// The question cannot be embedded.
    pub async fn look_up(&self, question: &str) -> Result<LookedUp, EmbedError> {
        let vectors = self.encoder.embed(vec![self.encoder.card().words.beginning(question)]).await?;
        let nearest = vectors.first().map_or_else(Vec::new, |vector| self.nearest(vector));
        if nearest.is_empty() {
            return Ok(LookedUp::default());
        }
        let passages: String = nearest.iter().map(|(passage, _)| shown(passage)).collect();
        let text = format!("Passages of what the expert has written down, as they fit what is asked:\n\n{passages}");
        let cite = |(passage, nearness): (&Passage, f32)| Citation {
            id: passage.id(),
            document: passage.document.clone(),
            passage: passage.number,
            nearness,
        };
        let cited = nearest.into_iter().map(cite).collect();
        Ok(LookedUp { message: Some(ChatMessage::system(text.trim_end())), cited })
    }

    /// The passages that are nearest to a vector, as many as there is room for and as are near enough, with how near
    /// they are; in the order of the documents.
    fn nearest(&self, to: &[f32]) -> Vec<(&Passage, f32)> {
        let mut all: Vec<(usize, f32)> = self.vectors.iter().map(|vector| nearness(vector, to)).enumerate().collect();
        // Equals stay in the order of the documents.
        all.sort_by(|one, other| other.1.total_cmp(&one.1));
        let least = all.first().map_or(0.0, |(_, nearest)| nearest * LEAST_SHARE);
        all.retain(|(_, nearness)| *nearness > 0.0 && *nearness >= least);
        let mut left = self.room;
        all.retain(|(place, _)| {
            let fits = self.tokens[*place] <= left;
            left -= if fits { self.tokens[*place] } else { 0 };
            fits
        });
        all.sort_by_key(|(place, _)| *place);
        all.into_iter().map(|(place, nearness)| (&self.passages[place], nearness)).collect()
    }
}

/// Looks up what a twin's documents say on `question`; nothing for a twin that reads all of them with every cue.
///
/// # Errors
/// The question cannot be embedded.
pub(crate) async fn look_up(model: &Model, question: &str) -> Result<LookedUp, ApiError> {
    match model.twin().and_then(|twin| twin.library.as_ref()) {
        Some(library) => Ok(library.look_up(question).await?),
        None => Ok(LookedUp::default()),
    }
}

/// What is looked up for questions to be decided: what was said, and what is asked about it.
pub fn lookup_of_decision<'a>(said: &'a str, instructions: impl IntoIterator<Item = &'a str>) -> String {
    std::iter::once(said).chain(instructions).collect::<Vec<_>>().join("\n")
}

impl Citation {
    /// Names the passage in its pack, such as `refunds#3`; as the ledger has it.
    pub fn id(&self) -> &str {
        &self.id
    }
}

fn shown(passage: &Passage) -> String {
    format!("[{}]\n{}\n\n", passage.id(), passage.text)
}

/// The vectors of passages, from a file if one has them.
fn vectors(passages: &[Passage], encoder: &EncoderHandle, folder: Option<&Path>) -> Result<Vec<Vec<f32>>, EmbedError> {
    let card = encoder.card();
    let mut digester = Digester::new("baton passages v1");
    digester.field(card.digest.as_bytes()).field(&REVISION.to_le_bytes());
    for passage in passages {
        digester.field(passage.text.as_bytes());
    }
    let path = folder.map(|folder| folder.join(digester.finish().to_hex()));
    if let Some(kept) = path.as_deref().and_then(|path| read(path, passages.len(), card.dimensions)) {
        return Ok(kept);
    }
    let texts = passages.iter().map(|passage| card.words.beginning(&passage.text)).collect();
    let vectors = encoder.embed_blocking(texts)?;
    if let Some(path) = &path
        && let Err(error) = write(path, &vectors, card.dimensions)
    {
        tracing::warn!(path = %path.display(), %error, "the vectors of passages are not kept, and computed at each start");
    }
    Ok(vectors)
}

/// What a file has, if it is whole and has just this.
fn read(path: &Path, count: usize, dimensions: usize) -> Option<Vec<Vec<f32>>> {
    let bytes = fs::read(path).ok()?;
    let whole = bytes.len().checked_sub(CHECKSUM).map(|end| bytes.split_at(end));
    let good = whole.filter(|(content, checksum)| Digest::of(content).as_bytes()[..] == **checksum);
    let numbers = good
        .and_then(|(content, _)| content.strip_prefix(MAGIC)?.strip_prefix(&header(count, dimensions)))
        .filter(|numbers| numbers.len() == count * dimensions * size_of::<f32>());
    let Some(numbers) = numbers else {
        tracing::warn!(path = %path.display(), "a file of passages' vectors is damaged, and they are computed again");
        return None;
    };
    let numbers: Vec<f32> = numbers.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    Some(numbers.chunks(dimensions.max(1)).map(<[f32]>::to_vec).collect())
}

/// Writes a file beside its place and renames it.
fn write(path: &Path, vectors: &[Vec<f32>], dimensions: usize) -> std::io::Result<()> {
    let mut bytes = [MAGIC, &header(vectors.len(), dimensions)].concat();
    bytes.extend(vectors.iter().flatten().flat_map(|number| number.to_le_bytes()));
    bytes.extend(Digest::of(&bytes).as_bytes());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    fs::write(&beside, bytes)?;
    fs::rename(beside, path)
}

/// How many vectors there are, and how wide they are.
fn header(count: usize, dimensions: usize) -> [u8; HEADER] {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(&number(count));
    header[4..].copy_from_slice(&number(dimensions));
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(texts: &[&str], encoder: &EncoderHandle, folder: Option<&Path>, room: usize) -> Library {
        let passage =
            |(number, text): (usize, &&str)| Passage { document: "d".to_owned(), number, text: (*text).to_owned() };
        let passages: Vec<Passage> = (1..).zip(texts).map(passage).collect();
        let vectors = vectors(&passages, encoder, folder).unwrap();
        let tokens = texts.iter().map(|text| text.len()).collect();
        Library { encoder: encoder.clone(), passages, vectors, tokens, room }
    }

    fn nearest(library: &Library, encoder: &EncoderHandle, question: &str) -> Vec<usize> {
        let vectors = encoder.embed_blocking(vec![encoder.card().words.beginning(question)]).unwrap();
        library.nearest(&vectors[0]).iter().map(|(passage, _)| passage.number).collect()
    }

    #[test]
    fn the_nearest_passages_come_that_fit_in_the_order_of_the_document() {
        let encoder = baton_testkit::bag_of_letters();
        let texts = ["abc", "xyz", "aab", "xy"];
        let find = |room, question: &str| nearest(&library(&texts, &encoder, None, room), &encoder, question);
        assert_eq!(find(100, "ab"), [1, 3], "what is far from the question is left out, however much room there is");
        assert_eq!(find(100, "m"), [] as [usize; 0]);
        assert_eq!((find(6, "ab"), find(3, "ab"), find(5, "xyz")), (vec![1, 3], vec![3], vec![2, 4]));
        assert_eq!((find(2, "xyz"), find(0, "ab")), (vec![4], vec![]), "what is too long makes way for what is not");
    }

    #[test]
    fn vectors_are_kept_and_what_is_damaged_is_computed_again() {
        let (encoder, folder) = (baton_testkit::bag_of_letters(), tempfile::tempdir().unwrap());
        let shelf = folder.path().join("passages");
        let fresh = || library(&["abc", "de"], &encoder, Some(&shelf), 9).vectors;
        let vectors = fresh();
        let files = || fs::read_dir(&shelf).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
        let [file] = &files()[..] else { panic!("one file") };
        let whole = fs::read(file).unwrap();
        // What stands in the file is what is used.
        write(file, &[vec![0.5; 26], vec![0.25; 26]], 26).unwrap();
        assert_eq!(fresh(), [vec![0.5; 26], vec![0.25; 26]]);
        for (at, spoil) in [(0, 1), (20, 1), (whole.len() - 1, 1)] {
            let mut bytes = whole.clone();
            bytes[at] ^= spoil;
            fs::write(file, bytes).unwrap();
            assert_eq!(fresh(), vectors);
            assert_eq!(fs::read(file).unwrap(), whole, "it is mended");
        }
        fs::write(file, &whole[..40]).unwrap();
        assert_eq!(fresh(), vectors);
        library(&["abc", "df"], &encoder, Some(&shelf), 9);
        assert_eq!(files().len(), 2, "other passages have another file");
    }

    #[test]
    fn the_real_model_finds_what_is_asked_for() {
        let (model, card) = baton_encoder::Model::open(&baton_testkit::embedding_model_path(), "minilm", 2).unwrap();
        let encoder = EncoderHandle::start(card, Box::new(model)).unwrap();
        let texts = [
            "Refunds up to 50 euros are paid at once, without a question.",
            "A database column is never renamed in place: add a new one, fill it, move the readers, then drop the old one.",
            "Errors stand beside the field that they are about, in plain words.",
            "Secrets are kept in the vault and rotated every ninety days.",
        ];
        let library = library(&texts, &encoder, None, 120);
        for (question, passage) in [
            ("A customer wants their money back, what do I do?", 1),
            ("May I rename a table's field that others read?", 2),
            ("Where do I show that the e-mail address is wrong?", 3),
            ("How often do we change passwords of services?", 4),
        ] {
            let found = nearest(&library, &encoder, question);
            assert!(found.contains(&passage) && found.len() < texts.len(), "{question}: {found:?}");
        }
    }
}
