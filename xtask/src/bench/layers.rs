//! `bench layers`: a web server is built again, after nothing or only its last step was changed.

use super::{
    Bench, Options,
    contender::Contender,
    contest::{self, Column, Contest},
    kiln, packer,
};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::{path::Path, process::Command};

const CONTEST: Contest = Contest {
    text: "install nginx, upload a page, change its title (the last step), write a qcow2 file",
    peers: &["packer"],
};

const INSTALL: [&str; 2] = [
    "apt-get update",
    "DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends nginx-light",
];

const PAGE: &str = "/var/www/html/index.html";

/// What is different when Kiln builds again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Nothing,
    LastStep,
    /// Nothing, and no layer may be used.
    NoCache,
}

pub(super) fn run(options: Options) -> Result<()> {
    let bench = Bench::new(options)?;
    let program = contest::prepare(options, &bench)?;
    let mut columns = Vec::new();
    // In this order: after a change the image that is there is another one.
    for (name, change, check) in [
        ("kiln, all steps", Change::NoCache, all_ran as fn(&[u8]) -> Result<()>),
        ("kiln, last step changed", Change::LastStep, last_ran),
        ("kiln, nothing changed", Change::Nothing, none_ran),
    ] {
        let contender = match &program {
            Ok(program) => Ok(contender(&bench, program, change, check)?),
            Err(why) => Err(why.clone()),
        };
        columns.push(Column::new(name, contender));
    }
    columns.push(Column::new("packer", packer::contender(&bench, "packer-layers", &provisioners(&bench))?));
    contest::run(options, &bench, &CONTEST, columns)
}

fn contender(
    bench: &Bench,
    kiln: &Path,
    change: Change,
    check: fn(&[u8]) -> Result<()>,
) -> Result<Contender> {
    let folder = bench.path("kiln/layers");
    fs_err::create_dir_all(&folder)?;
    let (head, program, home) = (kiln::head(bench, "layers", "agent"), kiln.to_owned(), kiln::home(bench));
    let prepare = move |_| {
        if change == Change::LastStep {
            fs_err::write(folder.join("template.toml"), format!("{head}{}", template(kiln::now()?)))?;
        }
        let file = folder.join("template.toml");
        if !file.exists() {
            fs_err::write(&file, format!("{head}{}", template(0)))?;
        }
        let mut command = Command::new(&program);
        command.arg("--home").arg(&home).arg("build").arg(&folder).arg("--json");
        if change == Change::NoCache {
            command.args(["--no-cache", "--new"]);
        }
        Ok(command)
    };
    Ok(Contender { version: kiln::version(kiln), prepare: Box::new(prepare), check })
}

fn template(title: u128) -> String {
    let install = INSTALL.map(|command| format!("{command:?}")).join(", ");
    format!(
        "[[provisioner]]\ntype = \"shell\"\ninline = [{install}]\n\n\
         [[provisioner]]\ntype = \"file\"\nsource = \"../../base/upload\"\ndestination = \"{PAGE}\"\n\n\
         [[provisioner]]\ntype = \"shell\"\ninline = [\"echo {title} >>{PAGE}\"]\n\n\
         [[export]]\nformat = \"qcow2\"\npath = \"dist/disk.qcow2\"\n"
    )
}

/// The same for Packer.
fn provisioners(bench: &Bench) -> Value {
    json!([
        {"type": "shell", "inline": INSTALL},
        {"type": "file", "source": bench.upload(), "destination": PAGE},
        {"type": "shell", "inline": [format!("echo title >>{PAGE}")]},
    ])
}

fn all_ran(stdout: &[u8]) -> Result<()> {
    ran(stdout, false, 3, 0)
}

fn last_ran(stdout: &[u8]) -> Result<()> {
    ran(stdout, false, 1, 2)
}

fn none_ran(stdout: &[u8]) -> Result<()> {
    ran(stdout, true, 0, 3)
}

fn ran(stdout: &[u8], unchanged: bool, run: u64, cached: u64) -> Result<()> {
    let document: Value = serde_json::from_slice(stdout).context("kiln build --json printed no JSON")?;
    let build = &document["Builds"][0];
    let steps = (build["StepsRun"].as_u64(), build["StepsCached"].as_u64());
    ensure!(
        build["Unchanged"] == unchanged && steps == (Some(run), Some(cached)),
        "{run} steps were to run and {cached} to be cached: {build}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_asked_for_counts() {
        let built = |unchanged: bool, run: u32, cached: u32| {
            format!(r#"{{"Builds":[{{"Unchanged":{unchanged},"StepsRun":{run},"StepsCached":{cached}}}]}}"#)
        };
        assert!(all_ran(built(false, 3, 0).as_bytes()).is_ok());
        assert!(last_ran(built(false, 1, 2).as_bytes()).is_ok());
        assert!(none_ran(built(true, 0, 3).as_bytes()).is_ok());
        for check in [all_ran, last_ran, none_ran] {
            assert!(check(built(false, 2, 1).as_bytes()).is_err());
            assert!(check(b"").is_err());
        }
    }
}
