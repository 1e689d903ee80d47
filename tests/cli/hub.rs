//! A stand-in for a model hub, on loopback.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

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
    /// To another host.
    Away,
    /// An error.
    Status(u16),
}

/// A hub. It answers each request as told.
pub(super) struct Hub {
    pub(super) endpoint: String,
    asked: Arc<Mutex<Vec<String>>>,
}

/// A request: its path, from which byte on, and who asks.
struct Request {
    path: String,
    /// Of the range that was asked for, if one was.
    start: Option<usize>,
    bearer: Option<String>,
}

/// Says a content, how it is given, and headers.
type Answering<'a> = dyn FnMut(&Request) -> (Vec<u8>, Answer, String) + 'a;

/// A repository of a hub.
#[derive(Clone, Default)]
pub(super) struct Repository {
    /// `OWNER/NAME`.
    pub(super) name: String,
    /// What `main` means.
    pub(super) commit: String,
    pub(super) files: BTreeMap<String, Vec<u8>>,
    /// How it answers requests whose path ends so, instead of well: each once, in their order.
    pub(super) faults: Vec<(String, Answer)>,
    /// Digests that the hub tells, instead of the right ones.
    pub(super) digests: BTreeMap<String, String>,
    /// Who may read files; everybody if nobody is named.
    pub(super) token: Option<String>,
}

impl Hub {
    /// A hub with one file, whatever is asked for; the last answer is given again and again.
    pub(super) fn start(content: &[u8], answers: &[Answer]) -> Self {
        let (content, mut answers) = (content.to_vec(), answers.to_vec());
        Self::answering(move |_| {
            let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0] };
            (content.clone(), answer, String::new())
        })
    }

    /// A hub with one repository, as Hugging Face's answers about it.
    pub(super) fn with(repository: Repository) -> Self {
        let mut repository = repository;
        Self::answering(move |request| repository.answer(request))
    }

    /// Each request gets a content, how it is given, and headers.
    fn answering(mut answer: impl FnMut(&Request) -> (Vec<u8>, Answer, String) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let log = Arc::clone(&asked);
        // The thread ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.unwrap(), &mut answer, &log);
            }
        });
        Self { endpoint, asked }
    }

    /// The requests so far: path, range and who asked.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// An address where nothing listens.
pub(super) fn nobody() -> String {
    format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap())
}

impl Repository {
    /// One with these files.
    pub(super) fn of(name: &str, files: &[(&str, &[u8])]) -> Self {
        let files = files.iter().map(|(path, content)| ((*path).to_owned(), content.to_vec())).collect();
        Self { name: name.to_owned(), commit: "c0ffee".repeat(7)[..40].to_owned(), files, ..Self::default() }
    }

    fn answer(&mut self, request: &Request) -> (Vec<u8>, Answer, String) {
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        if let Some(place) = self.faults.iter().position(|(end, _)| path.ends_with(end.as_str())) {
            let (_, fault) = self.faults.remove(place);
            let content = self.file(path).unwrap_or_default();
            return (content, fault, String::new());
        }
        let (name, commit) = (&self.name, &self.commit);
        if path == format!("/api/models/{name}/revision/main") {
            return (json!({ "id": name, "sha": commit }).to_string().into_bytes(), Answer::Good, String::new());
        }
        if path == format!("/api/models/{name}/tree/{commit}") {
            return self.list(query);
        }
        match self.file(path) {
            Some(_) if self.token.is_some() && self.token != request.bearer => {
                let status = if request.bearer.is_none() { 401 } else { 403 };
                (Vec::new(), Answer::Status(status), String::new())
            }
            Some(content) => (content, Answer::Good, String::new()),
            None => (Vec::new(), Answer::Status(404), String::new()),
        }
    }

    fn file(&self, path: &str) -> Option<Vec<u8>> {
        let own = path.strip_prefix(&format!("/{}/resolve/{}/", self.name, self.commit))?;
        self.files.get(own).cloned()
    }

    /// Two entries a page, and where the next ones are.
    fn list(&self, query: &str) -> (Vec<u8>, Answer, String) {
        let page: usize = query.rsplit_once("page=").map_or(0, |(_, page)| page.parse().unwrap());
        let entry = |(path, content): (&String, &Vec<u8>)| {
            let mut entry = json!({ "type": "file", "path": path, "size": content.len(), "oid": "0" });
            if Path::new(path).extension().is_none_or(|ending| ending != "json") {
                let digest = self.digests.get(path).cloned().unwrap_or_else(|| sha256(content));
                entry["lfs"] = json!({ "oid": digest, "size": content.len(), "pointerSize": 9 });
            }
            entry
        };
        let here: Vec<Value> = self.files.iter().skip(page * 2).take(2).map(entry).collect();
        let next = format!("/api/models/{}/tree/{}?recursive=true&page={}", self.name, self.commit, page + 1);
        let link = format!("Link: <ENDPOINT{next}>; rel=\"next\"\r\n");
        let more = page * 2 + 2 < self.files.len();
        (Value::from(here).to_string().into_bytes(), Answer::Good, if more { link } else { String::new() })
    }
}

pub(super) fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn serve(mut stream: TcpStream, answer: &mut Answering<'_>, log: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
    let Some(request) = lines.next() else { return };
    let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let header = |name: &str| {
        let of = |line: &String| line.to_lowercase().starts_with(name).then(|| line[name.len()..].trim().to_owned());
        headers.iter().find_map(of)
    };
    let range = header("range: bytes=");
    let request = Request {
        path: request.split(' ').nth(1).unwrap().to_owned(),
        start: range.map(|range| range.trim_end_matches('-').parse().unwrap()),
        bearer: header("authorization: bearer "),
    };
    let start = request.start.unwrap_or(0);
    let who = request.bearer.as_ref().map_or(String::new(), |who| format!(" by {who}"));
    log.lock().unwrap().push(format!("{} from {start}{who}", request.path));
    let (content, answer, more) = answer(&request);
    let more = more.replace("ENDPOINT", &format!("http://{}", stream.local_addr().unwrap()));
    let head = |status: &str, own: &str| format!("HTTP/1.1 {status}\r\nConnection: close\r\n{more}{own}\r\n");
    let total = content.len();
    let whole = || head("200 OK", &format!("Content-Length: {total}\r\n"));
    let partial = |first: usize, length: usize| {
        let range = format!("Content-Range: bytes {first}-{}/{total}\r\n", total - 1);
        head("206 Partial Content", &format!("{range}Content-Length: {length}\r\n"))
    };
    let (head, body) = match answer {
        Answer::Good if request.start.is_none() => (whole(), &content[..]),
        Answer::Good if start >= total => (head("416 Range Not Satisfiable", "Content-Length: 0\r\n"), &content[..0]),
        Answer::Good => (partial(start, total - start), &content[start..]),
        Answer::Cut(bytes) => (partial(start, total - start), &content[start..(start + bytes).min(total)]),
        Answer::NoRanges => (whole(), &content[..]),
        Answer::OtherRange => (partial(start + 1, total - start - 1), &content[start + 1..]),
        Answer::Redirect => (head("302 Found", "Location: /elsewhere\r\nContent-Length: 0\r\n"), &content[..0]),
        Answer::Away => {
            let port = stream.local_addr().unwrap().port();
            let place = format!("Location: http://localhost:{port}/elsewhere\r\nContent-Length: 0\r\n");
            (head("302 Found", &place), &content[..0])
        }
        Answer::Status(status) => (head(&format!("{status} No"), "Content-Length: 0\r\n"), &content[..0]),
    };
    // A client that refuses what it sees goes away before it has read all.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}
