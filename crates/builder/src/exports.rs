//! Disk files from snapshots.

use crate::{Error, Events, Exported, Kiln, Phase, checksum::file_sha256, source::image_format};
use kiln_export::ExportRequest;
use kiln_qcow2::Format;
use kiln_store::Verify;
use kiln_template::Export;
use kiln_types::{ByteSize, SnapshotId};
use std::path::{Path, PathBuf};

impl Kiln {
    /// Writes the disk of an image or a snapshot to a file. Without a format, the file's ending says it.
    ///
    /// # Errors
    /// When there is no such image, the format is not known, or the file cannot be written; nothing is left then.
    pub async fn export(
        &self,
        id_or_name: &str,
        output: &Path,
        format: Option<&str>,
        events: &Events,
    ) -> Result<Exported, Error> {
        let format = match format {
            Some(word) => word.parse()?,
            None => by_ending(output),
        };
        let snapshot = self.root_snapshot(id_or_name).await?;
        self.write_disk(snapshot, format, output, &output.display().to_string(), events).await
    }

    /// Makes an export that a template asks for; with `keep`, one that is there stays.
    pub(crate) async fn export_of(
        &self,
        snapshot: SnapshotId,
        export: &Export,
        keep: bool,
        events: &Events,
    ) -> Result<Exported, Error> {
        let format = image_format(export.format);
        let path = &export.path.path;
        if keep && path.is_file() {
            let phase = events.begin(Phase::Export { path: export.path.written.clone() });
            let exported = existing(format, path.clone()).await?;
            phase.cached(ByteSize::from_bytes(exported.size).approximate());
            return Ok(exported);
        }
        if let Some(folder) = path.parent() {
            fs_err::create_dir_all(folder)?;
        }
        self.write_disk(snapshot, format, path, &export.path.written, events).await
    }

    async fn write_disk(
        &self,
        snapshot: SnapshotId,
        format: Format,
        path: &Path,
        shown: &str,
        events: &Events,
    ) -> Result<Exported, Error> {
        let phase = events.begin(Phase::Export { path: shown.to_owned() });
        let tell = events.clone();
        let request = ExportRequest { snapshot, format, path: path.to_owned(), verify: Verify::Length };
        let progress = move |done, total| tell.progress(done, total);
        let exported = kiln_export::export(&self.region, &request, progress).await?;
        phase.done(ByteSize::from_bytes(exported.size).approximate());
        Ok(Exported {
            path: exported.path,
            format: format.to_string(),
            sha256: exported.sha256,
            size: exported.size,
        })
    }
}

/// Tells what a file that is there is.
async fn existing(format: Format, path: PathBuf) -> Result<Exported, Error> {
    let look = move || {
        let size = fs_err::metadata(&path)?.len();
        let sha256 = file_sha256(&path)?;
        Ok(Exported { path, format: format.to_string(), sha256, size })
    };
    tokio::task::spawn_blocking(look).await.map_err(Error::Task)?
}

fn by_ending(path: &Path) -> Format {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    match ending {
        "raw" | "img" => Format::Raw,
        "vmdk" => Format::Vmdk,
        "vhd" | "vpc" => Format::Vhd,
        "vhdx" => Format::Vhdx,
        _ => Format::Qcow2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings() {
        assert_eq!(by_ending(Path::new("a/disk.vhd")), Format::Vhd);
        assert_eq!(by_ending(Path::new("disk.img")), Format::Raw);
        assert_eq!(by_ending(Path::new("disk")), Format::Qcow2);
    }
}
