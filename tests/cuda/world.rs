//! A tiny model, two twins, one of them with an adapter, and homes for servers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use baton_kernels::{CudaStatus, cuda_status, random_weight};
use baton_testkit::model_path;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::json;

use super::support::{Home, Run, copy};
use super::tiny::{self, HIDDEN, Sizes};

const HEAD_DIM: usize = 64;
const VOCABULARY: usize = 4096;
const RANK: usize = 4;
/// Bytes of one block of keys and values: 32 tokens of one layer, in 16 bits.
pub(crate) const BLOCK_BYTES: usize = 2 * 32 * HEAD_DIM * 2;
pub(crate) const ADAPTER_MEMORY: usize = 64 << 20;

/// Bytes of the model's weights on a device.
pub(crate) fn weight_bytes() -> usize {
    let attention = (2 + 1 + 1 + 2) * HEAD_DIM * HIDDEN;
    2 * (VOCABULARY * HIDDEN + 3 * HIDDEN + attention + 3 * 64 * HIDDEN)
}

/// The same things in two homes, so that two servers have a ledger each.
pub(crate) struct World {
    cpu: Home,
    gpu: Home,
    orders: PathBuf,
}

impl World {
    /// Absent without the emulated GPU.
    pub(crate) fn new(test: &str) -> Option<Self> {
        let orders = std::env::var_os("BATON_EMULATED_FAULTS").map(PathBuf::from);
        let (Some(orders), CudaStatus::Ready { .. }) = (orders, cuda_status()) else {
            assert!(std::env::var_os("BATON_EMULATED_FAULTS").is_none(), "{test}: the emulated GPU cannot be used");
            eprintln!("skipped {test}: it needs the emulated GPU");
            return None;
        };
        let (cpu, gpu) = (Home::new(), Home::new());
        tiny::write(&cpu.path("whole"), &Sizes { head_dim: HEAD_DIM, context: 512, vocabulary: VOCABULARY }, number);
        let made = cpu.baton(&["quantize", "whole", "tiny.gguf", "--to", "f16"]);
        assert_eq!(made.code, Some(0), "{}", made.report());
        write_packs(&cpu);
        copy(&cpu.path("packs"), &gpu.path("packs"));
        fs::copy(cpu.path("tiny.gguf"), gpu.path("tiny.gguf")).unwrap();
        Some(Self { cpu, gpu, orders })
    }

    /// A server in one of the homes.
    pub(crate) fn serve(&self, home: &str, more: &[&str]) -> Command {
        let adapter_memory = ADAPTER_MEMORY.to_string();
        let usual = ["serve", "--listen", "127.0.0.1:0", "--packs", "packs", "--adapter-memory", &adapter_memory];
        let few = ["--model", "tiny.gguf", "--max-running", "8", "--threads", "1"];
        self.command(home, &[&usual[..], &few, more].concat())
    }

    pub(crate) fn run(&self, home: &str, args: &[&str]) -> Run {
        self.finish(self.command(home, args))
    }

    pub(crate) fn finish(&self, command: Command) -> Run {
        self.gpu.run(command)
    }

    fn command(&self, home: &str, args: &[&str]) -> Command {
        let mut command = if home == "cpu" { &self.cpu } else { &self.gpu }.command(args);
        command.env("BATON_EMULATED_FAULTS", &self.orders).env("BATON_EMULATED_MEMORY", "4096");
        for name in ["LD_LIBRARY_PATH", "BATON_EMULATED_GPU"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
    }

    /// Orders a fault of a server's GPU.
    pub(crate) fn order(&self, server: &Child, fault: &str) {
        let (written, order) = (tempfile::NamedTempFile::new_in(&self.orders).unwrap(), server.id().to_string());
        fs::write(written.path(), fault).unwrap();
        written.persist(self.orders.join(order)).unwrap();
    }
}

/// Weights by which the model has opinions that small errors do not change.
fn number(name: &str, index: usize) -> u16 {
    let size = if name.contains("norm") || name.contains("embed") { 2.0 } else { 0.25 };
    let seed = name.bytes().fold(7, |seed: u32, byte| seed.wrapping_mul(31).wrapping_add(u32::from(byte)));
    let weight = size * random_weight(seed, u32::try_from(index).unwrap(), 3);
    // The upper half of an f32 is the BF16 next to zero.
    u16::try_from(weight.to_bits() >> 16).unwrap()
}

fn write_packs(home: &Home) {
    assert!(model_path().exists());
    for (twin, word) in [("alpha", "forms"), ("beta", "letters")] {
        home.write(
            &format!("packs/{twin}/twin.toml"),
            &format!(
                "format = 2\nid = \"{twin}\"\nversion = \"1.0.0\"\ntitle = \"{twin}\"\ncraft = \"{word}\"\n\
                 review_by = 2999-01-01\ncontext_budget = 300\n[expert]\nname = \"Ada\"\ncontact = \"#a\"\n\
                 [scope]\ncovers = [\"{word}\"]\n[cases]\nbar = 1.0\n"
            ),
        );
        let rule =
            |number: usize| format!("{number}. Whoever asks about {word} gets a page, and never more than {number}.\n");
        home.write(&format!("packs/{twin}/instructions.md"), &(1..5).map(rule).collect::<String>());
        home.write(
            &format!("packs/{twin}/cases/core.toml"),
            "[[case]]\nname = \"a\"\nwhat = \"b\"\nwhy = \"c\"\nchecks = [{ max_words = 9 }]\n",
        );
    }
    write_adapter(&home.path("packs/beta/adapter"));
    let chat =
        ["chat", "--twin", "beta", "--packs", "packs", "--model", "tiny.gguf", "--device", "cpu", "--max-tokens", "1"];
    let refused = home.baton(&[&chat[..], &["Well?"]].concat());
    let at = refused.stderr.rfind("blake3:").unwrap_or_else(|| panic!("{}", refused.report()));
    let manifest = home.path("packs/beta/twin.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, format!("{text}[adapter]\nmodel = \"{}\"\n", &refused.stderr[at..at + 71])).unwrap();
}

fn write_adapter(folder: &Path) {
    let config = json!({
        "peft_type": "LORA", "r": RANK, "lora_alpha": RANK, "target_modules": ["v_proj"], "bias": "none",
        "use_dora": false, "use_rslora": false, "base_model_name_or_path": "tiny"
    });
    let bytes = |seed: u32, count: usize| -> Vec<u8> {
        (0..u32::try_from(count).unwrap()).flat_map(|at| (0.5 * random_weight(seed, at, 3)).to_le_bytes()).collect()
    };
    let (down, up) = (bytes(1, RANK * HIDDEN), bytes(2, HEAD_DIM * RANK));
    let name = |letter| format!("base_model.model.model.layers.0.self_attn.v_proj.lora_{letter}.weight");
    let named = [
        (name('A'), TensorView::new(Dtype::F32, vec![RANK, HIDDEN], &down).unwrap()),
        (name('B'), TensorView::new(Dtype::F32, vec![HEAD_DIM, RANK], &up).unwrap()),
    ];
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("adapter_config.json"), config.to_string()).unwrap();
    fs::write(folder.join("adapter_model.safetensors"), safetensors::serialize(named, None).unwrap()).unwrap();
}
