//! `bench search`: 10,000 images listed and searched, in a folder and in S3, in one run.
//!
//! ```text
//! target/bench/search/regions/local/   the region, made once
//!                     home/            Kiln's installation: the index of each region
//!                     config.toml      the two regions
//! ```
//! The S3 server is a small one on this host that serves the same files: what a network adds, it does not show.

use super::{
    Bench, Options,
    race::{self, Tool, removed},
    rows::{Row, row, within},
};
use crate::run::{cargo, succeed, target};
use anyhow::{Context, Result};
use std::{
    ffi::OsString,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

const IMAGES: &str = "10000";

const CONFIG: &str =
    "[region.folder]\nurl = \"regions/local\"\n\n[region.bucket]\nurl = \"s3://regions/local\"\n";

const ROWS: [Row; 6] = [
    within("search, folder", "kiln, by tag, folder", "100 ms", 0.1),
    within("list, folder", "kiln, all, folder", "100 ms", 0.1),
    within("search, S3", "kiln, by tag, S3", "100 ms", 0.1),
    within("list, S3", "kiln, all, S3", "100 ms", 0.1),
    row("first list, folder", "kiln, first, folder", "cat of the records", 1.0, None),
    row("search, folder", "kiln, by tag, folder", "cat of the records", 1.0, None),
];

pub(super) fn run(options: Options) -> Result<()> {
    let bench = Bench::new(options)?;
    let world = World::make(&bench)?;
    let (server, address) = serve(&world.folder)?;
    let raced = race::run(options, &bench, &format!("{IMAGES} images"), &world.tools(&address), &ROWS);
    let mut server = server;
    // Its standard input ends here, and it with that.
    drop(server.stdin.take());
    server.wait()?;
    raced
}

struct World {
    folder: PathBuf,
    kiln: PathBuf,
}

impl World {
    fn make(bench: &Bench) -> Result<Self> {
        eprintln!("== cargo build --release");
        let build = |words: &[&str]| {
            let mut cargo = cargo(&["build", "--quiet", "--release", "--locked", "--package"]);
            succeed(cargo.args(words).stdout(std::io::stderr()))
        };
        build(&["kiln-cli"])?;
        build(&["kiln-catalog", "--example", "images"])?;
        build(&["kiln-store", "--example", "s3"])?;
        let world = Self { folder: bench.path("search"), kiln: target()?.join("release/kiln") };
        let (regions, region) = (world.folder.join("regions"), world.folder.join("regions/local"));
        fs_err::create_dir_all(&regions)?;
        fs_err::write(world.folder.join("config.toml"), CONFIG)?;
        if !region.exists() {
            eprintln!("== {IMAGES} images");
            let staged = regions.join("new");
            removed(staged.clone())()?;
            succeed(Command::new(target()?.join("release/examples/images")).arg(&staged).arg(IMAGES))?;
            fs_err::rename(staged, region)?;
        }
        Ok(world)
    }

    fn tools(&self, address: &str) -> Vec<Tool> {
        let by_tag = ["--filter", "tag:Role=role-3", "--filter", "name=debian-trixie-*"];
        let mut tools = vec![self.cat()];
        for (region, first, all, search) in [
            ("folder", "kiln, first, folder", "kiln, all, folder", "kiln, by tag, folder"),
            ("bucket", "kiln, first, S3", "kiln, all, S3", "kiln, by tag, S3"),
        ] {
            let index = self.folder.join("home/cache/index");
            tools.extend([
                self.list(first, address, region, &[], removed(index)),
                self.list(all, address, region, &[], Box::new(|| Ok(()))),
                self.list(search, address, region, &by_tag, Box::new(|| Ok(()))),
            ]);
        }
        tools
    }

    /// `kiln image list`, with what the S3 server wants to be told.
    fn list(
        &self,
        name: &'static str,
        address: &str,
        region: &str,
        words: &[&str],
        prepare: Box<dyn Fn() -> Result<()>>,
    ) -> Tool {
        let mut arguments: Vec<OsString> = vec![
            format!("AWS_ENDPOINT_URL={address}").into(),
            self.kiln.clone().into(),
            "--home".into(),
            self.folder.join("home").into(),
            "--config".into(),
            self.folder.join("config.toml").into(),
        ];
        arguments.extend(race::words(&["--region", region, "image", "list", "--json"]));
        arguments.extend(race::words(words));
        let environment: &[_] = &[
            ("AWS_ACCESS_KEY_ID", "a-key"),
            ("AWS_SECRET_ACCESS_KEY", "a-secret"),
            ("AWS_REGION", "us-east-1"),
        ];
        let bytes = Box::new(|| Ok(0));
        Tool { name, program: "env".into(), arguments, environment, reads: Vec::new(), prepare, bytes }
    }

    /// What reading every record costs a program that does nothing else.
    fn cat(&self) -> Tool {
        let mut arguments: Vec<OsString> = vec![self.folder.join("regions/local/images").into()];
        arguments.extend(race::words(&["-type", "f", "-exec", "cat", "{}", "+"]));
        Tool {
            name: "cat of the records",
            program: "find".into(),
            arguments,
            environment: &[],
            reads: Vec::new(),
            prepare: Box::new(|| Ok(())),
            bytes: Box::new(|| Ok(0)),
        }
    }
}

/// Starts the S3 server; it ends when its standard input does.
fn serve(folder: &Path) -> Result<(Child, String)> {
    let mut command = Command::new(target()?.join("release/examples/s3"));
    let mut server = command.arg(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut address = String::new();
    BufReader::new(server.stdout.take().context("a pipe")?).read_line(&mut address)?;
    Ok((server, address.trim().to_owned()))
}
