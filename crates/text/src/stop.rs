//! Stop strings over streamed text.

/// What became of a piece of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopping {
    /// Text that can be shown; none while it may be the beginning of a stop string.
    Released(String),
    /// A stop string was completed. This is the last text before it; what came after it is dropped.
    Stopped {
        /// The text before the stop string that had not been released.
        text: String,
    },
}

/// Finds the stop string that is completed first, and holds back what may be the beginning of one.
///
/// Of several that are completed by the same character the longest counts. So the outcome depends on the text alone,
/// not on how it came in pieces. Each byte costs a few steps for each stop string (Knuth, Morris and Pratt, 1977).
#[derive(Clone, Debug)]
pub struct StopMatcher {
    stops: Vec<Stop>,
    /// Text that is held back.
    held: String,
}

#[derive(Clone, Debug)]
struct Stop {
    bytes: Vec<u8>,
    /// For each number of matched bytes (less one): how many of them begin the string again.
    fallback: Vec<usize>,
    matched: usize,
}

impl Stop {
    fn new(text: &str) -> Self {
        let bytes = text.as_bytes().to_vec();
        let mut stop = Self { fallback: vec![0; bytes.len()], bytes, matched: 0 };
        for at in 1..stop.bytes.len() {
            stop.step(stop.bytes[at]);
            stop.fallback[at] = stop.matched;
        }
        stop.matched = 0;
        stop
    }

    /// Takes one byte; true if it completes the string.
    fn step(&mut self, byte: u8) -> bool {
        while self.matched > 0 && self.bytes[self.matched] != byte {
            self.matched = self.fallback[self.matched - 1];
        }
        if self.bytes[self.matched] == byte {
            self.matched += 1;
        }
        self.matched == self.bytes.len()
    }
}

impl StopMatcher {
    /// A matcher for these strings; empty ones are left out.
    pub fn new<S: AsRef<str>>(stops: &[S]) -> Self {
        let stops = stops.iter().map(AsRef::as_ref).filter(|text| !text.is_empty()).map(Stop::new).collect();
        Self { stops, held: String::new() }
    }

    /// Takes the next text. After a stop the matcher begins anew.
    pub fn push(&mut self, text: &str) -> Stopping {
        let before = self.held.len();
        self.held.push_str(text);
        for (at, byte) in text.bytes().enumerate() {
            let mut found = 0;
            for stop in &mut self.stops {
                if stop.step(byte) {
                    found = found.max(stop.bytes.len());
                }
            }
            if found > 0 {
                self.held.truncate(before + at + 1 - found);
                self.stops.iter_mut().for_each(|stop| stop.matched = 0);
                return Stopping::Stopped { text: std::mem::take(&mut self.held) };
            }
        }
        let open = self.stops.iter().map(|stop| stop.matched).max().unwrap_or(0);
        let open = self.held.split_off(self.held.len() - open);
        Stopping::Released(std::mem::replace(&mut self.held, open))
    }

    /// Ends the stream without a stop: gives what was held back.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}
