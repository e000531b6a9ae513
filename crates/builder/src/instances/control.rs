//! How a keeper is told what to do: one line over a socket in the instance's folder, and one back.
//!
//! ```text
//! stop       the guest turns itself off, or is turned off   ─▶ done
//! kill       its power goes                                 ─▶ done
//! answers 80 the guest takes up connections to its port 80  ─▶ done
//! overlays   every disk gets an overlay: what was written until then does not change any more ─▶ done
//! ```
//! A line that begins otherwise says why it was not done.

use super::{InstanceError, InstanceFiles};
use crate::Error;
use std::{
    io,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
};

const SOCKET: &str = "control";
const DONE: &str = "done";

/// What a keeper is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Stop,
    Kill,
    Answers(u16),
    Overlays,
}

impl Order {
    fn line(self) -> String {
        match self {
            Self::Stop => "stop".to_owned(),
            Self::Kill => "kill".to_owned(),
            Self::Answers(port) => format!("answers {port}"),
            Self::Overlays => "overlays".to_owned(),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("stop", "") => Some(Self::Stop),
            ("kill", "") => Some(Self::Kill),
            ("answers", port) => port.parse().ok().map(Self::Answers),
            ("overlays", "") => Some(Self::Overlays),
            _ => None,
        }
    }
}

/// A socket's name may have 107 bytes; that of a descriptor's link is short.
fn short(folder: &fs_err::File) -> PathBuf {
    Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(SOCKET)
}

/// Takes orders; the caller holds the instance's lock.
pub(crate) fn listen(files: &InstanceFiles) -> Result<UnixListener, Error> {
    match fs_err::remove_file(files.path(SOCKET)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        Ok(()) | Err(_) => {}
    }
    let folder = fs_err::File::open(files.folder())?;
    Ok(UnixListener::bind(short(&folder))?)
}

/// Reads an order; nothing where it is none.
pub(crate) async fn order(stream: &mut UnixStream) -> Option<Order> {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await.ok()?;
    Order::parse(line.trim_end())
}

/// Says that an order was carried out, or why not. Who gave it may be gone.
pub(crate) async fn answer(stream: &mut UnixStream, result: Result<(), String>) {
    let line = match result {
        Ok(()) => DONE.to_owned(),
        Err(why) => why.replace('\n', "; "),
    };
    if let Err(error) = stream.write_all(format!("{line}\n").as_bytes()).await {
        tracing::debug!(%error, "nobody waits for the answer");
    }
}

/// Gives an order, and waits until it is carried out.
pub(crate) async fn give(files: &InstanceFiles, order: Order) -> Result<(), Error> {
    let folder = fs_err::File::open(files.folder())?;
    let mut stream = UnixStream::connect(short(&folder)).await?;
    stream.write_all(format!("{}\n", order.line()).as_bytes()).await?;
    let mut said = String::new();
    BufReader::new(stream).read_line(&mut said).await?;
    match said.trim_end() {
        DONE => Ok(()),
        "" => Err(InstanceError::Disobeyed { id: files.id(), said: "its machine ended".to_owned() }.into()),
        said => Err(InstanceError::Disobeyed { id: files.id(), said: said.to_owned() }.into()),
    }
}
