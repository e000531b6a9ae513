//! The figures, as a table and as a document.

use super::{contender::Outcome, contest::Contest, host::Host};
use serde_json::{Value, json};
use std::fmt::Write;

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

pub(super) fn json(contest: &Contest, host: &Host, rows: &[Row]) -> Value {
    let tools = rows.iter().map(|row| {
        let faster = contest.peers.iter().map(|peer| ((*peer).to_owned(), json!(ratio(rows, row, peer))));
        json!({
            "name": row.name,
            "version": row.version,
            "seconds": row.outcome.seconds,
            "median": row.outcome.median(),
            "times_faster_than": faster.collect::<serde_json::Map<_, _>>(),
            "failed": row.outcome.failed,
        })
    });
    json!({"host": host.json(), "steps": contest.text, "tools": tools.collect::<Vec<_>>()})
}

pub(super) fn table(contest: &Contest, host: &Host, rows: &[Row]) -> String {
    let peers: String = contest.peers.iter().map(|peer| format!("{peer:>17}")).collect();
    let mut out = format!(
        "\n{}\non: {host}\nmedians of wall clock seconds; beside them, how many times faster than a peer\n\n\
         {:<24}{:<10}{:>8}{peers}  runs\n",
        contest.text, "", "version", "median",
    );
    for row in rows {
        out.push_str(&line(contest, rows, row));
    }
    for row in rows {
        if let Some(why) = &row.outcome.failed {
            write!(out, "\n{}: {}\n", row.name, why.trim_end()).unwrap_or_default();
        }
    }
    out
}

fn line(contest: &Contest, rows: &[Row], row: &Row) -> String {
    let seconds = |seconds: f64| {
        if seconds < 1.0 { format!("{seconds:.2}") } else { format!("{seconds:.1}") }
    };
    let median = row.outcome.median().map_or_else(|| "–".to_owned(), seconds);
    let times = |peer: &&str| {
        let times = ratio(rows, row, peer).filter(|_| row.name != *peer);
        format!("{:>17}", times.map_or_else(|| "–".to_owned(), |times| format!("{times:.1}×")))
    };
    let times: String = contest.peers.iter().map(times).collect();
    let runs: Vec<String> = row.outcome.seconds.iter().copied().map(seconds).collect();
    let failed = if row.outcome.failed.is_some() { " (see below)" } else { "" };
    format!("{:<24}{:<10}{median:>8}{times}  {}{failed}\n", row.name, row.version, runs.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTEST: Contest = Contest { text: "", peers: &["packer", "virt-customize"] };

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
        let document = json(&CONTEST, &Host::default(), &rows);
        assert_eq!(document["tools"][0]["times_faster_than"]["packer"], 40.0);
        assert_eq!(document["tools"][0]["seconds"], serde_json::json!([2.0, 100.0, 2.5]));
        assert_eq!(document["tools"][2]["median"], Value::Null);
        assert_eq!(document["tools"][2]["failed"], "it is not installed");
        let lines: Vec<String> = rows.iter().map(|row| line(&CONTEST, &rows, row)).collect();
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&lines[0]), ["kiln", "1", "2.5", "40.0×", "–", "2.0", "100.0", "2.5"]);
        assert_eq!(words(&lines[1]), ["packer", "1", "100.0", "–", "–", "100.0"]);
        assert_eq!(words(&lines[2]), ["virt-customize", "1", "–", "–", "–", "(see", "below)"]);
    }
}
