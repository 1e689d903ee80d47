//! `baton pull OWNER/NAME` against a stand-in hub.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use expect_test::expect;
use serde_json::json;

use super::folder::write_model;
use super::hub::{Answer, Hub, Repository};
use super::support::{Home, Run};

const NAME: &str = "owner/Tiny-0.1B";

fn pull(home: &Home, hub: &Hub, more: &[&str]) -> Run {
    let mut run = home.baton(&[&["pull", NAME, "--endpoint", &hub.endpoint], more].concat());
    run.stderr = run.stderr.replace(&hub.endpoint, "HUB");
    run
}

/// Everything in the folder of the repository, from there on, without what locks it.
fn cached(home: &Home) -> Vec<String> {
    fn below(folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
        entries.flat_map(|path| if path.is_dir() { below(&path) } else { vec![path] }).collect()
    }
    let home = home.path(".cache/baton/hub").join(NAME);
    let told = |path: PathBuf| path.strip_prefix(&home).unwrap().display().to_string();
    let mut all: Vec<String> = below(&home).into_iter().map(told).filter(|path| path != "lock").collect();
    all.sort();
    all
}

/// A repository with a model that can be computed, in two files of weights, and with much that is not wanted.
fn repository() -> Repository {
    let folder = tempfile::tempdir().unwrap();
    write_model(folder.path());
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    let weights = read("model.safetensors");
    // The same tensors in two files.
    let length = usize::try_from(u64::from_le_bytes(weights[..8].try_into().unwrap())).unwrap();
    let header: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&weights[8..8 + length]).unwrap();
    let names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    let mut parts = [(serde_json::Map::new(), Vec::new()), (serde_json::Map::new(), Vec::new())];
    let mut places = serde_json::Map::new();
    for (index, (name, mut tensor)) in header.into_iter().enumerate() {
        let (header, data) = &mut parts[index % 2];
        let [start, end] = [0, 1].map(|at| usize::try_from(tensor["data_offsets"][at].as_u64().unwrap()).unwrap());
        let first = data.len();
        data.extend_from_slice(&weights[8 + length + start..8 + length + end]);
        tensor["data_offsets"] = json!([first, data.len()]);
        places.insert(name.clone(), names[index % 2].into());
        header.insert(name, tensor);
    }
    let files = parts.map(|(header, data)| {
        let header = serde_json::Value::Object(header).to_string();
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()
    });
    let index = json!({ "metadata": {}, "weight_map": places }).to_string();
    Repository::of(
        NAME,
        &[
            ("README.md", b"# Tiny"),
            ("config.json", &read("config.json")),
            ("tokenizer.json", &read("tokenizer.json")),
            ("tokenizer_config.json", &read("tokenizer_config.json")),
            ("chat_template.jinja", &read("chat_template.jinja")),
            ("model.safetensors.index.json", index.as_bytes()),
            (names[0], &files[0]),
            (names[1], &files[1]),
            ("tiny-q4_0.gguf", b"GGUF"),
            ("pytorch_model.bin", b"pickle"),
            ("onnx/config.json", b"{}"),
        ],
    )
}

#[test]
fn a_folder_is_pulled_whole_and_taken_by_its_name() {
    let (home, hub) = (Home::new(), Hub::with(repository()));
    let run = pull(&home, &hub, &[]);
    assert_eq!(run.code, Some(0), "{}", run.report());
    let commit = repository().commit;
    assert_eq!(run.stdout, format!("HOME/.cache/baton/hub/{NAME}/{commit}\n"));
    assert!(
        run.stderr.contains("downloading: 100 % of ") && run.stderr.contains("--model owner/Tiny-0.1B"),
        "{}",
        run.stderr
    );
    expect![[r"
        c0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ff/chat_template.jinja
        c0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ff/config.json
        c0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ff/model-00001-of-00002.safetensors
        c0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ff/model-00002-of-00002.safetensors
        c0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ff/model.safetensors.index.json
        c0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ff/tokenizer.json
        c0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ff/tokenizer_config.json
        pulled"]]
    .assert_eq(&cached(&home).join("\n"));
    let all = hub.asked();
    assert!(all.iter().all(|line| !line.contains(" by ")), "nobody is named: {all:?}");
    // What is there is not fetched again.
    assert_eq!(pull(&home, &hub, &[]).code, Some(0));
    assert!(hub.asked()[all.len()..].iter().all(|line| line.starts_with("/api/")), "{:?}", hub.asked());

    let run = home.baton(&["perplexity", "--model", NAME, "--tokens", "24", "--threads", "1"]);
    assert!(run.code == Some(0) && run.stdout.contains("tiny-0.1b (blake3 "), "{}", run.report());
    let run = home.baton(&["doctor", "--model", NAME, "--listen", "127.0.0.1:0"]);
    assert!(run.stdout.contains("ok    model     tiny-0.1b (HOME/.cache/baton/hub/owner/"), "{}", run.stdout);
    assert!(run.stdout.contains("checked when it was pulled"), "{}", run.stdout);
    // A configuration file names it likewise.
    home.write("baton.toml", &format!("[model]\nname = \"{NAME}\"\n"));
    let run = home.baton(&["doctor", "--listen", "127.0.0.1:0"]);
    assert!(run.stdout.contains("checked when it was pulled"), "{}", run.stdout);
}

#[test]
fn cuts_are_mended_at_once_or_by_the_next_call_and_nothing_is_there_before() {
    let weights = "model-00002-of-00002.safetensors";
    let cut = |faults: &[(&str, Answer)]| {
        let faults = faults.iter().map(|(end, answer)| ((*end).to_owned(), *answer)).collect();
        Hub::with(Repository { faults, ..repository() })
    };
    let home = Home::new();
    let hub = cut(&[
        (weights, Answer::Cut(1000)),
        (weights, Answer::Cut(2000)),
        ("tokenizer.json", Answer::Cut(50)),
        (weights, Answer::Cut(0)),
    ]);
    let run = pull(&home, &hub, &[]);
    assert_eq!(run.code, Some(1), "{}", run.report());
    assert!(run.stderr.contains(&format!("/{weights} broke off after 3000 of ")), "{}", run.stderr);
    assert!(run.stderr.contains("hint: check the network and run it again; it goes on from there"), "{}", run.stderr);
    let left = cached(&home);
    assert!(
        left.iter().all(|path| path.contains(".part/")) && left.iter().any(|path| path.ends_with(".safetensors.part")),
        "{left:?}"
    );
    let refused = home.baton(&["perplexity", "--model", NAME]);
    assert!(refused.stderr.contains("nothing was pulled of a repository of that name"), "{}", refused.stderr);
    assert!(refused.stderr.contains("hint: baton pull owner/Tiny-0.1B"), "{}", refused.stderr);

    let hub = cut(&[]);
    let run = pull(&home, &hub, &[]);
    assert!(run.code == Some(0) && run.stderr.contains("downloading: going on at "), "{}", run.report());
    let files: Vec<String> = hub.asked().into_iter().filter(|line| !line.starts_with("/api/")).collect();
    assert_eq!(files.len(), 1, "all else was there: {files:?}");
    assert!(files[0].ends_with(&format!("{weights} from 3000")), "{files:?}");
    let pulled = home.path(".cache/baton/hub").join(NAME).join(repository().commit);
    for (path, content) in repository().files.iter().filter(|(path, _)| pulled.join(path).is_file()) {
        assert_eq!(&fs::read(pulled.join(path)).unwrap(), content, "{path}");
    }
}

#[test]
fn what_is_not_what_the_hub_says_is_not_kept() {
    let wrong = |path: &str| BTreeMap::from([(path.to_owned(), "0".repeat(64))]);
    let weights = "model-00001-of-00002.safetensors";
    let home = Home::new();
    let run = pull(&home, &Hub::with(Repository { digests: wrong(weights), ..repository() }), &[]);
    assert_eq!(run.code, Some(1), "{}", run.report());
    assert!(
        run.stderr.contains("what was downloaded is not what the hub says it is, and was deleted"),
        "{}",
        run.stderr
    );
    assert!(cached(&home).iter().all(|path| !path.contains(weights)), "{:?}", cached(&home));
    assert_eq!(pull(&home, &Hub::with(repository()), &[]).code, Some(0), "the rest is there, and it is fetched again");

    let home = Home::new();
    let run = pull(
        &home,
        &Hub::with(Repository { digests: BTreeMap::from([(weights.to_owned(), "../..".to_owned())]), ..repository() }),
        &[],
    );
    assert!(run.stderr.contains("the hub's digest of model-00001-of-00002.safetensors is none"), "{}", run.stderr);
    let run = pull(&home, &Hub::with(Repository { commit: "../../x".to_owned(), ..repository() }), &[]);
    assert!(run.stderr.contains("which is none"), "{}", run.stderr);
    let mut hostile = repository();
    let index = json!({ "weight_map": { "a": "../../escape.safetensors" } }).to_string();
    hostile.files.insert("model.safetensors.index.json".to_owned(), index.into_bytes());
    hostile.files.insert("../../escape.safetensors".to_owned(), b"x".to_vec());
    let run = pull(&home, &Hub::with(hostile), &[]);
    assert!(run.stderr.contains("which is no file of weights beside it"), "{}", run.stderr);
    assert!(!cached(&home).iter().any(|path| path.contains("escape")));
}

#[test]
fn of_ggufs_one_is_taken_and_pickles_never() {
    let with = |files: &[(&str, &[u8])]| Hub::with(Repository::of(NAME, files));
    let home = Home::new();
    let run = pull(&home, &with(&[("a.gguf", b"GGUF a"), ("q/b.gguf", b"GGUF b")]), &[]);
    assert!(run.stderr.contains("hint: name one with --file: a.gguf, q/b.gguf"), "{}", run.stderr);
    let run = pull(&home, &with(&[("a.gguf", b"GGUF a"), ("q/b.gguf", b"GGUF b")]), &["--file", "q/b.gguf"]);
    assert!(run.code == Some(0) && run.stdout.ends_with("-b.gguf/b.gguf\n"), "{}", run.report());
    // It is the file that is taken.
    let run = home.baton(&["perplexity", "--model", NAME]);
    assert!(
        run.stderr.contains("cannot use the model HOME/.cache/baton/hub/") && run.stderr.contains("/b.gguf"),
        "{}",
        run.stderr
    );
    let run = pull(&home, &Hub::with(repository()), &["--file", "tiny-q4_0.gguf"]);
    assert!(run.code == Some(0) && run.stdout.ends_with("/tiny-q4_0.gguf\n"), "{}", run.report());

    let run = pull(&Home::new(), &with(&[("config.json", b"{}"), ("pytorch_model.bin", b"pickle")]), &[]);
    expect![[r"
        exit 1
        err:
        error: owner/Tiny-0.1B cannot be pulled: its weights are pickles alone (pytorch_model.bin), which can run any code while they are read, and are not pulled
        hint: look for a repository of the same model in safetensors or GGUF
    "]]
    .assert_eq(&run.report());
}

#[test]
fn who_may_not_read_it_is_told_what_to_do() {
    let gated = || Hub::with(Repository { token: Some("hf_right".to_owned()), ..repository() });
    let as_who = |hub: &Hub, token: &str| {
        let home = Home::new();
        let mut command = home.command(&["pull", NAME, "--endpoint", &hub.endpoint]);
        command.env("HF_TOKEN", token);
        let mut run = home.run(command);
        run.stderr = run.stderr.replace(&hub.endpoint, "HUB");
        run
    };
    let told = |run: Run| {
        let lines = run.stderr.lines().filter(|line| line.starts_with("error") || line.starts_with("hint"));
        format!("exit {:?}\n{}\n", run.code, lines.collect::<Vec<_>>().join("\n"))
    };
    let fault = |end: &str, status| {
        Hub::with(Repository { faults: vec![(end.to_owned(), Answer::Status(status))], ..repository() })
    };
    let rows = [
        told(as_who(&gated(), "")),
        told(as_who(&gated(), "hf_wrong")),
        told(as_who(&fault("/main", 401), "hf_wrong")),
        told(as_who(&fault("/main", 404), "")),
        told(as_who(&fault("/config.json", 403), "")),
        told(as_who(&fault("/config.json", 429), "")),
    ];
    expect![[r"
        exit Some(1)
        error: the hub does not give owner/Tiny-0.1B to people whom it does not know, or has no such model (HTTP status 401)
        hint: check the name; if it is gated or private, set HF_TOKEN to a token that may read it

        exit Some(1)
        error: owner/Tiny-0.1B is gated, and the token in HF_TOKEN may not read it (HTTP status 403)
        hint: accept its terms at HUB/owner/Tiny-0.1B, then set HF_TOKEN to a token of that account

        exit Some(1)
        error: the hub does not take the token in HF_TOKEN (HTTP status 401)
        hint: set it to one that may read owner/Tiny-0.1B, or unset it

        exit Some(1)
        error: the hub has no model owner/Tiny-0.1B, or nothing at main of it (HTTP status 404)
        hint: check the name at HUB/owner/Tiny-0.1B, --revision and --endpoint

        exit Some(1)
        error: owner/Tiny-0.1B is gated, and there is no token in HF_TOKEN (HTTP status 403)
        hint: accept its terms at HUB/owner/Tiny-0.1B, then set HF_TOKEN to a token of that account

        exit Some(1)
        error: the hub is too busy to give HUB/owner/Tiny-0.1B/resolve/c0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ff/config.json (HTTP status 429)
        hint: wait and try again; or put the files into a folder and name that with --model
    "]]
    .assert_eq(&rows.join("\n"));

    // Who may, does; another host that the hub sends on to is not told who asks.
    let faults = vec![("/config.json".to_owned(), Answer::Away)];
    let hub = Hub::with(Repository { token: Some("hf_right".to_owned()), faults, ..repository() });
    let run = as_who(&hub, "hf_right");
    assert_eq!(run.code, Some(1), "{}", run.report());
    let asked = hub.asked();
    assert!(asked.iter().any(|line| line.contains("/tree/") && line.ends_with(" by hf_right")), "{asked:?}");
    assert!(asked.iter().any(|line| line.starts_with("/elsewhere ") && !line.contains(" by ")), "{asked:?}");
    let run = as_who(&gated(), "hf_right");
    assert_eq!(run.code, Some(0), "{}", run.report());
}

#[test]
fn an_embedding_model_is_pulled_likewise() {
    let source = baton_testkit::embedding_model_path();
    let read = |name: &str| fs::read(source.join(name)).unwrap();
    let files = [
        "config.json",
        "modules.json",
        "sentence_bert_config.json",
        "tokenizer.json",
        "1_Pooling/config.json",
        "model.safetensors",
    ];
    let files: Vec<(&str, Vec<u8>)> = files.into_iter().map(|name| (name, read(name))).collect();
    let mut files: Vec<(&str, &[u8])> = files.iter().map(|(name, content)| (*name, &content[..])).collect();
    files.push(("2_Dense/pytorch_model.bin", b"pickle"));
    let (home, hub) = (Home::new(), Hub::with(Repository::of(NAME, &files)));
    let run = pull(&home, &hub, &[]);
    assert_eq!(run.code, Some(0), "{}", run.report());
    assert_eq!(cached(&home).len(), files.len(), "{:?}", cached(&home));
    let run = home.baton(&["doctor", "--embedding-model", NAME, "--listen", "127.0.0.1:0"]);
    assert!(run.stdout.contains("ok    embedding tiny-0.1b (HOME/.cache/baton/hub/owner/"), "{}", run.stdout);
    assert!(run.stdout.contains("384 dimensions"), "{}", run.stdout);
}
