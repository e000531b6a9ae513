//! As much of S3 as object stores' clients need to put, get, look at and remove objects; it checks no signature, and
//! refuses requests where it is told to.

use anyhow::{Context, Result};
use md5::{Digest, Md5};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

/// A server on this host, which ends with the process.
#[derive(Debug)]
pub struct S3 {
    address: String,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, Vec<u8>>,
    /// `PUT bucket/key` and so on, in order.
    requests: Vec<String>,
    /// So many of the next requests are told to come back later.
    refusals: usize,
}

impl S3 {
    /// Starts one without objects.
    ///
    /// # Errors
    /// When there is no port for it.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = format!("http://{}", listener.local_addr()?);
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                thread::spawn(move || serve(&stream, &state));
            }
        });
        Ok(Self { address, state })
    }

    /// Returns the variables under which clients find it.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, &str); 4] {
        [
            ("AWS_ENDPOINT_URL", &self.address),
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_REGION", "eu-west-1"),
        ]
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Lists the objects, as `bucket/key`.
    #[must_use]
    pub fn objects(&self) -> Vec<String> {
        self.state().objects.keys().cloned().collect()
    }

    /// Changes an object behind everybody's back; `None` removes it.
    pub fn set(&self, object: &str, bytes: Option<&[u8]>) {
        let mut state = self.state();
        match bytes {
            Some(bytes) => drop(state.objects.insert(object.to_owned(), bytes.to_vec())),
            None => drop(state.objects.remove(object)),
        }
    }

    /// Returns the requests since this was last asked.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state().requests)
    }

    /// Tells the next `count` requests to come back later.
    pub fn refuse(&self, count: usize) {
        self.state().refusals = count;
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers one connection until it is closed.
fn serve(stream: &TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    while let Ok(Some((method, path, body))) = request(&mut reader) {
        let mut stream = stream;
        if stream.write_all(&answer(&mut lock(state), &method, &path, body)).is_err() {
            return;
        }
    }
}

fn request(reader: &mut impl BufRead) -> Result<Option<(String, String, Vec<u8>)>> {
    let mut first = String::new();
    if reader.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut words = first.split_whitespace();
    let method = words.next().context("a method")?.to_owned();
    Ok(Some((method, words.next().context("a path")?.trim_start_matches('/').to_owned(), body)))
}

fn answer(state: &mut State, method: &str, path: &str, body: Vec<u8>) -> Vec<u8> {
    state.requests.push(format!("{method} {path}"));
    if state.refusals > 0 {
        state.refusals -= 1;
        return reply("503 Slow Down", &[], "", true);
    }
    let (path, _) = path.split_once('?').unwrap_or((path, ""));
    match method {
        "PUT" => {
            let answer = reply("200 OK", &[], &tag(&body), true);
            state.objects.insert(path.to_owned(), body);
            answer
        }
        "DELETE" => {
            state.objects.remove(path);
            reply("204 No Content", &[], "", true)
        }
        "POST" => {
            let bucket = path.trim_end_matches('/');
            let asked = String::from_utf8_lossy(&body).into_owned();
            let keys = asked.split("<Key>").skip(1).filter_map(|rest| Some(rest.split_once("</Key>")?.0));
            let remove = |key: &str| {
                state.objects.remove(&format!("{bucket}/{key}"));
                format!("<Deleted><Key>{key}</Key></Deleted>")
            };
            let gone: String = keys.map(remove).collect();
            reply("200 OK", format!("<DeleteResult>{gone}</DeleteResult>").as_bytes(), "", true)
        }
        _ => match state.objects.get(path) {
            Some(bytes) => reply("200 OK", bytes, &tag(bytes), method == "GET"),
            None => reply("404 Not Found", b"<Error><Code>NoSuchKey</Code></Error>", "", method == "GET"),
        },
    }
}

fn tag(bytes: &[u8]) -> String {
    let digest = Md5::digest(bytes).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    format!("ETag: \"{digest}\"\r\n")
}

fn reply(status: &str, body: &[u8], headers: &str, with_body: bool) -> Vec<u8> {
    let date = "Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT";
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\n{date}\r\n{headers}Content-Length: {length}\r\n\r\n");
    let body = if with_body { body } else { &[] };
    [head.as_bytes(), body].concat()
}
