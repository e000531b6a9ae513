//! Programs that do the same work, round after round, each timed, and what they wrote counted.

use super::{
    Bench, Options,
    host::Host,
    measure::{self, Cost},
    rows::{self, Row},
};
use crate::run::succeed;
use anyhow::Result;
use serde_json::json;
use std::{collections::BTreeMap, ffi::OsString, fmt::Display, path::PathBuf, process::Command};

/// What a tool's runs cost, or why it takes no part.
pub(super) type Costs = BTreeMap<&'static str, Result<Vec<Cost>, String>>;

/// One program with its arguments.
pub(super) struct Tool {
    pub(super) name: &'static str,
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
    pub(super) environment: &'static [(&'static str, &'static str)],
    /// Files and folders that a run reads.
    pub(super) reads: Vec<PathBuf>,
    /// Brings the world to where a run starts; not timed.
    pub(super) prepare: Box<dyn Fn() -> Result<()>>,
    /// Counts what a run has written.
    pub(super) bytes: Box<dyn Fn() -> Result<u64>>,
}

/// Arguments that are text.
pub(super) fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// Removes a file or a folder before a run.
pub(super) fn removed(path: PathBuf) -> Box<dyn Fn() -> Result<()>> {
    Box::new(move || {
        if path.is_dir() {
            fs_err::remove_dir_all(&path)?;
        } else if path.exists() {
            fs_err::remove_file(&path)?;
        }
        Ok(())
    })
}

/// Counts a file's or a folder's bytes after a run.
pub(super) fn counted(path: PathBuf) -> Box<dyn Fn() -> Result<u64>> {
    Box::new(move || measure::bytes(&path))
}

/// Lets everyone run once a round, so that a busy host is busy for all of them, and prints the figures. The first round
/// fills the page cache and does not count.
pub(super) fn run(
    options: Options,
    bench: &Bench,
    facts: &impl Display,
    tools: &[Tool],
    rows: &[Row],
) -> Result<()> {
    let mut costs: Costs = tools.iter().map(|tool| (tool.name, Ok(Vec::new()))).collect();
    for round in 0..=options.runs {
        for tool in tools {
            let Some(Ok(runs)) = costs.get_mut(tool.name) else { continue };
            match once(tool) {
                Ok(cost) => {
                    eprintln!("== {:<28} run {round}: {:.3} s", tool.name, cost.seconds);
                    if round > 0 {
                        runs.push(cost);
                    }
                }
                Err(error) => {
                    eprintln!("== {:<28} {error:#}", tool.name);
                    costs.insert(tool.name, Err(format!("{error:#}")));
                }
            }
        }
    }
    let host = Host::look(bench);
    if options.json {
        let tools = costs.iter().map(|(name, runs)| document(name, runs)).collect::<Vec<_>>();
        let rows = rows.iter().map(|row| row.json(&costs)).collect::<Vec<_>>();
        println!(
            "{:#}",
            json!({"host": host.json(), "disk": facts.to_string(), "tools": tools, "rows": rows})
        );
    } else {
        print!("\non: {host}\n{facts}\n\n{}", rows::table(tools, &costs, rows));
    }
    Ok(())
}

fn once(tool: &Tool) -> Result<Cost> {
    (tool.prepare)()?;
    // What one tool left to be written out is no part of what the next one costs.
    succeed(&mut Command::new("sync"))?;
    tool.reads.iter().try_for_each(|path| measure::warm(path))?;
    let mut command = Command::new(&tool.program);
    command.args(&tool.arguments).envs(tool.environment.iter().copied());
    let mut cost = measure::run(&mut command)?;
    cost.bytes = (tool.bytes)()?;
    Ok(cost)
}

fn document(name: &str, runs: &Result<Vec<Cost>, String>) -> serde_json::Value {
    match runs {
        Ok(runs) => {
            let seconds: Vec<f64> = runs.iter().map(|cost| cost.seconds).collect();
            let cost = measure::median(runs).unwrap_or_default();
            json!({"name": name, "seconds": seconds, "median": cost.seconds, "memory_kib": cost.memory,
                   "bytes": cost.bytes})
        }
        Err(why) => json!({"name": name, "failed": why}),
    }
}
