//! Wall time, told as shares of what the machine can do at best.

use std::time::{Duration, Instant};

use baton_kernels::peak::Peak;
use criterion::Throughput;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};

/// Measures wall time and compares work with two peaks.
pub(crate) struct Roofline {
    wall: WallTime,
    speed: Speed,
}

/// Tells speeds: elements are operations.
struct Speed {
    arithmetic: Peak,
    read: Peak,
}

impl Roofline {
    pub(crate) fn new(arithmetic: Peak, read: Peak) -> Self {
        Self { wall: WallTime, speed: Speed { arithmetic, read } }
    }
}

impl Measurement for Roofline {
    type Intermediate = Instant;
    type Value = Duration;

    fn start(&self) -> Instant {
        self.wall.start()
    }

    fn end(&self, start: Instant) -> Duration {
        self.wall.end(start)
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        self.wall.add(a, b)
    }

    fn zero(&self) -> Duration {
        self.wall.zero()
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        self.wall.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        &self.speed
    }
}

impl Speed {
    /// So much work in so many nanoseconds, as speed and share.
    fn told(amount: u64, nanoseconds: f64, unit: &str, peak: &Peak) -> String {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        // Work by nanoseconds is thousands of millions a second.
        let giga = amount as f64 / nanoseconds;
        format!("{giga:.1} {unit} = {:.0} %", 100.0 * giga / peak.giga)
    }
}

impl ValueFormatter for Speed {
    fn format_throughput(&self, throughput: &Throughput, nanoseconds: f64) -> String {
        let operations = |count| Self::told(count, nanoseconds, "GOP/s", &self.arithmetic);
        let bytes = |count| Self::told(count, nanoseconds, "GB/s", &self.read);
        match *throughput {
            Throughput::ElementsAndBytes { elements, bytes: count } => {
                format!("{}, {}", operations(elements), bytes(count))
            }
            Throughput::Bytes(count) => bytes(count),
            Throughput::Elements(count) => operations(count),
            _ => WallTime.formatter().format_throughput(throughput, nanoseconds),
        }
    }

    fn scale_values(&self, typical: f64, values: &mut [f64]) -> &'static str {
        WallTime.formatter().scale_values(typical, values)
    }

    fn scale_throughputs(&self, typical: f64, throughput: &Throughput, values: &mut [f64]) -> &'static str {
        WallTime.formatter().scale_throughputs(typical, throughput, values)
    }

    fn scale_for_machines(&self, values: &mut [f64]) -> &'static str {
        WallTime.formatter().scale_for_machines(values)
    }
}
