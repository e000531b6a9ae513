//! A new overlay on every disk of a machine that runs: what was written until then is a layer.
//!
//! ```text
//! disk0 ◀── disk0-top1 ◀── disk0-top2 (takes the writes)
//! ```
//! The overlays are empty files under their final names and name no backing file. All disks change in one transaction;
//! QEMU flushes what lies below and makes it read-only.

use crate::{
    Error, Running,
    command::{disk_node, overlay_nodes},
};
use serde_json::json;
use std::path::PathBuf;

impl Running {
    /// Puts an overlay on every disk, in the order of the disks. `generation` is 1 for the first ones of a machine. Nothing
    /// may be writing to the disks.
    ///
    /// # Errors
    /// When QEMU refuses: the disks are then as they were.
    pub async fn add_overlays(&self, generation: usize, overlays: &[PathBuf]) -> Result<(), Error> {
        let mut actions = Vec::with_capacity(overlays.len());
        for (number, path) in overlays.iter().enumerate() {
            let (old, new) = (top_node(number, generation.saturating_sub(1)), top_node(number, generation));
            for node in overlay_nodes(&new, path, None, true) {
                self.qmp().execute("blockdev-add", node).await?;
            }
            actions.push(json!({"type": "blockdev-snapshot", "data": {"node": old, "overlay": new}}));
        }
        self.qmp().execute("transaction", json!({"actions": actions})).await?;
        Ok(())
    }
}

fn top_node(disk: usize, generation: usize) -> String {
    match generation {
        0 => disk_node(disk),
        generation => format!("{}-top{generation}", disk_node(disk)),
    }
}
