//! Cases that a program adds.

use std::fs;

use crate::{AddError, Pack, add_case};

const MANIFEST: &str = r#"
format = 2
id = "ops"
version = "1.0.0"
title = "Operations"
craft = "operations"
review_by = 2026-12-31
context_budget = 1000
expert = { name = "Eve Example", contact = "here" }
scope = { covers = ["operations"] }
"#;

fn case(name: &str) -> String {
    format!("[[case]]\nname = \"{name}\"\nwhat = \"Now?\"\nchecks = [{{ contains = \"no\" }}]\n")
}

#[test]
fn a_case_is_added_once_and_never_breaks_the_pack() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("ops");
    fs::create_dir_all(dir.join("cases")).unwrap();
    for (file, text) in [("twin.toml", MANIFEST), ("instructions.md", "Wait."), ("cases/core.toml", &case("first"))] {
        fs::write(dir.join(file), text).unwrap();
    }
    assert_eq!(Pack::load(&dir).unwrap_or_else(|report| panic!("{report}")).cases().len(), 1);
    assert_eq!(add_case(&dir, "found-wrong-d1", &case("found-wrong-d1")).unwrap(), "cases/found-wrong-d1.toml");
    let after = Pack::load(&dir).unwrap();
    assert_eq!(after.cases().len(), 2);
    assert!(matches!(add_case(&dir, "found-wrong-d1", &case("other")), Err(AddError::Exists(_))));
    assert!(matches!(add_case(&dir, "../d2", &case("d2")), Err(AddError::Name(_))));
    // Two cases of one name, and text that is none.
    for (name, text) in [("d2", case("first")), ("d3", "[[case]]".to_owned())] {
        assert!(matches!(add_case(&dir, name, &text), Err(AddError::Broken(_))), "{name}");
    }
    assert_eq!(Pack::load(&dir).unwrap().digest(), after.digest());
    let file = folder.path().join("ops/twin.toml");
    assert!(matches!(add_case(&file, "d4", &case("d4")), Err(AddError::Io { .. })));
}
