//! Guard three: caps on policy text, and a thread whose stack is large enough for what passes them.

use std::io;
use std::thread;

use crate::{Error, Source};

/// The longest file of policies, in bytes.
pub const FILE_BYTES: usize = 64 * 1024;
/// Most files of one rule set.
pub const FILES: usize = 256;
/// Most rules of one rule set.
pub const RULES: usize = 1000;
/// The deepest nesting of brackets, and of operators in one expression.
pub const NESTING: usize = 48;

/// The longest chain of operators that fits a file takes some tens of MiB in the parser; untouched pages cost nothing.
const STACK_BYTES: usize = 512 * 1024 * 1024;

/// Refuses sources that are too many, too long or too deeply bracketed, before any parser sees them.
pub(crate) fn check(sources: &[Source]) -> Result<(), Error> {
    if sources.len() > FILES {
        return Err(Error::TooManyFiles { files: sources.len() });
    }
    for Source { name, text, .. } in sources {
        if text.len() > FILE_BYTES {
            return Err(Error::TooLong { file: name.clone(), bytes: text.len() });
        }
        if nesting(text) > NESTING {
            return Err(Error::TooDeep { file: name.clone() });
        }
    }
    Ok(())
}

/// Runs `work` on a thread with a large stack; what it panics with becomes an error.
pub(crate) fn on_large_stack<T: Send>(work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
    let broken = |error: &io::Error| Error::Broken(format!("no thread for it: {error}"));
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("rules".to_owned()).stack_size(STACK_BYTES);
        let running = thread.spawn_scoped(scope, work).map_err(|error| broken(&error))?;
        running.join().unwrap_or_else(|_| Err(Error::Broken("the parser failed on them".to_owned())))
    })
}

/// The deepest nesting of brackets outside of strings and comments. A text with an open string counts to its end.
fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => {
                while let Some(inside) = bytes.next() {
                    match inside {
                        b'\\' => drop(bytes.next()),
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            b'/' if bytes.peek() == Some(&b'/') => while bytes.next().is_some_and(|inside| inside != b'\n') {},
            b'(' | b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_strings_and_comments_do_not_count() {
        let table = [
            ("", 0),
            ("()()", 1),
            ("([{}])", 3),
            (r#""(((" ("#, 1),
            (r#""\"(((" [("#, 2),
            ("// (((\n(", 1),
            ("/ ( /", 1),
            (")))((", 2),
            (r#""((("#, 0),
        ];
        for (text, expected) in table {
            assert_eq!(nesting(text), expected, "{text}");
        }
    }
}
