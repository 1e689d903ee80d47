//! A decision found wrong becomes a known-good case that its twin's pack takes as it is.

use std::path::Path;
use std::{fs, io};

use baton_authority::docket::{Asked, Bound, CaseDraft, Course, Docket, Expert, Opening, TextRow, Words};
use baton_contract::{Digest, Tier};
use baton_pack::Pack;
use jiff::Timestamp;

/// A docket with one decision, released and then corrected.
fn corrected(id: &str, fix: &str) -> Docket {
    let digest = Digest::of(id.as_bytes());
    let bound = Bound { request: digest, answer: digest, pack: digest, model: digest, adapter: None, rules: digest };
    let opening = Opening {
        id: id.parse().expect("a name"),
        conductor: "ann".parse().expect("a name"),
        twin: "security".parse().expect("a name"),
        why: true,
        product: None,
        process: None,
        subject: None,
        fired: Vec::new(),
        least: Some(Tier::Decide),
        bound,
        text: TextRow(1),
    };
    let eve = Expert { id: "eve".parse().expect("a name"), twins: ["security".parse().expect("a name")].into() };
    let mut docket = Docket::default();
    let opened = docket.open_decision(opening, Course::Release, Timestamp::UNIX_EPOCH).expect("nothing is against it");
    docket.apply(&opened).expect("it was checked");
    let fix = Words::new(fix).expect("a fix");
    let wrong =
        docket.correct(&id.parse().expect("a name"), &eve, fix, Timestamp::UNIX_EPOCH).expect("nothing is against it");
    docket.apply(&wrong).expect("it was checked");
    docket
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() { copy(&entry.path(), &target)? } else { fs::copy(entry.path(), target).map(drop)? }
    }
    Ok(())
}

#[test]
fn a_pack_takes_the_case_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("security");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("twin-packs/security"), &dir).unwrap();
    // Checks of choices are part of format 2.
    let manifest = fs::read_to_string(dir.join("twin.toml")).unwrap();
    fs::write(dir.join("twin.toml"), manifest.replacen("format = 1", "format = 2", 1)).unwrap();
    let before = Pack::load(&dir).unwrap().cases().len();

    let choices = ["go".to_owned(), "stop".to_owned()];
    let text =
        Asked { what: "A \"key\" was\npushed. Done?", why: Some("It is private."), answer: "Yes.", choices: &[] };
    let rows = [
        ("d1", "Rotate the key and read the \"access log\".", text),
        ("d2", "Rotate the key.", Asked { why: None, ..text }),
        ("d3", "Stop.", Asked { answer: "go", choices: &choices, ..text }),
    ];
    let drafts = rows.map(|(id, fix, asked)| {
        let docket = corrected(id, fix);
        CaseDraft::of(docket.get(&id.parse().unwrap()).unwrap(), asked).unwrap().to_toml()
    });
    fs::write(dir.join("cases/found-wrong.toml"), drafts.join("\n")).unwrap();

    let pack = Pack::load(&dir).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(pack.cases().len(), before + 3);
    let case = |name: &str| pack.cases().iter().find(|case| case.name == name).unwrap();
    assert_eq!(case("found-wrong-d1").what, text.what);
    assert_eq!(case("found-wrong-d1").failures("Read the **access log**."), Vec::<&baton_pack::AnswerCheck>::new());
    assert_eq!(case("found-wrong-d2").failures("Yes.").len(), 1);
    assert_eq!(case("found-wrong-d3").checks[0].kind(), "choice");
}
