//! What a guest is told about itself at 169.254.169.254, in the form of EC2's instance metadata service, version 2.
//!
//! ```text
//! guest ──TCP──▶ QEMU ──starts, a process a connection──▶ kiln, which reads the instance's folder
//!
//! PUT /latest/api/token      X-aws-ec2-metadata-token-ttl-seconds: 1 to 21600    ─▶ a token
//! GET /latest/meta-data/…    X-aws-ec2-metadata-token: the token                 ─▶ 200, 401 without it, 404
//! ```
//! A token says until when it holds, and proves that by a digest with a secret of the instance's: nothing keeps a list of them.
//! As EC2 does, a request that a proxy has forwarded gets no token, and a date stands for the version as `latest` does.

mod tree;

use super::{Instance, InstanceError, InstanceFiles, launch::hostname};
use crate::{Error, key::KeyMaker};
use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CONTENT_TYPE, HeaderValue, SERVER},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use kiln_machine::config::{Forward, Network};
use kiln_types::Timestamp;
use std::{convert::Infallible, io, os::fd::OwnedFd, path::Path, time::Duration};
use tokio::{net::TcpStream, time::timeout};
use tree::Tree;

const TOKEN: &str = "x-aws-ec2-metadata-token";
const TOKEN_LASTS: &str = "x-aws-ec2-metadata-token-ttl-seconds";
const LONGEST: i64 = 6 * 60 * 60;

/// How long one connection may last; a guest that wants more asks again.
const CONNECTION: Duration = Duration::from_secs(60);

/// What `kiln` is called with to have it answer a guest; the instance's folder follows.
pub const METADATA: &str = "__metadata";

/// Describes an instance's network. A guest that is told about itself gets its answers from `kiln`.
pub(super) fn network(files: &InstanceFiles, instance: &Instance, kiln: &Path) -> Network {
    let forwards = instance.ports.iter().map(|port| Forward { host: port.host, guest: port.guest });
    let ports = forwards.collect();
    if !instance.metadata {
        return Network::Forwarded(ports);
    }
    let words = [kiln.display().to_string(), METADATA.to_owned(), files.folder().display().to_string()];
    Network::WithMetadata { ports, program: words.to_vec() }
}

/// Answers a guest whose connection is `connection`, about the instance whose folder is `folder`.
///
/// # Errors
/// When the folder is not an instance's, or the connection is none.
pub fn serve_metadata(folder: &Path, connection: OwnedFd) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(Metadata::read(folder)?, connection)).map_err(Error::from)
}

async fn serve(metadata: Metadata, connection: OwnedFd) -> io::Result<()> {
    let stream = std::net::TcpStream::from(connection);
    stream.set_nonblocking(true)?;
    let stream = TokioIo::new(TcpStream::from_std(stream)?);
    let service = service_fn(|request: Request<Incoming>| {
        let answer =
            metadata.answer(request.method(), request.uri().path(), request.headers(), Timestamp::now());
        async move { Ok::<_, Infallible>(answer) }
    });
    // Whoever hangs up has what it wanted.
    let mut server = http1::Builder::new();
    // Some have said all they want to say when they wait for the answer.
    drop(timeout(CONNECTION, server.half_close(true).serve_connection(stream, service)).await);
    Ok(())
}

/// What there is to be told, and to whom.
#[derive(Debug)]
struct Metadata {
    tree: Tree,
    /// What the guest does not know.
    secret: Vec<u8>,
}

impl Metadata {
    fn read(folder: &Path) -> Result<Self, Error> {
        let files = InstanceFiles::at(folder)?;
        let not_found = || InstanceError::NotFound { text: files.id().to_string() };
        let instance = files.record()?.ok_or_else(not_found)?;
        let id = instance.instance_id.to_string();
        let hostname = hostname(instance.name().unwrap_or(&id));
        let key = fs_err::read_to_string(files.path("key.pub"))?;
        let user_data = match fs_err::read(files.path("user-data")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            read => Some(read?),
        };
        let tree = Tree::new(&instance, &hostname, &key, user_data);
        Ok(Self { tree, secret: fs_err::read(files.path("key"))? })
    }

    fn answer(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Response<Full<Bytes>> {
        let (status, body) = match self.respond(method, path, headers, now) {
            Ok(body) => (StatusCode::OK, body),
            Err(status) => (status, format!("{status}\n").into_bytes()),
        };
        let lasts = headers.get(TOKEN_LASTS).filter(|_| status == StatusCode::OK && method == Method::PUT);
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        // Programs tell by it where they are.
        headers.insert(SERVER, HeaderValue::from_static("EC2ws"));
        if let Some(lasts) = lasts {
            headers.insert(TOKEN_LASTS, lasts.clone());
        }
        response
    }

    fn respond(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<Vec<u8>, StatusCode> {
        let path = path.trim_start_matches('/');
        match *method {
            Method::PUT if path == "latest/api/token" => self.new_token(headers, now).map(String::into_bytes),
            Method::GET | Method::HEAD => {
                self.check(headers, now)?;
                let (version, rest) = path.split_once('/').unwrap_or((path, ""));
                match version {
                    "" => Ok(b"latest".to_vec()),
                    version if is_version(version) => self.tree.find(rest).ok_or(StatusCode::NOT_FOUND),
                    _ => Err(StatusCode::NOT_FOUND),
                }
            }
            _ => Err(StatusCode::METHOD_NOT_ALLOWED),
        }
    }

    fn new_token(&self, headers: &HeaderMap, now: Timestamp) -> Result<String, StatusCode> {
        if headers.contains_key("x-forwarded-for") {
            return Err(StatusCode::FORBIDDEN);
        }
        let lasts = headers.get(TOKEN_LASTS).and_then(|value| value.to_str().ok()?.parse::<i64>().ok());
        let lasts = lasts.filter(|lasts| (1..=LONGEST).contains(lasts)).ok_or(StatusCode::BAD_REQUEST)?;
        Ok(self.token(now.unix() + lasts))
    }

    /// Makes the token that holds until then, in seconds since 1970.
    fn token(&self, until: i64) -> String {
        let mut proof = KeyMaker::new("metadata token");
        proof.part("secret", &self.secret);
        proof.part("until", &until.to_le_bytes());
        format!("{until:x}-{}", proof.finish())
    }

    fn check(&self, headers: &HeaderMap, now: Timestamp) -> Result<(), StatusCode> {
        let token = headers.get(TOKEN).and_then(|value| value.to_str().ok());
        let until = token.and_then(|token| i64::from_str_radix(token.split_once('-')?.0, 16).ok());
        match (token, until) {
            (Some(token), Some(until)) if until >= now.unix() && token == self.token(until) => Ok(()),
            _ => Err(StatusCode::UNAUTHORIZED),
        }
    }
}

/// `latest`, or a date.
fn is_version(text: &str) -> bool {
    let date =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') && text.len() == 10;
    text == "latest" || date(text)
}

#[cfg(test)]
mod tests;
