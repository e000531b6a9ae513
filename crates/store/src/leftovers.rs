//! What writers that died left half-written in a region's folder.
//!
//! `object_store` writes an object beside its place, as `<name>#<number>`, and renames it when it is whole. It lists no
//! such files, so that only this module sees them. S3 keeps the parts of an upload that never ended; a rule of the bucket
//! ends those.

use std::{
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// A file that no writer will finish, if it is old enough.
#[derive(Debug)]
pub(crate) struct Leftover {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) modified: SystemTime,
}

/// Finds the half-written files below a folder.
pub(crate) fn find(folder: &Path) -> io::Result<Vec<Leftover>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs_err::read_dir(folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() && is_half_written(&entry.file_name().to_string_lossy()) {
                match entry.metadata().and_then(|metadata| Ok((metadata.len(), metadata.modified()?))) {
                    Ok((bytes, modified)) => found.push(Leftover { path: entry.path(), bytes, modified }),
                    // Its writer lives and has finished it meanwhile.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(found)
}

fn is_half_written(name: &str) -> bool {
    let number = name.rsplit_once('#').map(|(_, number)| number);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}
