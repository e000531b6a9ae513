//! Locks between processes: `flock`, so that a lock dies with whoever held it, however it died.

use crate::Error;
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use std::path::Path;

/// A lock that is held until dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    file: fs_err::File,
}

impl Lock {
    /// Waits until nobody else holds the lock at `path`, then takes it.
    ///
    /// # Errors
    /// When the file cannot be made or locked.
    pub(crate) fn wait(path: &Path) -> Result<Self, Error> {
        let file = open(path)?;
        flock(&file, FlockOperation::LockExclusive).map_err(|errno| failed(path, errno))?;
        Ok(Self { file })
    }

    /// Takes the lock at `path` if nobody holds it.
    ///
    /// # Errors
    /// When the file cannot be made or locked.
    pub(crate) fn try_now(path: &Path) -> Result<Option<Self>, Error> {
        let file = open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { file })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(failed(path, errno)),
        }
    }
}

impl From<Lock> for std::fs::File {
    /// The file, for another process: the lock is held until every copy of the descriptor is closed.
    fn from(lock: Lock) -> Self {
        lock.file.into_parts().0
    }
}

fn open(path: &Path) -> Result<fs_err::File, Error> {
    Ok(fs_err::OpenOptions::new().create(true).truncate(false).write(true).open(path)?)
}

fn failed(path: &Path, errno: Errno) -> Error {
    Error::Lock { path: path.to_owned(), source: errno.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_once_and_freed_on_drop() {
        let world = tempfile::tempdir().unwrap();
        let path = world.path().join("lock");
        let held = Lock::try_now(&path).unwrap();
        assert!(held.is_some());
        assert!(Lock::try_now(&path).unwrap().is_none());
        drop(held);
        assert!(Lock::try_now(&path).unwrap().is_some());
    }
}
