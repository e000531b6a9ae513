//! `kiln image deregister`: an image leaves the catalogue, and its snapshots with it where that is asked.

use super::refused;
use crate::{args::ImageDeregister, commands::json, failure::Failure};
use kiln_builder::{Error, Kiln, catalog};
use kiln_types::SnapshotId;
use serde::Serialize;

/// The answer of DeregisterImage.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    r#return: bool,
    delete_snapshot_results: Vec<Deleted>,
}

/// What became of a snapshot.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Deleted {
    snapshot_id: SnapshotId,
    /// `success`, `skipped` where another image names it, or `missing-permissions` where it is another account's.
    return_code: &'static str,
}

pub(super) async fn run(kiln: &Kiln, args: &ImageDeregister) -> Result<String, Failure> {
    let catalog = kiln.catalog();
    let image = refused(catalog.find(&args.image).await)?;
    let bin = Some(args.recycle_bin).filter(|span| !span.as_duration().is_zero() && !args.delete_snapshots);
    let gone = refused(catalog.deregister(image.image_id, bin).await)?;
    let mut results = Vec::<Deleted>::new();
    let snapshots = gone.block_device_mappings.iter().filter_map(|mapping| mapping.device.snapshot());
    for snapshot_id in snapshots.filter(|_| args.delete_snapshots) {
        if results.iter().any(|result| result.snapshot_id == snapshot_id) {
            continue;
        }
        let return_code = match kiln.delete_snapshot(snapshot_id).await {
            Ok(()) => "success",
            Err(Error::SnapshotInUse { .. }) => "skipped",
            Err(Error::Store(kiln_builder::store::Error::SnapshotNotFound { .. })) => "skipped",
            Err(Error::Catalog(catalog::Error::NotAuthorizedForSnapshot { .. })) => "missing-permissions",
            Err(error) => return Err(error.into()),
        };
        results.push(Deleted { snapshot_id, return_code });
    }
    if args.json {
        return json(&Document { r#return: true, delete_snapshot_results: results });
    }
    let lines = results.iter().map(|Deleted { snapshot_id, return_code }| match *return_code {
        "success" => format!("{snapshot_id}  deleted\n"),
        _ => format!("{snapshot_id}  kept: another image names it, or it is another account's\n"),
    });
    Ok(format!("{}\n{}", gone.image_id, lines.collect::<String>()))
}
