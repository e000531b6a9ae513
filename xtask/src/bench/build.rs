//! `bench build`: the same small build by every tool, round after round, so that a busy host is busy for all of them.

use super::{
    Bench, Options, base,
    contender::{Contender, Outcome},
    host::Host,
    kiln::{self, Way},
    packer,
    report::{self, Row},
    virt_customize,
};
use crate::{
    run::{cargo, succeed, target},
    setup,
};
use anyhow::Result;

/// Someone who takes part, or why not.
struct Column {
    name: &'static str,
    contender: Option<Contender>,
    outcome: Outcome,
}

impl Column {
    fn new(name: &'static str, contender: Result<Contender, String>) -> Self {
        let (contender, failed) = match contender {
            Ok(contender) => (Some(contender), None),
            Err(why) => (None, Some(why)),
        };
        Self { name, contender, outcome: Outcome { seconds: Vec::new(), failed } }
    }
}

pub(super) fn run(options: Options) -> Result<()> {
    let bench = Bench::new(options)?;
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
        base::ensure(&bench, program)?;
    }
    let mut columns = Vec::new();
    for way in [Way::Warm, Way::Cold, Way::Ssh] {
        let contender = match &program {
            Ok(program) => Ok(kiln::contender(&bench, program, way)?),
            Err(why) => Err(why.clone()),
        };
        columns.push(Column::new(way.name(), contender));
    }
    columns.push(Column::new("packer", packer::contender(&bench)?));
    columns.push(Column::new("virt-customize", virt_customize::contender(&bench)?));
    let logs = bench.path("logs");
    // The first round fills every tool's caches, and does not count.
    for round in 0..=options.runs {
        for column in &mut columns {
            let (Some(contender), None) = (&column.contender, &column.outcome.failed) else { continue };
            eprint!("== {:<20} run {round} of {}: ", column.name, options.runs);
            match contender.run(column.name, round, &logs) {
                Ok(seconds) => {
                    eprintln!("{seconds:.1} s{}", if round == 0 { ", to warm up" } else { "" });
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
    let host = Host::look(&bench);
    let rows: Vec<Row> = columns.into_iter().map(row).collect();
    if options.json {
        println!("{:#}", report::json(&host, &rows));
    } else {
        print!("{}", report::table(&host, &rows));
    }
    Ok(())
}

fn row(column: Column) -> Row {
    let version = column.contender.map(|contender| contender.version).unwrap_or_default();
    Row { name: column.name, version, outcome: column.outcome }
}
