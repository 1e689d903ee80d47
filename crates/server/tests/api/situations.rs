//! The table of situations over HTTP: `situations.txt` says what it means.

use serde_json::{Value, json};

use super::client::Reply;
use super::decisions::{judge, predicate};
use super::fixture::{ADA_EXPERT, EVE, FAY, Fixture, MIA, NAT, REX, World, key_of, request, serve_in};

const PATH: &str = "/v1/decisions";
const TABLE: &str = include_str!("situations.txt");
const TWINS: [&str; 4] = ["ux", "security", "ops", "care"];
/// What the model says, by what it is asked.
const SAYS: &[(&str, &str)] = &[
    ("Is this statement true?", "Yes"),
    ("Is it about something", "Yes"),
    ("outsiders", "4"),
    ("for ever", "3"),
    ("Who would meet it?", "1"),
    ("to undo it?", "1"),
];
/// Standings in which who asked may read the answer.
const OUT: [&str; 5] = ["released", "in-review", "checked-ok", "checked-wrong", "expired-unchecked"];

/// A server, and the decision that a situation is about.
struct Scene {
    server: Option<Fixture>,
    world: World,
    id: String,
    /// Who asked for it.
    asker: String,
}

impl Scene {
    async fn new(mut world: World, given: &str) -> Self {
        match given.split(' ').collect::<Vec<_>>()[..] {
            [] | [""] => {}
            [days, "days", "later"] => world.now += seconds(days),
            [twin, "on", "trial"] => world.on_trial.push(twin.to_owned()),
            _ => panic!("given {given}"),
        }
        let server = serve_in(tempfile::tempdir().unwrap(), judge(SAYS), world.clone()).await;
        Self { server: Some(server), world, id: String::new(), asker: String::new() }
    }

    fn server(&self) -> &Fixture {
        self.server.as_ref().unwrap()
    }

    fn key(&self, who: &str) -> String {
        match who {
            "ada" => self.server().ada.clone(),
            "bob" => self.server().bob.clone(),
            "ada*" => key_of(ADA_EXPERT),
            "eve" => key_of(EVE),
            "fay" => key_of(FAY),
            "mia" => key_of(MIA),
            "rex" => key_of(REX),
            "nat" => key_of(NAT),
            other => panic!("nobody is called {other}"),
        }
    }

    /// What comes of one step.
    async fn step(&mut self, step: &str) -> String {
        if let Some((who, asked)) = step.split_once(" asks ") {
            return self.ask(who, asked, false).await;
        }
        if let Some((who, asked)) = step.split_once(" chats with ") {
            return self.ask(who, asked, true).await;
        }
        match step {
            "the ledger fails" => {
                self.server().ledger.close().await.unwrap();
                return "gone".to_owned();
            }
            "erased" => {
                let at = jiff::Timestamp::UNIX_EPOCH;
                let erasure = baton_ledger::Erasure::of_subject(&self.id, at, "op", "a request").unwrap();
                self.server().ledger.erase(erasure).await.unwrap();
            }
            "restart" => {}
            "restart on another model" => self.world.weights = b"other weights",
            "restart with other packs" => self.world.edited = true,
            later if later.ends_with(" days later") => self.world.now += seconds(later.split(' ').next().unwrap()),
            deed => return self.act(deed).await,
        }
        if step != "erased" {
            let mut server = self.server.take().unwrap();
            server.stop();
            self.server = Some(serve_in(server.over().await, judge(SAYS), self.world.clone()).await);
        }
        self.standing().await
    }

    async fn ask(&mut self, who: &str, asked: &str, is_chat: bool) -> String {
        let mut phrases = asked.split(", ");
        let twin = phrases.next().unwrap();
        let body = body(twin, phrases, is_chat);
        let path = if is_chat { "/v1/chat/completions" } else { PATH };
        let reply = self.server().post_as(&self.key(who), path, &body).await;
        if reply.status != 200 {
            return reply.status.to_string();
        }
        let reply = reply.json();
        let decision = &reply["baton"]["decision"];
        let outcome = decision["outcome"].as_str().unwrap_or_else(|| panic!("{asked}: {reply}"));
        // Whatever it is that goes out: it does so if it is released, and only then.
        let shown = if is_chat {
            reply["choices"][0]["message"]["content"].is_string()
        } else {
            reply["answers"][0]["type"] != "refusal"
        };
        assert_eq!(shown, outcome == "released", "{asked}: {reply}");
        decision["id"].as_str().unwrap().clone_into(&mut self.id);
        who.clone_into(&mut self.asker);
        let overridable: Vec<_> =
            decision["overridable"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let overridable = if overridable.is_empty() { String::new() } else { format!(" [{}]", overridable.join(" ")) };
        format!("{} {outcome}{overridable}", decision["tier"])
    }

    async fn act(&mut self, deed: &str) -> String {
        let (who, deed) = deed.split_once(' ').unwrap();
        let (name, body) = match deed.split(' ').collect::<Vec<_>>()[..] {
            ["approves"] => {
                ("approve", json!({"answer_digest": self.status(&self.key(&self.asker)).await.json()["answer_digest"]}))
            }
            ["approves", "something", "else"] => {
                ("approve", json!({"answer_digest": format!("blake3:{}", "0".repeat(64))}))
            }
            ["refuses"] => ("refuse", json!({"reason": "ask somebody"})),
            ["withdraws"] => ("withdraw", json!({})),
            ["finds", "it", "right"] => ("review", json!({"verdict": "ok"})),
            ["finds", "it", "wrong"] => ("review", json!({"verdict": "wrong", "fix": "No, it is not."})),
            ["corrects"] => ("correct", json!({"fix": "No, it is not."})),
            ["makes", "a", "case"] => ("case", json!({})),
            ["overrides", rule] => ("override", json!({"rule": rule, "reason": "I know why"})),
            ["overrides", rule, "for", "no", "reason"] => ("override", json!({"rule": rule, "reason": "-"})),
            _ => panic!("nobody {deed}"),
        };
        let path = format!("{PATH}/{}/{name}", self.id);
        let reply = self.server().post_as(&self.key(who), &path, &body).await;
        if reply.status == 200 { self.standing().await } else { reply.status.to_string() }
    }

    /// Where the decision stands, as who asked is told.
    async fn standing(&self) -> String {
        let status = self.status(&self.key(&self.asker)).await;
        assert_eq!(status.status, 200, "{}", status.body);
        let status = status.json();
        let standing = status["standing"].as_str().unwrap().to_owned();
        let is_out = OUT.contains(&standing.as_str());
        assert!(is_out || status.get("answer").is_none(), "an answer that is not out: {status}");
        standing
    }

    async fn status(&self, key: &str) -> Reply {
        let mut client = self.server().client().await;
        client.send(&request("GET", &format!("{PATH}/{}", self.id), key, "")).await;
        client.reply().await
    }
}

fn seconds(days: &str) -> i64 {
    days.parse::<i64>().unwrap() * 24 * 60 * 60
}

/// What is asked, from the phrases of a step.
fn body<'a>(twin: &str, phrases: impl Iterator<Item = &'a str>, is_chat: bool) -> Value {
    let mut metadata = json!({"why": "somebody has to know", "product": "shop"});
    let (mut own, mut said) = (json!({}), "It is right.");
    for phrase in phrases {
        let (first, rest) = phrase.split_once(' ').unwrap_or((phrase, ""));
        match first {
            "no" => drop(metadata.as_object_mut().unwrap().remove("why")),
            "for" => metadata["product"] = json!(rest),
            "in" => metadata["process"] = json!(rest),
            "and" => own["products"] = json!([rest]),
            "topic" => own["topic"] = json!(rest),
            "touches" => own["touches"] = json!(rest.split('+').collect::<Vec<_>>()),
            "override" => own["overrides"] = json!([{"rule": rest, "reason": "I know why"}]),
            "says" => said = rest.trim_matches('"'),
            radius => {
                let (reach, undo) = radius.split_once('/').unwrap_or_else(|| panic!("{phrase}"));
                own["radius"] = json!({"reach": reach, "reversibility": undo});
            }
        }
    }
    if is_chat {
        let messages = json!([{"role": "user", "content": said}]);
        return json!({"model": twin, "messages": messages, "metadata": metadata, "baton": own});
    }
    json!({
        "model": twin, "input": "Somebody asks.", "questions": [predicate(said)], "metadata": metadata, "baton": own,
    })
}

/// The rows: what happens, and what is to come of it.
fn rows() -> Vec<(&'static str, &'static str)> {
    let rows = TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    rows.map(|row| row.split_once("=>").map(|(steps, outcomes)| (steps.trim(), outcomes.trim())).unwrap()).collect()
}

#[tokio::test]
async fn each_situation_has_its_outcome() {
    let rows = rows();
    assert!(rows.len() >= 60, "{}", rows.len());
    let mut shared = Scene::new(World::of(&TWINS), "").await;
    let mut wrong = Vec::new();
    for (steps, expected) in rows {
        let alone = ["given", "restart", "later", "ledger"].iter().any(|word| steps.contains(word));
        let given = steps.strip_prefix("given ").map(|rest| rest.split("; ").next().unwrap_or(rest));
        let mut own = if alone { Some(Scene::new(World::of(&TWINS), given.unwrap_or_default()).await) } else { None };
        let scene = own.as_mut().unwrap_or(&mut shared);
        let mut outcomes = Vec::new();
        for step in steps.split("; ") {
            outcomes.push(if step.starts_with("given ") { "ready".to_owned() } else { scene.step(step).await });
        }
        let found = outcomes.join("; ");
        if found != expected {
            wrong.push(format!("{steps}\n    expected {expected}\n    found    {found}"));
        }
    }
    assert!(wrong.is_empty(), "{} situations came out otherwise:\n{}", wrong.len(), wrong.join("\n"));
}
