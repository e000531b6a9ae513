//! `bench store`: snapshots and exports beside `qemu-img`, restic and borg, on a real Debian, in one run.
//!
//! ```text
//! target/bench/store/base/   the template of the disk, and disk.raw, made once by Kiln
//!                    home/   Kiln's installation with the disk's snapshots, and the ids of those that are exported
//!                    fresh/  an installation or a repository that each first snapshot starts anew
//!                    out/    what a run writes
//! ```
//! Every tool runs once a round, so that a busy host is busy for all of them; the first round fills the page cache and
//! does not count.

mod rows;
mod tools;
mod world;

use super::{
    Bench, Options,
    host::Host,
    measure::{self, Cost},
};
use crate::setup;
use anyhow::Result;
use rows::ROWS;
use serde_json::json;
use std::{collections::BTreeMap, process::Command};
use tools::Tool;
use world::World;

/// What a tool's runs cost, or why it takes no part.
type Costs = BTreeMap<&'static str, Result<Vec<Cost>, String>>;

pub(super) fn run(options: Options) -> Result<()> {
    let bench = Bench::new(options)?;
    if options.install {
        setup::for_bench()?;
    }
    let world = World::make(&bench)?;
    let tools = tools::all(&world)?;
    let mut costs: Costs = tools.iter().map(|tool| (tool.name, Ok(Vec::new()))).collect();
    for round in 0..=options.runs {
        for tool in &tools {
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
    let host = Host::look(&bench);
    if options.json {
        let tools = costs.iter().map(|(name, runs)| document(name, runs)).collect::<Vec<_>>();
        let rows = ROWS.iter().map(|row| row.json(&costs)).collect::<Vec<_>>();
        println!("{:#}", json!({"host": host.json(), "disk": world.facts(), "tools": tools, "rows": rows}));
    } else {
        print!("\non: {host}\n{}\n\n{}", world.facts(), rows::table(&tools, &costs));
    }
    Ok(())
}

fn once(tool: &Tool) -> Result<Cost> {
    (tool.prepare)()?;
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
