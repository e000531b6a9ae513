//! The file while it is not whole: beside its target, so that a rename can publish it.

use crate::Error;
use std::{
    fs::File,
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use tempfile::NamedTempFile;

/// A file that goes away unless it is published.
#[derive(Debug)]
pub(crate) struct Staged {
    target: PathBuf,
    file: NamedTempFile,
}

impl Staged {
    /// Makes an empty file in the target's folder.
    pub(crate) fn beside(target: &Path) -> Result<Self, Error> {
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
        // What the user's umask leaves of it, as for any new file.
        let permissions = std::fs::Permissions::from_mode(0o666);
        let staged = tempfile::Builder::new()
            .prefix(".kiln-staged-")
            .permissions(permissions)
            .tempfile_in(folder.unwrap_or(Path::new(".")));
        match staged {
            Ok(file) => Ok(Self { target: target.to_owned(), file }),
            Err(source) => Err(Error::Write { path: target.to_owned(), source }),
        }
    }

    /// Where the file lies now.
    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Opens the file once more, for a thread that writes it.
    pub(crate) fn open(&self) -> Result<File, Error> {
        self.open_raw().map_err(|source| self.failure(0).write(source))
    }

    /// As [`Staged::open`], with the system's own error.
    pub(crate) fn open_raw(&self) -> io::Result<File> {
        self.file.reopen()
    }

    /// How failures of writing this file are told, `needed` being the bytes that it takes.
    pub(crate) fn failure(&self, needed: u64) -> Failure {
        Failure { path: self.target.clone(), needed }
    }

    /// Gives the file its name; it replaces one that is there.
    pub(crate) fn publish(self) -> Result<(), Error> {
        let Self { target, file } = self;
        // After a crash a name has what it had, or all of what it got.
        let kept = if target.exists() { file.as_file().sync_all() } else { Ok(()) };
        let done = kept.and_then(|()| file.persist(&target).map_err(|failed| failed.error));
        done.map(drop).map_err(|source| Error::Write { path: target, source })
    }
}

/// Makes errors that name the target and what it needs.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    path: PathBuf,
    needed: u64,
}

impl Failure {
    /// Errors of an output that is no file of ours.
    pub(crate) fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), needed: 0 }
    }

    pub(crate) fn write(&self, source: io::Error) -> Error {
        let path = self.path.clone();
        match source.kind() {
            io::ErrorKind::StorageFull => Error::DiskFull { path, needed: self.needed },
            _ => Error::Write { path, source },
        }
    }

    pub(crate) fn image(&self, error: kiln_qcow2::Error) -> Error {
        match error.or_disk_full(&self.path, self.needed) {
            kiln_qcow2::Error::DiskFull { path, needed } => Error::DiskFull { path, needed },
            kiln_qcow2::Error::Io(source) => self.write(source),
            other => Error::Image(other),
        }
    }

    pub(crate) fn worker(&self) -> Error {
        Error::Worker { path: self.path.clone() }
    }
}
