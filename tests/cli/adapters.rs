//! Packs with adapters on the real model.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};

use super::served::Served;
use super::support::{Home, Run, copy};
use super::trial::{LITTLE, home};

const HIDDEN: usize = 576;
const VALUES: usize = 192;
const RANK: usize = 4;

/// An adapter of the values of all layers, whose second matrices are `size` times small whole numbers.
fn adapter(size: f32) -> (String, Vec<u8>) {
    let config = json!({
        "peft_type": "LORA", "r": RANK, "lora_alpha": RANK, "target_modules": ["v_proj"], "bias": "none",
        "use_dora": false, "use_rslora": false, "base_model_name_or_path": "HuggingFaceTB/SmolLM2-135M-Instruct"
    });
    let bytes = |count: usize, scale: f32| -> Vec<u8> {
        let small = |at: usize| f32::from(u8::try_from(at * 7 % 11).unwrap()) - 5.0;
        (0..count).flat_map(|at| (scale * small(at)).to_le_bytes()).collect()
    };
    let (down, up) = (bytes(RANK * HIDDEN, 0.01), bytes(VALUES * RANK, size));
    let named = (0..30).flat_map(|layer| {
        let name = move |letter| format!("base_model.model.model.layers.{layer}.self_attn.v_proj.lora_{letter}.weight");
        [
            (name('A'), TensorView::new(Dtype::F32, vec![RANK, HIDDEN], &down).unwrap()),
            (name('B'), TensorView::new(Dtype::F32, vec![VALUES, RANK], &up).unwrap()),
        ]
    });
    (config.to_string(), safetensors::serialize(named, None).unwrap())
}

fn put(home: &Home, (config, weights): (String, Vec<u8>)) {
    let path = home.write("packs/physics/adapter/adapter_config.json", &config);
    fs::write(path.with_file_name("adapter_model.safetensors"), weights).unwrap();
}

/// Says for which model the adapter was trained.
fn bind(home: &Home, model: &str) {
    let manifest = home.path("packs/physics/twin.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    let text = text.split("[adapter]").next().unwrap().to_owned();
    fs::write(&manifest, format!("{text}[adapter]\nmodel = \"{model}\"\n")).unwrap();
}

fn chat(home: &Home) -> Run {
    let asked = ["chat", "--twin", "physics", "--packs", "packs", "--temperature", "0", "--max-tokens", "12"];
    home.baton(&[&asked[..], &LITTLE, &["What is gravity?"]].concat())
}

/// The model's digest, as a refusal tells it.
fn digest(refusal: &str) -> String {
    let start = refusal.rfind("blake3:").unwrap();
    refusal[start..start + 71].to_owned()
}

#[test]
fn an_adapter_is_applied_to_its_twin_and_bound_to_its_model() {
    let home = home("0.5");
    let plain = chat(&home);
    assert_eq!(plain.code, Some(0), "{}", plain.stderr);

    put(&home, adapter(0.0));
    let check = home.baton(&["twin", "check", "packs/physics"]);
    assert_eq!(check.code, Some(1));
    assert!(check.stdout.contains("for which model its adapter was trained"), "{}", check.report());
    let unbound = chat(&home);
    assert!(unbound.stderr.contains("put `[adapter]` and below it `model = \"blake3:"), "{}", unbound.stderr);
    let model = digest(&unbound.stderr);
    let other = format!("blake3:{}", "0".repeat(64));
    bind(&home, &other);
    let foreign = chat(&home);
    assert_eq!(foreign.code, Some(1));
    let sentence = format!("it was trained for the model {other}, and this is {model}");
    assert!(foreign.stderr.contains(&sentence), "{}", foreign.stderr);

    bind(&home, &model);
    assert_eq!(home.baton(&["twin", "check", "packs/physics"]).code, Some(0));
    assert_eq!(chat(&home).stdout, plain.stdout, "an adapter that adds nothing");
    put(&home, adapter(0.05));
    let changed = chat(&home);
    assert_eq!(changed.code, Some(0), "{}", changed.stderr);
    assert_ne!(changed.stdout, plain.stdout);

    let tested = home.baton(&[&["twin", "test", "physics", "--packs", "packs"], &LITTLE[..]].concat());
    assert!(tested.stdout.contains("physics 1.0.0"), "its cases run with it: {}", tested.report());
    let (config, mut weights) = adapter(0.05);
    weights.truncate(weights.len() - 1);
    put(&home, (config, weights));
    let cut = chat(&home);
    assert!(cut.stderr.contains("adapter_model.safetensors is damaged or cut off"), "{}", cut.stderr);
}

/// The pack that comes with the project, with the adapter that `scripts/train-adapter` made.
#[test]
fn the_example_has_its_habit_from_its_adapter() {
    let home = Home::with_model();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/smollm2-135m-instruct/decision-notes");
    copy(&example, &home.path("packs/decision-notes"));
    let test = || home.baton(&[&["twin", "test", "decision-notes", "--packs", "packs"], &LITTLE[..]].concat());
    let with = test();
    assert_eq!(with.code, Some(0), "{}", with.report());
    assert!(with.stdout.contains("decision-notes 1.0.0 passes: 3 of 3 cases"), "{}", with.stdout);

    fs::remove_dir_all(home.path("packs/decision-notes/adapter")).unwrap();
    let manifest = home.path("packs/decision-notes/twin.toml");
    let written = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, written.split("[adapter]").next().unwrap()).unwrap();
    let without = test();
    assert!(without.stdout.contains("0 of 3 cases"), "{}", without.report());
}

#[test]
fn a_wrong_adapter_is_refused_while_others_serve() {
    let home = home("0.5");
    put(&home, adapter(0.05));
    let args = ["serve", "--listen", "127.0.0.1:0", "--packs", "packs"];
    bind(&home, &format!("blake3:{}", "0".repeat(64)));
    let refused = home.baton(&[&args[..], &LITTLE].concat());
    assert_eq!(refused.code, Some(1));
    bind(&home, &digest(&refused.stderr));
    let twin = fs::read_to_string(home.path("packs/physics/twin.toml")).unwrap();
    copy(&home.path("packs/physics"), &home.path("packs/chemistry"));
    home.write("packs/chemistry/twin.toml", &twin.replace("id = \"physics\"", "id = \"chemistry\""));
    let config = home.path("packs/chemistry/adapter/adapter_config.json");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(config, text.replace("\"use_dora\":false", "\"use_dora\":true")).unwrap();
    let refused = home.baton(&[&args[..], &LITTLE].concat());
    assert!(refused.stderr.contains("the adapter of `chemistry` is refused"), "{}", refused.stderr);
    assert!(refused.stderr.contains("DoRA (`use_dora`)"), "{}", refused.stderr);

    home.write(".config/baton/baton.toml", "[twins]\nskip_broken = true\n");
    let served = Served::start(&home, "packs");
    let key = served.key.clone().unwrap();
    let cue = |model: &str| {
        let messages = json!([{"role": "user", "content": "What is gravity?"}]);
        let body = json!({"model": model, "max_tokens": 6, "temperature": 0, "messages": messages});
        let (status, answer) = served.ask("POST", "/v1/chat/completions", &key, &body);
        (status, serde_json::from_str::<Value>(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap())
    };
    assert_eq!(cue("chemistry").0, 404);
    let (status, reply) = cue("physics");
    assert_eq!(status, 200, "{reply}");
    let adapter = reply["baton"]["twin"]["adapter_digest"].as_str().unwrap().to_owned();
    assert!(adapter.starts_with("blake3:"), "{reply}");
    let (_, models) = served.ask("GET", "/v1/models/physics", &key, &Value::Null);
    assert!(models.contains(&adapter), "{models}");
    // The row is filed behind the answer.
    super::serve::listed(&home, "cue", &["`physics` at /v1/chat/completions"]);
    let exported = home.baton(&["ledger", "show", "--oldest-first", "--kind", "cue", "--json"]);
    assert!(exported.stdout.contains(&adapter), "{}", exported.report());
}

#[test]
fn another_adapter_goes_live_while_cues_run_and_bad_ones_never_do() {
    let home = home("0.5");
    put(&home, adapter(0.05));
    bind(&home, &format!("blake3:{}", "0".repeat(64)));
    bind(&home, &digest(&chat(&home).stderr));
    let publish = || home.baton(&[&["twin", "publish", "physics", "--packs", "packs"][..], &LITTLE].concat());
    let version = |from: &str, to: &str| {
        let path = home.path("packs/physics/twin.toml");
        fs::write(&path, fs::read_to_string(&path).unwrap().replace(from, to)).unwrap();
    };
    assert_eq!(publish().code, Some(0));
    let served = Served::start(&home, "packs");
    let key = served.key.clone().unwrap();
    // The version of an answer, its adapter, and what it says.
    let cue = || {
        let messages = json!([{"role": "user", "content": "What is gravity?"}]);
        let body = json!({"model": "physics", "max_tokens": 12, "temperature": 0, "messages": messages});
        let (status, answer) = served.ask("POST", "/v1/chat/completions", &key, &body);
        assert_eq!(status, 200, "{answer}");
        let reply: Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        let (twin, said) = (&reply["baton"]["twin"], &reply["choices"][0]["message"]["content"]);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&twin["pack_version"]), (text(&twin["adapter_digest"]), text(said)))
    };
    let over = AtomicBool::new(false);
    let answers = thread::scope(|scope| {
        let conductor = || {
            let mut answers = vec![cue()];
            while !over.load(Ordering::Relaxed) {
                answers.push(cue());
            }
            answers
        };
        let conductors = [(); 3].map(|()| scope.spawn(conductor));
        version("1.0.0", "1.1.0");
        put(&home, adapter(0.0));
        let run = publish();
        // The server looks each second; a conductor that panics ends the test by itself.
        while run.code == Some(0) && cue().0 != "1.1.0" && !conductors.iter().any(thread::ScopedJoinHandle::is_finished)
        {
        }
        over.store(true, Ordering::Relaxed);
        assert_eq!(run.code, Some(0), "{}", run.report());
        conductors.map(|conductor| conductor.join().unwrap()).concat()
    });
    let mut by_version: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (version, answer) in answers {
        by_version.entry(version).or_default().insert(answer);
    }
    let each: Vec<_> = by_version.values().collect();
    assert!(each.len() == 2 && each.iter().all(|answers| answers.len() == 1), "no answer is of both: {by_version:?}");
    let [(one, says), (other, says_other)] = [0, 1].map(|at| each[at].first().unwrap());
    assert!(one != other && says != says_other, "{by_version:?}");

    version("1.1.0", "1.2.0");
    let (config, mut cut) = adapter(0.05);
    cut.truncate(cut.len() - 1);
    let too_large = config.replace("\"r\":4", "\"r\":257");
    assert_ne!(too_large, config);
    for (bad, sentence) in [
        ((config, cut), "adapter_model.safetensors is damaged or cut off"),
        (adapter(f32::NAN), "holds a value that is not a finite number"),
        ((too_large, adapter(0.05).1), "what is not supported: rank 257"),
    ] {
        put(&home, bad);
        let run = publish();
        assert!(run.code == Some(1) && run.stderr.contains(sentence), "{}", run.report());
        let (version, (adapter, _)) = cue();
        assert_eq!((version.as_str(), &adapter), ("1.1.0", other), "it serves on");
    }
}
