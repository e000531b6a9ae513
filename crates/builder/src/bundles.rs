//! Instance-store bundles of disks: a region's images and snapshots, or disk files behind the gate.

use crate::{
    Error, Events, Kiln, Phase,
    cancel::{Cancel, CancelOnDrop},
    diff::volume,
};
use kiln_bundle::{Image, Manifest, Place, RawImage, Settings, Slice, Watch};
use kiln_disk::{Disk, ReadAt};
use kiln_store::{Location, S3Settings, open_location};
use kiln_types::{BLOCK_SIZE, ByteSize, ImageId, SnapshotId};
use std::{io, ops::Range, path::Path, sync::Arc};
use tokio::runtime::Handle;

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
    /// What gets the parts and the manifest.
    pub place: Place,
}

impl Kiln {
    /// Makes a bundle; returns its manifest and how that is called in its place.
    ///
    /// # Errors
    /// When there is no such disk, what was asked for does not fit, or a file cannot be read or written; nothing is left
    /// then.
    pub async fn bundle(&self, request: BundleRequest, events: &Events) -> Result<(Manifest, String), Error> {
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
        let work = move |watch: &Watch| {
            let range = request.of.range(&disk, &request.source)?;
            let image = Slice { disk, range };
            Ok(kiln_bundle::create(&image, &request.settings, &request.place, watch)?)
        };
        let (manifest, name) = watched(events, work).await?;
        phase.done(ByteSize::from_bytes(manifest.bundled_size).approximate());
        Ok((manifest, name))
    }
}

/// Works on a bundle on a thread that may wait, and gives up when nobody waits for it any more.
///
/// # Errors
/// When the work fails.
pub async fn watched<T: Send + 'static>(
    events: &Events,
    work: impl FnOnce(&Watch) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (cancel, tell) = (Cancel::default(), events.clone());
    let _give_up = CancelOnDrop(cancel.clone());
    let watch = Watch::new(cancel.flag(), move |done, all| tell.progress(done, all));
    tokio::task::spawn_blocking(move || work(&watch)).await.map_err(Error::Task)?
}

/// Opens a place for bundles: a folder, which is made where there is none, or `s3://bucket/prefix`.
///
/// # Errors
/// When there can be no such place.
pub fn bundle_place(text: &str, settings: &S3Settings) -> Result<Place, Error> {
    let location = Location::parse(text, settings)?;
    if let Location::Folder(path) = &location {
        fs_err::create_dir_all(path)?;
    }
    place(&location)
}

/// Finds a manifest: the place of its bundle, and how it is called there.
///
/// # Errors
/// When there can be no such place.
pub fn bundle_manifest(text: &str, settings: &S3Settings) -> Result<(Place, String), Error> {
    let (folder, name) = match text.rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some((folder, name)) => (folder, name),
        None => (".", text),
    };
    Ok((place(&Location::parse(folder, settings)?)?, name.to_owned()))
}

/// Finds the bundle that an image is made from: its place, and how its manifest is called there.
///
/// # Errors
/// When its location means nothing.
pub fn bundle_of(image: &kiln_catalog::Image, settings: &S3Settings) -> Result<(Place, String), Error> {
    let location = &image.image_location;
    // EC2 writes a bucket and what lies in it, and knows no other places.
    let elsewhere = location.starts_with('/') || location.contains("://");
    let manifest = if elsewhere { location.clone() } else { format!("s3://{location}") };
    bundle_manifest(&manifest, settings)
}

fn place(location: &Location) -> Result<Place, Error> {
    if let Location::Folder(path) = location {
        return Ok(Place::folder(path));
    }
    let (store, prefix) = open_location(location)?;
    Ok(Place::objects(store, prefix, Handle::current()))
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
