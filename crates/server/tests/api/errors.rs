//! Every error class, as clients see it.

use std::fmt::Write;

use expect_test::expect;
use serde_json::{Value, json};

use super::client::Reply;
use super::fixture::{BASE, alphabet, chat_body, parrot, request, says, serve, serve_with};
use baton_authority::{Cleared, Mandate, Roles};
use baton_contract::Role;
use baton_server::ServerConfig;
use baton_testkit::Fault;

fn shown(reply: &Reply) -> String {
    let headers = ["www-authenticate", "retry-after", "x-should-retry", "allow"];
    let headers: Vec<_> =
        headers.iter().filter_map(|name| reply.header(name).map(|value| format!("{name}: {value}\n"))).collect();
    assert!(reply.header("x-request-id").is_some());
    format!("{}\n{}{}\n", reply.status, headers.concat(), reply.body)
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one long table")]
async fn routes_keys_and_bodies() {
    let server = serve(parrot()).await;
    let chat = "/v1/chat/completions";
    let good = chat_body(json!({})).to_string();
    let typed = |text: &str| {
        String::from_utf8(request("POST", chat, &server.ada, &good)).unwrap().replace("application/json", text)
    };
    let keyless = String::from_utf8(request("GET", "/v1/models", "", "")).unwrap();
    let twice = "\r\nauthorization: Bearer x\r\nauthorization: Bearer y\r\n";
    let requests: Vec<(&str, Vec<u8>)> = vec![
        ("no such route", request("GET", "/v1/nothing", &server.ada, "")),
        ("no such method", request("GET", chat, &server.ada, "")),
        ("no such model", request("GET", "/v1/models/nobody", &server.ada, "")),
        ("cue to nobody", request("POST", chat, &server.ada, &chat_body(json!({"model": "nobody"})).to_string())),
        ("no key", keyless.replace("authorization: Bearer \r\n", "").into_bytes()),
        ("two keys", keyless.replace("\r\nauthorization: Bearer \r\n", twice).into_bytes()),
        ("basic", keyless.replace("Bearer", "Basic YTpi").into_bytes()),
        ("wrong key", request("GET", "/metrics", &server.ada.replace('1', "3"), "")),
        ("no key, no route", keyless.replace("/v1/models", "/x").into_bytes()),
        ("not in the mandate", request("POST", chat, &server.bob, &good)),
        ("wrong type", typed("text/plain").into_bytes()),
        ("empty body", request("POST", chat, &server.ada, "")),
        ("not an object", request("POST", chat, &server.ada, "[]")),
        ("not JSON", request("POST", chat, &server.ada, "{")),
        ("two models", request("POST", chat, &server.ada, r#"{"model":"a","model":"b"}"#)),
        ("no messages", request("POST", chat, &server.ada, &json!({"model": BASE}).to_string())),
    ];
    let mut all = String::new();
    for (name, bytes) in requests {
        let mut client = server.client().await;
        client.send(&bytes).await;
        writeln!(all, "# {name}\n{}", shown(&client.reply().await)).unwrap();
    }
    let with_charset = typed("Application/JSON; charset=utf-8");
    let mut client = server.client().await;
    client.send(with_charset.as_bytes()).await;
    assert_eq!(client.reply().await.status, 200);
    expect![[r#"
        # no such route
        404
        {"error":{"message":"there is no `/v1/nothing` here; see GET /v1/models, POST /v1/chat/completions","type":"invalid_request_error","param":null,"code":"unknown_url"}}

        # no such method
        405
        allow: POST
        {"error":{"message":"`/v1/chat/completions` does not take GET","type":"invalid_request_error","param":null,"code":"method_not_supported"}}

        # no such model
        404
        {"error":{"message":"the model `nobody` does not exist; GET /v1/models lists twins and models","type":"invalid_request_error","param":"model","code":"model_not_found"}}

        # cue to nobody
        404
        {"error":{"message":"the model `nobody` does not exist; GET /v1/models lists twins and models","type":"invalid_request_error","param":"model","code":"model_not_found"}}

        # no key
        401
        www-authenticate: Bearer realm="baton"
        {"error":{"message":"send your API key once, as `Authorization: Bearer baton_...`","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}

        # two keys
        401
        www-authenticate: Bearer realm="baton"
        {"error":{"message":"send your API key once, as `Authorization: Bearer baton_...`","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}

        # basic
        401
        www-authenticate: Bearer realm="baton"
        {"error":{"message":"send your API key as `Authorization: Bearer baton_...`","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}

        # wrong key
        401
        www-authenticate: Bearer realm="baton"
        {"error":{"message":"the API key is not valid here; `baton key new` makes one","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}

        # no key, no route
        401
        www-authenticate: Bearer realm="baton"
        {"error":{"message":"send your API key as `Authorization: Bearer baton_...`","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}

        # not in the mandate
        403
        x-should-retry: false
        {"error":{"message":"your mandate covers twins only, not the base model; cue a twin, or ask an architect to widen it","type":"permission_error","param":"model","code":"not_in_mandate"}}

        # wrong type
        415
        {"error":{"message":"send the body as `content-type: application/json`","type":"invalid_request_error","param":null,"code":"unsupported_media_type"}}

        # empty body
        400
        x-should-retry: false
        {"error":{"message":"the body is not JSON that can be accepted: EOF while parsing a value at line 1 column 0","type":"invalid_request_error","param":null,"code":"invalid_json"}}

        # not an object
        400
        x-should-retry: false
        {"error":{"message":"the body is not JSON that can be accepted: expected an object, not an array","type":"invalid_request_error","param":null,"code":"invalid_json"}}

        # not JSON
        400
        x-should-retry: false
        {"error":{"message":"the body is not JSON that can be accepted: EOF while parsing an object at line 1 column 1","type":"invalid_request_error","param":null,"code":"invalid_json"}}

        # two models
        400
        x-should-retry: false
        {"error":{"message":"the body is not JSON that can be accepted: duplicate key `model` at line 1 column 20","type":"invalid_request_error","param":null,"code":"invalid_json"}}

        # no messages
        400
        x-should-retry: false
        {"error":{"message":"you must provide `messages`","type":"invalid_request_error","param":"messages","code":"missing_required_parameter"}}

    "#]].assert_eq(&all);
}

#[tokio::test]
async fn a_prompt_that_never_fits() {
    let server = serve(parrot()).await;
    let long = json!({"messages": [{"role": "user", "content": "x".repeat(5000)}]});
    expect![[r#"
        400
        x-should-retry: false
        {"error":{"message":"this model's maximum context length is 4096 tokens, but the request needs 5020; shorten the messages or lower max_tokens","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}
    "#]].assert_eq(&shown(&server.chat(long).await));
}

#[tokio::test]
async fn a_body_that_is_too_large() {
    let config = ServerConfig { max_body: 1000, ..ServerConfig::default() };
    let server = serve_with(parrot(), config, |_| {}).await;
    let fits = |size: usize| {
        let body = chat_body(json!({"user": ""})).to_string();
        body.replace("\"user\":\"\"", &format!("\"user\":\"{}\"", "x".repeat(size - body.len())))
    };
    for (size, status) in [(1000, 200), (1001, 413), (7000, 413)] {
        let mut client = server.client().await;
        client.send(&request("POST", "/v1/chat/completions", &server.ada, &fits(size))).await;
        assert_eq!(client.reply().await.status, status, "{size}");
    }
}

#[tokio::test]
async fn a_full_queue_says_when_to_try_again() {
    let server = serve_with(alphabet(), ServerConfig::default(), |limits| {
        limits.max_sequences = 1;
        limits.max_waiting = 1;
    })
    .await;
    server.quiet().await;
    server.control.hold();
    let body = chat_body(json!({"stream": true, "max_tokens": 5}));
    let bytes = request("POST", "/v1/chat/completions", &server.ada, &body.to_string());
    let (mut first, mut second) = (server.client().await, server.client().await);
    first.send(&bytes).await;
    first.read_until("assistant").await;
    second.send(&bytes).await;
    second.read_until("assistant").await;
    let refused = server.chat(json!({})).await;
    assert_eq!(refused.status, 429);
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    assert_eq!(refused.json()["error"]["code"], "queue_full");
    // More than can ever be in flight is the request's own fault.
    assert_eq!(server.chat(json!({"n": 3})).await.status, 400);
    server.control.release();
    first.read_until("[DONE]").await;
    second.read_until("[DONE]").await;
    server.quiet().await;
    assert_eq!(server.chat(json!({"max_tokens": 1})).await.status, 200);
}

#[tokio::test]
async fn more_than_the_mandate_allows_at_once() {
    let server = serve(alphabet()).await;
    let ask = async |n: u32| {
        let body = chat_body(json!({"model": "ux", "n": n}));
        server.post_as(&server.bob, "/v1/chat/completions", &body).await
    };
    assert_eq!(ask(2).await.status, 200);
    let refused = ask(3).await;
    assert_eq!((refused.status, refused.json()["error"]["code"].clone()), (429, json!("rate_limit_exceeded")));
    assert_eq!(refused.header("retry-after"), Some("1"));
    // Nothing is left over.
    assert_eq!(ask(2).await.status, 200);
}

#[tokio::test]
async fn a_mandate_bounds_process_product_tokens_and_role() {
    let server = serve(alphabet()).await;
    let eve = server.only_key(Mandate {
        processes: Cleared::Only(vec!["copy".into()]),
        products: Cleared::Only(vec!["shop".into()]),
        max_tokens_in_flight: Some(150),
        ..Mandate::default()
    });
    let ask = async |metadata: Value, max_tokens: u32| {
        let body = chat_body(json!({"metadata": metadata, "max_tokens": max_tokens}));
        let reply = server.post_as(&eve, "/v1/chat/completions", &body).await;
        (reply.status, reply.json()["error"]["code"].clone(), reply.json()["error"]["message"].clone())
    };
    let good = || json!({"process": "copy", "product": "shop"});
    assert_eq!(ask(good(), 5).await.0, 200);
    for (metadata, message) in [
        (
            json!({"process": "copy", "product": "app"}),
            "your mandate does not cover the product `app`, only `shop`; an architect can widen it",
        ),
        (
            json!({"product": "shop"}),
            "your mandate covers the process `copy` only: say with the cue which one it is for",
        ),
    ] {
        assert_eq!(ask(metadata, 5).await, (403, json!("not_in_mandate"), json!(message)));
    }
    let (status, code, message) = ask(good(), 151).await;
    assert_eq!((status, code), (403, json!("not_in_mandate")));
    assert!(
        message.as_str().unwrap().starts_with("your mandate allows 150 tokens in progress at once; 0 are"),
        "{message}"
    );
    // Nothing is left over.
    assert_eq!(ask(good(), 5).await.0, 200);

    let roles = Roles::new([Role::Auditor], Cleared::Only(Vec::new())).unwrap();
    let otto = server.only_key(Mandate { roles, ..Mandate::default() });
    let refused = server.post_as(&otto, "/v1/chat/completions", &chat_body(json!({}))).await;
    assert_eq!((refused.status, refused.json()["error"]["code"].clone()), (403, json!("not_in_role")));
}

#[tokio::test]
async fn a_fault_of_the_engine() {
    let server = serve(says("Yes")).await;
    server.quiet().await;
    let next = server.control.plans().len() as u64 + 1;
    server.control.fault(next, Fault::Panic);
    let reply = server.chat(json!({})).await;
    assert_eq!((reply.status, reply.json()["error"]["type"].clone()), (500, json!("server_error")));

    // In the middle of a stream it is an event, and the stream ends without [DONE].
    let next = server.control.plans().len() as u64 + 3;
    server.control.fault(next, Fault::Error);
    let reply = server.chat(json!({"stream": true})).await;
    assert_eq!(reply.status, 200);
    let events = reply.events();
    assert!(events.last().unwrap().starts_with("{\"error\":{\"message\":"), "{events:?}");
    assert!(events.len() >= 3);

    assert_eq!(server.chat(json!({})).await.json()["choices"][0]["message"]["content"], "Yes");
}

#[tokio::test]
async fn an_engine_that_has_stopped() {
    let server = serve(says("Yes")).await;
    server.quiet().await;
    server.engine.drain(std::time::Duration::ZERO).await;
    let reply = server.chat(json!({})).await;
    assert_eq!((reply.status, reply.json()["error"]["code"].clone()), (503, json!("engine_stopped")));
    let ready = server.get("/ready").await;
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("the engine has stopped"));
}
