//! Files that are shared through a region beside its snapshots: whole objects, compressed, found by what they hold.
//!
//! ```text
//! <folder>/<sha256 of the file>.zst
//! ```
//! Nothing of a region names them; who removes one loses time and nothing else.

use crate::{Error, Region, objects::object_error};
use bytes::Bytes;
use futures::TryStreamExt;
use kiln_types::Digest;
use object_store::{GetOptions, WriteMultipart, path::Path as ObjectPath};
use sha2::{Digest as _, Sha256};
use std::{
    io::{self, Read, Write},
    path::Path,
};
use tokio::{sync::mpsc, task};

/// Bytes of a part, and parts on their way at the same time.
const PART_SIZE: usize = 8 << 20;
const PARTS_AT_ONCE: usize = 2;

/// Pieces between the network and the compressor.
const QUEUE: usize = 4;

/// Bytes of a piece.
const PIECE: usize = 1 << 20;

/// What the region's other frames are compressed with.
const LEVEL: i32 = 3;

impl Region {
    /// Stores a file under the digest of what it holds. One that is there already is not sent again.
    ///
    /// # Errors
    /// When the file cannot be read, is not what its digest says, or the region cannot be written.
    pub async fn put_blob(&self, folder: &str, digest: Digest, file: &Path) -> Result<(), Error> {
        let path = blob_path(folder, digest);
        if self.has_object(&path).await? {
            return Ok(());
        }
        let failed = |source| object_error("write", &path, source);
        let (sender, mut pieces) = mpsc::channel(QUEUE);
        let file = file.to_owned();
        let compress = task::spawn_blocking(move || compress(&file, digest, sender));
        let upload = self.begin_object(&path).await?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_SIZE);
        while let Some(piece) = pieces.recv().await {
            upload.wait_for_capacity(PARTS_AT_ONCE).await.map_err(failed)?;
            upload.put(piece);
        }
        match compress.await.map_err(|_panicked| Error::Worker)? {
            Ok(()) => upload.finish().await.map(drop).map_err(failed),
            Err(source) => {
                upload.abort().await.map_err(failed)?;
                Err(Error::Blob { path, source })
            }
        }
    }

    /// Fetches a file of at most `size` bytes by the digest of what it holds, to a path where nothing is; says whether there
    /// is such a file. Where it is not what its digest says, nothing is left.
    ///
    /// # Errors
    /// When it is damaged, the region cannot be read, or the file cannot be written.
    pub async fn get_blob(&self, folder: &str, digest: Digest, size: u64, to: &Path) -> Result<bool, Error> {
        let path = blob_path(folder, digest);
        let failed = |source| object_error("read", &path, source);
        let object = self.inner.store.get_opts(&ObjectPath::from(&*path), GetOptions::default()).await;
        let object = match object {
            Err(object_store::Error::NotFound { .. }) => return Ok(false),
            object => object.map_err(failed)?,
        };
        let mut stream = object.into_stream();
        let (pieces, receiver) = mpsc::channel(QUEUE);
        let file = to.to_owned();
        let decompress = task::spawn_blocking(move || decompress(receiver, digest, size, &file));
        while let Some(piece) = stream.try_next().await.map_err(failed)? {
            // The other end is gone only where it has failed, which it says below.
            if pieces.send(piece).await.is_err() {
                break;
            }
        }
        drop(pieces);
        let written = decompress.await.map_err(|_panicked| Error::Worker)?;
        written.map(|()| true).map_err(|source| Error::Blob { path, source })
    }
}

pub(crate) fn blob_path(folder: &str, digest: Digest) -> String {
    format!("{folder}/{digest}.zst")
}

fn compress(file: &Path, digest: Digest, sender: mpsc::Sender<Bytes>) -> io::Result<()> {
    let mut input = fs_err::File::open(file)?;
    let mut encoder = zstd::Encoder::new(io::BufWriter::with_capacity(PIECE, Pieces(sender)), LEVEL)?;
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; PIECE]);
    loop {
        let length = input.read(&mut buffer)?;
        let Some(piece) = buffer.get(..length).filter(|piece| !piece.is_empty()) else { break };
        hasher.update(piece);
        encoder.write_all(piece)?;
    }
    if Digest::from_bytes(hasher.finalize().into()) != digest {
        return Err(io::Error::other(format!("{} is not what it was", file.display())));
    }
    encoder.finish()?.flush()
}

fn decompress(receiver: mpsc::Receiver<Bytes>, digest: Digest, size: u64, to: &Path) -> io::Result<()> {
    let folder = to.parent().unwrap_or(Path::new("."));
    let mut staged = tempfile::NamedTempFile::new_in(folder)?;
    let mut decoder = zstd::Decoder::new(Received { receiver, rest: Bytes::new() })?;
    let (mut hasher, mut buffer, mut left) = (Sha256::new(), vec![0; PIECE], size);
    loop {
        let length = decoder.read(&mut buffer)?;
        let Some(piece) = buffer.get(..length).filter(|piece| !piece.is_empty()) else { break };
        left = left
            .checked_sub(piece.len() as u64)
            .ok_or_else(|| io::Error::other(format!("it holds more than {size} bytes")))?;
        hasher.update(piece);
        staged.write_all(piece)?;
    }
    if Digest::from_bytes(hasher.finalize().into()) != digest {
        return Err(io::Error::other("its content does not have the digest that it is called by"));
    }
    staged.as_file().sync_all()?;
    staged.persist_noclobber(to)?;
    Ok(())
}

/// Where a compressor writes to.
struct Pieces(mpsc::Sender<Bytes>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Bytes::copy_from_slice(bytes));
        sent.map_err(|_closed| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where a decompressor reads from.
struct Received {
    receiver: mpsc::Receiver<Bytes>,
    rest: Bytes,
}

impl Read for Received {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            let Some(next) = self.receiver.blocking_recv() else { return Ok(0) };
            self.rest = next;
        }
        let piece = self.rest.split_to(self.rest.len().min(buffer.len()));
        let (taken, _) = buffer.split_at_mut(piece.len());
        taken.copy_from_slice(&piece);
        Ok(piece.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{noise_block, region_in};

    #[tokio::test]
    async fn a_file_comes_back_or_nothing_does() {
        let world = tempfile::tempdir().unwrap();
        let region = region_in(&world.path().join("region")).await;
        let (file, back) = (world.path().join("file"), world.path().join("back"));
        let bytes = [noise_block(1), vec![0; 3 << 20], noise_block(2), noise_block(3)].concat();
        fs_err::write(&file, &bytes).unwrap();
        let digest = Digest::from_bytes(Sha256::digest(&bytes).into());
        let size = bytes.len() as u64;
        region.put_blob("files", digest, &file).await.unwrap();
        assert!(region.get_blob("files", digest, size, &back).await.unwrap());
        assert_eq!(fs_err::read(&back).unwrap(), bytes);

        fs_err::remove_file(&back).unwrap();
        let short = region.get_blob("files", digest, size - 1, &back).await.unwrap_err();
        assert!(matches!(short, Error::Blob { .. }), "{short}");
        let object = world.path().join(format!("region/files/{digest}.zst"));
        let whole = fs_err::read(&object).unwrap();
        for cut in [0, 1, whole.len() / 2, whole.len() - 1] {
            fs_err::write(&object, &whole[..cut]).unwrap();
            assert!(region.get_blob("files", digest, size, &back).await.is_err(), "{cut} bytes");
        }
        assert!(!back.exists());
        let other = Digest::from_bytes([1; 32]);
        let changed = region.put_blob("files", other, &file).await.unwrap_err();
        assert!(matches!(changed, Error::Blob { .. }), "{changed}");
        assert!(!region.get_blob("files", other, size, &back).await.unwrap(), "and nothing was stored");
    }
}
