//! Writes frames into packs as streams.

use super::index::encode_index;
use crate::{Error, FrameRef, PackId, Region, objects::object_error};
use bytes::Bytes;
use kiln_types::Digest;
use object_store::WriteMultipart;
use std::collections::HashMap;

/// Bytes of frames after which a pack is closed: large enough for streaming and few objects, small enough that
/// garbage collection rewrites little.
const PACK_SIZE: u64 = 64 << 20;

/// Bytes of a part. S3 takes no less than 5 MiB, and all but the last of one size.
const PART_SIZE: usize = 8 << 20;

/// Parts on their way at the same time; with the one being filled they bound the memory.
const PARTS_AT_ONCE: usize = 2;

/// Writes packs of frames, one after the other.
#[derive(Debug)]
pub(crate) struct PackWriter {
    region: Region,
    open: Option<OpenPack>,
    frames: HashMap<Digest, FrameRef>,
    stored_bytes: u64,
}

#[derive(Debug)]
struct OpenPack {
    id: PackId,
    upload: WriteMultipart,
    end: u64,
    frames: Vec<FrameRef>,
}

impl PackWriter {
    pub(crate) fn new(region: Region) -> Self {
        Self { region, open: None, frames: HashMap::new(), stored_bytes: 0 }
    }

    /// Returns the bytes of all packs so far.
    pub(crate) const fn stored_bytes(&self) -> u64 {
        self.stored_bytes
    }

    /// Appends the frame of a block that is in no pack yet.
    pub(crate) async fn push(&mut self, digest: Digest, frame: Bytes) -> Result<(), Error> {
        let mut pack = match self.open.take() {
            Some(pack) => pack,
            None => OpenPack::begin(&self.region).await?,
        };
        self.stored_bytes += frame.len() as u64;
        pack.push(digest, frame).await?;
        if pack.end < PACK_SIZE {
            self.open = Some(pack);
            return Ok(());
        }
        self.seal(pack).await
    }

    /// Closes the last pack and returns where each frame lies.
    pub(crate) async fn finish(mut self) -> Result<(HashMap<Digest, FrameRef>, u64), Error> {
        if let Some(pack) = self.open.take() {
            self.seal(pack).await?;
        }
        Ok((self.frames, self.stored_bytes))
    }

    /// Gives up the pack that is open; the closed ones are garbage that names nobody.
    pub(crate) async fn abort(self) {
        if let Some(pack) = self.open
            && let Err(error) = pack.upload.abort().await
        {
            tracing::debug!(pack = %pack.id, error = &error as &dyn std::error::Error, "half a pack stays");
        }
    }

    async fn seal(&mut self, pack: OpenPack) -> Result<(), Error> {
        let (frames, index_bytes) = pack.seal().await?;
        self.stored_bytes += index_bytes;
        self.frames.extend(frames.into_iter().map(|frame| (frame.digest, frame)));
        Ok(())
    }
}

impl OpenPack {
    async fn begin(region: &Region) -> Result<Self, Error> {
        let id = PackId::random();
        let upload = region.begin_object(&id.path()).await?;
        let upload = WriteMultipart::new_with_chunk_size(upload, PART_SIZE);
        Ok(Self { id, upload, end: 0, frames: Vec::new() })
    }

    async fn push(&mut self, digest: Digest, frame: Bytes) -> Result<(), Error> {
        let length = u32::try_from(frame.len()).expect("a frame is hardly longer than its block");
        self.upload
            .wait_for_capacity(PARTS_AT_ONCE)
            .await
            .map_err(|source| object_error("write", &self.id.path(), source))?;
        self.upload.put(frame);
        self.frames.push(FrameRef { pack: self.id, offset: self.end, length, digest });
        self.end += u64::from(length);
        Ok(())
    }

    async fn seal(mut self) -> Result<(Vec<FrameRef>, u64), Error> {
        let index = encode_index(&self.frames);
        let index_bytes = index.len() as u64;
        self.upload.put(index.into());
        let finished = self.upload.finish().await;
        finished.map_err(|source| object_error("write", &self.id.path(), source))?;
        Ok((self.frames, index_bytes))
    }
}
