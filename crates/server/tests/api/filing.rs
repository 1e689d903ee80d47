//! Every cue is in the ledger: who asked what, how it was answered, and how that ended.

use baton_contract::{Digest, TokenId};
use baton_ledger::{Filter, Reader, Record, Secret};
use baton_server::ServerConfig;
use baton_testkit::{Fault, Script};
use expect_test::expect;
use serde_json::{Value, json};

use super::fixture::{Fixture, alphabet, chat_body, parrot, request, says, serve, serve_twins, serve_with};

const CHAT: &str = "/v1/chat/completions";

/// The rows of cues that are there now, the oldest first.
fn rows(reader: &Reader) -> Vec<Record> {
    reader.find(&Filter { kinds: vec!["cue".to_owned()], ..Filter::default() }).unwrap().records
}

/// Waits until so many cues are in the ledger.
async fn filed(server: &Fixture, count: usize) -> Vec<Record> {
    let reader = server.ledger.reader().unwrap();
    loop {
        let rows = rows(&reader);
        if rows.len() >= count {
            return rows;
        }
        tokio::task::yield_now().await;
    }
}

/// Ends the server and reads what it has left behind.
pub(super) async fn left(mut server: Fixture) -> Vec<Record> {
    server.stop();
    let folder = server.over().await;
    let reader = Reader::open(&folder.path().join("ledger.db"), Some(Secret::new(&[7; 32]))).unwrap();
    let key = reader.stored_key().unwrap();
    assert!(reader.verify(&key, &[], &mut |_, _| ()).unwrap().is_good());
    rows(&reader)
}

/// A line about each row. What its digests say is checked.
fn told(rows: &[Record]) -> String {
    let line = |row: &Record| {
        let body: Value = serde_json::from_str(&row.body).unwrap();
        let of = |name: &str| Digest::of(row.text(name).unwrap().as_bytes()).to_string();
        assert_eq!((&body["request"], &body["answer"]), (&json!(of("request")), &json!(of("answer"))));
        assert_eq!(body["model"], Digest::of(b"weights").to_string());
        let (label, _) = row.subject.as_deref().unwrap().split_once('-').unwrap();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let count = |name: &str| body["drawn"][name].as_u64().unwrap_or_default();
        format!(
            "{} {} {label} {} {} {}+{} {} stopped={} length={} redrawn={} {:?}\n",
            row.actor,
            text("key"),
            text("endpoint"),
            text("target"),
            body["input_tokens"],
            body["output_tokens"],
            text("ended"),
            count("stopped"),
            count("at_length"),
            count("redrawn"),
            row.text("answer").unwrap(),
        )
    };
    rows.iter().map(line).collect()
}

#[tokio::test]
async fn every_cue_is_in_the_ledger() {
    let server = serve(parrot()).await;
    let bodies = [
        (CHAT, chat_body(json!({}))),
        (CHAT, chat_body(json!({"model": "ux", "seed": 5, "n": 2, "stream": true, "metadata": {"why": "a test"}}))),
        ("/v1/completions", json!({"model": "byte-model", "prompt": ["ab", "c"], "n": 2, "max_tokens": 1})),
        ("/v1/cues", json!({"twins": ["ux", "security"], "what": "Hi"})),
        ("/v1/cues", json!({"twins": ["ux"], "what": "Ho", "stream": true})),
        (
            "/v1/decisions",
            json!({"model": "byte-model", "input": "x", "questions": [super::decisions::predicate("Yes.")]}),
        ),
        // No cues: they are refused.
        (CHAT, chat_body(json!({"model": "nobody"}))),
        (CHAT, chat_body(json!({"temperature": 3}))),
        (CHAT, chat_body(json!({"messages": [{"role": "user", "content": "x".repeat(5000)}]}))),
    ];
    let mut ids = Vec::new();
    for (path, body) in &bodies {
        let reply = server.post(path, body).await;
        // One after the other, so that their order is known.
        if reply.status == 200 {
            let reply = reply.events().first().map_or_else(|| reply.body.clone(), Clone::clone);
            let reply: Value = serde_json::from_str(&reply).unwrap();
            ids.push(reply["id"].as_str().map(str::to_owned));
            let count = ids.len() + usize::from(ids.len() > 3);
            filed(&server, count).await;
        }
    }
    let rows = left(server).await;
    expect![[r#"
        ada 010101010101 chatcmpl /v1/chat/completions byte-model 21+3 complete stopped=1 length=0 redrawn=0 "Hi"
        ada 010101010101 chatcmpl /v1/chat/completions ux 682+6 complete stopped=2 length=0 redrawn=0 "[\"Hi\",\"Hi\"]"
        ada 010101010101 cmpl /v1/completions byte-model 3+4 complete stopped=0 length=4 redrawn=0 "[\"a\",\"a\",\"c\",\"c\"]"
        ada 010101010101 cue /v1/cues ux 616+3 complete stopped=1 length=0 redrawn=0 "Hi"
        ada 010101010101 cue /v1/cues security 563+3 complete stopped=1 length=0 redrawn=0 "Hi"
        ada 010101010101 cue /v1/cues ux 616+3 complete stopped=1 length=0 redrawn=0 "Ho"
        ada 010101010101 dec /v1/decisions byte-model 91+7 complete stopped=0 length=0 redrawn=0 "[{\"name\":null,\"type\":\"predicate\",\"probability\":0.37754066879814546,\"baton\":{\"calibrated\":false,\"abstained\":false,\"scores\":[{\"answer\":\"Yes\",\"logprob\":-9.5,\"tokens\":4},{\"answer\":\"No\",\"logprob\":-9.0,\"tokens\":3}]}}]"
    "#]].assert_eq(&told(&rows));
    // Each is found by the id of its reply, and has what was asked.
    for (row, (at, body)) in rows.iter().zip([0, 1, 2, 3, 3, 4, 5].into_iter().map(|at| (at, &bodies[at].1))) {
        if let Some(id) = &ids[at] {
            assert_eq!(row.subject.as_ref(), Some(id));
        }
        assert_eq!(serde_json::from_str::<Value>(row.text("request").unwrap()).unwrap(), *body);
    }
    // What was drawn with, and with what the ux pack says.
    expect![[r#"{"answer":"blake3:64754a17274bd8e6390cb9bd898e339ba0b879391169d4eb4cf9a81940343cf5","computed_by":"a script","drawn":{"at_length":0,"biased_tokens":0,"frequency_penalty":0.0,"lengths":[2,2],"max_tokens":40,"min_p":0.0,"presence_penalty":0.0,"redrawn":0,"repetition_penalty":1.0,"stopped":2,"temperature":0.3,"tokens":"blake3:175f508dfdf37ab1994326d400b045f2939fb598b80ee1d71faf25f79ef103c7","top_k":0,"top_p":1.0},"ended":"complete","endpoint":"/v1/chat/completions","input_tokens":682,"key":"010101010101","model":"blake3:3edc5c4a5df8c79ef4f8dbdc373cd21ca041ccf39fe5693250d004092094dc4a","output_tokens":6,"pack":"blake3:2477c2f494069c78cb353fa6615406f2857545cc7f4bd527e88cb482bbddd0b2","request":"blake3:bbe88d42305346fb9fa5c182cdf41285a069e3516b4d922e504b81557c92e0be","seed":"5","target":"ux","v":4,"why":true}"#]].assert_eq(&rows[1].body);
}

#[tokio::test]
async fn a_client_that_leaves_and_a_deadline_are_told_apart() {
    let server = serve(alphabet()).await;
    server.quiet().await;
    server.control.allow(20);
    let body = chat_body(json!({"stream": true, "max_tokens": 1000}));
    let mut client = server.client().await;
    client.send(&request("POST", CHAT, &server.ada, &body.to_string())).await;
    client.read_until("\"c\"").await;
    drop(client);
    let rows = filed(&server, 1).await;
    let (left, text) = (told(&rows), rows[0].text("answer").unwrap());
    assert!(left.contains(" disconnected stopped=0 length=0 ") && text.starts_with("abc"), "{left}");
    server.control.release();
    server.quiet().await;
    server.control.allow(20);
    let body = json!({"twins": ["ux"], "what": "x", "max_tokens": 40, "deadline_seconds": 0.2});
    let answer = server.post("/v1/cues", &body).await.json()["answers"][0]["content"].clone();
    let rows = filed(&server, 2).await;
    let cut = told(&rows[1..]);
    assert!(cut.contains(" cut-off stopped=0 length=0 "), "{cut}");
    assert_eq!(rows[1].text("answer"), answer.as_str(), "what there was");
    server.control.release();
    server.quiet().await;
}

#[tokio::test]
async fn what_failed_is_filed_as_failed() {
    let server = serve(alphabet()).await;
    server.quiet().await;
    server.control.hold();
    let body = chat_body(json!({"n": 2, "max_tokens": 30}));
    let mut client = server.client().await;
    client.send(&request("POST", CHAT, &server.ada, &body.to_string())).await;
    let control = server.control.clone();
    let step = tokio::task::spawn_blocking(move || control.wait_held()).await.unwrap();
    server.control.fault(step + 3, Fault::Error);
    server.control.release();
    assert_eq!(client.reply().await.status, 500);
    let rows = filed(&server, 1).await;
    assert!(told(&rows).contains(" failed stopped=0 length=0 "), "{}", told(&rows));
    // A fault of one request is none of the next one's.
    assert_eq!(server.chat(json!({"max_tokens": 3})).await.status, 200);
    assert!(told(&filed(&server, 2).await[1..]).contains(" complete "));
}

#[tokio::test]
async fn broken_work_is_filed_without_its_words() {
    const GOOD: &str = r#"{"severity": "high", "page": true}"#;
    const BAD: &str = r#"{"severity": "low", "page": true}"#;
    let by_seed = Script::new(259, |turn| {
        let text = if turn.request.sampling.seed == 7 { BAD } else { GOOD };
        text.as_bytes().get(turn.position).map_or(257, |byte| TokenId::from(*byte))
    });
    let server = serve_twins(by_seed, &["triage"]).await;
    assert_eq!(server.chat(json!({"model": "triage", "seed": 7})).await.status, 200);
    expect![[r#"
        ada 010101010101 chatcmpl /v1/chat/completions triage 612+69 complete stopped=1 length=0 redrawn=1 "{\"severity\": \"high\", \"page\": true}"
    "#]].assert_eq(&told(&filed(&server, 1).await));
    let server = serve_twins(says(BAD), &["triage"]).await;
    assert_eq!(server.chat(json!({"model": "triage"})).await.status, 500);
    expect![[r#"
        ada 010101010101 chatcmpl /v1/chat/completions triage 612+66 failed stopped=0 length=0 redrawn=0 ""
    "#]]
    .assert_eq(&told(&filed(&server, 1).await));
}

#[tokio::test]
async fn without_the_ledger_no_cue_is_answered() {
    let server = serve(says("Yes.")).await;
    server.quiet().await;
    while server.get("/ready").await.status != 200 {}
    server.ledger.close().await.unwrap();
    // Nobody knows yet; the first cue is answered, and finds out.
    assert_eq!(server.chat(json!({})).await.status, 200);
    while server.get("/ready").await.status == 200 {
        tokio::task::yield_now().await;
    }
    let steps = server.engine.status().counters.steps;
    let bodies = [
        (CHAT, chat_body(json!({}))),
        (CHAT, chat_body(json!({"stream": true}))),
        ("/v1/completions", json!({"model": "byte-model", "prompt": "a"})),
        ("/v1/cues", json!({"twins": ["ux"], "what": "Hi"})),
    ];
    for (path, body) in bodies {
        let reply = server.post(path, &body).await;
        assert_eq!((reply.status, &reply.json()["error"]["code"]), (503, &json!("ledger_unavailable")), "{path}");
    }
    assert_eq!(server.engine.status().counters.steps, steps, "nothing was computed");
}

#[tokio::test]
async fn where_decisions_alone_are_kept_cues_go_without() {
    let config = ServerConfig { every_cue: false, ..ServerConfig::default() };
    let server = serve_with(says("Yes."), config, |_| {}).await;
    assert_eq!(server.chat(json!({})).await.status, 200);
    server.ledger.close().await.unwrap();
    assert_eq!(server.chat(json!({})).await.status, 200);
    assert_eq!(left(server).await.len(), 0);
}

#[tokio::test]
async fn what_ends_with_the_server_is_filed_too() {
    let config = ServerConfig { drain_timeout: std::time::Duration::from_millis(50), ..ServerConfig::default() };
    let mut server = serve_with(alphabet(), config, |_| {}).await;
    server.quiet().await;
    server.control.allow(10);
    let body = chat_body(json!({"stream": true, "max_tokens": 1000}));
    let mut client = server.client().await;
    client.send(&request("POST", CHAT, &server.ada, &body.to_string())).await;
    client.read_until("\"a\"").await;
    server.stop();
    let rows = filed(&server, 1).await;
    assert!(told(&rows).contains(" disconnected "), "{}", told(&rows));
    server.control.release();
}

#[tokio::test]
async fn a_device_that_is_lost_ends_all_answers_and_all_are_filed() {
    let server = serve_with(alphabet(), ServerConfig::default(), |limits| limits.max_sequences = 1).await;
    server.quiet().await;
    assert_eq!(server.get("/ready").await.status, 200);
    server.control.hold();
    let ask = |stream: bool| {
        let body = chat_body(json!({"stream": stream, "max_tokens": 9, "seed": 1})).to_string();
        request("POST", CHAT, &server.ada, &body)
    };
    let (mut begun, mut waiting) = (server.client().await, server.client().await);
    begun.send(&ask(true)).await;
    let control = server.control.clone();
    let step = tokio::task::spawn_blocking(move || control.wait_held()).await.unwrap();
    waiting.send(&ask(false)).await;
    while server.engine.status().in_flight < 2 {
        tokio::task::yield_now().await;
    }
    server.control.fault(step + 2, Fault::Lost);
    server.control.release();
    let stream = begun.reply().await.body;
    assert!(stream.contains(r#""content":"b""#) && !stream.contains(r#""content":"c""#), "{stream}");
    assert!(stream.contains(r#""error":{"message":"the engine failed at this request; send it again""#), "{stream}");
    let waited = waiting.reply().await;
    assert_eq!((waited.status, waited.json()["error"]["code"].as_str()), (500, Some("internal_error")));
    let refused = server.chat(json!({})).await;
    assert_eq!(refused.status, 503);
    expect![[r#"{"error":{"message":"the device that computes the model has failed, and the server ends; send the request again once it is started anew","type":"server_error","param":null,"code":"device_lost"}}"#]].assert_eq(&refused.body);
    let ready = server.get("/ready").await;
    assert_eq!(ready.status, 503);
    expect![[r#"{"error":{"message":"not ready: the device is lost: scripted loss","type":"server_error","param":null,"code":"not_ready"}}"#]].assert_eq(&ready.body);
    assert_eq!(server.get("/health").await.status, 200);
    expect![[r#"
        ada 010101010101 chatcmpl /v1/chat/completions byte-model 21+2 failed stopped=0 length=0 redrawn=0 "ab"
        ada 010101010101 chatcmpl /v1/chat/completions byte-model 21+0 failed stopped=0 length=0 redrawn=0 ""
    "#]]
    .assert_eq(&told(&left(server).await));
}
