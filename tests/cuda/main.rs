//! `baton serve` on a GPU, from the first start to the loss of the device. On the emulated GPU alone: its memory is as large
//! as a test wants it, and it fails on order. Elsewhere the tests say that they are skipped.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod agreement;
#[path = "../cli/served.rs"]
#[expect(dead_code, reason = "what starts a server without a GPU is for the other tests")]
mod served;
#[path = "../cli/support.rs"]
#[expect(dead_code, reason = "some of it is for the other tests")]
mod support;
#[path = "../cli/tiny.rs"]
mod tiny;
mod world;

use std::io::{BufRead, Read};
use std::thread;

use serde_json::{Value, json};

use agreement::Agreement;
use served::Served;
use world::{ADAPTER_MEMORY, BLOCK_BYTES, World, weight_bytes};

/// Memory of the emulated GPU.
const MEMORY: usize = 4 << 30;
/// What is left for activations, libraries and recorded steps.
const SCRATCH: usize = 3 << 30;

/// A share of the memory that leaves so many blocks for keys and values.
fn share(blocks: usize) -> String {
    let filled = SCRATCH + ADAPTER_MEMORY + weight_bytes() + blocks * BLOCK_BYTES + BLOCK_BYTES / 2;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let share = filled as f64 / MEMORY as f64;
    format!("{share:.12}")
}

/// A greedy cue that is told what else the model would have said.
fn cue(model: &str, question: &str) -> Value {
    json!({
        "model": model, "max_tokens": 8, "temperature": 0, "logprobs": true, "top_logprobs": 5,
        "messages": [{"role": "user", "content": question}], "metadata": {"why": "to compare"},
    })
}

/// What one conductor asks, one after the other.
fn cues(conductor: usize) -> Vec<Value> {
    let asked = ["alpha", "beta", "tiny", "beta", "alpha"];
    let question = |at: usize| format!("Question {at} of conductor {conductor}: page or modal?");
    asked.iter().enumerate().map(|(at, model)| cue(model, &question(at))).collect()
}

fn body(answer: &str) -> Value {
    serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap()
}

fn ask(served: &Served, path: &str, asked: &Value) -> Value {
    let (status, answer) = served.ask("POST", path, served.key.as_ref().unwrap(), asked);
    assert_eq!(status, 200, "{answer}");
    body(&answer)
}

fn metrics(served: &Served) -> String {
    served.ask("GET", "/metrics", served.key.as_ref().unwrap(), &Value::Null).1
}

/// The sum of all rows of a metric.
fn metric(metrics: &str, name: &str) -> f64 {
    let rows = metrics.lines().filter(|line| line.starts_with(&format!("{name}{{")));
    rows.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

#[test]
fn a_server_on_a_gpu_answers_as_one_on_the_cpu() {
    let Some(world) = World::new("a_server_on_a_gpu_answers_as_one_on_the_cpu") else { return };
    let on_cpu = Served::of(world.serve("cpu", &["--device", "cpu", "--kv-cache-memory", "16MiB"]));
    // So few blocks that the twins' packs give way to each other.
    let blocks = 13;
    let on_gpu = Served::of(world.serve("gpu", &["--device", "cuda", "--gpu-memory-utilization", &share(blocks)]));
    assert_eq!(metric(&metrics(&on_gpu), "baton_blocks"), f64::from(u32::try_from(blocks).unwrap()));

    let mut agreement = Agreement::default();
    let all = |served: &Served, conductor| -> Vec<Value> {
        cues(conductor).iter().map(|cue| ask(served, "/v1/chat/completions", cue)).collect()
    };
    thread::scope(|scope| {
        let (all, on_gpu) = (&all, &on_gpu);
        let found: Vec<_> = (0..4).map(|conductor| scope.spawn(move || all(on_gpu, conductor))).collect();
        for (conductor, found) in found.into_iter().enumerate() {
            for (expected, found) in all(&on_cpu, conductor).iter().zip(&found.join().unwrap()) {
                agreement.of(expected, found);
            }
        }
    });
    agreement.assert_enough(4 * 5 * 8 / 2);
    let told = metrics(&on_gpu);
    assert!(
        metric(&told, "baton_prefix_restored_from_memory_total") > 0.0,
        "packs come back from the host's memory: {told}"
    );
    assert_eq!(
        metric(&told, "baton_prefix_damaged_total") + metric(&told, "baton_broken_invariants_total"),
        0.0,
        "{told}"
    );

    // Masks on the device: there is no other answer than one of these.
    let shape = json!({"type": "object", "properties": {"place": {"enum": ["page", "modal"]}}, "required": ["place"],
        "additionalProperties": false});
    let mut held = cue("beta", "Page or modal?");
    held["max_tokens"] = json!(60);
    held["response_format"] =
        json!({"type": "json_schema", "json_schema": {"name": "place", "strict": true, "schema": shape}});
    for served in [&on_cpu, &on_gpu] {
        let reply = ask(served, "/v1/chat/completions", &held);
        let said = reply["choices"][0]["message"]["content"].as_str().unwrap();
        let said: Value = serde_json::from_str(said).unwrap_or_else(|error| panic!("{error}: {said}"));
        assert!(["page", "modal"].contains(&said["place"].as_str().unwrap()), "{said}");
    }
    let decision = json!({
        "model": "alpha", "input": "The form has nine fields.", "metadata": {"why": "people give up"},
        "questions": [{"type": "predicate", "instructions": "It is long."}],
    });
    Agreement::of_decisions(&[&on_cpu, &on_gpu].map(|served| ask(served, "/v1/decisions", &decision)));

    // A client that goes away in the middle of a stream frees what it held.
    let mut long = cue("alpha", "Tell me all.");
    (long["stream"], long["max_tokens"]) = (json!(true), json!(100));
    let mut stream = on_gpu.send("POST", "/v1/chat/completions", on_gpu.key.as_ref().unwrap(), &long);
    let mut begun = String::new();
    while !begun.contains("\"content\"") {
        assert_ne!(stream.read_line(&mut begun).unwrap(), 0, "{begun}");
    }
    drop(stream);
    while metric(&metrics(&on_gpu), "baton_answers_cancelled_total") < 1.0 {}
    agreement
        .of(&ask(&on_cpu, "/v1/chat/completions", &cues(9)[0]), &ask(&on_gpu, "/v1/chat/completions", &cues(9)[0]));
    // A stream says what the same answer says at once.
    let mut streamed = cues(9)[0].clone();
    streamed["stream"] = json!(true);
    let (_, answer) = on_gpu.ask("POST", "/v1/chat/completions", on_gpu.key.as_ref().unwrap(), &streamed);
    assert!(answer.contains("data: [DONE]") && !answer.contains("\"error\""), "{answer}");

    let doctor = world.run("gpu", &["doctor", "--device", "cuda", "--listen", "127.0.0.1:0"]);
    assert!(
        doctor.stdout.contains("ok    gpu       emulated GPU, 4.00 GiB, compute capability 9.0"),
        "{}",
        doctor.report()
    );
    on_gpu.signal("-TERM");
    let (code, log) = on_gpu.ended();
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn a_server_whose_gpu_is_lost_tells_everybody_and_ends() {
    let Some(world) = World::new("a_server_whose_gpu_is_lost_tells_everybody_and_ends") else { return };
    let serve = || Served::of(world.serve("gpu", &["--device", "cuda", "--gpu-memory-utilization", &share(40)]));
    let served = serve();
    let key = served.key.clone().unwrap();
    let mut long = cue("beta", "Tell me all.");
    (long["stream"], long["max_tokens"]) = (json!(true), json!(300));
    let mut stream = served.send("POST", "/v1/chat/completions", &key, &long);
    let mut told = String::new();
    while !told.contains("\"content\"") {
        assert_ne!(stream.read_line(&mut told).unwrap(), 0, "{told}");
    }
    world.order(&served.child, "launch 3 later 700");
    stream.read_to_string(&mut told).unwrap();
    assert!(told.contains(r#""error":{"message":"the engine failed at this request; send it again""#), "{told}");
    let (code, log) = served.ended();
    assert_eq!(code, Some(75), "{log}");
    let last = log.lines().last().unwrap();
    assert!(last.contains("stopped: the device is lost to this process; start the server anew"), "{log}");
    assert!(log.contains("CUDA_ERROR_ILLEGAL_ADDRESS"), "{log}");
    let rows = world.run("gpu", &["ledger", "show", "--kind", "cue"]);
    assert!(
        rows.stdout.contains("`beta` at /v1/chat/completions") && rows.stdout.contains("failed"),
        "{}",
        rows.report()
    );

    // Started anew, it is as if nothing had been.
    let served = serve();
    let (status, answer) = served.ask("POST", "/v1/chat/completions", &key, &cue("beta", "And now?"));
    assert_eq!(status, 200, "{answer}");
}

#[test]
fn a_gpu_without_room_is_told_of_at_the_start() {
    let Some(world) = World::new("a_gpu_without_room_is_told_of_at_the_start") else { return };
    let start = |share: &str, fault: &str| {
        let mut command = world.serve("gpu", &["--device", "cuda", "--gpu-memory-utilization", share]);
        if !fault.is_empty() {
            command.env("BATON_EMULATED_FAULT", fault);
        }
        world.finish(command)
    };
    let small = start("0.5", "");
    assert_eq!(small.code, Some(1));
    assert!(small.stderr.contains("0 B for keys and values is less than one block of this model"), "{}", small.stderr);
    assert!(small.stderr.contains("--gpu-memory-utilization"), "{}", small.stderr);
    // Somebody else has the memory.
    let taken = start(&share(40), "allocate 8 once 2");
    assert_eq!(taken.code, Some(1));
    assert!(taken.stderr.contains("the GPU has no room for "), "{}", taken.stderr);
    assert!(taken.stderr.contains("hint: end what else uses the GPU (nvidia-smi lists it)"), "{}", taken.stderr);
    let dead = start(&share(40), "open 2 once 100");
    assert!(dead.code == Some(1) && dead.stderr.contains("CUDA_ERROR_NO_DEVICE"), "{}", dead.report());
}
