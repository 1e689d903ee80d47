use std::path::Path;

use baton_contract::Digest;
use expect_test::expect;

use super::*;

fn pack() -> Pack {
    Pack::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/packs/v2/good/full")).unwrap()
}

fn card() -> ModelCard {
    ModelCard { id: "small".to_owned(), digest: Digest::of(b"a model") }
}

/// The pack's cases with one text for each, or none.
fn trial(answers: [Option<Result<&str, &str>>; 3]) -> PackTrial {
    let pack = pack();
    let tiers = Tiers::new(&pack).unwrap();
    let owned = |answer: Result<&str, &str>| answer.map(str::to_owned).map_err(str::to_owned);
    let cases = pack
        .cases()
        .iter()
        .zip(answers)
        .map(|(case, answer)| judge(&tiers, case, answer.map(owned), Vec::new()))
        .collect();
    PackTrial::new(&pack, cases, (&card(), None), Timestamp::UNIX_EPOCH)
}

fn mixed() -> PackTrial {
    let good = r#"{"grams": 30, "steps": ["Grind"]}"#;
    let bad = "Three euros,\n \u{1B}[31m<about> & more: ".to_owned() + &"and so on ".repeat(40);
    trial([Some(Ok(good)), None, Some(Ok(&bad))])
}

#[test]
fn a_case_passes_if_all_its_checks_were_looked_at_and_are_met() {
    let outcomes = |answers| trial(answers).cases.iter().map(CaseTrial::outcome).collect::<Vec<_>>();
    let passed = |outcome: &CaseOutcome| *outcome == CaseOutcome::Passed;
    let all = outcomes([Some(Ok(r#"{"grams": 30, "steps": ["Grind"]}"#)), None, Some(Err("the cue was refused: x"))]);
    assert!(passed(&all[0]), "{all:?}");
    assert!(matches!(&all[1], CaseOutcome::NotRun(reasons) if reasons.len() == 2), "{all:?}");
    assert!(matches!(&all[2], CaseOutcome::NotRun(reasons) if reasons.len() == 2), "{all:?}");
    // What has failed has failed, whatever else could not be looked at; broken work fails by itself.
    let all = outcomes([Some(Ok("30")), None, Some(Ok(r#"{"grams": 1, "ask": "the till, please: I do not decide"}"#))]);
    assert!(matches!(&all[0], CaseOutcome::Failed(reasons) if reasons.len() == 3), "{all:?}");
    assert!(passed(&all[2]), "{all:?}");
}

#[test]
fn people_read_which_check_failed_and_how_the_answer_began() {
    expect![[r#"
        brewing 1.2.0 does not pass: 1 of 3 cases (33 %), wanted 75 %
          passed   ratio (cases/core.toml:1)
          not run  new-machine (cases/core.toml:11)
                     not run: chooses "wait" of ["buy", "wait"] with a probability of at least 0.6 (no decision was asked for)
                     not run: chooses "no" of ["yes", "no"] with a probability of at least 0.5 (no decision was asked for)
          failed   price (cases/core.toml:27)
                     not met: refuses and names "the till"
                     not met: has at most 40 words
                     not met: meets the spec of every answer (the answer is not JSON; not met: has at most 80 words; not met: matches /^\d+$/ at `/grams`)
                   answer: Three euros, �[31m<about> & more: and so on and so on and so on and so on and so on and so on and so on and so on and so on and so on and so on and so on and so…

        checks
          choice           0 of   0 met, 2 not run
          contains         1 of   1 met
          json             2 of   2 met
          max_words        0 of   1 met
          must_refuse      0 of   1 met
          spec             1 of   2 met
          tier_at_least    1 of   1 met

        1 of 3 cases passed on small"#]].assert_eq(&report(&[mixed()], &card()));
}

#[test]
fn build_servers_read_well_formed_xml() {
    expect![[r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="baton twin test" tests="3" failures="1" errors="0" skipped="1">
          <testsuite name="brewing" tests="3" failures="1" errors="0" skipped="1">
            <properties>
              <property name="version" value="1.2.0"/>
              <property name="pack" value="blake3:f9d296d651eba6ce8d9dfcf3ef447cf0c62697cbd0506c9824c3a852c9e8ee22"/>
              <property name="model" value="small"/>
              <property name="model.digest" value="blake3:7fcccec0361f0442c110252fccbfb34a75922596f6231bdec253e8ef2818e045"/>
              <property name="bar" value="0.75"/>
            </properties>
            <testcase classname="brewing" name="ratio" file="cases/core.toml" line="1"/>
            <testcase classname="brewing" name="new-machine" file="cases/core.toml" line="11">
              <skipped message="not run: chooses &quot;wait&quot; of [&quot;buy&quot;, &quot;wait&quot;] with a probability of at least 0.6 (no decision was asked for)">not run: chooses &quot;wait&quot; of [&quot;buy&quot;, &quot;wait&quot;] with a probability of at least 0.6 (no decision was asked for)&#10;not run: chooses &quot;no&quot; of [&quot;yes&quot;, &quot;no&quot;] with a probability of at least 0.5 (no decision was asked for)</skipped>
            </testcase>
            <testcase classname="brewing" name="price" file="cases/core.toml" line="27">
              <failure message="not met: refuses and names &quot;the till&quot;">not met: refuses and names &quot;the till&quot;&#10;not met: has at most 40 words&#10;not met: meets the spec of every answer (the answer is not JSON; not met: has at most 80 words; not met: matches /^\d+$/ at `/grams`)&#10;answer: Three euros, �[31m&lt;about&gt; &amp; more: and so on and so on and so on and so on and so on and so on and so on and so on and so on and so on and so on and so on and so…</failure>
            </testcase>
          </testsuite>
        </testsuites>
    "#]].assert_eq(&junit(&[mixed()], &card()));
}

#[test]
fn programs_read_every_check() {
    let json = json(&[mixed()], &card());
    assert_eq!(json["packs"][0]["cases"][2]["checks"][0]["outcome"], "not-met");
    assert_eq!(json["packs"][0]["meets_bar"], false);
    assert_eq!(json["checks"]["json"], serde_json::json!({ "met": 2, "not_met": 0, "not_run": 0 }));
}

#[test]
fn what_is_kept_names_pack_and_model() {
    let (PackTrial { record, .. }, pack) = (mixed(), pack());
    assert_eq!((record.pack, record.model, record.passed()), (pack.digest(), card().digest, 1));
    let data = tempfile::tempdir().unwrap();
    record.write(data.path()).unwrap();
    assert_eq!(Trial::read(data.path(), &pack, card().digest).unwrap(), Some(record));
}

#[test]
fn a_decision_meets_its_check_as_the_server_would_judge_it() {
    let pack = pack();
    let choice = pack.cases().iter().flat_map(|case| &case.checks).find_map(Check::choice).unwrap();
    assert_eq!((choice.right_answer(), choice.at_least, pack.manifest().decisions.abstain_below), ("wait", 0.6, 0.7));
    let scores = |buy: f64| Ok(vec![buy.ln(), (1.0 - buy).ln()]);
    let verdict = |scores, temperature| decision(&pack, choice, scores, Temperature::new(temperature).unwrap());
    let not_met = |told: &str| Verdict::NotMet(Some(told.to_owned()));
    assert_eq!(verdict(scores(0.2), 1.0), Verdict::Met);
    assert_eq!(verdict(scores(0.8), 1.0), not_met(r#""buy" has a probability of 0.80"#));
    // What a temperature makes of it counts.
    let unsure = r#"the twin abstains: "wait" has a probability of 0.67"#;
    assert_eq!(verdict(scores(0.2), 2.0), not_met(unsure));
    assert_eq!(verdict(Err(anyhow::anyhow!("no room")), 1.0), Verdict::NotRun("no room".to_owned()));
    assert!(matches!(verdict(Ok(vec![f64::NAN; 2]), 1.0), Verdict::NotRun(_)));
}
