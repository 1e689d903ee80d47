//! Low-rank additions on the device are those of their definition.

use baton_kernels::GpuConfig;
use baton_kernels::cuda::Gpu;
use candle_core::DType;
use half::{bf16, f16};

use crate::common::Random;
use crate::common::adapters::{AdapterCase, adapters, added};
use crate::has_device;

fn gpu(dtype: DType) -> Gpu {
    Gpu::open(&GpuConfig { ordinal: 0, dtype, cascade: false, graphs: false, quantised: false, threads: 1 }).unwrap()
}

fn rounded(dtype: DType) -> fn(f32) -> f32 {
    match dtype {
        DType::F16 => |x| f16::from_f32(x).to_f32(),
        _ => |x| bf16::from_f32(x).to_f32(),
    }
}

#[test]
fn additions_are_those_of_the_definition() {
    if !has_device("additions_are_those_of_the_definition") {
        return;
    }
    let mut random = Random(3);
    let mut wrong = Vec::new();
    // A result in 16 bits is rounded once.
    for (dtype, tolerance) in [(DType::F16, 1e-3), (DType::BF16, 8e-3)] {
        let gpu = gpu(dtype);
        for (inputs, widths, rows, count, ranks) in [
            (8, vec![8], 1, 1, vec![8]),
            (64, vec![32, 8], 5, 2, vec![0, 3, 8, 16]),
            (296, vec![264, 40, 8], 40, 4, vec![0, 5, 24, 64]),
            (4096, vec![4096, 1024, 1024], 33, 8, vec![0, 16, 64]),
            (4096, vec![1024], 200, 64, vec![8, 16, 32]),
            (14_336, vec![4096], 70, 3, vec![64]),
            (1024, vec![3072, 3072], 30, 5, vec![72, 128, 200, 256]),
        ] {
            let case = AdapterCase { inputs, widths, rows, adapters: count, ranks };
            let sites = adapters(&mut random, &case, rounded(dtype));
            let whose: Vec<_> =
                (0..rows).map(|row| (row == 0 || random.below(5) > 0).then(|| random.below(count))).collect();
            for result in added(&gpu, &case, &sites, &whose) {
                let close = |found: f32, expected: f32| (found - expected).abs() <= tolerance * (1.0 + expected.abs());
                let pairs = result.found.iter().zip(&result.expected);
                let count = pairs.filter(|(found, expected)| !close(**found, **expected)).count();
                if count > 0 {
                    wrong.push(format!("{dtype:?}, {case:?}: {count} of {} numbers", result.found.len()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_addition_does_not_depend_on_neighbours_adapters() {
    if !has_device("an_addition_does_not_depend_on_neighbours_adapters") {
        return;
    }
    let gpu = gpu(DType::BF16);
    let mut random = Random(4);
    let ranks = vec![16, 64];
    let case = AdapterCase { inputs: 2304, widths: vec![576, 192], rows: 50, adapters: 3, ranks };
    let sites = adapters(&mut random, &case, rounded(DType::BF16));
    let whose: Vec<_> = (0..case.rows).map(|row| (row % 4 > 0).then(|| random.below(3))).collect();
    let [_, together] = added(&gpu, &case, &sites, &whose);
    for adapter in 0..3 {
        let only: Vec<_> = whose.iter().map(|one| one.filter(|one| *one == adapter)).collect();
        let [_, apart] = added(&gpu, &case, &sites, &only);
        for (row, one) in whose.iter().enumerate() {
            if one.is_none_or(|one| one == adapter) {
                let bits = |all: &[f32]| all[row * 768..][..768].iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&together.found), bits(&apart.found), "row {row}");
            }
        }
    }
}
