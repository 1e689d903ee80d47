//! What the commands say: results on standard output, errors on standard error.

use std::io::{self, ErrorKind, Write, stderr, stdout};

/// Writes a result and a line end. A reader that has gone is an error like any other; see [`is_closed_pipe`].
pub(crate) fn line(text: impl std::fmt::Display) -> io::Result<()> {
    writeln!(stdout(), "{text}")
}

/// Writes a part of a result and shows it at once.
pub(crate) fn part(text: &str) -> io::Result<()> {
    let mut out = stdout();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes a remark for people to standard error, where it does not get into what is piped on.
pub(crate) fn note(text: impl std::fmt::Display) {
    // A remark that nobody can read is no reason to fail.
    let _ = writeln!(stderr(), "{text}");
}

/// Writes an error with its causes. Hints are lines of their own and come last.
pub(crate) fn error(error: &anyhow::Error) {
    sentence("error", error);
}

/// Writes something that is not as it should be, but lets the work go on.
pub(crate) fn warning(error: &anyhow::Error) {
    sentence("warning", error);
}

fn sentence(label: &str, error: &anyhow::Error) {
    let (sentence, hints) = explain(error);
    // Nothing can be done if standard error is closed.
    let _ = writeln!(stderr(), "{label}: {sentence}");
    for hint in hints {
        let _ = writeln!(stderr(), "hint: {hint}");
    }
}

/// An error and its causes as one sentence, and the hints among them.
pub(crate) fn explain(error: &anyhow::Error) -> (String, Vec<String>) {
    let mut sentences = Vec::new();
    let mut hints = Vec::new();
    for cause in error.chain() {
        let text = cause.to_string();
        let (sentence, hint) = match text.split_once("\nhint: ") {
            Some((sentence, hint)) => (sentence.to_owned(), Some(hint.to_owned())),
            None => (text, None),
        };
        sentences.push(sentence);
        hints.extend(hint);
    }
    (sentences.join(": "), hints)
}

/// Whether the reader of our output has gone, as in `baton twin list | head -1`.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
