//! A file that is hashed while it is written, and has holes where it has zeros.

use crate::raw::RawOutput;
use kiln_qcow2::writer::Output;
use kiln_types::Digest;
use sha2::{Digest as _, Sha256};
use std::{fs::File, io, os::unix::fs::FileExt};

/// Zeros that are hashed at once; they fit in the processor's cache.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
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
    hasher: Option<Sha256>,
    at: u64,
}

impl HashedFile {
    pub(crate) fn new(file: File, sha256: bool) -> Self {
        Self { file, hasher: sha256.then(Sha256::new), at: 0 }
    }

    fn hash(&mut self, bytes: &[u8]) {
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
    }

    /// Ends the file where it is.
    pub(crate) fn finish(self) -> io::Result<Written> {
        self.file.set_len(self.at)?;
        Ok(Written { sha256: self.hasher.map(digest), size: self.at })
    }
}

fn digest(hasher: Sha256) -> Digest {
    Digest::from_bytes(hasher.finalize().into())
}

impl RawOutput for HashedFile {
    /// Leaves pages of zeros out of the file.
    fn sparse_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash(bytes);
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
        self.hash(bytes);
        self.file.write_all_at(bytes, self.at)?;
        self.at += u64::try_from(bytes.len()).map_err(io::Error::other)?;
        Ok(())
    }

    fn zeros(&mut self, count: u64) -> io::Result<()> {
        let mut left = if self.hasher.is_some() { count } else { 0 };
        while left > 0 {
            let step = usize::try_from(left).unwrap_or(usize::MAX).min(ZEROS.len());
            self.hash(&ZEROS[..step]);
            left -= u64::try_from(step).map_err(io::Error::other)?;
        }
        self.at += count;
        Ok(())
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
            Ok(0) => return Ok(Written { sha256: Some(digest(hasher)), size: at }),
            Ok(read) => {
                hasher.update(&buffer[..read]);
                at += u64::try_from(read).map_err(io::Error::other)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
