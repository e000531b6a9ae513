//! Threads that see the image's root as `/`.
//!
//! A symbolic link of the image must never lead out of it. So whatever follows the image's paths does so in a thread that
//! has a root of its own (`CLONE_FS` undone, then chroot): the kernel keeps every look-up inside, on every kernel.

use super::failure::{Doing, Failure};
use rustix::thread::UnshareFlags;
use std::{
    io,
    path::{Path, PathBuf},
    thread,
};

/// Makes `root` this thread's `/`; `None` leaves it alone.
pub(crate) fn enter(root: Option<&Path>) -> Result<(), Failure> {
    let Some(root) = root else { return Ok(()) };
    #[expect(unsafe_code, reason = "gives the thread a root of its own")]
    // SAFETY: only the file system context stops being shared, not the table of open files, so no descriptor that another
    // thread holds loses its meaning.
    let unshared = unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FS) };
    unshared.doing(|| "unsharing the root".to_owned())?;
    rustix::process::chroot(root).doing(|| format!("chroot to {}", root.display()))?;
    rustix::process::chdir("/").doing(|| "entering the chroot".to_owned())
}

/// Runs `work` in a thread whose `/` is `root`, and waits for it.
pub(crate) fn inside<T: Send>(
    root: Option<&Path>,
    work: impl FnOnce() -> Result<T, Failure> + Send,
) -> Result<T, Failure> {
    thread::scope(|scope| {
        let worker = scope.spawn(|| enter(root).and_then(|()| work()));
        worker.join().unwrap_or_else(|_panic| Err(Failure::new("a thread of the agent broke down")))
    })
}

/// Resolves every symbolic link of the image's `path` and returns where it is for the agent. `None` when it leads nowhere.
pub(crate) fn resolve(root: Option<&Path>, path: &Path) -> Result<Option<PathBuf>, Failure> {
    let found = inside(root, || match fs_err::canonicalize(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    })?;
    Ok(found.map(|found| seen_from_outside(root, &found)))
}

/// Turns a path that holds no links in the image into the agent's own.
pub(crate) fn seen_from_outside(root: Option<&Path>, path: &Path) -> PathBuf {
    match root {
        Some(root) => root.join(path.strip_prefix("/").unwrap_or(path)),
        None => path.to_owned(),
    }
}
