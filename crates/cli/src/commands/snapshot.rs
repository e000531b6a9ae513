//! `kiln snapshot`: what the region holds of volumes.

use crate::{
    args::{Global, List, Snapshot as Args, SnapshotShow},
    commands::{json, open},
    failure::Failure,
    table::{details, table},
};
use kiln_builder::store::{DescribeSnapshots, Snapshot, SnapshotState};
use kiln_types::ByteSize;

pub(crate) async fn run(global: &Global, args: &Args) -> Result<String, Failure> {
    match args {
        Args::List(args) => list(global, args).await,
        Args::Show(args) => show(global, args).await,
    }
}

async fn list(global: &Global, args: &List) -> Result<String, Failure> {
    let kiln = open(global).await?;
    let snapshots = kiln.region().snapshots().await.map_err(kiln_builder::Error::from)?;
    if args.json {
        return json(&DescribeSnapshots { snapshots });
    }
    let rows: Vec<_> = snapshots.iter().map(row).collect();
    Ok(table(["SNAPSHOT", "SIZE", "STORED", "STATE", "STARTED", "DESCRIPTION"], &rows))
}

fn row(snapshot: &Snapshot) -> [String; 6] {
    [
        snapshot.snapshot_id.to_string(),
        format!("{} GiB", snapshot.volume_size),
        ByteSize::from_bytes(snapshot.kiln.stored_bytes).approximate(),
        state(snapshot).to_owned(),
        snapshot.start_time.to_string(),
        snapshot.description.clone(),
    ]
}

fn state(snapshot: &Snapshot) -> &'static str {
    match &snapshot.state {
        SnapshotState::Completed => "completed",
        SnapshotState::Error { .. } => "error",
        _ => "pending",
    }
}

async fn show(global: &Global, args: &SnapshotShow) -> Result<String, Failure> {
    let kiln = open(global).await?;
    let snapshot = kiln.region().snapshot(args.snapshot).await.map_err(kiln_builder::Error::from)?;
    if args.json {
        return json(&DescribeSnapshots { snapshots: vec![snapshot] });
    }
    let parent = snapshot.parent_snapshot_id.map_or_else(|| "none".to_owned(), |id| id.to_string());
    let known = &snapshot.kiln;
    Ok(details(&[
        ("snapshot", snapshot.snapshot_id.to_string()),
        ("description", snapshot.description.clone()),
        ("state", state(&snapshot).to_owned()),
        ("owner", snapshot.owner_id.to_string()),
        ("started", snapshot.start_time.to_string()),
        ("parent", parent),
        ("volume", format!("{} GiB ({} bytes)", snapshot.volume_size, known.size)),
        (
            "blocks",
            format!(
                "{} hold data, {} changed, {} new",
                known.data_blocks, known.changed_blocks, known.new_blocks
            ),
        ),
        ("stored", ByteSize::from_bytes(known.stored_bytes).approximate()),
    ]))
}
