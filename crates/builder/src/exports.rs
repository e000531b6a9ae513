//! Disk files from snapshots.

use crate::{Error, Events, Exported, Kiln, Phase, checksum::file_sha256};
use kiln_catalog::{BootMode, Image};
use kiln_export::{ExportRequest, Kind, Machine, Options, Target};
use kiln_store::Verify;
use kiln_template::{Export, ExportFormat};
use kiln_types::{ByteSize, SnapshotId};
use std::{
    io,
    path::{Path, PathBuf},
};

/// What a disk file is to be, beside its place.
#[derive(Debug, Clone, Default)]
pub struct ExportOptions {
    /// The format; the file's ending says it where this does not.
    pub format: Option<String>,
    /// What can be chosen in the format; the machine is the image's.
    pub options: Options,
    /// Whether the file's SHA-256 is left out.
    pub no_sha256: bool,
}

impl Kiln {
    /// Writes the disk of an image or a snapshot to a file.
    ///
    /// # Errors
    /// When there is no such image, what was chosen does not fit together, or the file cannot be written; nothing is
    /// left then.
    pub async fn export(
        &self,
        id_or_name: &str,
        output: &Path,
        chosen: ExportOptions,
        events: &Events,
    ) -> Result<Exported, Error> {
        let kind = match &chosen.format {
            Some(word) => word.parse()?,
            None => Kind::by_ending(output),
        };
        let (snapshot, machine) = self.exported(id_or_name).await?;
        let target = Target::new(kind, Options { machine, ..chosen.options })?;
        let (path, verify) = (output.to_owned(), Verify::Length);
        let request = ExportRequest { snapshot, target, path, verify, sha256: !chosen.no_sha256 };
        self.write_disk(&request, &output.display().to_string(), events).await
    }

    /// Sends the disk of an image or a snapshot down a stream, and returns how many bytes it has.
    ///
    /// # Errors
    /// When there is no such image, or the stream takes no more.
    pub async fn export_stream(
        &self,
        id_or_name: &str,
        out: impl io::Write + Send + 'static,
        events: &Events,
    ) -> Result<u64, Error> {
        let (snapshot, _) = self.exported(id_or_name).await?;
        let phase = events.begin(Phase::Export { path: "-".to_owned() });
        let tell = events.clone();
        let progress = move |done, total| tell.progress(done, total);
        let size = kiln_export::stream(&self.region, snapshot, out, progress).await?;
        phase.done(ByteSize::from_bytes(size).approximate());
        Ok(size)
    }

    /// Finds the snapshot to export, and what is known of the machine that it is for.
    async fn exported(&self, id_or_name: &str) -> Result<(SnapshotId, Machine), Error> {
        let snapshot = self.root_snapshot(id_or_name).await?;
        if id_or_name.parse::<SnapshotId>().is_ok() {
            return Ok((snapshot, Machine { name: id_or_name.to_owned(), ..Machine::default() }));
        }
        Ok((snapshot, machine(&self.catalog.find(id_or_name).await?)))
    }

    /// Makes an export that a template asks for; with `keep`, one that is there stays.
    pub(crate) async fn export_of(
        &self,
        snapshot: SnapshotId,
        image: &Image,
        export: &Export,
        keep: bool,
        events: &Events,
    ) -> Result<Exported, Error> {
        let target = target(export, image)?;
        let path = export.path.path.clone();
        if keep && path.is_file() {
            let phase = events.begin(Phase::Export { path: export.path.written.clone() });
            let exported = existing(target.kind(), path).await?;
            phase.cached(ByteSize::from_bytes(exported.size).approximate());
            return Ok(exported);
        }
        if let Some(folder) = path.parent() {
            fs_err::create_dir_all(folder)?;
        }
        let request = ExportRequest { snapshot, target, path, verify: Verify::Length, sha256: true };
        self.write_disk(&request, &export.path.written, events).await
    }

    async fn write_disk(
        &self,
        request: &ExportRequest,
        shown: &str,
        events: &Events,
    ) -> Result<Exported, Error> {
        let phase = events.begin(Phase::Export { path: shown.to_owned() });
        let tell = events.clone();
        let progress = move |done, total| tell.progress(done, total);
        let exported = kiln_export::export(&self.region, request, progress).await?;
        phase.done(ByteSize::from_bytes(exported.size).approximate());
        Ok(Exported {
            path: exported.path,
            format: exported.kind.to_string(),
            sha256: exported.sha256,
            size: exported.size,
        })
    }
}

fn machine(image: &Image) -> Machine {
    Machine {
        name: image.name.to_string(),
        architecture: image.architecture,
        uefi: image.boot_mode == Some(BootMode::Uefi),
        ..Machine::default()
    }
}

/// What a template's table asks for.
fn target(export: &Export, image: &Image) -> Result<Target, Error> {
    let kind = match export.format {
        ExportFormat::Qcow2 => Kind::Qcow2,
        ExportFormat::Raw => Kind::Raw,
        ExportFormat::Vmdk => Kind::Vmdk,
        ExportFormat::Vhd => Kind::Vhd,
        ExportFormat::Vhdx => Kind::Vhdx,
        ExportFormat::Ova => Kind::Ova,
        ExportFormat::Gce => Kind::Gce,
    };
    let options = Options {
        compression: export.compression.map(|word| word.to_string()),
        cluster_size: export.cluster_size,
        compat: export.compat.map(|word| word.to_string()),
        subformat: export.subformat.map(|word| word.to_string()),
        incremental: None,
        machine: machine(image),
    };
    Ok(Target::new(kind, options)?)
}

/// Tells what a file that is there is.
async fn existing(kind: Kind, path: PathBuf) -> Result<Exported, Error> {
    let look = move || {
        let size = fs_err::metadata(&path)?.len();
        let sha256 = Some(file_sha256(&path)?);
        Ok(Exported { path, format: kind.to_string(), sha256, size })
    };
    tokio::task::spawn_blocking(look).await.map_err(Error::Task)?
}
