//! Time limits, connection limits, and the end of the server.

use std::time::Duration;

use baton_server::ServerConfig;
use serde_json::json;

use super::fixture::{alphabet, chat_body, parrot, request, serve, serve_with};

const SHORT: Duration = Duration::from_millis(20);

#[tokio::test]
async fn slow_headers_end_the_connection() {
    let config = ServerConfig { header_timeout: SHORT, ..ServerConfig::default() };
    let server = serve_with(parrot(), config, |_| {}).await;
    for begun in ["", "GET /health HTTP/1.1\r\nhost:"] {
        let mut client = server.client().await;
        client.send(begun.as_bytes()).await;
        assert_eq!(client.read_to_end().await, "");
    }
    // The second request of a connection is held to it as well.
    let mut client = server.client().await;
    client.send(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(client.reply().await.status, 200);
    client.send(b"GET /health HTTP/1.1\r\nhost:").await;
    assert_eq!(client.read_to_end().await, "");
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let config = ServerConfig { idle_timeout: SHORT, ..ServerConfig::default() };
    let server = serve_with(parrot(), config, |_| {}).await;
    let mut client = server.client().await;
    client.send(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(client.reply().await.status, 200);
    assert_eq!(client.read_to_end().await, "");
}

#[tokio::test]
async fn a_slow_body_is_a_408() {
    let config = ServerConfig { body_timeout: SHORT, ..ServerConfig::default() };
    let server = serve_with(parrot(), config, |_| {}).await;
    let mut client = server.client().await;
    let bytes = request("POST", "/v1/chat/completions", &server.ada, &chat_body(json!({})).to_string());
    client.send(&bytes[..bytes.len() - 1]).await;
    let reply = client.reply().await;
    assert_eq!((reply.status, reply.json()["error"]["code"].clone()), (408, json!("request_timeout")));
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let server = serve(parrot()).await;
    let mut client = server.client().await;
    for _ in 0..3 {
        client.send(&request("GET", "/v1/models/ux", &server.ada, "")).await;
        assert_eq!(client.reply().await.status, 200);
    }
}

#[tokio::test]
async fn more_connections_wait_for_room() {
    let config = ServerConfig { max_connections: 1, ..ServerConfig::default() };
    let server = serve_with(parrot(), config, |_| {}).await;
    let mut first = server.client().await;
    first.send(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(first.reply().await.status, 200);
    let mut second = server.client().await;
    second.send(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
    drop(first);
    assert_eq!(second.reply().await.status, 200);
}

#[tokio::test]
async fn a_silent_stream_is_kept_alive() {
    let config = ServerConfig { keep_alive: SHORT, ..ServerConfig::default() };
    let server = serve_with(alphabet(), config, |_| {}).await;
    server.quiet().await;
    server.control.hold();
    let mut client = server.client().await;
    let body = chat_body(json!({"stream": true, "max_tokens": 2}));
    client.send(&request("POST", "/v1/chat/completions", &server.ada, &body.to_string())).await;
    client.read_until(": still working\n\n").await;
    client.read_until(": still working\n\n").await;
    server.control.release();
    client.read_until("[DONE]").await;
}

#[tokio::test]
async fn draining_finishes_what_has_begun() {
    let mut server = serve(alphabet()).await;
    server.quiet().await;
    server.control.hold();
    let body = chat_body(json!({"stream": true, "max_tokens": 5}));
    let (mut busy, mut idle) = (server.client().await, server.client().await);
    busy.send(&request("POST", "/v1/chat/completions", &server.ada, &body.to_string())).await;
    busy.read_until("assistant").await;
    idle.send(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(idle.reply().await.status, 200);
    server.stop();
    // An idle connection is closed at once, and nobody new gets in.
    assert_eq!(idle.read_to_end().await, "");
    server.control.release();
    assert!(busy.read_to_end().await.contains("[DONE]"));
    server.over().await;
}

#[tokio::test]
async fn draining_has_a_limit() {
    let config = ServerConfig { drain_timeout: SHORT, ..ServerConfig::default() };
    let mut server = serve_with(alphabet(), config, |_| {}).await;
    server.quiet().await;
    server.control.hold();
    let mut client = server.client().await;
    let body = chat_body(json!({"stream": true}));
    client.send(&request("POST", "/v1/chat/completions", &server.ada, &body.to_string())).await;
    client.read_until("assistant").await;
    server.stop();
    assert!(!client.read_to_end().await.contains("[DONE]"));
    server.control.release();
    server.over().await;
}
