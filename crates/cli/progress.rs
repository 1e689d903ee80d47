//! Progress of long work on standard error: a bar for people, a few lines for a log.

use std::cell::Cell;
use std::io::{IsTerminal, Write, stderr};

use indicatif::{BinaryBytes, ProgressBar, ProgressStyle};

/// Share of the whole, in percent, between two lines of a log.
const LINE_EVERY: u64 = 20;

/// Shows how far something has come. Dropping it without `finish` removes the bar.
pub(crate) struct Progress {
    what: &'static str,
    bar: ProgressBar,
    /// How an amount of the work is told.
    amount: fn(u64) -> String,
    /// Without a terminal: percent that were shown last.
    lines: Option<Cell<u64>>,
}

impl Progress {
    /// Work of `total` bytes, `done` of which are done.
    pub(crate) fn bytes(what: &'static str, total: u64, done: u64) -> Self {
        let bar = ProgressBar::new(total)
            .with_message(what)
            .with_position(done)
            .with_style(style("{msg:12} [{bar:36}] {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}"));
        let progress = Self { what, bar, amount: |bytes| BinaryBytes(bytes).to_string(), lines: lines() };
        if done > 0 {
            progress.line(&format!("going on at {} of {}", BinaryBytes(done), BinaryBytes(total)));
        }
        progress
    }

    /// Work of `total` steps.
    pub(crate) fn count(what: &'static str, total: usize) -> Self {
        let bar = ProgressBar::new(total as u64)
            .with_message(what)
            .with_style(style("{msg:12} [{bar:36}] {pos}/{len} {eta}"));
        Self { what, bar, amount: |count| count.to_string(), lines: lines() }
    }

    /// So many bytes, or steps, more are done.
    pub(crate) fn advance(&self, amount: usize) {
        self.bar.inc(amount as u64);
        let (Some(shown), Some(total)) = (&self.lines, self.bar.length()) else { return };
        let percent = (self.bar.position() * 100).checked_div(total).unwrap_or(100);
        while percent >= shown.get() + LINE_EVERY {
            shown.set(shown.get() + LINE_EVERY);
            self.line(&format!("{} % of {}", shown.get(), (self.amount)(total)));
        }
    }

    pub(crate) fn set(&self, done: u64) {
        self.bar.set_position(done);
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn line(&self, text: &str) {
        if self.lines.is_some() {
            // Progress is for people: if nobody can read it, the work goes on.
            let _ = writeln!(stderr(), "{}: {text}", self.what);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn lines() -> Option<Cell<u64>> {
    (!stderr().is_terminal()).then(Cell::default)
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is valid").progress_chars("=> ")
}
