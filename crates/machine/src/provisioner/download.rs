//! A step that fetches a file or folder from the guest.
//!
//! Everything is written beside its place first. A folder that is there keeps what the guest's has not.

use super::StepError;
use crate::communicator::{
    CommunicatorError, Session,
    agent::{Exec, ExitStatus, Stream},
};
use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
};

/// Pieces of an archive that wait for the disk. Beyond them the guest waits.
const QUEUE: usize = 64;

/// What GNU tar says of a file that was written to while it was read.
const CHANGED: &str = "file changed as we read it";

/// What the guest's `tar` may say in an error.
const MOST_SAID: usize = 2000;

/// A file or folder to fetch from the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownloadStep {
    /// The step's name, for errors.
    pub name: String,
    /// An absolute path in the guest. With a slash at its end it is a folder, whose contents are fetched.
    pub source: String,
    /// What the file or folder becomes on this host; missing parents are made.
    pub target: PathBuf,
}

impl DownloadStep {
    /// Fetches it.
    ///
    /// # Errors
    /// When either side cannot read or write; a file is then as it was before.
    pub async fn run(&self, session: &mut Session) -> Result<(), StepError> {
        let (host, failed) = (|source| self.host(source), |source| self.failed(source));
        let parent = self.target.parent().unwrap_or(Path::new("/"));
        fs_err::create_dir_all(parent).map_err(host)?;
        let staging = tempfile::Builder::new().prefix(".kiln-").tempdir_in(parent).map_err(host)?;
        if !self.source.ends_with('/') {
            let file = staging.path().join("file");
            session.download(&self.source, &file).await.map_err(failed)?;
            return fs_err::rename(&file, &self.target).map_err(host);
        }
        let folder = staging.path().join("folder");
        fs_err::create_dir(&folder).map_err(host)?;
        self.unpack(session, &folder).await?;
        let target = self.target.clone();
        let moved = tokio::task::spawn_blocking(move || merge(&folder, &target)).await;
        moved.unwrap_or_else(|panic| Err(io::Error::other(panic))).map_err(host)
    }

    /// Has the guest's `tar` pack the folder, and unpacks it as it comes.
    async fn unpack(&self, session: &mut Session, folder: &Path) -> Result<(), StepError> {
        let (sender, receiver) = sync_channel(QUEUE);
        let into = folder.to_owned();
        let unpacking = tokio::task::spawn_blocking(move || unpack(receiver, &into));
        let argv = ["tar", "-C", &self.source, "-cf", "-", "."].map(str::to_owned).to_vec();
        let mut said = Vec::new();
        let ended = pack(session, &Exec { argv, ..Exec::default() }, sender, &mut said).await;
        let unpacked = unpacking.await.unwrap_or_else(|panic| Err(io::Error::other(panic)));
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        let unpacked = unpacked.map_err(|source| self.host(source));
        match ended.map_err(|source| self.failed(source))? {
            ExitStatus::Exited(0) => unpacked,
            // GNU tar says 1 where a log grew meanwhile: what was there when it began is whole.
            ExitStatus::Exited(1) if !said.is_empty() && said.lines().all(|line| line.ends_with(CHANGED)) => {
                unpacked
            }
            status => {
                let message = if said.is_empty() { status.to_string() } else { said };
                let doing = format!("reading {}", self.source);
                Err(self.failed(CommunicatorError::Guest { doing, message }))
            }
        }
    }

    fn host(&self, source: io::Error) -> StepError {
        StepError::Host { name: self.name.clone(), path: self.target.clone(), source }
    }

    fn failed(&self, source: CommunicatorError) -> StepError {
        StepError::Communicator { name: self.name.clone(), source }
    }
}

async fn pack(
    session: &mut Session,
    exec: &Exec,
    sender: SyncSender<Vec<u8>>,
    said: &mut Vec<u8>,
) -> Result<ExitStatus, CommunicatorError> {
    let ended = session.exec(exec, None, |stream, bytes| match stream {
        // A disk that takes nothing more is told by the other end.
        Stream::Stdout => drop(sender.send(bytes.to_vec())),
        Stream::Stderr => {
            let room = MOST_SAID.saturating_sub(said.len());
            said.extend_from_slice(bytes.get(..bytes.len().min(room)).unwrap_or_default());
        }
    });
    ended.await
}

/// The pieces as a file.
struct Pieces {
    receiver: Receiver<Vec<u8>>,
    piece: io::Cursor<Vec<u8>>,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.piece.read(buffer)?;
            if count > 0 {
                return Ok(count);
            }
            let Ok(piece) = self.receiver.recv() else { return Ok(0) };
            self.piece = io::Cursor::new(piece);
        }
    }
}

/// Unpacks an archive of the guest's. The crate sees to it that nothing lands outside the folder, becomes a device, belongs
/// to another user or keeps set-user-id bits.
fn unpack(receiver: Receiver<Vec<u8>>, folder: &Path) -> io::Result<()> {
    let mut pieces = Pieces { receiver, piece: io::Cursor::default() };
    let mut archive = tar::Archive::new(&mut pieces);
    archive.set_preserve_mtime(true);
    archive.unpack(folder)?;
    // The end is padded; the guest must not wait for somebody to read it.
    io::copy(&mut pieces, &mut io::sink()).map(drop)
}

/// Moves what is in a folder into its place. Links of the place are replaced, never followed.
fn merge(from: &Path, to: &Path) -> io::Result<()> {
    let there = fs_err::symlink_metadata(to).ok();
    match there {
        None => return fs_err::rename(from, to),
        Some(there) if !there.is_dir() => {
            fs_err::remove_file(to)?;
            return fs_err::rename(from, to);
        }
        Some(_) => {}
    }
    for entry in fs_err::read_dir(from)? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            merge(&entry.path(), &place)?;
        } else {
            fs_err::rename(entry.path(), &place)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
