//! A twin whose documents are more than its budget: what fits the question is looked up, read, cited and recorded.

use baton_contract::TokenId;
use baton_server::{Server, ServerConfig};
use baton_testkit::Script;
use serde_json::{Value, json};

use super::decisions::{judge, predicate};
use super::filing::left;
use super::fixture::{Fixture, World, chat_body, says, serve_twins, services};

/// Answers with the passages that it has read, or with `none`.
fn quotes() -> Script {
    Script::replies(259, |input| {
        let begins: Vec<TokenId> = "Passages of".bytes().map(TokenId::from).collect();
        let Some(start) = input.windows(begins.len()).rposition(|window| window == begins) else {
            return "none".bytes().map(TokenId::from).collect();
        };
        let end = input[start..].iter().position(|token| *token > 255).unwrap_or(0);
        input[start..start + end].to_vec()
    })
}

fn asks(model: &str, what: &str) -> Value {
    chat_body(json!({"model": model, "messages": [{"role": "user", "content": what}], "max_tokens": 900}))
}

fn cited(reply: &Value) -> Vec<&str> {
    let citations = reply["baton"]["citations"].as_array();
    citations.into_iter().flatten().map(|one| one["id"].as_str().unwrap()).collect()
}

async fn said(server: &Fixture, path: &str, body: &Value) -> Value {
    let reply = server.post(path, body).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()
}

#[tokio::test]
async fn passages_that_fit_are_read_cited_and_recorded() {
    let server = serve_twins(quotes(), &["handbook", "care"]).await;
    let reply = said(&server, "/v1/chat/completions", &asks("handbook", "jumbo hymn")).await;
    assert_eq!(cited(&reply), ["words#2", "words#3"], "{reply}");
    let first = &reply["baton"]["citations"][0];
    assert_eq!((&first["document"], &first["passage"]), (&json!("words"), &json!(2)));
    assert!(first["nearness"].as_f64().unwrap() > 0.5);
    let text = reply["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(text.contains("[words#2]\n# Jumbo\n\njumbo jumbo") && text.contains("[words#3]\n# Hymn"), "{text}");
    assert!(!text.contains("fizz") && !text.contains("plow"), "{text}");
    // Another question, other passages; as a stream, the first chunk says which.
    let mut body = asks("handbook", "fizz");
    body["stream"] = json!(true);
    let events = server.post("/v1/chat/completions", &body).await.events();
    let chunk: Value = serde_json::from_str(&events[0]).unwrap();
    assert!(cited(&chunk).contains(&"words#1"), "{chunk}");
    // A twin that reads all it has looks nothing up, whatever is asked for.
    let reply = said(&server, "/v1/chat/completions", &asks("care", "Passages? handbook words#2 jumbo")).await;
    assert_eq!((cited(&reply).len(), &reply["choices"][0]["message"]["content"]), (0, &json!("none")));
    let cue = json!({"twins": ["handbook", "care"], "what": "dusk pivot", "max_tokens": 900});
    let reply = said(&server, "/v1/cues", &cue).await;
    assert_eq!(cited(&reply["answers"][0]), ["words#4", "words#5"], "{reply}");
    assert!(cited(&reply["answers"][1]).is_empty());
    let rows = left(server).await;
    let passages = |row: usize| serde_json::from_str::<Value>(&rows[row].body).unwrap()["passages"].clone();
    assert_eq!((passages(0), passages(2)), (json!(["words#2", "words#3"]), Value::Null));
}

#[tokio::test]
async fn decisions_and_plain_completions_look_up() {
    let server = serve_twins(judge(&[]), &["handbook"]).await;
    let body = json!({
        "model": "handbook", "input": "plow", "questions": [predicate("It is a plow.")], "metadata": {"why": "a test"},
    });
    let reply = said(&server, "/v1/decisions", &body).await;
    assert!(cited(&reply).contains(&"words#6"), "{reply}");
    drop(server);

    let server = serve_twins(quotes(), &["handbook"]).await;
    let completes = |prompt: Value| json!({"model": "handbook", "prompt": prompt, "max_tokens": 900});
    let reply = said(&server, "/v1/completions", &completes(json!("plow"))).await;
    assert!(cited(&reply).contains(&"words#6"), "{reply}");
    let text = reply["choices"][0]["text"].as_str().unwrap();
    assert!(text.contains("[words#6]\n# Plow") && !text.contains("jumbo"), "{text}");
    // Each of several prompts reads its own passages, and all are cited once; tokens are looked up as the text they are.
    let jumbo: Vec<u8> = b"jumbo hymn".to_vec();
    let reply = said(&server, "/v1/completions", &completes(json!([jumbo, b"plow".to_vec()]))).await;
    let quoted = |choice: usize| reply["choices"][choice]["text"].as_str().unwrap().to_owned();
    assert!(quoted(0).contains("[words#2]") && !quoted(0).contains("[words#6]"), "{reply}");
    assert!(quoted(1).contains("[words#6]") && !quoted(1).contains("[words#2]"), "{reply}");
    let all = cited(&reply);
    assert!(all.contains(&"words#2") && all.contains(&"words#6"), "{all:?}");
    let mut once = all.clone();
    once.dedup();
    assert_eq!(once, all);
    let mut body = completes(json!("fizz"));
    body["stream"] = json!(true);
    let events = server.post("/v1/completions", &body).await.events();
    let chunk: Value = serde_json::from_str(&events[0]).unwrap();
    assert!(cited(&chunk).contains(&"words#1"), "{chunk}");
    let rows = left(server).await;
    let row: Value = serde_json::from_str(&rows[1].body).unwrap();
    assert_eq!(row["passages"], json!(all));
}

#[tokio::test]
async fn without_a_model_that_embeds_such_a_pack_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let world = World { embeds: false, ..World::of(&["handbook"]) };
    let (services, _control) = services(folder.path(), says("Hello"), &world);
    let refused = Server::new(ServerConfig::default(), services).err().unwrap().to_string();
    let (start, end) = refused.split_once(" takes ").unwrap();
    assert_eq!(start, "the text of `handbook`");
    assert!(
        end.ends_with(
            "tokens, more than its budget of 1700, and no embedding model is loaded that could look its documents up; \
             shorten the pack, raise its budget, or load one"
        ),
        "{refused}"
    );
}
