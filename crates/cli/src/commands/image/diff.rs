//! `kiln image diff`: what differs between two images, for people.

use crate::output::printable;
use kiln_builder::{FileChange, FileState, ImageDiff, PackageChange};
use kiln_types::{BLOCK_SIZE, ByteSize};
use std::fmt::Write;

/// Shows a difference: `+` for what only the second has, `-` for what only the first has, `~` for what differs.
pub(super) fn shown(diff: &ImageDiff) -> String {
    let mut out = String::new();
    let mut line = |text: &str| writeln!(out, "{text}").expect("a string takes what is written");
    let blocks = diff.blocks;
    let size = ByteSize::from_bytes(blocks.different.saturating_mul(BLOCK_SIZE)).approximate();
    line(&format!("{} of {} blocks differ, {size}", blocks.different, blocks.data));
    for (what, count) in [("packages", diff.packages.len()), ("files", diff.files.len())] {
        if diff.blocks.different > 0 {
            line(&format!("{count} {what} differ"));
        }
    }
    diff.packages.iter().for_each(|change| line(&package(change)));
    diff.files.iter().for_each(|change| line(&file(change)));
    diff.blocks_only.iter().for_each(|why| line(&format!("compared by blocks only: {}", printable(why))));
    out
}

fn package(change: &PackageChange) -> String {
    let name = printable(&change.name);
    let version = |version: &Option<String>| printable(version.as_deref().unwrap_or_default());
    match (&change.old, &change.new) {
        (None, _) => format!("+ {name} {}", version(&change.new)),
        (_, None) => format!("- {name} {}", version(&change.old)),
        _ => format!("~ {name} {} -> {}", version(&change.old), version(&change.new)),
    }
}

fn file(change: &FileChange) -> String {
    let path = printable(&change.path);
    match (&change.old, &change.new) {
        (Some(old), Some(new)) => format!("~ {path}  {}", differences(old, new).join(", ")),
        (Some(_), None) => format!("- {path}"),
        (_, new) => format!("+ {path}  {}", new.as_ref().map(described).unwrap_or_default()),
    }
}

/// `file 0644 0:0, 12 bytes`.
fn described(state: &FileState) -> String {
    let mut text = format!("{} {} {}:{}", state.kind, state.mode, state.user, state.group);
    if let Some(size) = state.size {
        write!(text, ", {size} bytes").expect("a string takes what is written");
    }
    if let Some(target) = &state.target {
        write!(text, ", to {}", printable(target)).expect("a string takes what is written");
    }
    text
}

fn differences(old: &FileState, new: &FileState) -> Vec<String> {
    let owner = |state: &FileState| format!("{}:{}", state.user, state.group);
    let size = |state: &FileState| state.size.map(|size| format!("{size} bytes")).unwrap_or_default();
    let target = |state: &FileState| printable(state.target.as_deref().unwrap_or_default());
    let pairs = [
        (old.kind.to_owned(), new.kind.to_owned()),
        (old.mode.clone(), new.mode.clone()),
        (owner(old), owner(new)),
        (size(old), size(new)),
        (target(old), target(new)),
    ];
    let pairs = pairs.into_iter().filter(|(old, new)| old != new);
    let mut found: Vec<String> = pairs.map(|(old, new)| format!("{old} -> {new}")).collect();
    if old.sha256 != new.sha256 && old.size == new.size {
        found.push("content".to_owned());
    }
    found
}
