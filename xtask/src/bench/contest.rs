//! The same work by several tools, round after round, so that a busy host is busy for all of them.

use super::{
    Bench, Options, base,
    contender::{Contender, Outcome},
    host::Host,
    report::{self, Row},
};
use crate::{
    run::{cargo, succeed, target},
    setup,
};
use anyhow::Result;
use std::path::PathBuf;

/// What is compared.
pub(super) struct Contest {
    /// What every tool does, for the table.
    pub(super) text: &'static str,
    /// The tools that Kiln is compared with.
    pub(super) peers: &'static [&'static str],
}

/// Someone who takes part, or why not.
pub(super) struct Column {
    name: &'static str,
    contender: Option<Contender>,
    outcome: Outcome,
}

impl Column {
    pub(super) fn new(name: &'static str, contender: Result<Contender, String>) -> Self {
        let (contender, failed) = match contender {
            Ok(contender) => (Some(contender), None),
            Err(why) => (None, Some(why)),
        };
        Self { name, contender, outcome: Outcome { seconds: Vec::new(), failed } }
    }
}

/// Installs what the tools need, builds Kiln and makes the base. Returns Kiln's program, or why there is none.
pub(super) fn prepare(options: Options, bench: &Bench) -> Result<Result<PathBuf, String>> {
    if options.install {
        setup::for_bench()?;
    }
    eprintln!("== cargo build --release");
    let mut cargo = cargo(&["build", "--quiet", "--release", "--locked", "--package", "kiln-cli"]);
    let built = succeed(cargo.stdout(std::io::stderr())).map(|()| target());
    let program = match built {
        Ok(target) => Ok(target?.join("release/kiln")),
        // Without Kiln there is no new base; on one that is there, the others can run.
        Err(error) if bench.base().exists() => Err(format!("{error:#}")),
        Err(error) => return Err(error),
    };
    if let Ok(program) = &program {
        base::ensure(bench, program)?;
    }
    Ok(program)
}

/// Lets everyone run in turn, and prints how they fared.
pub(super) fn run(
    options: Options,
    bench: &Bench,
    contest: &Contest,
    mut columns: Vec<Column>,
) -> Result<()> {
    let logs = bench.path("logs");
    // The first round fills every tool's caches, and does not count.
    for round in 0..=options.runs {
        for column in &mut columns {
            let (Some(contender), None) = (&column.contender, &column.outcome.failed) else { continue };
            eprint!("== {:<24} run {round} of {}: ", column.name, options.runs);
            match contender.run(column.name, round, &logs) {
                Ok(seconds) => {
                    eprintln!("{seconds:.2} s{}", if round == 0 { ", to warm up" } else { "" });
                    if round > 0 {
                        column.outcome.seconds.push(seconds);
                    }
                }
                Err(error) => {
                    eprintln!("{error:#}");
                    column.outcome.failed = Some(format!("{error:#}"));
                }
            }
        }
    }
    let host = Host::look(bench);
    let rows: Vec<Row> = columns.into_iter().map(row).collect();
    if options.json {
        println!("{:#}", report::json(contest, &host, &rows));
    } else {
        print!("{}", report::table(contest, &host, &rows));
    }
    Ok(())
}

fn row(column: Column) -> Row {
    let version = column.contender.map(|contender| contender.version).unwrap_or_default();
    Row { name: column.name, version, outcome: column.outcome }
}
