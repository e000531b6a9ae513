//! What is compared with what, and what was set out to be reached.

use super::{
    measure::{self, Cost},
    race::{Costs, Tool},
};
use serde_json::{Value, json};
use std::fmt::Write;

/// One comparison.
#[derive(Debug)]
pub(super) struct Row {
    what: &'static str,
    own: &'static str,
    peer: &'static str,
    /// Seconds that it may take, where it has no peer.
    limit: Option<f64>,
    /// How many times faster it is to be.
    times: f64,
    /// How large, as a part of the peer's.
    size: Option<f64>,
}

pub(super) const fn row(
    what: &'static str,
    own: &'static str,
    peer: &'static str,
    times: f64,
    size: Option<f64>,
) -> Row {
    Row { what, own, peer, limit: None, times, size }
}

/// A row without a peer: `own` is to be done in so many seconds, which `text` says.
pub(super) const fn within(what: &'static str, own: &'static str, text: &'static str, seconds: f64) -> Row {
    Row { what, own, peer: text, limit: Some(seconds), times: 1.0, size: None }
}

impl Row {
    /// How many times faster, and how large as a part of the peer's.
    fn ratios(&self, costs: &Costs) -> Option<(f64, f64)> {
        let of = |name: &str| measure::median(costs.get(name)?.as_ref().ok()?);
        let own = of(self.own)?;
        let peer = match self.limit {
            Some(seconds) => Cost { seconds, ..own },
            None => of(self.peer)?,
        };
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
pub(super) fn table(tools: &[Tool], costs: &Costs, rows: &[Row]) -> String {
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
    out.extend(rows.iter().map(|row| row.line(costs)));
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
        assert_eq!(within("x", "a", "4 s", 4.0).ratios(&costs), Some((4.0, 1.0)));
        assert!(row("x", "a", "c", 2.0, None).line(&costs).ends_with("–\n"));
    }
}
