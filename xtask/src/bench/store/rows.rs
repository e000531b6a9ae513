//! What is compared with what, and what was set out to be reached.

use super::{
    Costs,
    measure::{self, Cost},
    tools::Tool,
};
use serde_json::{Value, json};
use std::fmt::Write;

/// One comparison.
#[derive(Debug)]
pub(super) struct Row {
    what: &'static str,
    own: &'static str,
    peer: &'static str,
    /// How many times faster it is to be.
    times: f64,
    /// How large, as a part of the peer's.
    size: Option<f64>,
}

const fn row(
    what: &'static str,
    own: &'static str,
    peer: &'static str,
    times: f64,
    size: Option<f64>,
) -> Row {
    Row { what, own, peer, times, size }
}

pub(super) const ROWS: [Row; 12] = [
    row("qcow2, frames copied", "kiln qcow2", "qemu-img zstd", 15.0, Some(1.0)),
    row("qcow2, frames copied", "kiln qcow2", "qemu-img zstd 512k", 8.0, Some(1.0)),
    row("qcow2, 64 KiB, zstd", "kiln qcow2 64k zstd", "qemu-img zstd", 2.0, Some(1.02)),
    row("qcow2, 64 KiB, zlib", "kiln qcow2 64k zlib", "qemu-img zlib", 2.7, Some(0.95)),
    row("raw, every block verified", "kiln raw", "qemu-img raw", 2.0, None),
    row("first snapshot", "kiln first snapshot", "qemu-img zstd", 1.6, Some(0.93)),
    row("first snapshot", "kiln first snapshot", "qemu-img zstd 512k", 1.1, Some(0.98)),
    row("second snapshot, 1 % changed", "kiln second snapshot", "kiln first snapshot", 33.3, Some(0.015)),
    row("second snapshot, 1 % changed", "kiln second snapshot", "restic second", 1.0, None),
    row("second snapshot, 1 % changed", "kiln second snapshot", "borg second", 1.0, None),
    row("qcow2 of the 100th of a lineage", "kiln qcow2 of the 100th", "kiln qcow2", 0.83, None),
    row("first snapshot of 1 TiB, sparse", "kiln snapshot of 1 TiB", "kiln first snapshot", 0.9, None),
];

impl Row {
    /// How many times faster, and how large as a part of the peer's.
    fn ratios(&self, costs: &Costs) -> Option<(f64, f64)> {
        let of = |name: &str| measure::median(costs.get(name)?.as_ref().ok()?);
        let (own, peer) = (of(self.own)?, of(self.peer)?);
        Some((peer.seconds / own.seconds, wide(own.bytes) / wide(peer.bytes.max(1))))
    }

    pub(super) fn json(&self, costs: &Costs) -> Value {
        let (times, size) = self.ratios(costs).unzip();
        json!({"what": self.what, "own": self.own, "peer": self.peer, "times": times, "times_wanted": self.times,
               "size": size, "size_wanted": self.size})
    }

    fn line(&self, costs: &Costs) -> String {
        let (name, peer) = (self.what, self.peer);
        let wanted = self.size.map_or_else(String::new, |size| format!(" at {size}"));
        let wanted = format!("{}×{wanted}", self.times);
        let Some((times, size)) = self.ratios(costs) else {
            return format!("{name:<34}{peer:<22}{wanted:<16}–\n");
        };
        let reached = times >= self.times && self.size.is_none_or(|most| size <= most);
        let shown = self.size.map_or_else(String::new, |_| format!(" at {size:.3}"));
        format!(
            "{name:<34}{peer:<22}{wanted:<16}{times:.2}×{shown}{}\n",
            if reached { "" } else { "   not reached" }
        )
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio needs no more than a double has")]
const fn wide(bytes: u64) -> f64 {
    bytes as f64
}

/// The tools' medians, then the comparisons.
pub(super) fn table(tools: &[Tool], costs: &Costs) -> String {
    let mut out = format!("{:<28}{:>10}{:>12}{:>12}\n", "", "seconds", "MB", "memory, MiB");
    for tool in tools {
        let line = match costs.get(tool.name) {
            Some(Ok(runs)) => {
                let Cost { seconds, memory, bytes } = measure::median(runs).unwrap_or_default();
                format!("{:<28}{seconds:>10.3}{:>12.1}{:>12}\n", tool.name, wide(bytes) / 1e6, memory / 1024)
            }
            Some(Err(why)) => format!("{:<28}{why}\n", tool.name),
            None => continue,
        };
        out.push_str(&line);
    }
    write!(out, "\n{:<34}{:<22}{:<16}measured\n", "", "beside", "wanted").unwrap_or_default();
    out.extend(ROWS.iter().map(|row| row.line(costs)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_reached_is_said() {
        let cost = |seconds, bytes| Ok(vec![Cost { seconds, memory: 1, bytes }]);
        let costs =
            Costs::from([("a", cost(1.0, 90)), ("b", cost(3.0, 100)), ("c", Err("missing".to_owned()))]);
        assert_eq!(row("x", "a", "b", 2.0, Some(0.95)).ratios(&costs), Some((3.0, 0.9)));
        assert!(!row("x", "a", "b", 2.0, Some(0.95)).line(&costs).contains("not reached"));
        assert!(row("x", "a", "b", 2.0, Some(0.85)).line(&costs).contains("not reached"));
        assert!(row("x", "a", "c", 2.0, None).line(&costs).ends_with("–\n"));
    }
}
