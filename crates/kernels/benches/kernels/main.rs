//! How fast the kernels are, beside what the machine can do at best: `cargo bench -p baton-kernels [-- FILTER]`.
//!
//! Names are `products/FORM OUTxIN/ROWS`, `attention/SCENE`, `rows/KERNEL/ROWS`.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement for people")]

mod attention;
mod products;
mod roofline;
mod rows;

use std::num::NonZero;
use std::thread;
use std::time::{Duration, Instant};

use baton_kernels::{Kernels, peak};
use criterion::Criterion;
use roofline::Roofline;

/// More than the last cache holds.
const READ: usize = 512 << 20;

/// Few samples suffice: a kernel takes nearly the same time each time, or something else runs.
fn criterion(roofline: Roofline) -> Criterion<Roofline> {
    Criterion::default()
        .with_measurement(roofline)
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(400))
        .nresamples(2000)
        .without_plots()
        .configure_from_args()
}

fn main() {
    let kernels = Kernels::new(thread::available_parallelism().map_or(1, NonZero::get));
    let now = &Instant::now;
    let (read, float, int8) = (peak::read(&kernels, READ, now), peak::float(&kernels, now), peak::int8(&kernels, now));
    println!(
        "{:?} kernels, {} threads; at best {:.1} GB/s read, {:.0} GFLOP/s f32 ({}), {:.0} GOP/s int8 ({})",
        kernels.isa(),
        kernels.threads(),
        read.giga,
        float.giga,
        float.by,
        int8.giga,
        int8.by
    );
    products::quantised(&mut criterion(Roofline::new(int8, read)), &kernels);
    let mut floats = criterion(Roofline::new(float, read));
    products::floats(&mut floats, &kernels);
    attention::all(&mut floats, &kernels);
    rows::all(&mut floats, &kernels);
    floats.final_summary();
}
