//! Putting files and folders into the guest.

use super::link::{Link, done, encode};
use crate::communicator::AgentError;
use kiln_agent::protocol::{CHUNK, EntryKind, Request};
use std::{
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::mpsc::Sender;

/// A file or folder to put into the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// What to put there.
    pub content: UploadContent,
    /// An absolute path in the guest. Where it ends with a slash or is a folder, the file or folder goes into it.
    pub destination: String,
    /// Permission bits of a file (of every file in a folder); `None` keeps those of the host's file, and gives bytes 0644.
    pub mode: Option<u32>,
    /// A user of the guest's, by name or number, with a group perhaps: `app`, `1000`, `app:www-data`. `None` is root.
    pub owner: Option<String>,
}

/// What an upload holds.
#[derive(Clone, PartialEq, Eq)]
pub enum UploadContent {
    /// A file or folder of this host. Symbolic links in a folder are kept as links; the named path itself is followed. A
    /// folder that is named with a slash at its end is not put into the destination: its contents are.
    Path(PathBuf),
    /// A file's bytes.
    Bytes(Vec<u8>),
}

impl std::fmt::Debug for UploadContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
        }
    }
}

/// Uploads; see [`AgentSession::upload`](super::AgentSession::upload).
pub(super) async fn upload(link: &mut Link, upload: &Upload) -> Result<(), AgentError> {
    let doing = format!("writing {}", upload.destination);
    let id = link.begin();
    let begin = Request::Upload {
        destination: upload.destination.clone(),
        name: name(&upload.content)?,
        owner: upload.owner.clone(),
    };
    link.send(id, &begin, &doing).await?;
    let stop = StopOnDrop::default();
    let pieces = Pieces {
        requests: link.requests(),
        id,
        mode: upload.mode,
        stopped: Arc::clone(&stop.0),
        doing: doing.clone(),
    };
    let content = upload.content.clone();
    let mut sending = tokio::task::spawn_blocking(move || pieces.send_all(&content));
    // An answer before the end is a refusal; what is still under way then is ignored by the agent.
    let reply = tokio::select! {
        reply = link.receive(id, &doing) => reply?,
        sent = &mut sending => {
            sent.unwrap_or_else(|_panic| Err(broken_off(&doing)))?;
            link.receive(id, &doing).await?
        }
    };
    done(reply, &doing)
}

/// The name that the upload gets inside a folder; `None` for bytes and for the contents of a folder.
fn name(content: &UploadContent) -> Result<Option<String>, AgentError> {
    let UploadContent::Path(path) = content else { return Ok(None) };
    let written = path.as_os_str().as_encoded_bytes();
    if written.ends_with(b"/") || written.ends_with(b"/.") {
        return Ok(None);
    }
    let whole = match path.file_name() {
        Some(_) => path.clone(),
        None => fs_err::canonicalize(path).map_err(|source| host(path, source))?,
    };
    whole.file_name().map(|name| text(Path::new(name))).transpose()
}

fn text(path: &Path) -> Result<String, AgentError> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| host(path, io::Error::new(io::ErrorKind::InvalidInput, "its name is not UTF-8")))
}

fn host(path: &Path, source: io::Error) -> AgentError {
    AgentError::Host { path: path.to_owned(), source }
}

fn broken_off(doing: &str) -> AgentError {
    AgentError::Disconnected { doing: doing.to_owned(), source: None }
}

/// Tells the sending thread that nobody waits any more.
#[derive(Default)]
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Reads what is to be uploaded, in a thread that may wait.
struct Pieces {
    requests: Sender<Vec<u8>>,
    id: u32,
    mode: Option<u32>,
    stopped: Arc<AtomicBool>,
    doing: String,
}

impl Pieces {
    fn send_all(&self, content: &UploadContent) -> Result<(), AgentError> {
        match content {
            UploadContent::Bytes(bytes) => {
                self.entry(String::new(), EntryKind::File(self.mode.unwrap_or(0o644)))?;
                for chunk in bytes.chunks(CHUNK) {
                    self.send(&Request::Chunk(chunk.to_vec()))?;
                }
            }
            UploadContent::Path(path) => {
                let path = fs_err::canonicalize(path).map_err(|source| host(path, source))?;
                self.tree(&path, String::new())?;
            }
        }
        self.send(&Request::UploadEnd)
    }

    /// Sends a file, or a folder and what it holds in the order of names.
    fn tree(&self, path: &Path, relative: String) -> Result<(), AgentError> {
        let about = |source| host(path, source);
        let metadata = fs_err::symlink_metadata(path).map_err(about)?;
        let mode = metadata.permissions().mode() & 0o7777;
        if metadata.is_file() {
            self.entry(relative, EntryKind::File(self.mode.unwrap_or(mode)))?;
            return self.bytes(path);
        }
        if metadata.is_symlink() {
            let target = fs_err::read_link(path).map_err(about)?;
            return self.entry(relative, EntryKind::Link(text(&target)?));
        }
        if !metadata.is_dir() {
            let kind = "it is neither a file, a folder nor a link";
            return Err(about(io::Error::new(io::ErrorKind::Unsupported, kind)));
        }
        let entries =
            fs_err::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(about)?;
        let mut inside: Vec<PathBuf> = entries.iter().map(fs_err::DirEntry::path).collect();
        inside.sort();
        self.entry(relative.clone(), EntryKind::Folder(mode))?;
        for path in inside {
            let name = text(Path::new(path.file_name().unwrap_or_default()))?;
            let relative = if relative.is_empty() { name } else { format!("{relative}/{name}") };
            self.tree(&path, relative)?;
        }
        Ok(())
    }

    fn bytes(&self, path: &Path) -> Result<(), AgentError> {
        let mut file = fs_err::File::open(path).map_err(|source| host(path, source))?;
        loop {
            let mut chunk = vec![0; CHUNK];
            let count = file.read(&mut chunk).map_err(|source| host(path, source))?;
            if count == 0 {
                return Ok(());
            }
            chunk.truncate(count);
            self.send(&Request::Chunk(chunk))?;
        }
    }

    fn entry(&self, path: String, kind: EntryKind) -> Result<(), AgentError> {
        self.send(&Request::Entry { path, kind })
    }

    fn send(&self, request: &Request) -> Result<(), AgentError> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err(broken_off(&self.doing));
        }
        let bytes = encode(self.id, request, &self.doing)?;
        self.requests.blocking_send(bytes).map_err(|_closed| broken_off(&self.doing))
    }
}
