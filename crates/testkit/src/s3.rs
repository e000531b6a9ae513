//! As much of S3 as regions and bundles need: objects are put, whole or in parts, got, looked at, listed and removed. It
//! checks no signature, and refuses requests where it is told to.

mod answer;

use anyhow::{Context, Result};
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
    /// Objects whose parts arrive, by the upload's id and the part's number.
    uploads: BTreeMap<String, BTreeMap<u32, Vec<u8>>>,
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
    while let Ok(Some(request)) = Request::read(&mut reader) {
        let mut stream = stream;
        let answer = answer::answer(&mut lock(state), request);
        if stream.write_all(&answer).is_err() {
            return;
        }
    }
}

/// What a client asks for.
#[derive(Debug)]
struct Request {
    method: String,
    /// `bucket/key`.
    path: String,
    query: BTreeMap<String, String>,
    /// With names in lower case.
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Request {
    fn read(reader: &mut impl BufRead) -> Result<Option<Self>> {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(None);
        }
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").map_or(Ok(0), |length| length.parse())?;
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let mut words = first.split_whitespace();
        let method = words.next().context("a method")?.to_owned();
        let asked = words.next().context("a path")?.trim_start_matches('/');
        let (path, query) = asked.split_once('?').unwrap_or((asked, ""));
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name.to_owned(), value.replace("%2F", "/"))
        };
        let query = query.split('&').filter(|pair| !pair.is_empty()).map(pair).collect();
        Ok(Some(Self { method, path: path.to_owned(), query, headers, body }))
    }
}
