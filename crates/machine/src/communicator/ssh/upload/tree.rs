//! What is to be uploaded: a file, or a folder and what it holds in the order of names.

use super::{SshError, host};
use crate::communicator::agent::UploadContent;
use std::{
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// A part of an upload.
#[derive(Debug)]
pub(super) struct Entry {
    /// Below the upload's place; empty for the first entry.
    pub(super) relative: String,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Folder { mode: u32 },
    File { mode: u32, bytes: Bytes },
    Link { target: String },
}

/// Where a file's bytes are.
#[derive(Debug)]
pub(super) enum Bytes {
    Here(Vec<u8>),
    In(PathBuf),
}

/// Returns the name that an upload gets inside a folder; `None` for bytes and for the contents of a folder.
pub(super) fn name(content: &UploadContent) -> Result<Option<String>, SshError> {
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

/// Returns every part. `mode` is that of every file, where it is given.
pub(super) fn entries(content: UploadContent, mode: Option<u32>) -> Result<Vec<Entry>, SshError> {
    let mut found = Vec::new();
    match content {
        UploadContent::Bytes(bytes) => {
            let kind = Kind::File { mode: mode.unwrap_or(0o644), bytes: Bytes::Here(bytes) };
            found.push(Entry { relative: String::new(), kind });
        }
        UploadContent::Path(path) => {
            let path = fs_err::canonicalize(&path).map_err(|source| host(&path, source))?;
            walk(&path, String::new(), mode, &mut found)?;
        }
    }
    Ok(found)
}

fn walk(path: &Path, relative: String, mode: Option<u32>, found: &mut Vec<Entry>) -> Result<(), SshError> {
    let about = |source| host(path, source);
    let metadata = fs_err::symlink_metadata(path).map_err(about)?;
    let own = metadata.permissions().mode() & 0o7777;
    if metadata.is_file() {
        let kind = Kind::File { mode: mode.unwrap_or(own), bytes: Bytes::In(path.to_owned()) };
        found.push(Entry { relative, kind });
        return Ok(());
    }
    if metadata.is_symlink() {
        let target = text(&fs_err::read_link(path).map_err(about)?)?;
        found.push(Entry { relative, kind: Kind::Link { target } });
        return Ok(());
    }
    if !metadata.is_dir() {
        let kind = "it is neither a file, a folder nor a link";
        return Err(about(io::Error::new(io::ErrorKind::Unsupported, kind)));
    }
    let inside = fs_err::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(about)?;
    let mut inside: Vec<PathBuf> = inside.iter().map(fs_err::DirEntry::path).collect();
    inside.sort();
    found.push(Entry { relative: relative.clone(), kind: Kind::Folder { mode: own } });
    for path in inside {
        let name = text(Path::new(path.file_name().unwrap_or_default()))?;
        let relative = if relative.is_empty() { name } else { format!("{relative}/{name}") };
        walk(&path, relative, mode, found)?;
    }
    Ok(())
}

fn text(path: &Path) -> Result<String, SshError> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| host(path, io::Error::new(io::ErrorKind::InvalidInput, "its name is not UTF-8")))
}
