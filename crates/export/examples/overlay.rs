//! Stores the snapshot of an overlay over a disk, as a build does at its end: `overlay REGION PARENT BASE OVERLAY`.
//! `cargo xtask bench store` measures it.

use kiln_qcow2::Chain;
use kiln_store::{Location, NewSnapshot, Region};
use kiln_types::{AccountId, RegionName};
use std::{error::Error, io::Write, path::PathBuf};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [region, parent, base, overlay] = words.as_slice() else {
        return Err("usage: overlay REGION PARENT BASE OVERLAY".into());
    };
    let location = Location::Folder(PathBuf::from(region));
    let region = Region::open_or_create(&location, &RegionName::local(), AccountId::LOCAL).await?;
    let new = NewSnapshot {
        source: Box::new(Chain::open(base.as_ref(), &[PathBuf::from(overlay)])?),
        parent: Some(parent.parse()?),
        owner: AccountId::LOCAL,
        description: String::new(),
        tags: Vec::new(),
    };
    let snapshot = region.create_snapshot(new, |_| {}).await?;
    writeln!(std::io::stdout(), "{} {}", snapshot.snapshot_id, snapshot.kiln.stored_bytes)?;
    Ok(())
}
