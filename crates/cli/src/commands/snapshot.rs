//! `kiln snapshot`: what the region holds of volumes.

use crate::{
    args::{
        Global, Snapshot as Args, SnapshotCopy, SnapshotCreate, SnapshotDelete, SnapshotDiff, SnapshotEdit,
        SnapshotList, SnapshotShare, SnapshotShow, SnapshotVerify,
    },
    commands::{events, json, open, open_in},
    exit,
    failure::Failure,
    output::printable,
    table::{details, table},
};
use kiln_builder::{
    SnapshotRequest,
    catalog::SnapshotQuery,
    store::{ChangedBlock, DescribeSnapshots, Snapshot, SnapshotState, Tag},
};
use kiln_types::{BLOCK_SIZE, BlockIndex, ByteSize, SnapshotId};
use serde::Serialize;
use std::fmt::Write;

pub(crate) async fn run(global: &Global, args: &Args) -> Result<String, Failure> {
    match args {
        Args::Create(args) => create(global, args).await,
        Args::List(args) => list(global, args).await,
        Args::Show(args) => show(global, args).await,
        Args::Diff(args) => diff(global, args).await,
        Args::Verify(args) => verify(global, args).await,
        Args::Copy(args) => copy(global, args).await,
        Args::Share(args) => share(global, args).await,
        Args::Edit(args) => edit(global, args).await,
        Args::Delete(args) => delete(global, args).await,
    }
}

async fn create(global: &Global, args: &SnapshotCreate) -> Result<String, Failure> {
    let request = SnapshotRequest {
        file: args.file.clone(),
        format: args.format.clone(),
        parent: args.parent,
        description: args.description.clone(),
        tags: args.tags.clone(),
    };
    let snapshot = open(global).await?.create_snapshot(&request, &events(global)).await?;
    made(snapshot, args.json)
}

async fn copy(global: &Global, args: &SnapshotCopy) -> Result<String, Failure> {
    let kiln = open(global).await?;
    let to = open_in(global, Some(&args.to)).await?;
    made(kiln.copy_snapshot(args.snapshot, &to, &events(global)).await?, args.json)
}

fn made(snapshot: Snapshot, as_json: bool) -> Result<String, Failure> {
    if as_json {
        return json(&DescribeSnapshots { snapshots: vec![snapshot] });
    }
    Ok(format!("{}\n", snapshot.snapshot_id))
}

async fn list(global: &Global, args: &SnapshotList) -> Result<String, Failure> {
    let kiln = open(global).await?;
    let query = SnapshotQuery { owners: args.owners.clone(), restorable_by: args.restorable_by.clone() };
    let snapshots = kiln.catalog().snapshots(&query).await.map_err(kiln_builder::Error::from)?;
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
    let snapshot = kiln.catalog().snapshot(args.snapshot).await.map_err(kiln_builder::Error::from)?;
    if args.json {
        return json(&DescribeSnapshots { snapshots: vec![snapshot] });
    }
    let parent = snapshot.parent_snapshot_id.map_or_else(|| "none".to_owned(), |id| id.to_string());
    let tags = snapshot.tags.iter().map(|Tag { key, value }| format!("{key}={value}"));
    let tags = tags.collect::<Vec<_>>().join(", ");
    let known = &snapshot.kiln;
    let mut rows = vec![
        ("snapshot", snapshot.snapshot_id.to_string()),
        ("description", snapshot.description.clone()),
        ("tags", tags),
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
    ];
    rows.extend(shared(&snapshot));
    Ok(details(&rows))
}

/// Says who may make volumes of a snapshot, a row each.
fn shared(snapshot: &Snapshot) -> impl Iterator<Item = (&'static str, String)> {
    snapshot.create_volume_permissions.iter().map(|who| ("create volume", who.to_string()))
}

/// What a diff prints for programs: ListChangedBlocks's answer, with neighbours taken together.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Changed {
    first_snapshot_id: SnapshotId,
    second_snapshot_id: SnapshotId,
    block_size: u64,
    changed_ranges: Vec<Range>,
}

/// Changed blocks without a gap, all written in the same ones of the two snapshots.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Range {
    starting_block_index: u32,
    block_count: u32,
    /// `both`, `first` or `second`: where the blocks were written at all.
    written_in: &'static str,
}

async fn diff(global: &Global, args: &SnapshotDiff) -> Result<String, Failure> {
    let kiln = open(global).await?;
    let changed_ranges = ranges(&kiln.changed_blocks(args.first, args.second).await?);
    if args.json {
        let (first_snapshot_id, second_snapshot_id) = (args.first, args.second);
        return json(&Changed {
            first_snapshot_id,
            second_snapshot_id,
            block_size: BLOCK_SIZE,
            changed_ranges,
        });
    }
    let rows: Vec<_> = changed_ranges.iter().map(range_row).collect();
    let blocks: u64 = changed_ranges.iter().map(|range| u64::from(range.block_count)).sum();
    let size = ByteSize::from_bytes(blocks * BLOCK_SIZE).approximate();
    let table = table(["BLOCK", "BLOCKS", "OFFSET", "LENGTH", "WRITTEN IN"], &rows);
    Ok(format!("{table}\n{blocks} blocks, {size}\n"))
}

fn ranges(changed: &[ChangedBlock]) -> Vec<Range> {
    let mut ranges = Vec::<Range>::new();
    for block in changed {
        let written_in = match (block.first, block.second) {
            (Some(_), Some(_)) => "both",
            (Some(_), None) => "first",
            _ => "second",
        };
        match ranges.last_mut() {
            Some(last)
                if last.written_in == written_in
                    && last.starting_block_index + last.block_count == block.index.0 =>
            {
                last.block_count += 1;
            }
            _ => ranges.push(Range { starting_block_index: block.index.0, block_count: 1, written_in }),
        }
    }
    ranges
}

fn range_row(range: &Range) -> [String; 5] {
    [
        range.starting_block_index.to_string(),
        range.block_count.to_string(),
        BlockIndex(range.starting_block_index).offset().to_string(),
        (u64::from(range.block_count) * BLOCK_SIZE).to_string(),
        range.written_in.to_owned(),
    ]
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Verified {
    snapshot_id: SnapshotId,
    blocks: u64,
    damaged_blocks: Vec<Damaged>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Damaged {
    block_index: u32,
    reason: String,
}

async fn verify(global: &Global, args: &SnapshotVerify) -> Result<String, Failure> {
    let found = open(global).await?.verify_snapshot(args.snapshot, &events(global)).await?;
    let damaged = found.damaged.into_iter().map(|(index, reason)| Damaged { block_index: index.0, reason });
    let verified =
        Verified { snapshot_id: args.snapshot, blocks: found.blocks, damaged_blocks: damaged.collect() };
    let text = if args.json { json(&verified)? } else { verified.shown() };
    if verified.damaged_blocks.is_empty() { Ok(text) } else { Err(Failure::shown(text, exit::FAILED)) }
}

impl Verified {
    fn shown(&self) -> String {
        let mut out = String::new();
        for Damaged { block_index, reason } in &self.damaged_blocks {
            writeln!(out, "block {block_index}: {}", printable(reason))
                .expect("a string takes what is written");
        }
        let damaged = self.damaged_blocks.len();
        out + &format!("{}: {} blocks, {damaged} damaged\n", self.snapshot_id, self.blocks)
    }
}

async fn share(global: &Global, args: &SnapshotShare) -> Result<String, Failure> {
    let (share_with, unshare) = (args.add.clone(), args.remove.clone());
    let change = kiln_builder::SnapshotEdit { share_with, unshare, ..Default::default() };
    let snapshot = open(global).await?.edit_snapshot(args.snapshot, &change).await?;
    let rows: Vec<_> =
        std::iter::once(("snapshot", snapshot.snapshot_id.to_string())).chain(shared(&snapshot)).collect();
    Ok(details(&rows))
}

async fn edit(global: &Global, args: &SnapshotEdit) -> Result<String, Failure> {
    let tag = |(key, value): &(String, String)| Tag { key: key.clone(), value: value.clone() };
    let edit = kiln_builder::SnapshotEdit {
        description: args.description.clone(),
        set_tags: args.tags.iter().map(tag).collect(),
        remove_tags: args.remove_tags.clone(),
        ..Default::default()
    };
    made(open(global).await?.edit_snapshot(args.snapshot, &edit).await?, args.json)
}

async fn delete(global: &Global, args: &SnapshotDelete) -> Result<String, Failure> {
    open(global).await?.delete_snapshot(args.snapshot).await?;
    Ok(format!("{}\n", args.snapshot))
}
