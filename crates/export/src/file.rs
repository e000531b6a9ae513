//! A file that is hashed while it is written, and has holes where it has zeros.

use crate::{hasher::Hasher, raw::RawOutput};
use kiln_qcow2::writer::Output;
use kiln_types::Digest;
use sha2::{Digest as _, Sha256};
use std::{fs::File, io, os::unix::fs::FileExt};

/// What becomes a hole where it is zeros: a page, the least that file systems allocate.
const PAGE: usize = 4096;

/// What a finished file is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    pub(crate) sha256: Option<Digest>,
    pub(crate) size: u64,
}

/// An empty file that is filled from front to back, and hashed where that is wanted.
pub(crate) struct HashedFile {
    file: File,
    hasher: Option<Hasher>,
    at: u64,
}

impl HashedFile {
    pub(crate) fn new(file: File, sha256: bool) -> Self {
        Self { file, hasher: sha256.then(Hasher::start), at: 0 }
    }

    /// Ends the file where it is.
    pub(crate) fn finish(self) -> io::Result<Written> {
        self.file.set_len(self.at)?;
        Ok(Written { sha256: self.hasher.map(Hasher::finish).transpose()?, size: self.at })
    }

    fn hash(&self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.as_ref().map_or(Ok(()), |hasher| hasher.bytes(bytes))
    }
}

impl RawOutput for HashedFile {
    /// Leaves pages of zeros out of the file.
    fn sparse_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash(bytes)?;
        let mut at = self.at;
        let pages: Vec<&[u8]> = bytes.chunks(PAGE).collect();
        for run in pages.chunk_by(|a, b| is_zero(a) == is_zero(b)) {
            let start = usize::try_from(at - self.at).map_err(io::Error::other)?;
            let length: usize = run.iter().map(|page| page.len()).sum();
            if !run.first().is_some_and(|page| is_zero(page)) {
                self.file.write_all_at(&bytes[start..start + length], at)?;
            }
            at += u64::try_from(length).map_err(io::Error::other)?;
        }
        self.at = at;
        Ok(())
    }
}

impl Output for HashedFile {
    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash(bytes)?;
        self.file.write_all_at(bytes, self.at)?;
        self.at += u64::try_from(bytes.len()).map_err(io::Error::other)?;
        Ok(())
    }

    fn zeros(&mut self, count: u64) -> io::Result<()> {
        self.at += count;
        self.hasher.as_ref().map_or(Ok(()), |hasher| hasher.zeros(count))
    }
}

impl io::Write for HashedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Says whether bytes are zeros: the first is, and each equals the one before, which is one `memcmp`.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    match bytes {
        [] => true,
        [first, rest @ ..] => *first == 0 && *rest == bytes[..rest.len()],
    }
}

/// Hashes a file that another program wrote.
pub(crate) fn hash(file: &File) -> io::Result<Written> {
    let (mut hasher, mut at) = (Sha256::new(), 0);
    let mut buffer = kiln_qcow2::PageBuffer::block();
    loop {
        match file.read_at(&mut buffer, at) {
            Ok(0) => {
                return Ok(Written { sha256: Some(Digest::from_bytes(hasher.finalize().into())), size: at });
            }
            Ok(read) => {
                hasher.update(&buffer[..read]);
                at += u64::try_from(read).map_err(io::Error::other)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
