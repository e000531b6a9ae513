//! Parts decrypted and decompressed, each checked before a byte of it goes on.
//!
//! ```text
//! thread "parts"                            thread "inflate"              caller
//! read a part, SHA-1, AES-128-CBC ─────────→ gunzip, any members ────────→ SHA-1, the member
//! ```

use crate::{Error, Manifest, Place, seal::BLOCK, transfer::read_part};
use aes::{
    Aes128,
    cipher::{Array, BlockModeDecrypt, KeyIvInit},
};
use cbc::Decryptor;
use flate2::bufread::MultiGzDecoder;
use std::{
    io::{self, BufRead, Read},
    sync::mpsc::{Receiver, SyncSender},
};

/// Bytes of the archive that go from thread to thread at a time.
const CHUNK: usize = 256 << 10;

/// Reads, checks and decrypts all parts.
pub(crate) fn parts(
    place: &Place,
    manifest: &Manifest,
    key: &[u8; 16],
    iv: &[u8; 16],
    out: &SyncSender<Vec<u8>>,
) -> Result<(), Error> {
    let mut cipher = Decryptor::<Aes128>::new(key.into(), iv.into());
    let mut total = 0;
    // A part is let go when another that is not empty has come: the last one ends with padding.
    let mut last: Vec<u8> = Vec::new();
    for (index, part) in manifest.parts.iter().enumerate() {
        let mut bytes = read_part(place, index, part)?;
        total += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if bytes.is_empty() {
            continue;
        }
        let (blocks, rest) = Array::slice_as_chunks_mut(&mut bytes);
        if !rest.is_empty() {
            let subject = format!("part {index}, `{}`", part.name);
            return Err(Error::damaged(subject, "its length is not a multiple of 16"));
        }
        cipher.decrypt_blocks(blocks);
        let ready = std::mem::replace(&mut last, bytes);
        if !ready.is_empty() && out.send(ready).is_err() {
            return Ok(());
        }
    }
    if total != manifest.bundled_size {
        let reason = format!("is {}, and the parts have {total} bytes", manifest.bundled_size);
        return Err(Error::damaged("image/bundled_size", reason));
    }
    let padding = last.last().copied().map_or(0, usize::from);
    let padded = (1..=BLOCK).contains(&padding)
        && last.iter().rev().take(padding).all(|byte| usize::from(*byte) == padding);
    if !padded {
        return Err(Error::damaged("the last part", "does not end with padding"));
    }
    last.truncate(last.len() - padding);
    // Whoever takes no more has failed, and says why.
    drop(out.send(last));
    Ok(())
}

/// Decompresses what comes in.
pub(crate) fn inflate(input: Receiver<Vec<u8>>, out: &SyncSender<Vec<u8>>) -> Result<(), Error> {
    let mut decoder = MultiGzDecoder::new(Chain::new(input));
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        let failed = |error: io::Error| Error::damaged("the gzip stream", error.to_string());
        (&mut decoder).take(CHUNK as u64).read_to_end(&mut chunk).map_err(failed)?;
        if chunk.is_empty() || out.send(chunk).is_err() {
            return Ok(());
        }
    }
}

/// A channel's pieces as one stream.
pub(crate) struct Chain {
    input: Receiver<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
}

impl Chain {
    pub(crate) fn new(input: Receiver<Vec<u8>>) -> Self {
        Self { input, piece: Vec::new(), at: 0 }
    }
}

impl BufRead for Chain {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.at == self.piece.len() {
            match self.input.recv() {
                Ok(piece) => (self.piece, self.at) = (piece, 0),
                Err(_ended) => return Ok(&[]),
            }
        }
        Ok(&self.piece[self.at..])
    }

    fn consume(&mut self, amount: usize) {
        self.at = (self.at + amount).min(self.piece.len());
    }
}

impl Read for Chain {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let ready = self.fill_buf()?;
        let count = ready.len().min(buffer.len());
        buffer[..count].copy_from_slice(&ready[..count]);
        self.consume(count);
        Ok(count)
    }
}
