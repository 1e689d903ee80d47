//! Low-rank additions on the CPU have the bits of their definition, whatever else is in the batch.

mod common;

use baton_kernels::{Isa, Kernels};
use common::Random;
use common::adapters::{AdapterCase, adapters, added};

fn all_kernels() -> Vec<Kernels> {
    let sets = [Isa::Plain, Isa::Avx2, Isa::Avx512].into_iter().filter(|isa| isa.is_available());
    sets.flat_map(|isa| [1, 3].map(|threads| Kernels::with_isa(isa, threads))).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn additions_have_the_bits_of_the_definition() {
    let round: [fn(f32) -> f32; 3] = [|x| x, |x| half::f16::from_f32(x).to_f32(), |x| half::bf16::from_f32(x).to_f32()];
    let mut random = Random(11);
    for (inputs, widths, rows, count, ranks) in [
        (8, vec![8], 1, 1, vec![1]),
        (64, vec![32, 8, 8], 5, 2, vec![0, 3, 8]),
        (96, vec![1040, 24], 40, 4, vec![2, 16, 256]),
        (33, vec![70], 50, 50, vec![4]),
    ] {
        let case = AdapterCase { inputs, widths, rows, adapters: count, ranks };
        for round in round {
            let sites = adapters(&mut random, &case, round);
            let whose: Vec<_> =
                (0..rows).map(|row| (row == 0 || random.below(5) > 0).then(|| random.below(count))).collect();
            for kernels in all_kernels() {
                for result in added(&kernels, &case, &sites, &whose) {
                    assert_eq!(bits(&result.found), bits(&result.expected), "{case:?}");
                }
            }
        }
    }
}
