//! The known-good cases of the nine packs tell an answer that the expert would sign from one that they would not.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::Catalog;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answers {
    good: String,
    bad: String,
}

#[test]
fn cases_pass_good_answers_and_fail_bad_ones() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut wrong = Vec::new();
    for (id, pack) in Catalog::load(&root.join("twin-packs")).packs {
        let text = fs::read_to_string(root.join(format!("tests/fixtures/packs/answers/{id}.toml"))).unwrap();
        let mut answers: BTreeMap<String, Answers> = toml::from_str(&text).unwrap();
        for case in pack.cases().iter().filter(|case| case.answer_checks().next().is_some()) {
            let answers = answers.remove(&case.name).unwrap_or_else(|| panic!("no answers to {id}/{}", case.name));
            for check in case.failures(&answers.good) {
                wrong.push(format!("{id}/{}: the good answer is refused: {check}", case.name));
            }
            for reason in pack.broken_work(&answers.good) {
                wrong.push(format!("{id}/{}: the good answer is broken work: {reason}", case.name));
            }
            if case.failures(&answers.bad).is_empty() {
                wrong.push(format!("{id}/{}: the bad answer passes", case.name));
            }
        }
        assert!(answers.is_empty(), "{id}: answers without a case: {:?}", answers.keys());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
