//! Taking files and folders from the host.
//!
//! A file is written beside its place under a name that begins with `.kiln-`, and renamed once it is whole. The thread that
//! does it sees the image's root as `/`.

use super::{
    accounts::Account,
    failure::{Doing, Failure},
};
use crate::protocol::EntryKind;
use rustix::fs::{AtFlags, CWD, Gid, Mode, Uid, chmodat, chownat};
use std::{
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink},
    path::{Component, Path, PathBuf},
    sync::mpsc::Receiver,
};

/// A part of an upload.
pub(crate) enum Piece {
    Entry { path: String, kind: EntryKind },
    Chunk(Vec<u8>),
    End,
}

/// Where an upload goes.
pub(crate) struct Destination {
    pub(crate) path: String,
    pub(crate) name: Option<String>,
    pub(crate) owner: Option<String>,
}

/// Takes the pieces of one upload. A host that goes away before [`Piece::End`] leaves the files that were whole.
pub(crate) fn receive(destination: &Destination, pieces: &Receiver<Piece>) -> Result<(), Failure> {
    let owner = Account::find(destination.owner.as_deref())?;
    let mut target = Target { base: base(destination)?, owner, file: None };
    loop {
        match pieces.recv() {
            Ok(Piece::Entry { path, kind }) => {
                target.finish_file()?;
                target.begin(&path, kind)?;
            }
            Ok(Piece::Chunk(bytes)) => {
                let file = target.file.as_mut().ok_or_else(|| Failure::new("bytes for no file"))?;
                file.open.write_all(&bytes).doing(|| format!("writing {}", file.place.display()))?;
            }
            Ok(Piece::End) => return target.finish_file(),
            Err(_gone) => return Err(Failure::new("the upload was broken off")),
        }
    }
}

/// Where the first entry goes: into a folder that is there, or that a slash at the end asks for.
fn base(destination: &Destination) -> Result<PathBuf, Failure> {
    let path = Path::new(&destination.path);
    if !path.is_absolute() {
        return Err(Failure::new(format!("{} is not an absolute path", path.display())));
    }
    match &destination.name {
        Some(name) if destination.path.ends_with('/') || path.is_dir() => Ok(path.join(name)),
        _ => Ok(path.to_owned()),
    }
}

struct Target {
    base: PathBuf,
    owner: Account,
    file: Option<Unfinished>,
}

/// A file that is being written. Dropped unfinished, it goes away.
struct Unfinished {
    open: fs_err::File,
    temporary: PathBuf,
    place: PathBuf,
    mode: u32,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Renamed when all went well.
        fs_err::remove_file(&self.temporary).ok();
    }
}

impl Target {
    fn begin(&mut self, path: &str, kind: EntryKind) -> Result<(), Failure> {
        let relative = Path::new(path);
        if !relative.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(Failure::new(format!("{path:?} leads out of the upload")));
        }
        let place = if path.is_empty() { self.base.clone() } else { self.base.join(relative) };
        if let Some(parent) = place.parent() {
            fs_err::create_dir_all(parent)?;
        }
        match kind {
            EntryKind::Folder(mode) => self.folder(&place, mode),
            EntryKind::File(mode) => self.open(place, mode),
            EntryKind::Link(target) => self.link(&place, &target),
        }
    }

    fn folder(&self, place: &Path, mode: u32) -> Result<(), Failure> {
        match std::fs::DirBuilder::new().mode(0o700).create(place) {
            Ok(()) => self.own(place, Some(mode)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && place.is_dir() => Ok(()),
            Err(error) => Err(error).doing(|| format!("making the folder {}", place.display())),
        }
    }

    /// Begins a file. A place that is a link to a file stays a link: the file that it leads to is replaced.
    fn open(&mut self, place: PathBuf, mode: u32) -> Result<(), Failure> {
        if place.is_dir() {
            return Err(Failure::new(format!("{} is a folder", place.display())));
        }
        if place.as_os_str().as_encoded_bytes().ends_with(b"/") {
            return Err(Failure::new(format!("{} names no file", place.display())));
        }
        let place = if place.is_symlink() { fs_err::canonicalize(&place).unwrap_or(place) } else { place };
        let temporary = beside(&place)?;
        let mut options = fs_err::OpenOptions::new();
        options.write(true).create_new(true);
        options.options_mut().mode(0o600);
        let open = options.open(&temporary)?;
        self.file = Some(Unfinished { open, temporary, place, mode });
        Ok(())
    }

    fn finish_file(&mut self) -> Result<(), Failure> {
        let Some(file) = self.file.take() else { return Ok(()) };
        self.own(&file.temporary, Some(file.mode))?;
        fs_err::rename(&file.temporary, &file.place).map_err(|error| busy(&file.place, error))
    }

    fn link(&self, place: &Path, target: &str) -> Result<(), Failure> {
        let temporary = beside(place)?;
        symlink(target, &temporary).doing(|| format!("making the link {}", temporary.display()))?;
        let renamed = self.own(&temporary, None).and_then(|()| Ok(fs_err::rename(&temporary, place)?));
        if renamed.is_err() {
            fs_err::remove_file(&temporary).ok();
        }
        renamed
    }

    /// Sets owner and permissions, in this order: a change of owner takes set-user-id bits away.
    fn own(&self, path: &Path, mode: Option<u32>) -> Result<(), Failure> {
        let (uid, gid) = (Uid::from_raw(self.owner.uid), Gid::from_raw(self.owner.gid));
        if rustix::process::geteuid().is_root() {
            chownat(CWD, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
                .doing(|| format!("setting the owner of {}", path.display()))?;
        }
        if let Some(mode) = mode {
            chmodat(CWD, path, Mode::from_raw_mode(mode & 0o7777), AtFlags::empty())
                .doing(|| format!("setting the mode of {}", path.display()))?;
        }
        Ok(())
    }
}

/// A name in the same folder, so that a rename is all that is missing.
fn beside(place: &Path) -> Result<PathBuf, Failure> {
    let name = place.file_name().ok_or_else(|| Failure::new(format!("{} names no file", place.display())))?;
    let mut temporary = std::ffi::OsString::from(".kiln-");
    temporary.push(name);
    let temporary = place.with_file_name(temporary);
    match fs_err::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(temporary),
    }
}

fn busy(place: &Path, error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::ResourceBusy {
        return Failure::new(format!(
            "{} cannot be replaced while steps run: a file of kiln's lies over it",
            place.display()
        ));
    }
    error.into()
}
