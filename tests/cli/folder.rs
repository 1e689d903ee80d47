//! A model that is a folder in Hugging Face's layout.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::support::Home;
use super::tiny::{self, Sizes};

/// Writes a tiny llama of meaningless weights with the default model's tokenizer.
pub(super) fn write_model(folder: &Path) {
    // A BF16 between 1/8 and 1/4, of either sign.
    let number = |_: &str, index: usize| {
        0x3e00u16 | u16::try_from(index * 37 % 128).unwrap() | u16::from(index.is_multiple_of(3)) << 15
    };
    tiny::write(folder, &Sizes { head_dim: 32, context: 256, vocabulary: usize::MAX }, number);
}

#[test]
fn a_folder_is_taken_as_a_model() {
    let home = Home::new();
    let folder = home.path("Tiny-0.1B");
    write_model(&folder);
    let model = folder.to_str().unwrap();
    let run = home.baton(&["perplexity", "--model", model, "--tokens", "40", "--threads", "1"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stdout.contains("tiny-0.1b (blake3 "), "{}", run.stdout);
    // The last digits depend on the order of queries and keys, which is another in GGUF.
    let told = |stdout: &str| {
        let lines = stdout.lines().filter(|line| line.starts_with("perplexity"));
        lines.map(|line| line.split('.').next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let expected = told(&run.stdout);
    assert_eq!(expected.len(), 2, "{}", run.stdout);

    // In one GGUF file it is the same model, tokenizer and template included; rounded, it is smaller and none is overwritten.
    let [whole, rounded] = ["whole.gguf", "rounded.gguf"].map(|name| home.path(name).to_str().unwrap().to_owned());
    let run = home.baton(&["quantize", model, &whole]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let run = home.baton(&["perplexity", "--model", &whole, "--tokens", "40", "--threads", "1"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(told(&run.stdout), expected);
    let run = home.baton(&["quantize", &whole, &rounded, "--to", "q8_0"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let size = |path: &str| fs::metadata(path).unwrap().len();
    assert!(size(&rounded) * 10 < size(&whole) * 8, "{} of {}", size(&rounded), size(&whole));
    let run = home.baton(&["perplexity", "--model", &rounded, "--tokens", "40", "--threads", "1"]);
    assert!(run.stdout.contains("rounded"), "{}{}", run.stdout, run.stderr);
    // Rounded while it is loaded, it says the same.
    let on_the_way =
        home.baton(&["perplexity", "--model", model, "--tokens", "40", "--threads", "1", "--quantize", "q8_0"]);
    let (first, second) = (told(&run.stdout), told(&on_the_way.stdout));
    assert!(first[0] == second[0] && first[0] != expected[0], "{first:?} {second:?} {expected:?}");
    let run = home.baton(&["quantize", model, &rounded, "--to", "q4_0"]);
    assert!(run.code == Some(1) && run.stderr.contains("exists"), "{}", run.stderr);
    let run = home.baton(&["quantize", model, "x.gguf", "--to", "q7"]);
    assert!(run.code == Some(2) && run.stderr.contains("known are f16"), "{}", run.stderr);

    fs::remove_file(folder.join("tokenizer.json")).unwrap();
    let run = home.baton(&["perplexity", "--model", model, "--tokens", "40", "--threads", "1"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("it has no tokenizer.json"), "{}", run.stderr);
}

#[test]
fn a_base_model_is_served_with_a_template_that_is_named() {
    const CHATML: &str = "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}\
         {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
    let home = Home::new();
    let folder = home.path("Tiny-0.1B");
    write_model(&folder);
    let own = fs::read_to_string(folder.join("chat_template.jinja")).unwrap();
    let model = folder.to_str().unwrap();
    home.write(
        "packs/tiny/twin.toml",
        "format = 2\nid = \"tiny\"\nversion = \"1.0.0\"\ntitle = \"T\"\ncraft = \"c\"\nreview_by = 2999-01-01\n\
         context_budget = 400\n[expert]\nname = \"Ada\"\ncontact = \"#a\"\n[scope]\ncovers = [\"t\"]\n\
         [limits]\nmax_output_tokens = 2\n[cases]\nbar = 1.0\n",
    );
    home.write("packs/tiny/instructions.md", "Be short.\n");
    home.write(
        "packs/tiny/cases/core.toml",
        "[[case]]\nname = \"a\"\nwhat = \"b\"\nwhy = \"c\"\nchecks = [{ max_words = 9 }]\n",
    );
    let tries = |more: &[&str]| {
        home.baton(
            &[&["twin", "test", "tiny", "--json", "--packs", "packs", "--model", model, "--threads", "1"], more]
                .concat(),
        )
    };
    // What a version was tried on is the model with the template that it reads by.
    let digest = |more: &[&str]| {
        let run = tries(more);
        assert_eq!(run.code, Some(0), "{}", run.report());
        let told: Value = serde_json::from_str(&run.stdout).unwrap();
        told["model"]["digest"].as_str().unwrap().to_owned()
    };
    let (same, other) = (home.write("own.jinja", &own), home.write("other.jinja", CHATML));
    let (same, other) = (same.to_str().unwrap(), other.to_str().unwrap());
    let with_own = digest(&[]);
    assert_eq!(digest(&["--chat-template", same]), with_own, "the same template is the same model");
    let with_other = digest(&["--chat-template", other]);
    assert_ne!(with_other, with_own);

    fs::remove_file(folder.join("chat_template.jinja")).unwrap();
    let run = home.baton(&["perplexity", "--model", model, "--tokens", "40", "--threads", "1"]);
    assert_eq!(run.code, Some(0), "no template is needed to read a text: {}", run.stderr);
    let told = "it has no chat template, so there is no telling how it reads a conversation";
    let hint = "name a template with --chat-template FILE";
    for run in [
        tries(&[]),
        home.baton(&["chat", "--model", model, "hello"]),
        home.baton(&["serve", "--model", model, "--listen", "127.0.0.1:0"]),
    ] {
        assert!(run.code == Some(1) && run.stderr.contains(told) && run.stderr.contains(hint), "{}", run.report());
    }
    let doctor =
        |more: &[&str]| home.baton(&[&["doctor", "--model", model, "--listen", "127.0.0.1:0"], more].concat()).stdout;
    assert!(doctor(&[]).contains("fail  model ") && doctor(&[]).contains(hint), "{}", doctor(&[]));
    home.write("baton.toml", "[model]\nchat_template = \"other.jinja\"\n");
    assert!(doctor(&[]).contains("ok    model "), "{}", doctor(&[]));
    assert_eq!(digest(&[]), with_other, "whether it replaces one or there is none");

    // What cannot be used is said at the start.
    for (text, parts) in [
        ("{% if %}", ["other.jinja cannot be used: ", "(line 1)"]),
        ("{{ raise_exception('no chats') }}", ["other.jinja cannot be used: ", "no chats"]),
    ] {
        home.write("other.jinja", text);
        let run = home.baton(&["chat", "--model", model, "hello"]);
        assert!(run.code == Some(1) && parts.iter().all(|part| run.stderr.contains(part)), "{}", run.report());
        assert!(doctor(&[]).contains("fail  model "), "{}", doctor(&[]));
    }
    let run = home.baton(&["chat", "--model", model, "--chat-template", "none.jinja", "hello"]);
    assert!(run.stderr.contains("cannot read the chat template none.jinja: No such file"), "{}", run.stderr);
    assert!(run.stderr.contains("hint: check --chat-template"), "{}", run.stderr);
}
