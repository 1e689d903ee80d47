//! Responses: made whole, streamed and in the background, gone on from, read again and deleted.

use std::fmt::Write;

use baton_server::ServerConfig;
use expect_test::expect;
use serde_json::{Value, json};

use super::client::Reply;
use super::fixture::{BASE, Fixture, World, alphabet, parrot, request, says, serve, serve_in, serve_twins, serve_with};

const PATH: &str = "/v1/responses";
const CALL: &str = "So. <tool_call>{\"name\": \"weather\", \"arguments\": {\"city\": \"Oslo\"}}</tool_call>";

fn body(fields: Value) -> Value {
    let mut body = json!({"model": BASE, "input": "Hi", "seed": 7});
    let Value::Object(fields) = fields else { panic!("fields are an object") };
    body.as_object_mut().unwrap().extend(fields);
    body
}

fn tools() -> Value {
    let city = json!({"type": "object", "properties": {"city": {"enum": ["Oslo", "Rome"]}}, "required": ["city"]});
    json!([{"type": "function", "name": "weather", "description": "The weather now.", "parameters": city, "strict": true}])
}

async fn create(server: &Fixture, fields: Value) -> Value {
    server.post(PATH, &body(fields)).await.json()
}

async fn send(server: &Fixture, method: &str, path: &str, key: &str) -> Reply {
    let mut client = server.client().await;
    client.send(&request(method, path, key, "")).await;
    client.reply().await
}

fn id_of(response: &Value) -> String {
    response["id"].as_str().unwrap_or_else(|| panic!("{response}")).to_owned()
}

/// Hides the ids, which differ from run to run, each by its own number.
fn masked(text: &str) -> String {
    let mut seen: Vec<String> = Vec::new();
    let mut shown = String::new();
    // A name that begins like an id.
    let text = text.replace("\"call_id\"", "\"call id\"");
    let mut rest = text.as_str();
    let labels = ["resp_", "msg_", "fco_", "fc_", "call_"];
    while let Some((at, label)) =
        labels.iter().filter_map(|label| Some((rest.find(&format!("\"{label}"))?, *label))).min_by_key(|(at, _)| *at)
    {
        let start = at + 1 + label.len();
        let end = start + rest[start..].find('"').unwrap();
        let id = rest[at + 1..end].to_owned();
        let number = seen.iter().position(|other| *other == id).unwrap_or_else(|| {
            seen.push(id);
            seen.len() - 1
        });
        write!(shown, "{}\"{label}{number}", &rest[..at]).unwrap();
        rest = &rest[end..];
    }
    (shown + rest).replace("\"call id\"", "\"call_id\"")
}

/// What was answered, how it stands and what it cost.
fn told(response: &Value) -> String {
    let output = response["output"].as_array().unwrap_or_else(|| panic!("{response}"));
    let item = |item: &Value| match item["type"].as_str().unwrap() {
        "message" => format!("{:?}", item["content"][0]["text"].as_str().unwrap()),
        _ => format!("{}({})", item["name"].as_str().unwrap(), item["arguments"].as_str().unwrap()),
    };
    let items: Vec<String> = output.iter().map(item).collect();
    format!("{} {} {}", response["status"].as_str().unwrap(), items.join(" "), response["usage"]["output_tokens"])
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one whole reply")]
async fn a_response_is_read_again_as_it_was() {
    let server = serve(says(CALL)).await;
    let asked =
        json!({"instructions": "Be brief.", "tools": tools(), "metadata": {"why": "to know"}, "temperature": 0.5});
    let mut made = create(&server, asked).await;
    expect![[r#"
        {
          "id": "resp_0",
          "object": "response",
          "created_at": 1767312000,
          "status": "completed",
          "background": false,
          "error": null,
          "incomplete_details": null,
          "instructions": "Be brief.",
          "max_output_tokens": null,
          "model": "byte-model",
          "output": [
            {
              "id": "msg_1",
              "type": "message",
              "status": "completed",
              "role": "assistant",
              "content": [
                {
                  "type": "output_text",
                  "text": "So.",
                  "annotations": [],
                  "logprobs": []
                }
              ]
            },
            {
              "id": "fc_2",
              "type": "function_call",
              "status": "completed",
              "call_id": "call_3",
              "name": "weather",
              "arguments": "{\"city\": \"Oslo\"}"
            }
          ],
          "parallel_tool_calls": true,
          "previous_response_id": null,
          "reasoning": {
            "effort": null,
            "summary": null
          },
          "store": true,
          "temperature": 0.5,
          "text": {
            "format": {
              "type": "text"
            }
          },
          "tool_choice": "auto",
          "tools": [
            {
              "type": "function",
              "name": "weather",
              "description": "The weather now.",
              "parameters": {
                "type": "object",
                "properties": {
                  "city": {
                    "enum": [
                      "Oslo",
                      "Rome"
                    ]
                  }
                },
                "required": [
                  "city"
                ]
              },
              "strict": true
            }
          ],
          "top_p": null,
          "truncation": "disabled",
          "usage": {
            "input_tokens": 605,
            "output_tokens": 78,
            "output_tokens_details": {
              "reasoning_tokens": 0
            },
            "total_tokens": 683,
            "input_tokens_details": {
              "cached_tokens": 0
            }
          },
          "user": null,
          "metadata": {
            "why": "to know"
          },
          "baton": {
            "seed": 7
          }
        }"#]]
    .assert_eq(&masked(&serde_json::to_string_pretty(&made).unwrap()));
    let mut found = server.get(&format!("{PATH}/{}", id_of(&made))).await.json();
    // What is known of a new response only.
    made["usage"].as_object_mut().unwrap().remove("input_tokens_details");
    for response in [&mut made, &mut found] {
        response.as_object_mut().unwrap().remove("baton");
    }
    assert_eq!(found, made);
}

#[tokio::test]
async fn a_stream_is_typed_events_in_order() {
    let server =
        serve(says("So. <tool_call>{\"name\": \"weather\", \"arguments\": {\"city\": \"Oslo\"}}</tool_call>")).await;
    let reply = server.post(PATH, &body(json!({"stream": true, "tools": tools()}))).await;
    let mut shown = String::new();
    for (number, event) in reply.body.split("\n\n").filter(|event| !event.is_empty()).enumerate() {
        let (name, data) = event.split_once('\n').unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(name, format!("event: {}", data["type"].as_str().unwrap()));
        assert_eq!(data["sequence_number"], number);
        let mut line = data.clone();
        let object = line.as_object_mut().unwrap();
        object.remove("sequence_number");
        if let Some(response) = object.remove("response") {
            object.insert("response".to_owned(), json!(told(&response)));
        }
        writeln!(shown, "{line}").unwrap();
    }
    expect![[r#"
        {"type":"response.created","response":"in_progress  null"}
        {"type":"response.in_progress","response":"in_progress  null"}
        {"output_index":0,"item":{"id":"msg_0","type":"message","status":"in_progress","role":"assistant","content":[]},"type":"response.output_item.added"}
        {"item_id":"msg_0","output_index":0,"content_index":0,"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]},"type":"response.content_part.added"}
        {"item_id":"msg_0","output_index":0,"content_index":0,"delta":"S","logprobs":[],"type":"response.output_text.delta"}
        {"item_id":"msg_0","output_index":0,"content_index":0,"delta":"o","logprobs":[],"type":"response.output_text.delta"}
        {"item_id":"msg_0","output_index":0,"content_index":0,"delta":".","logprobs":[],"type":"response.output_text.delta"}
        {"item_id":"msg_0","output_index":0,"content_index":0,"text":"So.","logprobs":[],"type":"response.output_text.done"}
        {"item_id":"msg_0","output_index":0,"content_index":0,"part":{"type":"output_text","text":"So.","annotations":[],"logprobs":[]},"type":"response.content_part.done"}
        {"output_index":0,"item":{"id":"msg_0","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","text":"So.","annotations":[],"logprobs":[]}]},"type":"response.output_item.done"}
        {"output_index":1,"item":{"id":"fc_1","type":"function_call","status":"in_progress","call_id":"call_2","name":"weather","arguments":""},"type":"response.output_item.added"}
        {"item_id":"fc_1","output_index":1,"delta":"{","type":"response.function_call_arguments.delta"}
        {"item_id":"fc_1","output_index":1,"delta":"\"","type":"response.function_call_arguments.delta"}
        {"item_id":"fc_1","output_index":1,"delta":"c","type":"response.function_call_arguments.delta"}
        {"item_id":"fc_1","output_index":1,"delta":"i","type":"response.function_call_arguments.delta"}
        {"item_id":"fc_1","output_index":1,"delta":"t","type":"response.function_call_arguments.delta"}
        {"item_id":"fc_1","output_index":1,"delta":"y","type":"response.function_call_arguments.delta"}
        {"item_id":"fc_1","output_index":1,"delta":"\"","type":"response.function_call_arguments.delta"}
        {"item_id":"fc_1","output_index":1,"delta":":","type":"response.function_call_arguments.delta"}
        {"item_id":"fc_1","output_index":1,"delta":" ","type":"response.function_call_arguments.delta"}
        {"item_id":"fc_1","output_index":1,"delta":"\"","type":"response.function_call_arguments.delta"}
        {"item_id":"fc_1","output_index":1,"delta":"O","type":"response.function_call_arguments.delta"}
        {"item_id":"fc_1","output_index":1,"delta":"s","type":"response.function_call_arguments.delta"}
        {"item_id":"fc_1","output_index":1,"delta":"l","type":"response.function_call_arguments.delta"}
        {"item_id":"fc_1","output_index":1,"delta":"o","type":"response.function_call_arguments.delta"}
        {"item_id":"fc_1","output_index":1,"delta":"\"","type":"response.function_call_arguments.delta"}
        {"item_id":"fc_1","output_index":1,"delta":"}","type":"response.function_call_arguments.delta"}
        {"item_id":"fc_1","output_index":1,"name":"weather","arguments":"{\"city\": \"Oslo\"}","type":"response.function_call_arguments.done"}
        {"output_index":1,"item":{"id":"fc_1","type":"function_call","status":"completed","call_id":"call_2","name":"weather","arguments":"{\"city\": \"Oslo\"}"},"type":"response.output_item.done"}
        {"type":"response.completed","response":"completed \"So.\" weather({\"city\": \"Oslo\"}) 78"}
    "#]].assert_eq(&masked(&shown));
    let last = reply.body.trim_end().rsplit_once("data: ").unwrap().1;
    let streamed = &serde_json::from_str::<Value>(last).unwrap()["response"];
    let whole = create(&server, json!({"tools": tools()})).await;
    assert_eq!(told(streamed), told(&whole));
    let found = server.get(&format!("{PATH}/{}", id_of(streamed))).await.json();
    assert_eq!(found["output"], streamed["output"], "ids and all");
}

#[tokio::test]
async fn a_response_goes_on_from_another() {
    let server = serve(parrot()).await;
    let first = create(&server, json!({"input": "one"})).await;
    let second = create(&server, json!({"input": "two", "previous_response_id": first["id"]})).await;
    let third = create(&server, json!({"input": "three", "previous_response_id": second["id"]})).await;
    expect![[r#"
        completed "one" 4
        completed "two" 4
        completed "three" 6"#]]
    .assert_eq(&[&first, &second, &third].map(told).join("\n"));
    assert_eq!(third["previous_response_id"], second["id"]);
    let said = json!([
        {"role": "user", "content": "one"}, {"role": "assistant", "content": "one"},
        {"role": "user", "content": "two"}, {"role": "assistant", "content": "two"},
        {"role": "user", "content": "three"},
    ]);
    let chat = server.post("/v1/chat/completions", &json!({"model": BASE, "messages": said})).await.json();
    assert_eq!(third["usage"]["input_tokens"], chat["usage"]["prompt_tokens"]);
    let path = format!("{PATH}/{}/input_items", id_of(&third));
    let page = server.get(&format!("{path}?limit=2")).await.json();
    expect![[r#"
        {
          "object": "list",
          "first_id": "msg_0",
          "last_id": "msg_1",
          "has_more": true,
          "data": [
            {
              "type": "message",
              "role": "user",
              "content": [
                {
                  "type": "input_text",
                  "text": "three"
                }
              ],
              "id": "msg_0",
              "status": "completed"
            },
            {
              "type": "message",
              "role": "assistant",
              "content": [
                {
                  "type": "output_text",
                  "text": "two",
                  "annotations": []
                }
              ],
              "id": "msg_1",
              "status": "completed"
            }
          ]
        }"#]]
    .assert_eq(&masked(&serde_json::to_string_pretty(&page).unwrap()));
    let after = page["last_id"].as_str().unwrap();
    let rest = server.get(&format!("{path}?limit=9&after={after}")).await.json();
    assert_eq!((rest["data"].as_array().unwrap().len(), &rest["has_more"]), (3, &json!(false)));
    let oldest = server.get(&format!("{path}?order=asc&limit=1")).await.json();
    assert_eq!(oldest["data"][0]["content"][0]["text"], "one");
}

#[tokio::test]
async fn a_result_goes_back_by_the_calls_id() {
    let server = serve(says(CALL)).await;
    let first = create(&server, json!({"tools": tools()})).await;
    let result =
        json!([{"type": "function_call_output", "call_id": first["output"][1]["call_id"], "output": "4 degrees"}]);
    let second = create(&server, json!({"input": result, "previous_response_id": first["id"]})).await;
    assert_eq!(second["status"], "completed", "{second}");
    let unknown = json!([{"type": "function_call_output", "call_id": "call_x", "output": "4 degrees"}]);
    let reply = server.post(PATH, &body(json!({"input": unknown, "previous_response_id": first["id"]}))).await;
    assert_eq!((reply.status, &reply.json()["error"]["param"]), (400, &json!("input[0].call_id")));
}

#[tokio::test]
async fn only_who_asked_can_read_it_and_only_what_was_stored() {
    let server = serve(says("yes")).await;
    let made = create(&server, json!({})).await;
    let unstored = create(&server, json!({"store": false})).await;
    let (own, other) = (format!("{PATH}/{}", id_of(&made)), format!("{PATH}/{}", id_of(&unstored)));
    let chat = server.chat(json!({})).await.json();
    let rows = [
        ("GET", own.clone(), &server.ada),
        ("GET", own.clone(), &server.bob),
        ("GET", format!("{own}/input_items"), &server.bob),
        ("POST", format!("{own}/cancel"), &server.ada),
        ("POST", format!("{own}/cancel"), &server.bob),
        ("DELETE", own.clone(), &server.bob),
        ("GET", other, &server.ada),
        ("GET", format!("{PATH}/{}", id_of(&chat)), &server.ada),
        ("GET", format!("{own}?surprise=1"), &server.ada),
        ("DELETE", own.clone(), &server.ada),
        ("GET", own.clone(), &server.ada),
        ("DELETE", own.clone(), &server.ada),
    ];
    let mut shown = String::new();
    for (method, path, key) in rows {
        let reply = send(&server, method, &path, key).await;
        let what = if reply.status == 200 { json!("ok") } else { reply.json()["error"]["code"].clone() };
        writeln!(shown, "{method} {} {what}", reply.status).unwrap();
    }
    expect![[r#"
        GET 200 "ok"
        GET 404 "response_not_found"
        GET 404 "response_not_found"
        POST 400 "invalid_value"
        POST 404 "response_not_found"
        DELETE 404 "response_not_found"
        GET 404 "response_not_found"
        GET 404 "response_not_found"
        GET 400 "unknown_parameter"
        DELETE 200 "ok"
        GET 404 "response_not_found"
        DELETE 404 "response_not_found"
    "#]]
    .assert_eq(&shown);
    assert_eq!(unstored["store"], false);
    let gone = server.post(PATH, &body(json!({"previous_response_id": made["id"]}))).await;
    assert_eq!((gone.status, &gone.json()["error"]["param"]), (404, &json!("previous_response_id")));
}

#[tokio::test]
async fn one_in_the_background_is_waited_for_or_cancelled() {
    let mut server = serve(alphabet()).await;
    let made = create(&server, json!({"background": true, "max_output_tokens": 5})).await;
    assert_eq!((&made["status"], &made["background"]), (&json!("in_progress"), &json!(true)));
    let path = format!("{PATH}/{}", id_of(&made));
    let done = loop {
        let found = server.get(&path).await.json();
        if found["status"] != "in_progress" {
            break found;
        }
    };
    assert_eq!(told(&done), "incomplete \"abcde\" 5");
    assert_eq!(done["incomplete_details"]["reason"], "max_output_tokens");
    assert_eq!(send(&server, "POST", &format!("{path}/cancel"), &server.ada).await.json(), done, "it had ended");

    let long = create(&server, json!({"background": true})).await;
    let path = format!("{PATH}/{}", id_of(&long));
    assert_eq!(send(&server, "POST", &format!("{path}/cancel"), &server.bob).await.status, 404);
    let early = server.post(PATH, &body(json!({"previous_response_id": long["id"]}))).await;
    assert_eq!(early.status, 409);
    let items = server.get(&format!("{path}/input_items")).await.json();
    assert_eq!(items["data"][0]["content"][0]["text"], "Hi");
    let cancelled = send(&server, "POST", &format!("{path}/cancel"), &server.ada).await.json();
    assert_eq!(cancelled["status"], "cancelled");
    assert_eq!(server.get(&path).await.json(), cancelled);
    server.quiet().await;

    let last = create(&server, json!({"background": true})).await;
    server.stop();
    let folder = server.over().await;
    let server = serve_in(folder, says("yes"), World::usual()).await;
    let found = server.get(&format!("{PATH}/{}", id_of(&last))).await.json();
    assert_eq!(found["status"], "cancelled", "the shutdown ended it");
    assert_eq!(server.get(&path).await.json(), cancelled, "a restart keeps what was there");
}

/// The events of a stream, each by itself.
fn events(reply: &Reply) -> Vec<String> {
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body.split_terminator("\n\n").map(str::to_owned).collect()
}

#[tokio::test]
async fn a_stream_in_the_background_is_gone_on_with() {
    let server = serve(says(CALL)).await;
    let asked = json!({"background": true, "stream": true, "tools": tools()});
    let whole = events(&server.post(PATH, &body(asked)).await);
    let first: Value = serde_json::from_str(whole[0].split_once("data: ").unwrap().1).unwrap();
    let path = format!("{PATH}/{}", id_of(&first["response"]));
    assert_eq!(first["response"]["status"], "in_progress");
    for after in [0, 7, whole.len() - 2] {
        let rest = server.get(&format!("{path}?stream=true&starting_after={after}")).await;
        assert_eq!(events(&rest), whole[after + 1..], "after {after}");
    }
    assert_eq!(events(&server.get(&format!("{path}?stream=true")).await), whole);
    let over = server.get(&format!("{path}?stream=true&starting_after={}", whole.len() - 1)).await;
    assert_eq!((over.status, over.body.as_str()), (200, ""));
    let bad = ["?stream=maybe", "?starting_after=1", "?stream=true&starting_after=x", "?stream=true&from=1"];
    for query in bad {
        assert_eq!(server.get(&format!("{path}{query}")).await.status, 400, "{query}");
    }
    assert_eq!(send(&server, "GET", &format!("{path}?stream=true"), &server.bob).await.status, 404);
    assert_eq!(send(&server, "DELETE", &path, &server.ada).await.status, 200);
    assert_eq!(server.get(&format!("{path}?stream=true")).await.status, 404, "what was deleted is told no more");
}

#[tokio::test]
async fn one_in_the_background_goes_on_when_who_reads_it_leaves() {
    let mut server = serve(alphabet()).await;
    server.control.hold();
    let mut client = server.client().await;
    let asked = body(json!({"background": true, "stream": true, "max_output_tokens": 5})).to_string();
    client.send(&request("POST", PATH, &server.ada, &asked)).await;
    let begun = client.read_until("response.in_progress").await;
    drop(client);
    let id = begun.split_once("\"id\":\"").unwrap().1.split_once('"').unwrap().0.to_owned();
    let path = format!("{PATH}/{id}?stream=true&starting_after=1");
    let mut again = server.client().await;
    again.send(&request("GET", &path, &server.ada, "")).await;
    server.control.release();
    let rest = again.reply().await;
    let last = events(&rest).pop().unwrap();
    let last: Value = serde_json::from_str(last.split_once("data: ").unwrap().1).unwrap();
    assert_eq!(told(&last["response"]), "incomplete \"abcde\" 5");
    assert!(rest.body.starts_with("event: response.output_item.added"), "{}", rest.body);
    drop(again);

    server.stop();
    let folder = server.over().await;
    let server = serve_in(folder, says("yes"), World::usual()).await;
    let rest = events(&server.get(&path).await);
    assert_eq!(rest.len(), 1, "after a restart the end is told, which has it all");
    assert!(rest[0].contains("\"sequence_number\":2") && rest[0].contains("\"text\":\"abcde\""), "{}", rest[0]);
    let whole = events(&server.get(&format!("{PATH}/{id}?stream=true")).await);
    let kinds: Vec<&str> = whole.iter().map(|event| event.lines().next().unwrap()).collect();
    expect![[r"
        event: response.created
        event: response.in_progress
        event: response.output_item.added
        event: response.content_part.added
        event: response.output_text.delta
        event: response.output_text.done
        event: response.content_part.done
        event: response.output_item.done
        event: response.incomplete"]]
    .assert_eq(&kinds.join("\n"));
}

#[tokio::test]
async fn a_twin_with_a_spec_answers_by_it() {
    let server = serve_twins(says(r#"{"severity": "high", "page": true}"#), &["triage"]).await;
    let reply = create(&server, json!({"model": "triage"})).await;
    assert_eq!(told(&reply), r#"completed "{\"severity\": \"high\", \"page\": true}" 35"#);
    assert_eq!(reply["baton"]["answers"][0]["seed"], 7);
    let refused = server.post(PATH, &body(json!({"model": "triage", "tools": tools()}))).await.json();
    assert_eq!(refused["error"]["param"], "tools");
    let broken = serve_twins(says("no"), &["triage"]).await;
    let stream = broken.post(PATH, &body(json!({"model": "triage", "stream": true, "max_output_tokens": 3}))).await;
    assert!(stream.body.contains("event: response.failed"), "{}", stream.body);
}

#[tokio::test]
async fn where_cues_are_not_filed_nothing_is_stored() {
    let config = ServerConfig { every_cue: false, ..ServerConfig::default() };
    let server = serve_with(says("yes"), config, |_| {}).await;
    let made = create(&server, json!({})).await;
    assert_eq!((&made["store"], told(&made)), (&json!(false), "completed \"yes\" 4".to_owned()));
    assert_eq!(server.get(&format!("{PATH}/{}", id_of(&made))).await.status, 404);
    assert_eq!(server.post(PATH, &body(json!({"background": true}))).await.status, 400);
}

#[tokio::test]
async fn what_was_erased_cannot_be_read() {
    let server = serve(says("yes")).await;
    let made = create(&server, json!({})).await;
    let path = format!("{PATH}/{}", id_of(&made));
    assert_eq!(server.get(&path).await.status, 200);
    let erasure = json!({"subject": made["id"], "reason": "asked for by the person"});
    let key = super::fixture::key_of(super::fixture::OLI);
    assert_eq!(server.post_as(&key, "/v1/ledger/erasures", &erasure).await.status, 200);
    assert_eq!(server.get(&path).await.status, 404);
}
