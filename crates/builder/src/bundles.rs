//! Instance-store bundles of disks: a region's images and snapshots, or disk files behind the gate.

use crate::{Error, Events, Kiln, Phase, diff::volume};
use kiln_bundle::{Image, Manifest, RawImage, Settings, Slice};
use kiln_disk::{Disk, ReadAt};
use kiln_types::{BLOCK_SIZE, ByteSize, ImageId, SnapshotId};
use std::{
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Which bytes of a disk a bundle holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BundleOf {
    /// All of them: the machine boots as it would from the disk.
    Disk,
    /// The partition of a number.
    Partition(u32),
    /// The root file system: the machine's kernel comes from elsewhere.
    Root,
}

/// A bundle to be made.
#[derive(Debug, Clone)]
pub struct BundleRequest {
    /// An image's id or name, a snapshot's id, or a disk file.
    pub source: String,
    /// The disk file's format; its first bytes say it where this does not.
    pub format: Option<String>,
    /// What of the disk.
    pub of: BundleOf,
    /// Names, keys and the rest.
    pub settings: Settings,
    /// The folder that gets the parts and the manifest.
    pub folder: PathBuf,
}

impl Kiln {
    /// Makes a bundle in a folder; returns its manifest and where that lies.
    ///
    /// # Errors
    /// When there is no such disk, what was asked for does not fit, or a file cannot be read or written; nothing is left
    /// then.
    pub async fn bundle(
        &self,
        request: BundleRequest,
        events: &Events,
    ) -> Result<(Manifest, PathBuf), Error> {
        let source = &request.source;
        let scratch = self.home.new_build()?;
        let id = source.parse::<ImageId>().is_ok() || source.parse::<SnapshotId>().is_ok();
        let disk = if !id && Path::new(source).is_file() {
            let raw = self.raw_of(Path::new(source), request.format.as_deref(), &scratch, events).await?;
            Source::File(Arc::new(RawImage::open(&raw)?))
        } else {
            let map = self.region.block_map(self.root_snapshot(source).await?).await?;
            Source::Volume(volume::Volume::new(map, &volume::Blocks::new(self.region.clone())))
        };
        let phase = events.begin(Phase::Bundle { prefix: request.settings.prefix.clone() });
        let tell = events.clone();
        let work = move || {
            let range = request.of.range(&disk, &request.source)?;
            let image = Slice { disk, range };
            fs_err::create_dir_all(&request.folder)?;
            let mut progress = |done, total| tell.progress(done, total);
            Ok::<_, Error>(kiln_bundle::create(&image, &request.settings, &request.folder, &mut progress)?)
        };
        let (manifest, path) = tokio::task::spawn_blocking(work).await.map_err(Error::Task)??;
        phase.done(ByteSize::from_bytes(manifest.bundled_size).approximate());
        Ok((manifest, path))
    }
}

impl BundleOf {
    fn range(self, source: &Source, name: &str) -> Result<Range<u64>, Error> {
        let disk = Disk::new(name, source.clone());
        let (offset, size) = match self {
            Self::Disk => (0, Image::size(source)),
            Self::Partition(number) => {
                let layout = kiln_disk::inspect(&disk)?;
                let found = layout.partitions.iter().find(|partition| partition.number == Some(number));
                let found = found.ok_or_else(|| Error::NoPartition { disk: name.to_owned(), number })?;
                (found.offset, found.size)
            }
            Self::Root => {
                let root = kiln_disk::find_root(&disk)?;
                (root.offset, root.size)
            }
        };
        Ok(offset..offset + size)
    }
}

/// A disk that is bundled. Cheap to clone.
#[derive(Debug, Clone)]
enum Source {
    File(Arc<RawImage>),
    Volume(volume::Volume),
}

impl Image for Source {
    fn size(&self) -> u64 {
        match self {
            Self::File(file) => file.size(),
            Self::Volume(volume) => ReadAt::size(volume),
        }
    }

    fn stretches(&self) -> io::Result<Vec<Range<u64>>> {
        match self {
            Self::File(file) => file.stretches(),
            Self::Volume(volume) => {
                let size = ReadAt::size(volume);
                let blocks = volume.map().data().map(|(index, _)| u64::from(index.0) * BLOCK_SIZE);
                Ok(blocks.map(|start| start..(start + BLOCK_SIZE).min(size)).collect())
            }
        }
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.read_at(offset, buffer),
            Self::Volume(volume) => ReadAt::read_at(volume, offset, buffer),
        }
    }
}

impl ReadAt for Source {
    fn size(&self) -> u64 {
        Image::size(self)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        Image::read_at(self, offset, buffer)
    }
}
