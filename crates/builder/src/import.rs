//! Volumes and images from disk files that exist.
//!
//! ```text
//! file ─ gate ─▶ raw: as it is, by its holes                    ─▶ snapshot ─▶ image
//!                other: a sparse raw file in a build's folder ──┘
//! ```
//! The file is foreign: nothing but `kiln-qcow2`'s gate and a `qemu-img` child with limits ever looks inside it.

use crate::{Error, Events, Kiln, Phase, base::stored, home::BuildFolder};
use kiln_catalog::{BootMode, Image, ImageKiln, NewImage, NewMapping, Tag};
use kiln_qcow2::{BlockSource, Format, RawDisk};
use kiln_store::NewSnapshot;
use kiln_types::{Architecture, ByteSize, DeviceName, ImageName};
use std::path::{Path, PathBuf};

/// An image to be made of a disk file.
#[derive(Debug, Clone)]
pub struct ImportRequest {
    /// The file.
    pub file: PathBuf,
    /// Its format; its first bytes say it where this does not.
    pub format: Option<String>,
    /// The image's name.
    pub name: ImageName,
    /// What it is, for people.
    pub description: Option<String>,
    /// The processor that it is for.
    pub architecture: Architecture,
    /// Whether it boots by UEFI alone.
    pub uefi: bool,
    /// Tags of the image and of its snapshot.
    pub tags: Vec<(String, String)>,
    /// Whether the new image takes its name from the image that holds it.
    pub replace: bool,
}

impl Kiln {
    /// Stores a disk file as a snapshot and registers an image of it.
    ///
    /// # Errors
    /// When the file is refused, the name is taken, or something cannot be read or written; there is no image then.
    pub async fn import_image(&self, request: &ImportRequest, events: &Events) -> Result<Image, Error> {
        self.check_name(&request.name, request.replace).await?;
        let folder = self.home.new_build()?;
        let source = self.volume_of(&request.file, request.format.as_deref(), &folder, events).await?;
        let phase = events.begin(Phase::Snapshot);
        let tag = |(key, value): &(String, String)| Tag { key: key.clone(), value: value.clone() };
        let tags: Vec<Tag> = request.tags.iter().map(tag).collect();
        let new = NewSnapshot {
            source,
            parent: None,
            owner: self.catalog.viewer().account,
            description: format!("{}: imported", request.name),
            tags: tags.clone(),
        };
        let snapshot = self.store(new, events).await?;
        phase.done(stored(&snapshot));
        let root = DeviceName::root();
        let new = NewImage {
            name: request.name.clone(),
            description: request.description.clone(),
            owner: self.catalog.viewer().account,
            architecture: request.architecture,
            root_device_name: root.clone(),
            mappings: vec![NewMapping::from_snapshot(root, snapshot.snapshot_id)],
            boot_mode: request.uefi.then_some(BootMode::Uefi),
            tpm_support: None,
            tags,
            kiln: ImageKiln {
                base: request.file.file_name().map(|name| name.to_string_lossy().into_owned()),
                ..ImageKiln::default()
            },
        };
        self.register(new, request.replace, events).await
    }

    /// Opens a disk file as a volume; what is not raw is converted into `folder` first, which has to outlive the volume.
    pub(crate) async fn volume_of(
        &self,
        file: &Path,
        format: Option<&str>,
        folder: &BuildFolder,
        events: &Events,
    ) -> Result<Box<dyn BlockSource>, Error> {
        let raw = self.raw_of(file, format, folder, events).await?;
        Ok(Box::new(RawDisk::open(&raw)?))
    }

    /// Returns a raw file that holds a disk: the file itself, or what it is converted to in `folder`.
    pub(crate) async fn raw_of(
        &self,
        file: &Path,
        format: Option<&str>,
        folder: &BuildFolder,
        events: &Events,
    ) -> Result<PathBuf, Error> {
        let phase = events.begin(Phase::Base { source: file.display().to_string() });
        let format = format.map(str::parse::<Format>).transpose()?;
        let (file, tell) = (file.to_owned(), events.clone());
        let converted = folder.path().join("import.raw");
        let work = move || {
            let format = format.map_or_else(|| kiln_qcow2::detect(&file), Ok)?;
            let info = kiln_qcow2::gate(&file, format)?;
            let raw = if format == Format::Raw {
                file
            } else {
                kiln_qcow2::import(&file, format, &converted, &mut |done, total| tell.progress(done, total))?;
                converted
            };
            Ok::<_, Error>((format, info, raw))
        };
        let (format, info, raw) = tokio::task::spawn_blocking(work).await.map_err(Error::Task)??;
        phase.done(format!("{format}, {}", ByteSize::from_bytes(info.virtual_size).approximate()));
        Ok(raw)
    }
}
