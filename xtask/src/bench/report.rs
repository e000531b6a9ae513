//! The figures, as a table and as a document.

use super::{contender::Outcome, host::Host, steps};
use serde_json::{Value, json};
use std::fmt::Write;

/// The tools that Kiln is compared with.
const PEERS: [&str; 2] = ["packer", "virt-customize"];

/// A tool, with how it fared.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) version: String,
    pub(super) outcome: Outcome,
}

/// How often a tool's time fits into a peer's.
fn ratio(rows: &[Row], row: &Row, peer: &str) -> Option<f64> {
    let peer = rows.iter().find(|row| row.name == peer)?.outcome.median()?;
    row.outcome.median().map(|own| peer / own)
}

pub(super) fn json(host: &Host, rows: &[Row]) -> Value {
    let tools = rows.iter().map(|row| {
        let faster = PEERS.iter().map(|peer| ((*peer).to_owned(), json!(ratio(rows, row, peer))));
        json!({
            "name": row.name,
            "version": row.version,
            "seconds": row.outcome.seconds,
            "median": row.outcome.median(),
            "times_faster_than": faster.collect::<serde_json::Map<_, _>>(),
            "failed": row.outcome.failed,
        })
    });
    json!({"host": host.json(), "steps": steps::TEXT, "tools": tools.collect::<Vec<_>>()})
}

pub(super) fn table(host: &Host, rows: &[Row]) -> String {
    let mut out = format!(
        "\n{}\non: {host}\nmedians of wall clock seconds; beside them, how many times faster than a peer\n\n\
         {:<20}{:<10}{:>8}{:>10}{:>17}  runs\n",
        steps::TEXT,
        "",
        "version",
        "median",
        PEERS[0],
        PEERS[1]
    );
    for row in rows {
        out.push_str(&line(rows, row));
    }
    for row in rows {
        if let Some(why) = &row.outcome.failed {
            write!(out, "\n{}: {}\n", row.name, why.trim_end()).unwrap_or_default();
        }
    }
    out
}

fn line(rows: &[Row], row: &Row) -> String {
    let median = row.outcome.median().map_or_else(|| "–".to_owned(), |median| format!("{median:.1}"));
    let times = |peer: &str| {
        let times = ratio(rows, row, peer).filter(|_| row.name != peer);
        times.map_or_else(|| "–".to_owned(), |times| format!("{times:.1}×"))
    };
    let runs: Vec<String> = row.outcome.seconds.iter().map(|seconds| format!("{seconds:.1}")).collect();
    let failed = if row.outcome.failed.is_some() { " (see below)" } else { "" };
    format!(
        "{:<20}{:<10}{median:>8}{:>10}{:>17}  {}{failed}\n",
        row.name,
        row.version,
        times(PEERS[0]),
        times(PEERS[1]),
        runs.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &'static str, seconds: &[f64], failed: Option<&str>) -> Row {
        let outcome = Outcome { seconds: seconds.to_vec(), failed: failed.map(str::to_owned) };
        Row { name, version: "1".to_owned(), outcome }
    }

    #[test]
    fn ratios_are_of_medians() {
        let rows = [
            row("kiln", &[2.0, 100.0, 2.5], None),
            row("packer", &[100.0], None),
            row("virt-customize", &[], Some("it is not installed")),
        ];
        assert_eq!(ratio(&rows, &rows[0], "packer"), Some(40.0));
        assert_eq!(ratio(&rows, &rows[0], "virt-customize"), None);
        let document = json(&Host::default(), &rows);
        assert_eq!(document["tools"][0]["times_faster_than"]["packer"], 40.0);
        assert_eq!(document["tools"][0]["seconds"], serde_json::json!([2.0, 100.0, 2.5]));
        assert_eq!(document["tools"][2]["median"], Value::Null);
        assert_eq!(document["tools"][2]["failed"], "it is not installed");
        let lines: Vec<String> = rows.iter().map(|row| line(&rows, row)).collect();
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&lines[0]), ["kiln", "1", "2.5", "40.0×", "–", "2.0", "100.0", "2.5"]);
        assert_eq!(words(&lines[1]), ["packer", "1", "100.0", "–", "–", "100.0"]);
        assert_eq!(words(&lines[2]), ["virt-customize", "1", "–", "–", "–", "(see", "below)"]);
    }
}
