//! The tax as a plain text.

use super::{By, Share, Tax, in_words};

impl Tax {
    /// The tax as tables for a terminal: shares, waits, rules and queues, one blank line between them.
    pub fn table(&self) -> String {
        let head = format!("Waiting for people, {} to {}\n", self.since, self.now);
        let shares = self.shares().map(|(name, share)| vec![name.to_owned(), share.to_string()]);
        let mut parts = vec![head, columns(&[], shares.into_iter())];
        let time = |held: usize, time| if held == 0 { "–".to_owned() } else { in_words(time) };
        let waits = self.waits.iter().map(|wait| {
            let name = match wait.by {
                By::All | By::Tier => wait.name.clone(),
                by => format!("{} {}", by.as_str(), wait.name),
            };
            let counts = [wait.decisions, wait.held, wait.waiting].map(|count| count.to_string());
            let times = [wait.p50, wait.p95, wait.sum].map(|one| time(wait.held, one));
            [vec![name], counts.to_vec(), times.to_vec()].concat()
        });
        parts.push(columns(&["waited for people", "decisions", "held", "waiting", "p50", "p95", "sum"], waits));
        let rules = self.rules.iter().map(|rule| {
            let Share { part, of } = rule.overridden;
            let rate = rule.overridden.rate().map_or("–".to_owned(), |rate| format!("{:.1} %", rate * 100.0));
            vec![format!("{} {}", rule.kind.as_str(), rule.rule), of.to_string(), part.to_string(), rate]
        });
        parts.push(columns(&["rules", "fired", "overridden", "share"], rules));
        let queues = self.queues.iter().map(|queue| {
            let name = format!("{} of {}", queue.waits_for.as_str(), queue.twin);
            vec![name, queue.length.to_string(), in_words(queue.p50), in_words(queue.oldest)]
        });
        parts.push(columns(&["waits now for", "decisions", "p50", "oldest"], queues));
        parts.retain(|part| !part.is_empty());
        parts.join("\n")
    }
}

/// Rows in columns: the first to the left, the others to the right. Nothing without rows.
fn columns(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return String::new();
    }
    let head: Vec<_> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let all: Vec<_> = std::iter::once(&head).filter(|head| !head.is_empty()).chain(&rows).collect();
    let width = |column: usize| {
        let cells = all.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..all[0].len()).map(width).collect();
    let line = |row: &&Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        let cells: Vec<_> = cells.collect();
        cells.join("  ") + "\n"
    };
    all.iter().map(line).collect()
}
