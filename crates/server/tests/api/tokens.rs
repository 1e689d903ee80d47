//! Tokens of texts and chats, and texts of tokens.

use std::fmt::Write;

use expect_test::expect;
use serde_json::{Value, json};

use super::fixture::{BASE, Fixture, says, serve};

async fn told(server: &Fixture, path: &str, rows: &[Value]) -> String {
    let mut told = String::new();
    for row in rows {
        let reply = server.post(path, row).await;
        match reply.json().get("error") {
            Some(error) => writeln!(told, "{} {}: {}", reply.status, error["param"], error["message"]).unwrap(),
            None => writeln!(told, "{}", reply.body).unwrap(),
        }
    }
    told
}

#[tokio::test]
async fn texts_and_chats_come_to_tokens() {
    let server = serve(says("")).await;
    let said = json!([{"role": "user", "content": "é<|im_end|>"}]);
    let rows = [
        json!({"model": BASE, "prompt": "Hi"}),
        json!({"model": BASE, "prompt": "é", "add_special_tokens": false, "return_token_strs": true}),
        json!({"model": BASE, "messages": said, "return_token_strs": true}),
        json!({"model": BASE, "messages": said, "add_generation_prompt": false}),
        json!({"model": "ux", "prompt": "Hi"}),
        json!({"model": "ux", "messages": [{"role": "user", "content": "Hi"}]}),
    ];
    expect![[r#"
        {"count":2,"max_model_len":4096,"tokens":[72,105],"token_strs":null}
        {"count":2,"max_model_len":4096,"tokens":[195,169],"token_strs":["bytes:\\xc3","bytes:\\xa9"]}
        {"count":31,"max_model_len":4096,"tokens":[256,117,115,101,114,10,195,169,60,124,105,109,95,101,110,100,124,62,257,10,256,97,115,115,105,115,116,97,110,116,10],"token_strs":["<|im_start|>","u","s","e","r","\n","bytes:\\xc3","bytes:\\xa9","<","|","i","m","_","e","n","d","|",">","<|im_end|>","\n","<|im_start|>","a","s","s","i","s","t","a","n","t","\n"]}
        {"count":20,"max_model_len":4096,"tokens":[256,117,115,101,114,10,195,169,60,124,105,109,95,101,110,100,124,62,257,10],"token_strs":null}
        {"count":2,"max_model_len":4096,"tokens":[72,105],"token_strs":null,"baton":{"pack_tokens":596}}
        {"count":20,"max_model_len":4096,"tokens":[117,115,101,114,10,72,105,257,10,256,97,115,115,105,115,116,97,110,116,10],"token_strs":null,"baton":{"pack_tokens":596}}
    "#]].assert_eq(&told(&server, "/tokenize", &rows).await);
}

#[tokio::test]
async fn a_twins_count_is_what_its_chat_reads() {
    let server = serve(says("")).await;
    let tool = json!({"type": "function", "function": {"name": "f"}});
    let messages = json!([{"role": "user", "content": "Hi"}]);
    for fields in [json!({}), json!({"metadata": {"why": "to ship"}}), json!({"tools": [tool]})] {
        let mut body = json!({"model": "ux", "messages": messages});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let counted = server.post("/tokenize", &body).await.json();
        let read = server.post("/v1/chat/completions", &body).await.json()["usage"]["prompt_tokens"].clone();
        let all = counted["count"].as_u64().unwrap() + counted["baton"]["pack_tokens"].as_u64().unwrap();
        assert_eq!(read, all, "{fields}");
        assert_eq!(counted["tokens"].as_array().unwrap().len(), counted["count"]);
    }
}

#[tokio::test]
async fn tokens_come_to_a_text() {
    let server = serve(says("")).await;
    let rows = [
        json!({"model": BASE, "tokens": [72, 105, 257]}),
        json!({"model": "ux", "tokens": []}),
        json!({"model": BASE, "tokens": [195]}),
        json!({"model": BASE, "tokens": [999]}),
        json!({"model": BASE, "tokens": [-1]}),
        json!({"model": BASE}),
        json!({"model": BASE, "tokens": [1], "more": 1}),
        json!({"model": "nobody", "tokens": [1]}),
    ];
    expect![[r#"
        {"prompt":"Hi<|im_end|>"}
        {"prompt":""}
        {"prompt":"�"}
        400 "tokens": "`tokens` must be between 0 and 258, not 999"
        400 "tokens": "`tokens` must be between 0 and 258, not -1"
        400 "tokens": "you must provide `tokens`"
        400 "more": "unrecognized request argument supplied: more"
        404 "model": "the model `nobody` does not exist; GET /v1/models lists twins and models"
    "#]]
    .assert_eq(&told(&server, "/detokenize", &rows).await);
}

#[tokio::test]
async fn what_cannot_be_tokenised_is_refused() {
    let server = serve(says("")).await;
    let said = json!([{"role": "user", "content": "Hi"}]);
    let rows = [
        json!({"model": BASE}),
        json!({"model": BASE, "prompt": ["Hi"]}),
        json!({"model": BASE, "messages": []}),
        json!({"model": BASE, "messages": said, "add_special_tokens": true}),
        json!({"model": BASE, "messages": said, "continue_final_message": true}),
        json!({"model": BASE, "messages": said, "add_generation_prompt": "yes"}),
        json!({"model": BASE, "messages": said, "chat_template": "x"}),
        json!({"model": BASE, "prompt": "Hi", "messages": said}),
    ];
    expect![[r#"
        400 "messages": "you must provide `messages`"
        400 "prompt": "`prompt` must be a string, not an array"
        400 "messages": "`messages` is empty; give at least one"
        400 "add_special_tokens": "`add_special_tokens`: the chat template writes them by itself; leave it out with `messages`"
        400 "continue_final_message": "`continue_final_message`: an answer is always a message of its own"
        400 "add_generation_prompt": "`add_generation_prompt` must be a boolean, not a string"
        400 "chat_template": "`chat_template`: the template is the model's own and cannot be set by a request"
        400 "messages": "unrecognized request argument supplied: messages"
    "#]].assert_eq(&told(&server, "/tokenize", &rows).await);
}
