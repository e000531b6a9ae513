//! A small HTTP server for installers that fetch their answers: one folder and a few texts, for reading.
//!
//! It listens on loopback, on a port that the system chooses. A guest on QEMU's user network reaches it at [`GUEST_HOST`],
//! which QEMU leads to the host's loopback; nobody beyond this host does. Placeholders are filled in in texts, since they
//! belong to the template; a folder's files are served byte for byte. A text stands before a file of the same path.

mod files;

use files::{Answer, Site};
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Frame, Incoming},
    header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use std::{
    collections::BTreeMap, convert::Infallible, fmt, io, net::Ipv4Addr, path::PathBuf, sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};

/// How guests on QEMU's user network call the host.
pub const GUEST_HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

/// Bytes of a file that are read at once.
const PIECE: usize = 64 << 10;

/// How long the server rests when the host has no descriptor left for a connection.
const REST: Duration = Duration::from_millis(100);

/// What is served.
#[derive(Debug, Clone, Default)]
pub struct Served {
    /// A folder; its files, and those below it, are served under their paths.
    pub directory: Option<PathBuf>,
    /// Texts by their paths, which begin with `/`. `${http.address}`, `${http.ip}` and `${http.port}` are filled in.
    pub content: BTreeMap<String, String>,
}

/// A request that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// `GET`, mostly.
    pub method: String,
    /// The path as it was asked for.
    pub path: String,
    /// The status code.
    pub status: u16,
    /// The size of what is sent.
    pub bytes: u64,
}

impl fmt::Display for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, path, status, bytes } = self;
        match status {
            200 => write!(f, "{method} {path}: {bytes} bytes"),
            _ => write!(f, "{method} {path}: {status}"),
        }
    }
}

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpServerError {
    /// There is no port to be had.
    #[error("cannot serve files on 127.0.0.1")]
    Listen(#[source] io::Error),
    /// The folder cannot be opened; the source names it.
    #[error("cannot serve a folder")]
    Directory(#[source] io::Error),
}

/// A server that runs; it ends when it is dropped, with its connections.
#[derive(Debug)]
pub struct HttpServer {
    port: u16,
    task: JoinHandle<()>,
}

impl HttpServer {
    /// Serves until it is dropped; `told` hears of every request.
    ///
    /// # Errors
    /// When the folder cannot be opened, or the system has no port.
    pub async fn start(
        served: &Served,
        told: impl Fn(Fetched) + Send + Sync + 'static,
    ) -> Result<Self, HttpServerError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(HttpServerError::Listen)?;
        let port = listener.local_addr().map_err(HttpServerError::Listen)?.port();
        let site = Site::open(served, |name| value(name, port)).map_err(HttpServerError::Directory)?;
        let task = tokio::spawn(accept(listener, Arc::new(site), Arc::new(told)));
        Ok(Self { port, task })
    }

    /// Returns the port, on this host's loopback and on [`GUEST_HOST`] alike.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Returns what a placeholder stands for: `http.address` is `10.0.2.2:PORT`, `http.ip` and `http.port` are its parts.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<String> {
        value(name, self.port)
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn value(name: &str, port: u16) -> Option<String> {
    match name {
        "http.address" => Some(format!("{GUEST_HOST}:{port}")),
        "http.ip" => Some(GUEST_HOST.to_string()),
        "http.port" => Some(port.to_string()),
        _ => None,
    }
}

type Told = Arc<dyn Fn(Fetched) + Send + Sync>;
type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Takes connections until it is aborted, which drops them.
async fn accept(listener: TcpListener, site: Arc<Site>, told: Told) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _peer)) = listener.accept().await else {
            tokio::time::sleep(REST).await;
            continue;
        };
        let (site, told) = (site.clone(), told.clone());
        connections.spawn(async move {
            let service = service_fn(|request| answer(site.clone(), told.clone(), request));
            // Whoever hangs up has what it wanted, or asks again.
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(
    site: Arc<Site>,
    told: Told,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let found = match method {
        Method::GET | Method::HEAD => site.find(&path),
        _ => Answer::Not(StatusCode::METHOD_NOT_ALLOWED),
    };
    let response = respond(found, method == Method::HEAD);
    let bytes = response.headers().get(CONTENT_LENGTH).and_then(|size| size.to_str().ok()?.parse().ok());
    told(Fetched {
        method: method.to_string(),
        path,
        status: response.status().as_u16(),
        bytes: bytes.unwrap_or_default(),
    });
    Ok(response)
}

fn respond(found: Answer, head: bool) -> Response<Body> {
    let (status, kind, size, body) = match found {
        Answer::Text(text) => {
            let size = text.len() as u64;
            let body = Full::new(text).map_err(|never| match never {}).boxed_unsync();
            (StatusCode::OK, "text/plain; charset=utf-8", size, body)
        }
        Answer::File(file, size) => {
            (StatusCode::OK, "application/octet-stream", size, streamed(file.take(size)))
        }
        Answer::Not(status) => {
            let text = Bytes::from(format!("{status}\n"));
            let size = text.len() as u64;
            (status, "text/plain", size, Full::new(text).map_err(|never| match never {}).boxed_unsync())
        }
    };
    let body = if head { Empty::new().map_err(|never| match never {}).boxed_unsync() } else { body };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(size));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

/// Sends a file piece by piece; it may be larger than memory.
fn streamed(file: impl AsyncRead + Unpin + Send + 'static) -> Body {
    let pieces = futures::stream::try_unfold(file, |mut file| async move {
        let mut piece = Vec::with_capacity(PIECE);
        (&mut file).take(PIECE as u64).read_to_end(&mut piece).await?;
        Ok((!piece.is_empty()).then(|| (Frame::data(Bytes::from(piece)), file)))
    });
    StreamBody::new(pieces).boxed_unsync()
}

#[cfg(test)]
mod tests;
