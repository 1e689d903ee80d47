//! What came of cases as JUnit XML, which build servers show: a pack is a suite, a case a test.

use std::fmt::Write;

use baton_pack::CaseOutcome;
use baton_server::ModelCard;

use super::{CaseTrial, PackTrial, report};

/// The whole file.
pub(crate) fn junit(trials: &[PackTrial], card: &ModelCard) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let all = || trials.iter().flat_map(|trial| &trial.cases);
    // Writing to a String cannot fail.
    let _ = writeln!(text, "<testsuites name=\"baton twin test\"{}>", counts(all()));
    for trial in trials {
        let record = &trial.record;
        let name = escape(record.twin.as_str());
        let _ = writeln!(text, "  <testsuite name=\"{name}\"{}>", counts(trial.cases.iter()));
        let properties = [
            ("version", record.version.clone()),
            ("pack", record.pack.to_string()),
            ("model", card.id.clone()),
            ("model.digest", record.model.to_string()),
            ("bar", record.bar.to_string()),
        ];
        let lookup = record.embedding_model.map(|digest| ("embedding-model.digest", digest.to_string()));
        text.push_str("    <properties>\n");
        for (name, value) in properties.into_iter().chain(lookup) {
            let _ = writeln!(text, "      <property name=\"{name}\" value=\"{}\"/>", escape(&value));
        }
        text.push_str("    </properties>\n");
        for case in &trial.cases {
            written(&name, case, &mut text);
        }
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

/// The attributes that say how many tests there are.
fn counts<'a>(cases: impl Iterator<Item = &'a CaseTrial>) -> String {
    let (mut tests, mut failures, mut skipped) = (0, 0, 0);
    for case in cases {
        tests += 1;
        match case.outcome() {
            CaseOutcome::Passed => {}
            CaseOutcome::Failed(_) => failures += 1,
            CaseOutcome::NotRun(_) => skipped += 1,
        }
    }
    format!(" tests=\"{tests}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\"")
}

fn written(suite: &str, case: &CaseTrial, text: &mut String) {
    let CaseTrial { name, file, line, answer, .. } = case;
    let (name, file) = (escape(name), escape(file));
    let _ = write!(text, "    <testcase classname=\"{suite}\" name=\"{name}\" file=\"{file}\" line=\"{line}\"");
    let answer = answer.as_deref().map(|answer| format!("\nanswer: {}", report::start(answer))).unwrap_or_default();
    let (element, reasons) = match case.outcome() {
        CaseOutcome::Passed => {
            text.push_str("/>\n");
            return;
        }
        CaseOutcome::Failed(reasons) => ("failure", reasons),
        CaseOutcome::NotRun(reasons) => ("skipped", reasons),
    };
    let first = reasons.first().map_or("", String::as_str);
    let _ = writeln!(
        text,
        ">\n      <{element} message=\"{}\">{}</{element}>\n    </testcase>",
        escape(first),
        escape(&(reasons.join("\n") + &answer))
    );
}

/// Text that is safe in an element and in an attribute. What XML 1.0 cannot hold becomes U+FFFD.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            // Read back as they are even in an attribute, where plain ones would become blanks.
            '\t' | '\n' | '\r' => _ = write!(escaped, "&#{};", u32::from(c)),
            '\0'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}' => escaped.push('\u{FFFD}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_ends_what_it_stands_in() {
        let rows = [
            ("a < b && c > \"d\" 'e'", "a &lt; b &amp;&amp; c &gt; &quot;d&quot; &apos;e&apos;"),
            ("]]> -->", "]]&gt; --&gt;"),
            ("a\tb\r\nc", "a&#9;b&#13;&#10;c"),
            ("\0\u{1B}[31m\u{FFFE}é🙂", "\u{FFFD}\u{FFFD}[31m\u{FFFD}é🙂"),
        ];
        for (text, expected) in rows {
            assert_eq!(escape(text), expected, "{text:?}");
        }
    }
}
