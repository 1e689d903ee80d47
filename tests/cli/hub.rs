//! A stand-in for a model hub, on loopback.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// How the hub answers one request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    /// As asked.
    Good,
    /// Only so many bytes of what was asked for, then the connection ends.
    Cut(usize),
    /// Everything from the beginning, whatever range was asked for.
    NoRanges,
    /// A range that was not asked for.
    OtherRange,
    /// To another place, where it answers well.
    Redirect,
    /// An error.
    Status(u16),
}

/// A hub with one file. It answers each request as told, the last answer again and again.
pub(super) struct Hub {
    pub(super) endpoint: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Hub {
    pub(super) fn start(content: &[u8], answers: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let (log, content, mut answers) = (Arc::clone(&asked), content.to_vec(), answers.to_vec());
        // The thread ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0] };
                serve(stream.unwrap(), &content, answer, &log);
            }
        });
        Self { endpoint, asked }
    }

    /// The requests so far: path and range.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// An address where nothing listens.
pub(super) fn nobody() -> String {
    format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap())
}

fn serve(mut stream: TcpStream, content: &[u8], answer: Answer, log: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
    let Some(request) = lines.next() else { return };
    let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let path = request.split(' ').nth(1).unwrap().to_owned();
    let range = headers.iter().find_map(|line| line.to_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
    let start = range.as_deref().map_or(0, |range| range.trim_end_matches('-').parse().unwrap());
    log.lock().unwrap().push(format!("{path} from {start}"));
    let head = |status: &str, more: &str| format!("HTTP/1.1 {status}\r\nConnection: close\r\n{more}\r\n");
    let total = content.len();
    let partial = |first: usize, length: usize| {
        let range = format!("Content-Range: bytes {first}-{}/{total}\r\n", total - 1);
        head("206 Partial Content", &format!("{range}Content-Length: {length}\r\n"))
    };
    let (head, body) = match answer {
        Answer::Good if start >= total => (head("416 Range Not Satisfiable", "Content-Length: 0\r\n"), &content[..0]),
        Answer::Good => (partial(start, total - start), &content[start..]),
        Answer::Cut(bytes) => (partial(start, total - start), &content[start..(start + bytes).min(total)]),
        Answer::NoRanges => (head("200 OK", &format!("Content-Length: {total}\r\n")), content),
        Answer::OtherRange => (partial(start + 1, total - start - 1), &content[start + 1..]),
        Answer::Redirect => (head("302 Found", "Location: /elsewhere\r\nContent-Length: 0\r\n"), &content[..0]),
        Answer::Status(status) => (head(&format!("{status} No"), "Content-Length: 0\r\n"), &content[..0]),
    };
    // A client that refuses what it sees goes away before it has read all.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}
