//! What this machine, or the container we are in, has to give.

use std::fs;
use std::num::NonZero;
use std::thread;

use super::ByteSize;

/// Processors that this process may use; 1 if unknown.
pub(crate) fn processors() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Memory that this process may use: the machine's, or less inside a control group. `None` if unknown.
pub(crate) fn total_memory() -> Option<ByteSize> {
    let machine = fs::read_to_string("/proc/meminfo").ok().as_deref().and_then(meminfo_total);
    let group = fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    [machine, group].into_iter().flatten().min().map(ByteSize)
}

/// What the first processor calls itself. `None` if unknown.
pub(crate) fn processor_name() -> Option<String> {
    cpuinfo_name(&fs::read_to_string("/proc/cpuinfo").ok()?)
}

/// Most memory that this process had resident so far. `None` if unknown.
pub(crate) fn peak_memory() -> Option<ByteSize> {
    kibibytes(&fs::read_to_string("/proc/self/status").ok()?, "VmHWM:").map(ByteSize)
}

/// The first `model name` of `/proc/cpuinfo`.
fn cpuinfo_name(text: &str) -> Option<String> {
    let (_, name) = text.lines().find(|line| line.starts_with("model name"))?.split_once(':')?;
    Some(name.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The total of `/proc/meminfo`, in bytes.
fn meminfo_total(text: &str) -> Option<u64> {
    kibibytes(text, "MemTotal:")
}

/// The value behind `label`, in bytes.
fn kibibytes(text: &str, label: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_is_read() {
        assert_eq!(meminfo_total("MemTotal:       16384 kB\nMemFree: 1 kB\n"), Some(16 << 20));
        for bad in ["", "MemFree: 1 kB", "MemTotal: x kB", "MemTotal: 1 MB"] {
            assert_eq!(meminfo_total(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_processor_is_named() {
        let text = "processor\t: 0\nmodel name\t: AMD  EPYC 7B13\nmodel name\t: other\n";
        assert_eq!(cpuinfo_name(text).as_deref(), Some("AMD EPYC 7B13"));
        assert_eq!(cpuinfo_name("processor: 0\n"), None);
    }
}
