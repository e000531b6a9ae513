//! The command line of `kiln snapshot`.

use super::name_and_value;
use clap::{Args as ClapArgs, Subcommand};
use kiln_builder::catalog::{RestorableBy, Who};
use kiln_types::{Grantee, RegionName, SnapshotId};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum Snapshot {
    /// Store a disk file as a snapshot
    Create(SnapshotCreate),
    /// List snapshots, the newest last
    List(SnapshotList),
    /// Show one snapshot
    Show(SnapshotShow),
    /// List the blocks that two snapshots of one lineage wrote differently
    Diff(SnapshotDiff),
    /// Read every block of a snapshot and compare it with its digest
    Verify(SnapshotVerify),
    /// Copy a snapshot to another region; only the blocks that it lacks move
    Copy(SnapshotCopy),
    /// Say who may read a snapshot and make volumes of it beside its owner
    Share(SnapshotShare),
    /// Change a snapshot's description or tags
    Edit(SnapshotEdit),
    /// Delete a snapshot that no image names; those made from it stay whole
    Delete(SnapshotDelete),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SnapshotCreate {
    /// The disk: raw, qcow2, vmdk, vhd or vhdx, in a single file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Inherit the blocks of this snapshot that are the same; the disk may be larger, never smaller
    #[arg(long, value_name = "SNAPSHOT")]
    pub(crate) parent: Option<SnapshotId>,
    /// The file's format [default: what its first bytes say, else raw]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// What the snapshot is, for people
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) description: String,
    /// Tag the snapshot; may be given many times
    #[arg(long = "tag", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub(crate) tags: Vec<(String, String)>,
    /// Print JSON, in the shape of EC2's API
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SnapshotList {
    /// Whose snapshots: self or an account; several are alternatives
    #[arg(long = "owner", value_name = "OWNER")]
    pub(crate) owners: Vec<Who>,
    /// Who may make volumes of them: self, for one's own and those shared with oneself by name, an account that one's own
    /// are shared with, or all, for public ones; several are alternatives
    #[arg(long, value_name = "WHO")]
    pub(crate) restorable_by: Vec<RestorableBy>,
    /// Print JSON, in the shape of EC2's API
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SnapshotDiff {
    /// A snapshot
    #[arg(value_name = "FIRST")]
    pub(crate) first: SnapshotId,
    /// Another of its lineage
    #[arg(value_name = "SECOND")]
    pub(crate) second: SnapshotId,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SnapshotVerify {
    /// A snapshot's id
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: SnapshotId,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SnapshotCopy {
    /// A snapshot's id
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: SnapshotId,
    /// The region that gets the copy (`kiln region list`)
    #[arg(long, value_name = "REGION")]
    pub(crate) to: RegionName,
    /// Print JSON, in the shape of EC2's API
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SnapshotShare {
    /// A snapshot's id
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: SnapshotId,
    /// Who may read it and make volumes of it from now on: public or account:123456789012
    #[arg(long, value_name = "WHO", required_unless_present = "remove")]
    pub(crate) add: Vec<Grantee>,
    /// Who may no longer
    #[arg(long, value_name = "WHO")]
    pub(crate) remove: Vec<Grantee>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SnapshotEdit {
    /// A snapshot's id
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: SnapshotId,
    /// A new description
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// Set a tag; may be given many times
    #[arg(long = "tag", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub(crate) tags: Vec<(String, String)>,
    /// Remove a tag; may be given many times
    #[arg(long = "remove-tag", value_name = "NAME")]
    pub(crate) remove_tags: Vec<String>,
    /// Print JSON, in the shape of EC2's API
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SnapshotDelete {
    /// A snapshot's id
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: SnapshotId,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SnapshotShow {
    /// A snapshot's id
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: SnapshotId,
    /// Print JSON, in the shape of EC2's API
    #[arg(long)]
    pub(crate) json: bool,
}
