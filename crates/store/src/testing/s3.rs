//! An S3 server on loopback that fails when it is told to.

use crate::{Location, S3Settings};
use bytes::Bytes;
use futures::{StreamExt, stream};
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::{Method, Request, Response, StatusCode, body::Frame, service::service_fn};
use hyper_util::rt::TokioIo;
use s3s::{auth::SimpleAuth, service::S3Service, service::S3ServiceBuilder};
use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{net::TcpListener, task::JoinHandle};

/// What becomes of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// The server is too busy and says so.
    Busy,
    /// The connection ends before the server has read it.
    Cut,
    /// The server does it, and the connection ends before it can say so.
    AnswerLost,
    /// The connection ends in the middle of the answer.
    HalfAnswer,
    /// The answer takes its time.
    Slow(Duration),
}

type Plan = dyn FnMut(&Method, &str) -> Option<Fault> + Send;
type Body = UnsyncBoxBody<Bytes, io::Error>;

/// The server, its bucket `team`, and its faults; it ends when dropped.
pub(crate) struct Server {
    endpoint: String,
    plan: Arc<Mutex<Box<Plan>>>,
    task: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs_err::create_dir(folder.path().join("team")).unwrap();
        let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder.path()).unwrap());
        service.set_auth(SimpleAuth::from_single("a-key", "a-secret"));
        let service = service.build();
        let plan: Arc<Mutex<Box<Plan>>> = Arc::new(Mutex::new(Box::new(|_, _| None)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(serve(listener, service, Arc::clone(&plan)));
        Self { endpoint, plan, task, _folder: folder }
    }

    /// Says what becomes of every request from now on, by its method and path.
    pub(crate) fn faults(&self, plan: impl FnMut(&Method, &str) -> Option<Fault> + Send + 'static) {
        *self.plan.lock().unwrap() = Box::new(plan);
    }

    /// Returns a place in the server's bucket.
    pub(crate) fn location(&self, prefix: &str) -> Location {
        Location::parse(&format!("s3://team/{prefix}"), &self.settings().collect::<S3Settings>()).unwrap()
    }

    /// Returns how the server is reached.
    pub(crate) fn settings(&self) -> impl Iterator<Item = (String, String)> {
        let settings = [
            ("AWS_ENDPOINT_URL", self.endpoint.as_str()),
            ("AWS_ACCESS_KEY_ID", "a-key"),
            ("AWS_SECRET_ACCESS_KEY", "a-secret"),
            ("AWS_REGION", "us-east-1"),
        ];
        settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, service: S3Service, plan: Arc<Mutex<Box<Plan>>>) {
    while let Ok((socket, _)) = listener.accept().await {
        let (service, plan) = (service.clone(), Arc::clone(&plan));
        let answer = service_fn(move |request: Request<hyper::body::Incoming>| {
            let fault = (plan.lock().unwrap())(request.method(), request.uri().path());
            let service = service.clone();
            async move { answer(&service, request, fault).await }
        });
        let connection = hyper::server::conn::http1::Builder::new();
        tokio::spawn(connection.serve_connection(TokioIo::new(socket), answer));
    }
}

async fn answer(
    service: &S3Service,
    request: Request<hyper::body::Incoming>,
    fault: Option<Fault>,
) -> io::Result<Response<Body>> {
    match fault {
        Some(Fault::Cut) => return Err(io::Error::other("cut")),
        Some(Fault::Busy) => {
            let busy = Response::builder().status(StatusCode::SERVICE_UNAVAILABLE);
            let body = http_body_util::Empty::new().map_err(|never| match never {}).boxed_unsync();
            return Ok(busy.body(body).unwrap());
        }
        Some(Fault::Slow(time)) => tokio::time::sleep(time).await,
        _ => {}
    }
    let answered = hyper::service::Service::call(service, request).await;
    let (parts, body) = answered.map_err(io::Error::other)?.into_parts();
    let body = boxed(body);
    match fault {
        Some(Fault::AnswerLost) => Err(io::Error::other("lost")),
        Some(Fault::HalfAnswer) => {
            let mut half = body.collect().await?.to_bytes();
            half.truncate(half.len() / 2);
            let end = stream::once(async { Err(io::Error::other("cut")) });
            let frames = stream::iter([Ok(Frame::data(half))]).chain(end);
            Ok(Response::from_parts(parts, StreamBody::new(frames).boxed_unsync()))
        }
        _ => Ok(Response::from_parts(parts, body)),
    }
}

fn boxed(body: s3s::Body) -> Body {
    body.map_err(io::Error::other).boxed_unsync()
}
