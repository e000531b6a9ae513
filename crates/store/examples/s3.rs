//! Serves the folders in a folder as buckets of an S3 server on loopback: `s3 FOLDER`. It prints its address and goes on until its
//! standard input ends. `cargo xtask bench search` reads from it.

use hyper_util::rt::TokioIo;
use s3s::{auth::SimpleAuth, service::S3Service, service::S3ServiceBuilder};
use std::{
    error::Error,
    io::{Read, Write},
};
use tokio::{net::TcpListener, task::spawn_blocking};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: s3 FOLDER")?;
    let files = s3s_fs::FileSystem::new(folder).map_err(|error| format!("{error:?}"))?;
    let mut service = S3ServiceBuilder::new(files);
    service.set_auth(SimpleAuth::from_single("a-key", "a-secret"));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "http://{}", listener.local_addr()?)?;
    let end = spawn_blocking(|| std::io::stdin().read(&mut [0]));
    tokio::select! {
        served = serve(listener, service.build()) => Ok(served?),
        _ended = end => Ok(()),
    }
}

async fn serve(listener: TcpListener, service: S3Service) -> std::io::Result<()> {
    loop {
        let (socket, _) = listener.accept().await?;
        let connection = hyper::server::conn::http1::Builder::new();
        tokio::spawn(connection.serve_connection(TokioIo::new(socket), service.clone()));
    }
}
