//! A pack's rules: loaded beside the shipped ones, and what is wrong with them, with the place where it is.

use baton_pack::{Pack, RuleFault};
use baton_rules::{Error, RuleSet, Source};
use baton_server::hand_over;

/// The shipped rules with the pack's own.
///
/// # Errors
/// The first fault in them.
pub(crate) fn of(pack: &Pack) -> Result<RuleSet, Error> {
    let source = |file: &baton_pack::RuleFile| Source::pack(pack.id().clone(), file.path.as_str(), file.text.as_str());
    let sources: Vec<Source> = pack.rules().iter().map(source).collect();
    RuleSet::shipped()?.with_pack(pack.id(), &sources)
}

/// Validates a pack's rules as a server loads them, and whether what its expert hands over can be handed over. The first
/// fault of the rules is told; the others would be hidden behind it.
pub(crate) fn faults(pack: &Pack) -> Vec<RuleFault> {
    let rules = match of(pack) {
        Ok(rules) => rules,
        Err(error) => return vec![fault(pack, &error.to_string())],
    };
    let refused = hand_over(pack, &rules).into_iter().filter_map(Result::err);
    let path = || "twin.toml".to_owned();
    refused.map(|error| RuleFault { path: path(), offset: None, message: error.to_string(), hint: None }).collect()
}

/// A sentence about rules, which names the file, the rule or both, at the place of the rule.
fn fault(pack: &Pack, sentence: &str) -> RuleFault {
    let named = pack.rules().iter().find_map(|file| {
        let rest = sentence.strip_prefix(file.path.as_str())?.strip_prefix(": ")?;
        Some((file, rest))
    });
    let (files, message) = match named {
        Some((file, rest)) => (std::slice::from_ref(file), rest),
        None => (pack.rules(), sentence),
    };
    let place = files.iter().find_map(|file| Some((file, offset(&file.text, message)?)));
    let path = match (place, files.first()) {
        (Some((file, _)), _) | (None, Some(file)) => file.path.clone(),
        (None, None) => "rules".to_owned(),
    };
    RuleFault { path, offset: place.map(|(_, offset)| offset), message: message.to_owned(), hint: None }
}

/// Where in `text` the rule stands that the message is about.
fn offset(text: &str, message: &str) -> Option<usize> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let words: Vec<&str> = message.split(|c| !is_name(c)).collect();
    text.match_indices("@id(\"").find_map(|(offset, mark)| {
        let name = text[offset + mark.len()..].split('"').next()?;
        words.contains(&name).then_some(offset)
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use expect_test::expect;

    use crate::packs;

    fn policy(id: &str, effect: &str, when: &str) -> String {
        format!(
            "@id(\"{id}\")\n@kind(\"default\")\n@effect(\"{effect}\")\n@reason(\"Because.\")\n@ask(\"Ada Kettle\")\n\
             forbid (principal, action == Action::\"decide\", resource) when {{ {when} }};\n"
        )
    }

    /// What checking a pack with these rules says about them.
    fn said(rules: &str) -> String {
        said_of(rules, "")
    }

    /// The same, with more in its manifest.
    fn said_of(rules: &str, manifest: &str) -> String {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/packs/v2/good/minimal");
        let dir = tempfile::tempdir().unwrap();
        for folder in ["cases", "rules"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        for file in ["twin.toml", "instructions.md", "cases/core.toml"] {
            fs::copy(from.join(file), dir.path().join(file)).unwrap();
        }
        fs::write(dir.path().join("rules/core.cedar"), rules).unwrap();
        let path = dir.path().join("twin.toml");
        let text = fs::read_to_string(&path).unwrap() + manifest;
        fs::write(path, text).unwrap();
        packs::check(dir.path(), &|_| 0, false).to_string()
    }

    #[test]
    fn ground_of_the_core_cannot_be_handed_over() {
        let space = "\n[[space]]\nkey = \"columns\"\ntouches = [\"data-migration\"]\nreach = \"task\"\n\
                     reversibility = \"minutes\"\nuntil = 2999-01-01\nnote = \"Go on.\"\n";
        let large =
            space.replace("columns", "large").replace("data-migration", "money").replace("\"task\"", "\"outside\"");
        let large = large.replace("\"minutes\"", "\"never\"");
        expect![[r"
            twin.toml: error: decision space `brewing/columns`: `data-migration` is ground of the core (`data-migration`) and cannot be handed over
            twin.toml: error: decision space `brewing/large`: a radius of outside and never calls for a check of each answer first and cannot be handed over; choose a smaller one"]]
        .assert_eq(&said_of(&policy("good", "hold", "context.touches.money"), &(space.to_owned() + &large)));
    }

    #[test]
    fn faults_are_shown_at_the_rule() {
        let good = policy("good", "hold", "context.touches.money");
        assert_eq!(said(&good), "");
        let all = [
            format!("{good}forbid (principal"),
            format!("{good}{}", policy("one", "permit", "true")),
            format!("{good}{}", policy("not-stale", "hold", "!context.marks.stale")),
            format!("{good}{}", policy("misspelt", "hold", "context.touches.mony")),
            format!("{good}{good}"),
            good.replace("forbid", "permit"),
        ];
        let said: Vec<String> = all.iter().map(|rules| said(rules)).collect();
        expect![[r#"
            rules/core.cedar: error: unexpected end of input
            rules/core.cedar:7:1: error: one: `@effect` must be `raise`, `assume`, `hold` or `deny`
            rules/core.cedar:7:1: error: brewing/not-stale asks that `context.marks.stale` does not hold, or compares it; a graver decision must meet at least the same rules: write it by itself, joined by `&&` and `||`, outside of `!`, `unless` and `if`
            rules/core.cedar:7:1: error: brewing/misspelt: for policy `brewing/misspelt`, attribute `touches.mony` in context for Action::"decide" not found
            rules/core.cedar:1:1: error: there are two rules `brewing/good`: one in pack brewing, one in pack brewing; rename one
            rules/core.cedar:1:1: error: `good` is a `permit`; rules only restrict, so write `forbid`"#]].assert_eq(&said.join("\n"));
    }
}
