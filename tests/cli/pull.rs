//! `baton pull` against a stand-in hub.

use std::fs;

use expect_test::expect;

use super::hub::{Answer, Hub, nobody, sha256};
use super::support::{Home, Run};

/// A model that the tests know: what it should be.
fn content() -> Vec<u8> {
    (0..300_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

/// A home with a catalog that describes the file with `content`.
fn home(content: &[u8]) -> Home {
    let home = Home::new();
    let sha256 = sha256(content);
    let description = format!(
        "id = \"tiny\"\ntitle = \"Tiny\"\nfile = \"tiny.gguf\"\nsize = {}\nsha256 = \"{sha256}\"\nlicence = \"MIT\"\n\
         architecture = \"llama\"\ncontext = 64\n[hub]\nrepo = \"owner/tiny\"\nrevision = \"abc\"\nfile = \"deep/tiny.gguf\"\n",
        content.len()
    );
    home.write("catalog/tiny.toml", &description);
    home
}

fn pull(home: &Home, endpoint: &str) -> Run {
    let mut run = home.baton(&["pull", "tiny", "--catalog", "catalog", "--endpoint", endpoint]);
    run.stderr = run.stderr.replace(endpoint, "HUB");
    run
}

/// The names in the cache folder, the partial file's digest left out.
fn cached(home: &Home) -> Vec<String> {
    let entries = fs::read_dir(home.path(".cache/baton")).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    // The digest's beginning stands between two points.
    let mut names: Vec<String> = names
        .map(|name| match name.strip_prefix("tiny.gguf.") {
            Some(rest) => format!("tiny.gguf.{}", &rest[13..]),
            None => name,
        })
        .collect();
    names.sort();
    names
}

const FROM_START: &str = "/owner/tiny/resolve/abc/deep/tiny.gguf from 0";

#[test]
fn a_whole_download_shows_its_progress_and_happens_once() {
    let content = content();
    let (home, hub) = (home(&content), Hub::start(&content, &[Answer::Good]));
    expect![[r"
        exit 0
        out:
        HOME/.cache/baton/tiny.gguf
        err:
        downloading: 20 % of 1.14 MiB
        downloading: 40 % of 1.14 MiB
        downloading: 60 % of 1.14 MiB
        downloading: 80 % of 1.14 MiB
        downloading: 100 % of 1.14 MiB
        checking: 20 % of 1.14 MiB
        checking: 40 % of 1.14 MiB
        checking: 60 % of 1.14 MiB
        checking: 80 % of 1.14 MiB
        checking: 100 % of 1.14 MiB
    "]]
    .assert_eq(&pull(&home, &hub.endpoint).report());
    assert_eq!(fs::read(home.path(".cache/baton/tiny.gguf")).unwrap(), content);
    assert_eq!((cached(&home), hub.asked()), (vec!["tiny.gguf".to_owned()], vec![FROM_START.to_owned()]));
    assert_eq!(pull(&home, &hub.endpoint).code, Some(0));
    assert_eq!(hub.asked().len(), 1, "what is there is not fetched again");
}

#[test]
fn a_broken_connection_is_taken_up_again() {
    let content = content();
    let answers = [Answer::Cut(500_000), Answer::Cut(100_000), Answer::Good];
    let (home, hub) = (home(&content), Hub::start(&content, &answers));
    let run = pull(&home, &hub.endpoint);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(fs::read(home.path(".cache/baton/tiny.gguf")).unwrap(), content);
    let starts: Vec<_> = hub.asked().iter().map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect();
    assert_eq!(starts, ["0", "500000", "600000"]);
}

#[test]
fn an_interrupted_download_is_resumed_by_the_next_call() {
    let content = content();
    let home = home(&content);
    let hub = Hub::start(&content, &[Answer::Cut(700_000), Answer::Cut(0)]);
    let run = pull(&home, &hub.endpoint);
    assert_eq!((run.code, cached(&home)), (Some(1), vec!["tiny.gguf.part".to_owned()]));
    assert!(run.stderr.contains("broke off after 700000 of 1200000 bytes"), "{}", run.stderr);
    assert!(run.stderr.contains("hint: check the network and run it again; it goes on from there"), "{}", run.stderr);

    let hub = Hub::start(&content, &[Answer::Good]);
    let run = pull(&home, &hub.endpoint);
    assert_eq!((run.code, cached(&home)), (Some(0), vec!["tiny.gguf".to_owned()]));
    assert!(hub.asked()[0].ends_with("from 700000"));
    assert!(run.stderr.contains("going on at 683.59 KiB of 1.14 MiB"), "{}", run.stderr);
}

#[test]
fn odd_hubs_give_the_right_file_or_none() {
    type Case<'a> = (&'a str, &'a [u8], &'a [Answer], Result<(), (&'a str, Vec<String>)>);
    let content = content();
    let other: Vec<u8> = content.iter().map(|byte| byte ^ 1).collect();
    let longer = [content.as_slice(), b"more"].concat();
    let part = vec!["tiny.gguf.part".to_owned()];
    let cases: [Case<'_>; 8] = [
        ("redirect", &content, &[Answer::Redirect, Answer::Good], Ok(())),
        ("no ranges after a cut", &content, &[Answer::Cut(9), Answer::NoRanges], Ok(())),
        ("other range", &content, &[Answer::OtherRange], Err(("another range than was asked for", part.clone()))),
        ("wrong digest", &other, &[Answer::Good], Err(("is not the model that is described, and was deleted", vec![]))),
        ("wrong size", &longer, &[Answer::Good], Err(("has 1200004 bytes, but `tiny` has 1200000", part.clone()))),
        ("not found", &content, &[Answer::Status(404)], Err(("does not have", part.clone()))),
        ("login", &content, &[Answer::Status(401)], Err(("the hub wants a login", part.clone()))),
        ("fault", &content, &[Answer::Status(503)], Err(("HTTP status 503", part))),
    ];
    for (name, served, answers, expected) in cases {
        let (home, hub) = (home(&content), Hub::start(served, answers));
        let run = pull(&home, &hub.endpoint);
        match expected {
            Ok(()) => {
                assert_eq!(run.code, Some(0), "{name}: {}", run.stderr);
                assert_eq!(fs::read(home.path(".cache/baton/tiny.gguf")).unwrap(), content, "{name}");
            }
            Err((message, left)) => {
                assert_eq!((run.code, cached(&home)), (Some(1), left), "{name}: {}", run.stderr);
                assert!(run.stderr.contains(message) && run.stderr.contains("hint: "), "{name}: {}", run.stderr);
            }
        }
    }
}

#[test]
fn faults_are_explained() {
    let content = content();
    let hub = Hub::start(&content, &[Answer::Status(404)]);
    expect![[r"
        exit 1
        err:
        error: the hub does not have HUB/owner/tiny/resolve/abc/deep/tiny.gguf (HTTP status 404)
        hint: check --endpoint and the model's description; or put the file into the cache folder as tiny.gguf
    "]]
    .assert_eq(&pull(&home(&content), &hub.endpoint).report());
    expect![[r"
        exit 1
        err:
        error: cannot reach HUB/owner/tiny/resolve/abc/deep/tiny.gguf: io: Connection refused (os error 111)
        hint: check the network, the proxy variables and --endpoint; or put the file into the cache folder as tiny.gguf
    "]]
    .assert_eq(&pull(&home(&content), &nobody()).report());
    expect![[r"
        exit 1
        err:
        error: `gpt-9` is not a known model
        hint: known are smollm2-135m-instruct; a file is named by its path, like ./gpt-9.gguf, and a repository of a hub by OWNER/NAME
    "]]
    .assert_eq(&Home::new().baton(&["pull", "gpt-9"]).report());
}

#[test]
fn known_models_are_listed() {
    let home = home(b"x");
    expect![[r"
        exit 0
        out:
        smollm2-135m-instruct  SmolLM2 135M Instruct (Q4_1), llama, 93.81 MiB, 8192 tokens of context, Apache-2.0, not fetched
        tiny  Tiny, llama, 1 B, 64 tokens of context, MIT, not fetched
    "]]
    .assert_eq(&home.baton(&["pull", "--list", "--catalog", "catalog"]).report());
}
