//! A pack whose documents are more than its budget, by every command that asks a model.

use std::fs;

use serde_json::{Value, json};

use super::served::Served;
use super::support::{Home, Run};
use super::trial::LITTLE;

const EMBEDS: [&str; 2] = ["--embedding-model", "all-minilm-l6-v2"];

/// A home with both models and one pack: three documents, of which only one fits its budget.
fn home() -> Home {
    let home = Home::with_model();
    let model = baton_testkit::embedding_model_path();
    std::os::unix::fs::symlink(model, home.path(".cache/baton/all-minilm-l6-v2")).unwrap();
    let manifest = "format = 2\nid = \"house\"\nversion = \"1.0.0\"\ntitle = \"House\"\ncraft = \"the house\"\n\
         review_by = 2999-01-01\ncontext_budget = 420\n[expert]\nname = \"Ada Kettle\"\ncontact = \"#house\"\n\
         [scope]\ncovers = [\"how this house works\"]\n[limits]\nmax_output_tokens = 12\n[cases]\nbar = 0.5\n";
    home.write("packs/house/twin.toml", manifest);
    home.write("packs/house/instructions.md", "Answer in one short sentence.\n");
    for (name, about) in [
        (
            "secrets",
            "Passwords of services and other secrets are kept in the vault and are rotated every ninety days. ",
        ),
        (
            "refunds",
            "A customer who wants their money back gets refunds of up to fifty euros at once, without a question. ",
        ),
        ("columns", "A column of a database table is never renamed in place: a new one is added and then filled. "),
    ] {
        home.write(&format!("packs/house/context/{name}.md"), &about.repeat(6));
    }
    let cases = "\
        [[case]]\nname = \"secrets\"\nwhat = \"How often are passwords of services changed?\"\nwhy = \"An audit.\"\n\
        checks = [{ max_words = 30 }]\n\n\
        [[case]]\nname = \"refunds\"\nwhat = \"A customer wants money back.\"\nwhy = \"They wait.\"\n\
        checks = [{ choice = { question = \"What happens?\", of = [\"refund\", \"rename\"], right = \"refund\", at_least = 0.01 } }]\n";
    home.write("packs/house/cases/core.toml", cases);
    home
}

fn baton(home: &Home, args: &[&str], more: &[&str]) -> Run {
    home.baton(&[args, &["--packs", "packs"], &LITTLE[..], more].concat())
}

#[test]
fn cases_are_run_and_versions_published_with_what_is_looked_up() {
    let home = home();
    // Without a model that embeds, one sentence says what is missing, and how it is had.
    let run = baton(&home, &["twin", "test", "house"], &[]);
    assert_eq!(run.code, Some(1), "{}", run.report());
    for part in [
        "error: the text of `house` takes ",
        "no embedding model is loaded that could look its documents up",
        "hint: --embedding-model all-minilm-l6-v2 loads one, and scripts/fetch-model all-minilm-l6-v2 fetches it",
    ] {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }

    let run = baton(&home, &["twin", "test", "house", "--json"], &EMBEDS);
    assert_eq!(run.code, Some(0), "{}", run.report());
    let told: Value = serde_json::from_str(&run.stdout).unwrap();
    let pack = &told["packs"][0];
    let embedded_by = pack["embedding_model"].as_str().unwrap();
    let document = |case: usize| {
        let passages = pack["cases"][case]["passages"].as_array().unwrap();
        let mut of: Vec<&str> = passages.iter().map(|one| one.as_str().unwrap().split('#').next().unwrap()).collect();
        of.dedup();
        of
    };
    assert_eq!((document(0), document(1)), (vec!["secrets"], vec!["refunds"]), "{told}");
    // The result is kept with what was looked up.
    let kept = fs::read_dir(home.path(".local/share/baton/twins/house/trials")).unwrap().next().unwrap().unwrap();
    let kept: Value = serde_json::from_str(&fs::read_to_string(kept.path()).unwrap()).unwrap();
    assert_eq!((&kept["format"], &kept["embedding_model"]), (&2.into(), &embedded_by.into()), "{kept}");
    assert_eq!(kept["cases"][0]["passages"], pack["cases"][0]["passages"]);
    assert!(fs::read_dir(home.path(".cache/baton/passages")).unwrap().count() == 1);

    let run = baton(&home, &["twin", "publish", "house"], &EMBEDS);
    assert_eq!(run.code, Some(0), "{}", run.report());
    let by = &embedded_by["blake3:".len()..][..12];
    assert!(
        run.stdout.contains("house 1.0.0 is live: ") && run.stdout.contains(" of 2 cases passed on "),
        "{}",
        run.report()
    );
    assert!(run.stdout.contains(&format!(", documents looked up by {by}, wanted 50 %")), "{by}: {}", run.report());
    let row = home.baton(&["ledger", "show", "--kind", "publication", "--json"]).stdout;
    assert!(row.contains(embedded_by), "{row}");

    // A server looks up the same, and has it off trial with this embedding model alone.
    let settings = |model: &str| home.write("baton.toml", &format!("[embedding]\nmodel = \"{model}\"\n"));
    let key = |args: &[&str]| home.baton(&[&["key", "new"], args].concat()).stdout.trim().to_owned();
    let (ada, grace) = (key(&["ada"]), key(&["grace", "--expert-for", "house"]));
    let serves = || {
        let served = Served::start(&home, "packs");
        let ask = |method: &str, path: &str, key: &str, body: &Value| -> Value {
            let (status, answer) = served.ask(method, path, key, body);
            assert_eq!(status, 200, "{answer}");
            serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap()
        };
        let asked = json!([{"role": "user", "content": "How often are passwords of services changed?"}]);
        let reply =
            ask("POST", "/v1/chat/completions", &ada, &json!({"model": "house", "max_tokens": 1, "messages": asked}));
        let cited =
            reply["baton"]["citations"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect::<Vec<_>>();
        (Value::from(cited), ask("GET", "/v1/twins", &grace, &Value::Null)["data"][0]["on_trial"].clone())
    };
    settings("all-minilm-l6-v2");
    assert_eq!(serves(), (pack["cases"][0]["passages"].clone(), Value::from(false)));
    let other = home.path("other");
    super::support::copy(&baton_testkit::embedding_model_path(), &other);
    let described = fs::read_to_string(other.join("tokenizer_config.json")).unwrap();
    fs::write(other.join("tokenizer_config.json"), described + "\n").unwrap();
    settings("./other");
    assert_eq!(serves().1, Value::from(true), "its cases were not run with this one");
    fs::remove_file(home.path("baton.toml")).unwrap();

    let run = baton(&home, &["twin", "calibrate", "house"], &EMBEDS);
    assert!(run.stdout.contains("house  not calibrated: ") && run.stdout.contains("cases"), "{}", run.report());
    let run = baton(&home, &["twin", "compile", "house"], &EMBEDS);
    assert!(run.code == Some(0) && run.stdout.contains(" tokens, "), "{}", run.report());
}

#[test]
fn a_conversation_says_what_each_answer_was_looked_up_in() {
    let home = home();
    let ask = "How often are passwords of services changed?";
    let run = baton(&home, &["chat", "--twin", "house", ask], &[&EMBEDS[..], &["--temperature", "0"]].concat());
    assert_eq!(run.code, Some(0), "{}", run.report());
    let told = run.stderr.lines().find(|line| line.starts_with("looked up: ")).unwrap_or_default();
    assert!(told.contains("secrets#1") && !told.contains("refunds"), "{}", run.report());
    let folder = home.path("packs/house");
    let run = home.baton(&[&["twin", "check", folder.to_str().unwrap()], &EMBEDS[..]].concat());
    assert_eq!(run.code, Some(0), "{}", run.report());
}

#[test]
fn the_embedding_model_is_looked_at_by_doctor() {
    let home = home();
    let doctor = |more: &[&str]| {
        let run = home.baton(&[&["doctor", "--listen", "127.0.0.1:0"], more].concat());
        let line = run.stdout.lines().skip_while(|line| !line.contains(" embedding ")).take(2);
        line.take_while(|line| !line.contains(" twins ")).map(|line| line.to_owned() + "\n").collect::<String>()
    };
    assert_eq!(doctor(&[]), "ok    embedding no model: nothing is embedded or looked up\n");
    let told = doctor(&EMBEDS);
    assert!(
        told.starts_with("ok    embedding all-minilm-l6-v2 (HOME/.cache/baton/all-minilm-l6-v2): 384 dim"),
        "{told}"
    );
    assert!(told.contains(", blake3 ") && told.ends_with(", digests right\n"), "{told}");
    let folder = home.path("mine");
    super::support::copy(&baton_testkit::embedding_model_path(), &folder);
    let told = doctor(&["--embedding-model", folder.to_str().unwrap()]);
    assert!(told.ends_with(", not in the catalog, so its digests are not known\n"), "{told}");
    fs::remove_file(home.path(".cache/baton/all-minilm-l6-v2")).unwrap();
    let told = doctor(&EMBEDS);
    assert!(told.starts_with("fail  embedding the embedding model `all-minilm-l6-v2` has not been fetched"), "{told}");
    assert!(told.contains("hint: scripts/fetch-model all-minilm-l6-v2"), "{told}");
}
