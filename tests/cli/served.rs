//! `baton serve` in a process of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::{self, JoinHandle};

use serde_json::Value;

use super::support::Home;

/// A server that was started, and what it said until it was up.
pub(super) struct Served {
    pub(super) child: Child,
    _stdout: BufReader<ChildStdout>,
    log: Option<JoinHandle<String>>,
    pub(super) said: String,
    pub(super) address: String,
    pub(super) key: Option<String>,
}

impl Served {
    /// Starts a server on a free port and waits until it says that it serves.
    pub(super) fn start(home: &Home, packs: &str) -> Self {
        let args = ["serve", "--listen", "127.0.0.1:0", "--packs", packs, "--kv-cache-memory", "256MiB"];
        Self::of(home.command(&args))
    }

    /// The same for a command that serves on a free port.
    pub(super) fn of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Log lines must not fill their pipe.
        let mut stderr = child.stderr.take().unwrap();
        let log = thread::spawn(move || {
            let mut text = String::new();
            _ = stderr.read_to_string(&mut text);
            text
        });
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        while !said.contains("Ctrl-C") {
            let read = stdout.read_line(&mut said).unwrap();
            assert!(read > 0, "the server ended before it was up: {said}{}", log.join().unwrap());
        }
        let word = |start: &str| said.split_whitespace().find(|word| word.starts_with(start)).map(str::to_owned);
        let address = word("http://").unwrap().trim_start_matches("http://").trim_end_matches("/v1").to_owned();
        let key = said.lines().find_map(|line| line.strip_prefix("  baton_")).map(|rest| format!("baton_{rest}"));
        Self { child, _stdout: stdout, log: Some(log), said, address, key }
    }

    /// Sends a request and gives what can be read from.
    pub(super) fn send(&self, method: &str, path: &str, key: &str, body: &Value) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: baton\r\nConnection: close\r\nAuthorization: Bearer {key}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        BufReader::new(stream)
    }

    /// Waits until it ends by itself. Its exit status, and all that it logged.
    pub(super) fn ended(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().unwrap();
        (status.code(), self.log.take().unwrap().join().unwrap())
    }

    /// Status and whole answer, headers too.
    pub(super) fn ask(&self, method: &str, path: &str, key: &str, body: &Value) -> (u16, String) {
        let mut answer = String::new();
        self.send(method, path, key, body).read_to_string(&mut answer).unwrap();
        (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
    }

    pub(super) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
