//! Wrong arguments are refused in words, and nothing is computed.
#![expect(clippy::unwrap_used, reason = "a test that cannot make its inputs fails")]

mod common;

use baton_kernels::{
    Activation, AttentionParams, Heads, KernelError, Kernels, KvPages, Layout, PackedMatrix, Result, Rope, RopeStyle,
    SpanLayout,
};
use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device, Tensor};
use common::{Random, blank_pages};

const HEADS: Heads = Heads { query: 4, kv: 2, dim: 8 };
const PARAMS: AttentionParams = AttentionParams { scale: 1.0, softcap: None, window: None };

/// Something done to a good layout.
type Spoil = fn(&mut Layout);

fn refusal<T>(outcome: Result<T>) -> String {
    outcome.err().expect("a refusal").to_string()
}

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap()
}

/// Two rows of one sequence, at positions 32 and 33.
fn layout() -> Layout {
    let spans = vec![SpanLayout { first_row: 0, rows: 2, context: 34, blocks: vec![3, 1], shared_blocks: 1 }];
    Layout { positions: vec![32, 33], slots: vec![32, 33], spans }
}

#[test]
fn layouts() {
    let kernels = Kernels::new(1);
    let rope = Rope::new(&[0.1; 4], 64, RopeStyle::Halves, 1.0);
    let table: [(Spoil, &str); 12] = [
        (|l| l.positions = vec![32], "the batch layout is wrong: 1 rows come with 1 positions and 2 slots"),
        (|l| l.slots = vec![32], "the batch layout is wrong: 2 rows come with 2 positions and 1 slots"),
        (|l| l.slots = vec![32, 128], "slot 128 is out of range: there are 128"),
        (|l| l.positions = vec![31, 32], "the batch layout is wrong: span 0 does not end at position 33"),
        (|l| l.spans.clear(), "the batch layout is wrong: 2 rows, but the spans cover 0"),
        (|l| l.spans[0].rows = 1, "the batch layout is wrong: span 0 does not end at position 33"),
        (|l| l.spans[0].rows = 0, "the batch layout is wrong: span 0 has 0 rows from 0, not from 0"),
        (
            |l| l.spans[0].rows = usize::MAX,
            "the batch layout is wrong: span 0 has 18446744073709551615 rows from 0, not from 0",
        ),
        (|l| l.spans[0].first_row = 1, "the batch layout is wrong: span 0 has 2 rows from 1, not from 0"),
        (
            |l| l.spans[0].context = 65,
            "the batch layout is wrong: span 0 of 2 rows has 2 blocks for a context of 65 tokens",
        ),
        (|l| l.spans[0].shared_blocks = 3, "the batch layout is wrong: span 0 shares 3 of its 2 blocks"),
        (|l| l.spans[0].blocks = vec![3, 4], "block 4 is out of range: there are 4"),
    ];
    for (spoil, expected) in table {
        let mut layout = layout();
        spoil(&mut layout);
        let pages = blank_pages(4, HEADS, DType::F16);
        let rows = layout.positions.len();
        assert_eq!(refusal(kernels.attend(&zeros(&[rows, 32]), HEADS, &pages, &layout, &PARAMS)), expected);
        assert_eq!(refusal(kernels.rope_write(&zeros(&[rows, 64]), HEADS, &rope, &pages, &layout)), expected);
        let untouched = |x: &Tensor| common::values(&x.to_dtype(DType::F32).unwrap()).iter().all(|x| *x > 9e3);
        assert!(untouched(&pages.key) && untouched(&pages.value));
    }
}

#[test]
fn tensors() {
    let kernels = Kernels::new(1);
    let pages = blank_pages(4, HEADS, DType::F16);
    let x = zeros(&[2, 32]);
    let rope = Rope::new(&[0.1; 4], 64, RopeStyle::Halves, 1.0);
    let weights = PackedMatrix::pack(GgmlDType::F32, 1, 4, &[0; 16]).unwrap();
    let attend = |pages: &KvPages| kernels.attend(&x, HEADS, pages, &layout(), &PARAMS).map(drop);
    let with_value = |value: Tensor| KvPages { key: pages.key.clone(), value };
    let half = |shape: &[usize]| zeros(shape).to_dtype(DType::F16).unwrap();
    let rotate = |rope: &Rope| kernels.rope_write(&zeros(&[2, 64]), HEADS, rope, &pages, &layout()).map(drop);
    let table: [(Result<()>, &str); 16] = [
        (kernels.rms_norm(&zeros(&[3]), &zeros(&[3]), 0.0).map(drop), "x has shape [3], but [rows, width] is needed"),
        (
            kernels.rms_norm(&zeros(&[3, 0]), &zeros(&[0]), 0.0).map(drop),
            "x has shape [3, 0], but [rows, width] is needed",
        ),
        (kernels.rms_norm(&x, &zeros(&[3]), 0.0).map(drop), "weight has shape [3], but [32] is needed"),
        (kernels.rms_norm(&half(&[2, 3]), &zeros(&[3]), 0.0).map(drop), "x holds F16, but F32 is needed"),
        (
            kernels.add_rms_norm(&x, &zeros(&[2, 31]), &zeros(&[32]), 0.0).map(drop),
            "x has shape [2, 31], but [2, 32] is needed",
        ),
        (
            kernels.gated(&zeros(&[2, 3]), Activation::Silu).map(drop),
            "gate_up has shape [2, 3], but [rows, 2 * width] is needed",
        ),
        (kernels.matmul(&x, &weights).map(drop), "x has shape [2, 32], but [tokens, 4] is needed"),
        (kernels.gather_rows(&weights, &[0, 1]).map(drop), "row 1 is out of range: there are 1"),
        (
            kernels.attend(&zeros(&[2, 31]), HEADS, &pages, &layout(), &PARAMS).map(drop),
            "query has shape [2, 31], but [2, 32] is needed",
        ),
        (
            attend(&with_value(half(&[4, 32, 2, 4]))),
            "value pages has shape [4, 32, 2, 4], but [blocks, 32, kv heads, head dim], the same for both is needed",
        ),
        (
            attend(&with_value(zeros(&[4, 32, 2, 8]).to_dtype(DType::F64).unwrap())),
            "value pages holds F64, but F16, BF16 or F32 is needed",
        ),
        (
            attend(&with_value(half(&[2, 32, 4, 8]).transpose(0, 2).unwrap())),
            "value pages is a strided view; allocate it as a tensor of its own",
        ),
        (kernels.copy_block(&pages, 0, 4), "block 4 is out of range: there are 4"),
        (rotate(&Rope::new(&[0.1; 5], 64, RopeStyle::Halves, 1.0)), "10 elements are to be rotated, but a head has 8"),
        (rotate(&Rope::new(&[0.1; 4], 33, RopeStyle::Halves, 1.0)), "position 33 is out of range: there are 33"),
        (
            kernels.rope_write(&zeros(&[2, 64]), Heads { query: 3, ..HEADS }, &rope, &pages, &layout()).map(drop),
            "3 query heads over 2 key heads of 8 elements is no attention layer",
        ),
    ];
    for (outcome, expected) in table {
        assert_eq!(refusal(outcome), expected);
    }
    let no_window = AttentionParams { window: Some(0), ..PARAMS };
    let found = refusal(kernels.attend(&x, HEADS, &pages, &layout(), &no_window));
    assert_eq!(found, "an attention window of 0 positions sees nothing");
}

#[test]
fn weights() {
    let table = [
        (GgmlDType::Q4_1, 2, 48, 40, "48 columns are not a whole number of Q4_1 blocks of 32"),
        (GgmlDType::Q4_1, 2, 64, 79, "a 2 x 64 matrix of Q4_1 takes 80 bytes, but 79 were given"),
        (
            GgmlDType::F32,
            usize::MAX,
            4,
            0,
            "a 18446744073709551615 x 4 matrix of F32 takes 18446744073709551615 bytes, but 0 were given",
        ),
        (
            GgmlDType::Q8_1,
            1,
            32,
            36,
            "weights stored as Q8_1 are not supported; convert the model to Q8_0, Q4_1 or F16",
        ),
    ];
    for (form, rows, cols, bytes, expected) in table {
        assert_eq!(refusal(PackedMatrix::pack(form, rows, cols, &vec![0; bytes])), expected);
    }
    let part = |cols: usize| PackedMatrix::pack(GgmlDType::F32, 1, cols, &vec![0; cols * 4]).unwrap();
    let found = refusal(PackedMatrix::stack(vec![part(3), part(4)]));
    assert_eq!(found, "matrices of [3, 4] columns cannot be stacked; all need the same number");
    assert!(matches!(PackedMatrix::stack(Vec::new()), Err(KernelError::Stack { .. })));
}

#[test]
fn nothing_is_done_for_nothing() {
    let kernels = Kernels::new(2);
    let mut random = Random(1);
    let empty = Layout::default();
    let pages = blank_pages(1, HEADS, DType::F16);
    let rope = Rope::new(&[0.1; 4], 1, RopeStyle::Halves, 1.0);
    assert_eq!(kernels.attend(&random.tensor(0, 32), HEADS, &pages, &empty, &PARAMS).unwrap().dims(), [0, 32]);
    assert_eq!(kernels.rope_write(&random.tensor(0, 64), HEADS, &rope, &pages, &empty).unwrap().dims(), [0, 32]);
    let weights = PackedMatrix::pack(GgmlDType::Q4_1, 0, 32, &[]).unwrap();
    assert_eq!(kernels.matmul(&random.tensor(2, 32), &weights).unwrap().dims(), [2, 0]);
    assert_eq!(kernels.gather_rows(&weights, &[]).unwrap().dims(), [0, 32]);
}
