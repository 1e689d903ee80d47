//! Clients that go away.

use serde_json::json;

use super::fixture::{alphabet, chat_body, request, serve};

#[tokio::test]
async fn leaving_frees_everything() {
    let server = serve(alphabet()).await;
    server.quiet().await;
    let before = server.engine.status().scheduler.blocks;
    for stream in [true, false] {
        server.control.hold();
        let body = chat_body(json!({"stream": stream, "n": 2, "max_tokens": 1000}));
        let mut client = server.client().await;
        client.send(&request("POST", "/v1/chat/completions", &server.ada, &body.to_string())).await;
        let control = server.control.clone();
        tokio::task::spawn_blocking(move || control.wait_held()).await.unwrap();
        drop(client);
        server.control.release();
        server.quiet().await;
    }
    assert_eq!(server.engine.status().counters.cancelled, 4);
    let after = server.engine.status().scheduler.blocks;
    assert_eq!(after.free + after.reusable, before.free + before.reusable);
}

#[tokio::test]
async fn many_leave_at_any_moment() {
    let server = serve(alphabet()).await;
    server.quiet().await;
    // A small linear congruential generator: the moments differ, and are the same in every run.
    let mut random = 12345_u32;
    for _ in 0..200 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let twin = if random & 0x1000 == 0 { "ux" } else { "security" };
        let body = chat_body(json!({"stream": random & 0x2000 == 0, "model": twin, "max_tokens": 40}));
        let bytes = request("POST", "/v1/chat/completions", &server.ada, &body.to_string());
        let sent = bytes.len() * (random >> 24) as usize / 200;
        let mut client = server.client().await;
        client.send(&bytes[..sent.min(bytes.len())]).await;
        for _ in 0..random >> 16 & 0xf {
            tokio::task::yield_now().await;
        }
    }
    server.quiet().await;
    let status = server.engine.status();
    assert_eq!(status.counters.broken_invariants, 0);
    assert_eq!(server.chat(json!({"max_tokens": 3})).await.json()["choices"][0]["message"]["content"], "abc");
    assert!(status.scheduler.prefixes_computed.values().all(|count| *count <= 1));
}
