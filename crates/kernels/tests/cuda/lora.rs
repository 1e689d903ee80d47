//! Low-rank additions on a GPU beside the definition.

use baton_kernels::cuda::Gpu;
use baton_kernels::lora::{LowRank, Routing, Site};
use baton_kernels::{Backend, GpuConfig, KernelError};
use candle_core::DType;
use half::{bf16, f16};

use crate::has_device;
use crate::random::Random;

/// Normal numbers that the device's type holds exactly.
fn values(random: &mut Random, count: usize, dtype: DType, spread: f32) -> Vec<f32> {
    let round = |x: f32| if dtype == DType::F16 { f16::from_f32(x).to_f32() } else { bf16::from_f32(x).to_f32() };
    (0..count).map(|_| round(random.normal(spread))).collect()
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn site(random: &mut Random, dtype: DType, inputs: usize, widths: &[usize], adapters: usize) -> Site {
    let mut low_rank = |width: usize| {
        let rank = [0, 8, 16, 24, 32, 64][random.below(6)];
        LowRank {
            rank,
            down: values(random, rank * inputs, dtype, 1.0 / (inputs as f32).sqrt()),
            up: values(random, rank * width, dtype, 1.0),
            scale: 0.5 + random.share(),
        }
    };
    let all = (0..adapters).map(|_| widths.iter().map(|width| low_rank(*width)).collect()).collect();
    Site::new(inputs, widths.to_vec(), all).unwrap()
}

#[test]
fn additions_are_those_of_the_definition() {
    if !has_device("additions_are_those_of_the_definition") {
        return;
    }
    let mut random = Random(3);
    let mut wrong = Vec::new();
    for dtype in [DType::F16, DType::BF16] {
        let gpu = Gpu::open(&GpuConfig { ordinal: 0, dtype, cascade: false, graphs: false, threads: 1 }).unwrap();
        for (inputs, widths, rows, adapters) in [
            (8, vec![8], 1, 1),
            (64, vec![32, 8], 5, 2),
            (296, vec![264, 40, 8], 40, 4),
            (4096, vec![4096, 1024, 1024], 33, 8),
            (4096, vec![1024], 200, 64),
            (14_336, vec![4096], 70, 3),
        ] {
            let site = site(&mut random, dtype, inputs, &widths, adapters);
            let placed = gpu.low_rank_site(&site).unwrap();
            let whose: Vec<Option<u32>> = (0..rows)
                .map(|_| (!random.once_in(5)).then(|| u32::try_from(random.below(adapters)).unwrap()))
                .collect();
            let routing = gpu.place_routing(&Routing::new(&whose)).unwrap();
            let x = values(&mut random, rows * inputs, dtype, 1.0);
            let before = values(&mut random, rows * site.outputs(), dtype, 1.0);
            let mut expected = before.clone();
            site.add_plain(&x, &mut expected, &whose).unwrap();
            let x = gpu.upload_rows(&x, inputs, dtype).unwrap();
            // A result in 16 bits is rounded once.
            let narrow = if dtype == DType::F16 { 1e-3 } else { 8e-3 };
            for (kind, tolerance) in [(DType::F32, 1e-3), (dtype, narrow)] {
                let y = gpu.upload_rows(&before, site.outputs(), kind).unwrap();
                gpu.add_low_rank(&x, &y, &placed, &routing).unwrap();
                let found = gpu.read(&y).unwrap();
                let close = |found: f32, expected: f32| (found - expected).abs() <= tolerance * (1.0 + expected.abs());
                let count = found.iter().zip(&expected).filter(|(found, expected)| !close(**found, **expected)).count();
                if count > 0 {
                    wrong.push(format!("{dtype:?} into {kind:?}, {rows} x {inputs} to {widths:?}: {count} numbers"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_addition_does_not_depend_on_neighbours() {
    if !has_device("an_addition_does_not_depend_on_neighbours") {
        return;
    }
    let (dtype, inputs, rows) = (DType::BF16, 2304, 50);
    let gpu = Gpu::open(&GpuConfig { ordinal: 0, dtype, cascade: false, graphs: false, threads: 1 }).unwrap();
    let mut random = Random(4);
    let site = site(&mut random, dtype, inputs, &[576, 192], 3);
    let placed = gpu.low_rank_site(&site).unwrap();
    let whose: Vec<Option<u32>> = (0..rows).map(|_| Some(u32::try_from(random.below(3)).unwrap())).collect();
    let x = values(&mut random, rows * inputs, dtype, 1.0);
    let add = |x: &[f32], whose: &[Option<u32>]| {
        let y = gpu.upload_rows(&vec![0.0; whose.len() * site.outputs()], site.outputs(), DType::F32).unwrap();
        let routing = gpu.place_routing(&Routing::new(whose)).unwrap();
        gpu.add_low_rank(&gpu.upload_rows(x, inputs, dtype).unwrap(), &y, &placed, &routing).unwrap();
        gpu.read(&y).unwrap()
    };
    let together = add(&x, &whose);
    for row in 0..rows {
        let alone = add(&x[row * inputs..][..inputs], &whose[row..=row]);
        let among = &together[row * site.outputs()..][..site.outputs()];
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&alone), bits(among), "row {row}");
    }
}

#[test]
fn rows_and_adapters_that_do_not_exist_are_refused() {
    if !has_device("rows_and_adapters_that_do_not_exist_are_refused") {
        return;
    }
    let dtype = DType::F16;
    let gpu = Gpu::open(&GpuConfig { ordinal: 0, dtype, cascade: false, graphs: false, threads: 1 }).unwrap();
    let site = gpu.low_rank_site(&site(&mut Random(5), dtype, 16, &[8], 2)).unwrap();
    let rows = |count: usize, width: usize| gpu.upload_rows(&vec![0.0; count * width], width, dtype).unwrap();
    let add = |x, y, whose: &[Option<u32>]| {
        gpu.add_low_rank(&rows(x, 16), &rows(y, 8), &site, &gpu.place_routing(&Routing::new(whose)).unwrap())
    };
    assert!(add(2, 2, &[Some(0), Some(1)]).is_ok());
    assert!(matches!(add(2, 2, &[Some(2)]), Err(KernelError::Range { what: "adapter", .. })));
    assert!(matches!(add(1, 2, &[None, Some(1)]), Err(KernelError::Range { what: "row", .. })));
    let none = gpu.place_routing(&Routing::new(&[])).unwrap();
    assert!(gpu.add_low_rank(&rows(1, 8), &rows(1, 8), &site, &none).is_err());
    assert!(gpu.add_low_rank(&rows(1, 16), &rows(1, 16), &site, &none).is_err());
}
