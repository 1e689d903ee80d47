//! Which version of a twin's pack was live when: the journal of a twin, and how it is written down.

use baton_contract::{Digest, TwinId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What was looked up is what format 2 has more; where nothing was, format 1 is written.
const FORMATS: [u32; 2] = [1, 2];

/// A version of a twin's pack that went live.
#[derive(Clone, Debug, PartialEq)]
pub struct Publication {
    /// From 1, one more each time.
    pub number: u64,
    /// Whether it had been live before, and was gone back to.
    pub rolled_back: bool,
    /// When.
    pub at: Timestamp,
    /// Who let it go live.
    pub by: String,
    /// The pack's version, for people.
    pub version: String,
    /// The pack.
    pub pack: Digest,
    /// What came of its cases when it was published.
    pub tested: Tested,
}

/// What came of a pack's cases on a model, in numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Tested {
    /// The model's weights.
    pub model: Digest,
    /// The model's name, for people.
    pub model_name: String,
    /// The model that looked the pack's documents up, if they are more than its budget.
    pub embedding_model: Option<Digest>,
    /// How many cases passed.
    pub passed: usize,
    /// How many there are.
    pub cases: usize,
    /// The share of the cases, in (0, 1], that the pack wants to pass.
    pub bar: f64,
}

impl Tested {
    /// Whether so many cases passed as the pack wants, on the model with this digest and, if documents were looked up, with
    /// this embedding model.
    pub fn passed_on(&self, model: Digest, embedding_model: Option<Digest>) -> bool {
        let same_lookup = self.embedding_model.is_none() || self.embedding_model == embedding_model;
        self.meets_bar() && self.model == model && same_lookup
    }

    /// Whether so many cases passed as the pack wants.
    #[expect(clippy::cast_precision_loss, reason = "a pack has at most some hundred cases")]
    pub fn meets_bar(&self) -> bool {
        // 9 of 10 meet a bar of 0.9, whatever the last bit of the quotient.
        self.cases > 0 && self.passed as f64 / self.cases as f64 + 1e-9 >= self.bar
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JournalWire {
    format: u32,
    twin: String,
    publications: Vec<PublicationWire>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PublicationWire {
    number: u64,
    rolled_back: bool,
    at: String,
    by: String,
    version: String,
    pack: String,
    model: String,
    model_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    embedding_model: Option<String>,
    passed: usize,
    cases: usize,
    bar: f64,
}

/// What is looked at first: a file of another format has other fields.
#[derive(Deserialize)]
struct Head {
    format: u32,
}

pub(crate) fn to_json(twin: &TwinId, publications: &[Publication]) -> String {
    let wire = |one: &Publication| {
        let Publication { number, rolled_back, at, by, version, pack, tested } = one;
        PublicationWire {
            number: *number,
            rolled_back: *rolled_back,
            at: at.to_string(),
            by: by.clone(),
            version: version.clone(),
            pack: pack.to_string(),
            model: tested.model.to_string(),
            model_name: tested.model_name.clone(),
            embedding_model: tested.embedding_model.map(|digest| digest.to_string()),
            passed: tested.passed,
            cases: tested.cases,
            bar: tested.bar,
        }
    };
    let looked_up = publications.iter().any(|one| one.tested.embedding_model.is_some());
    let format = FORMATS[usize::from(looked_up)];
    let publications = publications.iter().map(wire).collect();
    let journal = JournalWire { format, twin: twin.to_string(), publications };
    let mut text = serde_json::to_string_pretty(&journal).expect("texts and numbers can be written");
    text.push('\n');
    text
}

/// Reads the journal of `twin`, or says in a lowercase sentence what is wrong with it.
pub(crate) fn from_json(text: &str, twin: &TwinId) -> Result<Vec<Publication>, String> {
    let Head { format } = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if !FORMATS.contains(&format) {
        return Err(format!("its format is {format}, and this version of Baton reads formats 1 and 2"));
    }
    let wire: JournalWire = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if wire.twin != twin.as_str() {
        return Err(format!("it is about the twin `{}`", wire.twin));
    }
    let publications: Vec<Publication> = wire.publications.into_iter().map(read).collect::<Result<_, _>>()?;
    let looked_up = publications.iter().any(|one| one.tested.embedding_model.is_some());
    if looked_up != (format == 2) {
        return Err(format!("its format is {format}, which what was looked up contradicts"));
    }
    let in_order = (1..).zip(&publications).all(|(number, one)| one.number == number);
    if in_order { Ok(publications) } else { Err("its numbers do not follow each other".to_owned()) }
}

fn read(wire: PublicationWire) -> Result<Publication, String> {
    let PublicationWire { number, rolled_back, at, by, version, pack, model, model_name, .. } = wire;
    let (embedding_model, passed, cases, bar) = (wire.embedding_model, wire.passed, wire.cases, wire.bar);
    if passed > cases || !(bar > 0.0 && bar <= 1.0) {
        return Err(format!("in number {number}, {passed} of {cases} cases passed, and {bar} is wanted"));
    }
    let digest = |text: &str| text.parse::<Digest>().map_err(|error| error.to_string());
    Ok(Publication {
        number,
        rolled_back,
        at: at.parse().map_err(|error: jiff::Error| error.to_string())?,
        by,
        version,
        pack: digest(&pack)?,
        tested: Tested {
            model: digest(&model)?,
            model_name,
            embedding_model: embedding_model.as_deref().map(digest).transpose()?,
            passed,
            cases,
            bar,
        },
    })
}
