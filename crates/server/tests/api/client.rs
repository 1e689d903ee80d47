//! The least HTTP client that can also misbehave.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

/// One reply.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Client {
    pub(crate) async fn connect(address: std::net::SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), read: Vec::new() }
    }

    /// Sends bytes as they are.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Reads until `text` has come and returns everything up to its end.
    pub(crate) async fn read_until(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = find(&self.read, text.as_bytes()) {
                let rest = self.read.split_off(at + text.len());
                return String::from_utf8(std::mem::replace(&mut self.read, rest)).unwrap();
            }
            let mut buffer = [0; 4096];
            let count = self.stream.read(&mut buffer).await.unwrap();
            assert!(count > 0, "closed before {text:?}: {:?}", String::from_utf8_lossy(&self.read));
            self.read.extend_from_slice(&buffer[..count]);
        }
    }

    /// Reads until the peer closes.
    pub(crate) async fn read_to_end(&mut self) -> String {
        // A reset is as good an end as any.
        let _ = self.stream.read_to_end(&mut self.read).await;
        String::from_utf8(std::mem::take(&mut self.read)).unwrap()
    }

    /// Reads one reply.
    pub(crate) async fn reply(&mut self) -> Reply {
        let head = self.read_until("\r\n\r\n").await;
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let mut reply = Reply { status, headers, body: String::new() };
        if let Some(length) = reply.header("content-length") {
            let length: usize = length.parse().unwrap();
            while self.read.len() < length {
                let mut buffer = [0; 4096];
                let count = self.stream.read(&mut buffer).await.unwrap();
                assert!(count > 0, "closed in the body");
                self.read.extend_from_slice(&buffer[..count]);
            }
            let rest = self.read.split_off(length);
            reply.body = String::from_utf8(std::mem::replace(&mut self.read, rest)).unwrap();
        } else if reply.header("transfer-encoding").is_some() {
            reply.body = self.chunks().await;
        }
        reply
    }

    async fn chunks(&mut self) -> String {
        let mut body = String::new();
        loop {
            let size = usize::from_str_radix(self.read_until("\r\n").await.trim_end(), 16).unwrap();
            while self.read.len() < size + 2 {
                let mut buffer = [0; 4096];
                let count = self.stream.read(&mut buffer).await.unwrap();
                assert!(count > 0, "closed in a chunk");
                self.read.extend_from_slice(&buffer[..count]);
            }
            let rest = self.read.split_off(size + 2);
            let chunk = std::mem::replace(&mut self.read, rest);
            body.push_str(std::str::from_utf8(&chunk[..size]).unwrap());
            if size == 0 {
                return body;
            }
        }
    }
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The data of all events.
    pub(crate) fn events(&self) -> Vec<String> {
        self.body.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).map(str::to_owned).collect()
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
