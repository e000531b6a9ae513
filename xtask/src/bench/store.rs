//! `bench store`: snapshots and exports beside `qemu-img`, restic and borg, on a real Debian, in one run.
//!
//! ```text
//! target/bench/store/base/   the template of the disk, and disk.raw, made once by Kiln
//!                    home/   Kiln's installation with the disk's snapshots, and the ids of those that are exported
//!                    fresh/  an installation or a repository that each first snapshot starts anew
//!                    out/    what a run writes
//! ```
//! Every tool runs once a round, so that a busy host is busy for all of them; the first round does not
//! count. Before each run the disk has written what the last one left, and what the run reads is in the page cache.

mod tools;
mod world;

use super::{
    Bench, Options, race,
    rows::{Row, row, within},
};
use crate::setup;
use anyhow::Result;
use world::World;

const ROWS: [Row; 13] = [
    row("qcow2, frames copied", "kiln qcow2", "qemu-img zstd", 15.0, Some(1.0)),
    row("qcow2, frames copied", "kiln qcow2", "qemu-img zstd 512k", 8.0, Some(1.0)),
    row("qcow2, 64 KiB, zstd", "kiln qcow2 64k zstd", "qemu-img zstd", 2.0, Some(1.02)),
    row("qcow2, 64 KiB, zlib", "kiln qcow2 64k zlib", "qemu-img zlib", 2.7, Some(0.95)),
    row("raw, every block verified", "kiln raw", "qemu-img raw", 2.0, None),
    row("first snapshot", "kiln first snapshot", "qemu-img zstd", 1.6, Some(0.93)),
    row("first snapshot", "kiln first snapshot", "qemu-img zstd 512k", 1.1, Some(0.98)),
    within("second snapshot, 1 % changed", "kiln second snapshot", "100 ms", 0.1),
    row("second snapshot, 1 % changed", "kiln second snapshot", "kiln first snapshot", 1.0, Some(0.015)),
    row("second snapshot, 1 % changed", "kiln second snapshot", "restic second", 1.0, None),
    row("second snapshot, 1 % changed", "kiln second snapshot", "borg second", 1.0, None),
    row("qcow2 of the 100th of a lineage", "kiln qcow2 of the 100th", "kiln qcow2", 0.83, None),
    row("first snapshot of 1 TiB, sparse", "kiln snapshot of 1 TiB", "kiln first snapshot", 0.9, None),
];

pub(super) fn run(options: Options) -> Result<()> {
    let bench = Bench::new(options)?;
    if options.install {
        setup::for_bench()?;
    }
    let world = World::make(&bench)?;
    race::run(options, &bench, &world.facts(), &tools::all(&world)?, &ROWS)
}
