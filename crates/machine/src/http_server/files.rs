//! What lies under a path.

use super::Served;
use hyper::{StatusCode, body::Bytes};
use kiln_types::PLACEHOLDERS;
use percent_encoding::percent_decode_str;
use rustix::{
    fs::{Mode, OFlags, ResolveFlags, openat2},
    io::Errno,
};
use std::{collections::BTreeMap, io, os::fd::OwnedFd, path::Path};

/// What stands for a folder, if it has it.
const INDEX: &str = "index.html";

/// What is served, ready.
pub(super) struct Site {
    directory: Option<OwnedFd>,
    content: BTreeMap<String, Bytes>,
}

/// An answer to a path.
pub(super) enum Answer {
    Text(Bytes),
    File(tokio::fs::File, u64),
    Not(StatusCode),
}

impl Site {
    /// Opens the folder, and fills in what stands for `value`s in the texts.
    pub(super) fn open(served: &Served, value: impl Fn(&str) -> Option<String>) -> io::Result<Self> {
        let open = |path: &Path| fs_err::File::open(path).map(|file| OwnedFd::from(file.into_parts().0));
        let filled = |text: &String| {
            PLACEHOLDERS.iter().fold(text.clone(), |text, name| match value(name) {
                Some(value) => text.replace(&format!("${{{name}}}"), &value),
                None => text,
            })
        };
        let content = served.content.iter().map(|(path, text)| (path.clone(), Bytes::from(filled(text))));
        Ok(Self { directory: served.directory.as_deref().map(open).transpose()?, content: content.collect() })
    }

    /// Finds what lies under a path of a request.
    pub(super) fn find(&self, path: &str) -> Answer {
        let Ok(path) = percent_decode_str(path).decode_utf8() else {
            return Answer::Not(StatusCode::BAD_REQUEST);
        };
        if let Some(text) = self.content.get(path.as_ref()) {
            return Answer::Text(text.clone());
        }
        let Some(directory) = &self.directory else { return Answer::Not(StatusCode::NOT_FOUND) };
        match file(directory, path.trim_start_matches('/')) {
            Ok((file, size)) => Answer::File(file, size),
            // XDEV is the kernel's word for a path that leads out of the folder.
            Err(Errno::XDEV | Errno::ACCESS | Errno::PERM) => Answer::Not(StatusCode::FORBIDDEN),
            Err(Errno::MFILE | Errno::NFILE | Errno::IO) => Answer::Not(StatusCode::INTERNAL_SERVER_ERROR),
            Err(_) => Answer::Not(StatusCode::NOT_FOUND),
        }
    }
}

/// Opens a file below the folder, or the index of a folder below it. The kernel itself refuses whatever would lead out: `..`
/// and links. Nothing that could block is waited for: a pipe is opened like a file, and is then none.
fn file(directory: &OwnedFd, path: &str) -> Result<(tokio::fs::File, u64), Errno> {
    let open = |directory: &OwnedFd, path: &str| -> Result<(std::fs::File, std::fs::Metadata), Errno> {
        let path = if path.is_empty() { "." } else { path };
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let file = std::fs::File::from(openat2(directory, path, flags, Mode::empty(), resolve)?);
        let metadata = file.metadata().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        Ok((file, metadata))
    };
    let (mut file, mut metadata) = open(directory, path)?;
    if metadata.is_dir() {
        (file, metadata) = open(directory, format!("{path}/{INDEX}").trim_start_matches('/'))?;
    }
    if !metadata.is_file() {
        return Err(Errno::NOENT);
    }
    Ok((tokio::fs::File::from_std(file), metadata.len()))
}
