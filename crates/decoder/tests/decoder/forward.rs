//! The forward pass against a plain one, and against itself in other batches.

use baton_decoder::{Architecture, BLOCK, Batch, BatchError, Decoder, Error, PagedCache};
use baton_kernels::{Isa, Kernels};
use candle_core::DType;
use expect_test::expect;

use crate::support::sequences::{Sequence, batch, bits, step};
use crate::support::tiny::{self, Noise};
use crate::support::writer::{Entry, Writer};
use crate::support::{open, reference};

fn load(file: &Writer) -> Decoder {
    load_with(file, Kernels::new(2))
}

fn load_with(file: &Writer, kernels: Kernels) -> Decoder {
    Decoder::load(&open(&file.bytes()).unwrap(), kernels, &mut |_, _| ()).unwrap()
}

fn cache(decoder: &Decoder, dtype: DType) -> PagedCache {
    PagedCache::new(decoder.kernels(), decoder.architecture(), 24, dtype).unwrap()
}

fn tokens(seed: u64, count: usize) -> Vec<u32> {
    let mut noise = Noise(seed);
    (0..count).map(|_| (noise.next() % tiny::VOCABULARY as u64) as u32).collect()
}

/// The largest difference between two rows, as a share of the largest value.
fn difference(got: &[f32], want: &[f32]) -> f32 {
    assert_eq!(got.len(), want.len());
    assert!(got.iter().all(|x| x.is_finite()));
    let largest = want.iter().map(|x| x.abs()).fold(0.0, f32::max);
    got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest
}

/// Every family and option: a chunk, the rest, then three single tokens, over scattered blocks.
#[test]
fn it_agrees_with_the_plain_forward_pass() {
    let scaled = |file: &mut Writer| {
        file.entry("llama.rope.scaling.factor", Entry::F32(4.0)).entry("llama.rope.dimension_count", Entry::U32(16));
    };
    let cases: Vec<(&str, &str, Box<dyn Fn(&mut Writer)>)> = vec![
        ("llama", "tied head", Box::new(|_| ())),
        ("llama", "head of its own", Box::new(tiny::add_head)),
        ("llama", "frequency divisors", Box::new(tiny::add_divisors)),
        ("llama", "biases", Box::new(|file| tiny::add_biases(file, true))),
        ("llama", "stretched and partly rotated", Box::new(scaled)),
        ("qwen2", "biases", Box::new(|file| tiny::add_biases(file, false))),
        ("qwen3", "query and key norms", Box::new(tiny::add_query_key_norms)),
    ];
    let mut seen: Vec<Vec<f32>> = vec![];
    for (family, name, change) in cases {
        let mut file = tiny::model(family);
        change(&mut file);
        let decoder = load(&file);
        let prompt = tokens(1, 150);
        let want = reference::logits(&file, decoder.architecture(), &prompt);
        for (dtype, tolerance) in [(DType::F32, 2e-5), (DType::F16, 5e-3)] {
            let mut cache = cache(&decoder, dtype);
            let mut sequence = Sequence::new(&[9, 2, 14, 5, 21]);
            let mut start = 0;
            for end in [40, 147, 148, 149, 150] {
                let got = step(&decoder, &mut cache, &mut sequence, &prompt[start..end]);
                let off = difference(&got, &want[end - 1]);
                assert!(off < tolerance, "{family}, {name}, {dtype:?}, after {end}: off by {off:e}");
                start = end;
            }
        }
        // No option is without effect, so none can be left out unnoticed.
        let last = want[149].clone();
        assert!(seen.iter().all(|other| difference(&last, other) > 1e-2), "{family}, {name}");
        seen.push(last);
    }
}

/// Quantised weights are computed with 8-bit activations: near the same weights as floats, not equal.
#[test]
fn quantised_weights_stay_close() {
    let mut file = tiny::model("llama");
    let floats = file.clone();
    for tensor in &mut file.tensors {
        if tensor.dims.len() == 2 {
            let values: Vec<f32> = tensor.bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            tensor.bytes = values.as_chunks().0.iter().flat_map(q8_0).collect();
            tensor.form = 8;
        }
    }
    let decoder = load(&file);
    let prompt = tokens(1, 70);
    let want = reference::logits(&floats, decoder.architecture(), &prompt);
    let got = step(&decoder, &mut cache(&decoder, DType::F16), &mut Sequence::new(&[0, 1, 2]), &prompt);
    let off = difference(&got, &want[69]);
    assert!(off < 5e-2, "off by {off:e}");
}

/// Widened, they are the floats that the codes stand for.
#[test]
fn widened_weights_are_not_rounded() {
    let mut quantised = tiny::model("llama");
    let mut floats = quantised.clone();
    for (tensor, floats) in quantised.tensors.iter_mut().zip(&mut floats.tensors) {
        if tensor.dims.len() == 2 {
            let values: Vec<f32> = tensor.bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            let blocks: Vec<Vec<u8>> = values.as_chunks().0.iter().map(q8_0).collect();
            floats.bytes = blocks.iter().flat_map(|block| from_q8_0(block)).flat_map(f32::to_le_bytes).collect();
            (tensor.bytes, tensor.form) = (blocks.concat(), 8);
        }
    }
    let file = open(&quantised.bytes()).unwrap();
    let decoder = Decoder::load_widened(&file, Kernels::new(2), &mut |_, _| ()).unwrap();
    let prompt = tokens(1, 70);
    let want = reference::logits(&floats, decoder.architecture(), &prompt);
    let got = step(&decoder, &mut cache(&decoder, DType::F32), &mut Sequence::new(&[0, 1, 2]), &prompt);
    let off = difference(&got, &want[69]);
    assert!(off < 2e-5, "off by {off:e}");
}

fn from_q8_0(block: &[u8]) -> Vec<f32> {
    let scale = half::f16::from_le_bytes([block[0], block[1]]).to_f32();
    block[2..].iter().map(|code| scale * f32::from(code.cast_signed())).collect()
}

fn q8_0(values: &[f32; 32]) -> Vec<u8> {
    let scale = half::f16::from_f32(values.iter().map(|x| x.abs()).fold(0.0, f32::max) / 127.0);
    let code = |value: &f32| (value / scale.to_f32()).round().clamp(-127.0, 127.0) as i8;
    scale.to_le_bytes().into_iter().chain(values.iter().map(|value| code(value).to_le_bytes()[0])).collect()
}

/// What one sequence gives alone, whole, then token by token.
fn alone(decoder: &Decoder, prompt: &[u32], after: &[u32]) -> Vec<Vec<u32>> {
    let mut cache = cache(decoder, DType::F16);
    let mut sequence = Sequence::new(&[0, 1, 2, 3, 4, 5, 6]);
    let mut rows = vec![bits(&step(decoder, &mut cache, &mut sequence, prompt))];
    rows.extend(after.iter().map(|token| bits(&step(decoder, &mut cache, &mut sequence, &[*token]))));
    rows
}

#[test]
fn chunks_and_scattered_blocks_change_no_bit() {
    let decoder = load(&tiny::model("qwen3"));
    let (prompt, after) = (tokens(2, 201), tokens(3, 4));
    let want = alone(&decoder, &prompt, &after);
    for chunk in [1, 7, 32, 33, 64, 200] {
        let mut cache = cache(&decoder, DType::F16);
        let mut sequence = Sequence::new(&[9, 2, 14, 5, 21, 7, 0]);
        let mut got = vec![];
        for part in prompt.chunks(chunk) {
            got = vec![bits(&step(&decoder, &mut cache, &mut sequence, part))];
        }
        got.extend(after.iter().map(|token| bits(&step(&decoder, &mut cache, &mut sequence, &[*token]))));
        assert!(got == want, "chunks of {chunk}");
    }
}

#[test]
fn neighbours_threads_and_draw_order_change_no_bit() {
    let file = tiny::model("llama");
    let prompts = [tokens(4, 100), tokens(5, 33), tokens(6, 1), tokens(7, 64)];
    let after = tokens(8, 5);
    let one = load_with(&file, Kernels::with_isa(Isa::Plain, 1));
    let want: Vec<_> = prompts.iter().map(|prompt| alone(&one, prompt, &after)).collect();

    let decoder = load_with(&file, Kernels::new(3));
    let mut cache = cache(&decoder, DType::F16);
    let places: [&[u32]; 4] = [&[3, 0, 7, 9], &[1, 8], &[2], &[11, 5, 6]];
    let mut sequences = places.map(Sequence::new);
    let mut run = |sequences: &mut [Sequence], rows: [&[u32]; 4]| -> Vec<Vec<u32>> {
        let mut work: Vec<_> = sequences.iter_mut().zip(rows).map(|(sequence, row)| (sequence, row, true)).collect();
        let mut batch = batch(&mut work);
        batch.draw_rows.reverse();
        let rows = decoder.forward(&batch, &mut cache).unwrap().unwrap().to_vec2::<f32>().unwrap();
        rows.iter().rev().map(|row| bits(row)).collect()
    };
    let got = run(&mut sequences, [0, 1, 2, 3].map(|index| prompts[index].as_slice()));
    for (index, row) in got.iter().enumerate() {
        assert!(*row == want[index][0], "prompt {index}");
    }
    for (step, token) in after.iter().enumerate() {
        let got = run(&mut sequences, [std::slice::from_ref(token); 4]);
        for (index, row) in got.iter().enumerate() {
            assert!(*row == want[index][step + 1], "sequence {index}, step {step}");
        }
    }
}

/// One sequence decodes while another reads its prompt in chunks that draw nothing.
#[test]
fn decode_and_prefill_share_a_batch() {
    let decoder = load(&tiny::model("llama"));
    let (first, second) = (tokens(9, 40), tokens(10, 90));
    let after = tokens(11, 3);
    let (want_first, want_second) = (alone(&decoder, &first, &after), alone(&decoder, &second, &[]));
    let mut cache = cache(&decoder, DType::F16);
    let (mut a, mut b) = (Sequence::new(&[4, 3]), Sequence::new(&[10, 0, 1]));
    assert_eq!(bits(&step(&decoder, &mut cache, &mut a, &first)), want_first[0]);
    for (index, part) in second.chunks(30).enumerate() {
        let last = index == 2;
        let batch = batch(&mut [(&mut b, part, last), (&mut a, &after[index..=index], true)]);
        let rows = decoder.forward(&batch, &mut cache).unwrap().unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(rows.len(), 1 + usize::from(last));
        assert_eq!(bits(rows.last().unwrap()), want_first[index + 1]);
        if last {
            assert_eq!(bits(&rows[0]), want_second[0]);
        }
    }
}

#[test]
fn a_copied_block_goes_on_like_the_original() {
    let decoder = load(&tiny::model("llama"));
    let kernels = Kernels::new(1);
    let prefix = tokens(12, 45);
    let (left, right) = (tokens(13, 30), tokens(14, 30));
    let whole = |rest: &[u32]| alone(&decoder, &[&prefix, rest].concat(), &[]);
    let mut cache = cache(&decoder, DType::F16);
    let mut first = Sequence::new(&[6, 2, 8]);
    let nothing = batch(&mut [(&mut first, &prefix, false)]);
    assert!(decoder.forward(&nothing, &mut cache).unwrap().is_none());
    cache.copy_block(&kernels, 2, 17).unwrap();
    let mut second = Sequence { blocks: vec![6, 17, 11], ..first.clone() };
    let both = batch(&mut [(&mut first, &left, true), (&mut second, &right, true)]);
    let rows = decoder.forward(&both, &mut cache).unwrap().unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(vec![bits(&rows[0])], whole(&left));
    assert_eq!(vec![bits(&rows[1])], whole(&right));
    assert!(cache.copy_block(&kernels, 0, 24).is_err());
    assert_eq!(cache.blocks(), 24);
    let row = tiny::KV_HEADS * tiny::HEAD_DIM * 2;
    assert_eq!(cache.form().block_bytes(), 2 * tiny::LAYERS * BLOCK * row);
}

#[test]
fn bad_batches_are_refused() {
    let decoder = load(&tiny::model("llama"));
    let good = || {
        let (mut a, mut b) = (Sequence::new(&[3, 1]), Sequence { blocks: vec![5, 7], len: 33 });
        batch(&mut [(&mut a, &tokens(1, 40), true), (&mut b, &[1], true)])
    };
    let mut cache = cache(&decoder, DType::F16);
    assert!(decoder.forward(&good(), &mut cache).is_ok());
    let cases: [(&str, fn(&mut Batch)); 21] = [
        ("empty", |batch| *batch = Batch::default()),
        ("positions", |batch| {
            _ = batch.layout.positions.pop();
        }),
        ("slots", |batch| batch.layout.slots.push(0)),
        ("token", |batch| batch.tokens[2] = tiny::VOCABULARY as u32),
        ("draw row", |batch| batch.draw_rows[0] = 41),
        ("no spans", |batch| batch.layout.spans.clear()),
        ("span missing", |batch| {
            _ = batch.layout.spans.pop();
        }),
        ("gap", |batch| batch.layout.spans[1].first_row = 41),
        ("swapped", |batch| batch.layout.spans.reverse()),
        ("empty span", |batch| batch.layout.spans[1].rows = 0),
        ("too many rows", |batch| batch.layout.spans[1].rows = 2),
        ("endless rows", |batch| batch.layout.spans[1].rows = usize::MAX),
        ("context shorter than rows", |batch| batch.layout.spans[0].context = 39),
        ("too few blocks", |batch| {
            _ = batch.layout.spans[0].blocks.pop();
        }),
        ("more shared blocks than blocks", |batch| batch.layout.spans[0].shared_blocks = 3),
        ("block outside the cache", |batch| batch.layout.spans[0].blocks[1] = 24),
        ("position", |batch| batch.layout.positions[4] = 5),
        ("slot", |batch| batch.layout.slots[4] = 0),
        ("slot outside the cache", |batch| batch.layout.slots[4] = u32::MAX),
        ("same block", |batch| {
            batch.layout.spans[1].blocks[1] = 1;
            batch.layout.slots[40] = 33;
        }),
        ("context beyond the model", |batch| {
            batch.layout.spans[1].context = 513;
            batch.layout.spans[1].blocks = vec![5; 17];
        }),
    ];
    let lines = cases.map(|(name, change)| {
        let mut batch = good();
        change(&mut batch);
        match decoder.forward(&batch, &mut cache) {
            Err(Error::Batch(error)) => format!("{name}: {error}"),
            other => panic!("{name}: {other:?}"),
        }
    });
    expect![[r#"
        empty: the batch is empty
        positions: the batch has 41 tokens but 40 positions
        slots: the batch has 41 tokens but 42 slots
        token: token 96 in row 2 is outside the vocabulary of 96
        draw row: row 41 is to be drawn from, but the batch has 41 rows
        no spans: the batch has 41 tokens but 0 rows in spans
        span missing: the batch has 41 tokens but 40 rows in spans
        gap: span 1 starts at row 41, but the spans before it end at row 40
        swapped: span 0 starts at row 40, but the spans before it end at row 0
        empty span: span 1 has 0 rows, a context of 34 and 2 blocks; the model takes 512 tokens
        too many rows: the batch has 41 tokens but 42 rows in spans
        endless rows: span 1 has 18446744073709551615 rows, a context of 34 and 2 blocks; the model takes 512 tokens
        context shorter than rows: span 0 has 40 rows, a context of 39 and 2 blocks; the model takes 512 tokens
        too few blocks: span 0 has 40 rows, a context of 40 and 1 blocks; the model takes 512 tokens
        more shared blocks than blocks: span 0 has 40 rows, a context of 40 and 2 blocks; the model takes 512 tokens
        block outside the cache: span 0 names block 24, but the cache has 24
        position: row 4 has position 5, but its span puts it at 4
        slot: row 4 has slot 0, but its span puts it at 100
        slot outside the cache: row 4 has slot 4294967295, but its span puts it at 100
        same block: block 1 is written by two spans
        context beyond the model: span 1 has 1 rows, a context of 513 and 17 blocks; the model takes 512 tokens"#]]
    .assert_eq(&lines.join("\n"));

    let mut shallow = decoder.architecture().clone();
    shallow.layers = 1;
    let mut other = PagedCache::new(decoder.kernels(), &shallow, 24, DType::F16).unwrap();
    let error = decoder.forward(&good(), &mut other).unwrap_err();
    assert!(matches!(error, Error::Batch(BatchError::Cache)), "{error}");
}

#[test]
fn bad_weights_are_named() {
    let cases: Vec<(&str, Box<dyn Fn(&mut Writer)>)> = vec![
        (
            "missing",
            Box::new(|file| {
                file.without("blk.1.ffn_up.weight");
            }),
        ),
        (
            "no place for it",
            Box::new(|file| {
                file.floats("blk.0.attn_sinks.weight", &[4], &[0.0; 4]);
            }),
        ),
        (
            "shape",
            Box::new(|file| {
                file.floats("blk.1.ffn_up.weight", &[64, 96], &[0.0; 64 * 96]);
            }),
        ),
        (
            "form without kernel",
            Box::new(|file| {
                file.tensor("blk.1.attn_k.weight", &[64, 64], 20, vec![0; 2304]);
            }),
        ),
        (
            "norm as Q8_0",
            Box::new(|file| {
                file.tensor("output_norm.weight", &[64], 8, vec![0; 68]);
            }),
        ),
        (
            "layers",
            Box::new(|file| {
                file.entry("llama.block_count", Entry::U32(u32::MAX));
            }),
        ),
    ];
    let lines: Vec<_> = cases
        .iter()
        .map(|(name, change)| {
            let mut file = tiny::model("llama");
            change(&mut file);
            let result = Decoder::load(&open(&file.bytes()).unwrap(), Kernels::new(1), &mut |_, _| ());
            format!("{name}: {}", result.err().unwrap())
        })
        .collect();
    expect![[r#"
        missing: the model file has no tensor `blk.1.ffn_up.weight`; it may be damaged or made by an unfinished conversion
        no place for it: the tensor `blk.0.attn_sinks.weight` is not supported; what is: GGUF 2 and 3 and safetensors, the llama, mistral, mixtral, qwen2, qwen3, gemma, phi and smollm3 families, weights from Q2_K to F32
        shape: the model file is inconsistent: the tensor `blk.1.ffn_up.weight` has the shape [64, 96], but [96, 64] is needed
        form without kernel: the form IQ4_NL of the tensor `blk.1.attn_k.weight` is not supported; what is: GGUF 2 and 3 and safetensors, the llama, mistral, mixtral, qwen2, qwen3, gemma, phi and smollm3 families, weights from Q2_K to F32
        norm as Q8_0: the form Q8_0 of the tensor `output_norm.weight` is not supported; what is: GGUF 2 and 3 and safetensors, the llama, mistral, mixtral, qwen2, qwen3, gemma, phi and smollm3 families, weights from Q2_K to F32
        layers: the model file is inconsistent: 4294967295 layers in a file of 20 tensors"#]].assert_eq(&lines.join("\n"));
}

#[test]
fn loading_reports_progress_to_the_end() {
    let file = open(&tiny::model("llama").bytes()).unwrap();
    let mut reports = vec![];
    Decoder::load(&file, Kernels::new(1), &mut |done, total| reports.push((done, total))).unwrap();
    assert!(reports.is_sorted());
    let total: usize = file.tensors().map(|(_, info)| file.bytes(info).len()).sum();
    assert_eq!(*reports.last().unwrap(), (total, total));
    let architecture = Architecture::of(&file).unwrap();
    assert_eq!(architecture.vocabulary, tiny::VOCABULARY);
}
