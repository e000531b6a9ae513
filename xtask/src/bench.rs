//! `bench`: Kiln beside the tools that do the same, on this host, in one run.
//!
//! ```text
//! target/bench/base/            the key that opens the base, Kiln's template of it, and base.qcow2, which all start from
//!              bundle/          the disk and the bundles of `bench bundle`
//!              kiln/            Kiln's own installation, and the templates that are built
//!              launch/          the installation of `bench launch`
//!              packer/          Packer's template, its cache, what it makes
//!              search/          the regions of `bench search`
//!              store/           disks and snapshots of `bench store`
//!              virt-customize/  the overlay that it changes, a kernel where the host has none
//!              logs/            what each run said
//! ```

mod base;
mod build;
mod bundle;
mod contender;
mod contest;
mod host;
mod kiln;
mod launch;
mod layers;
mod measure;
mod packer;
mod race;
mod report;
mod rows;
mod search;
mod steps;
mod store;
mod virt_customize;

use crate::run::target;
use anyhow::{Context, Result, bail};
use std::path::PathBuf;

const USAGE: &str = "\
usage: cargo xtask bench build|bundle|launch|layers|search|store [--json] [--runs=N] [--kvm] [--no-install]

  --json        print one document for programs, and install nothing
  --runs=N      runs of each tool, 3 unless told
  --kvm         let every tool use KVM; without it, all translate (TCG)
  --no-install  compare with what is installed";

/// What was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    json: bool,
    runs: usize,
    kvm: bool,
    install: bool,
}

/// Where everything lies, and the machine that every tool is given.
#[derive(Debug)]
struct Bench {
    folder: PathBuf,
    cpus: usize,
    memory_mib: u32,
    accelerator: &'static str,
}

impl Bench {
    fn new(options: Options) -> Result<Self> {
        let folder = target()?.join("bench");
        for name in ["base", "kiln", "packer", "virt-customize", "logs"] {
            fs_err::create_dir_all(folder.join(name))?;
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            folder,
            cpus: cores.min(2),
            memory_mib: 1024,
            accelerator: if options.kvm { "kvm" } else { "tcg" },
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The disk that every tool starts from; none of them writes to it.
    fn base(&self) -> PathBuf {
        self.path("base/base.qcow2")
    }

    /// The private key that opens the base.
    fn key(&self) -> PathBuf {
        self.path("base/key")
    }

    /// The file that every tool uploads.
    fn upload(&self) -> PathBuf {
        self.path("base/upload")
    }
}

/// Runs a benchmark.
pub(crate) fn run(words: &[String], flags: &[String]) -> Result<()> {
    let mut options = Options { json: false, runs: 3, kvm: false, install: true };
    for flag in flags {
        match flag.split_once('=').unwrap_or((flag, "")) {
            ("--json", "") => (options.json, options.install) = (true, false),
            ("--kvm", "") => options.kvm = true,
            ("--no-install", "") => options.install = false,
            ("--runs", runs) => options.runs = runs.parse().ok().filter(|runs| *runs > 0).context(USAGE)?,
            _ => bail!("{USAGE}"),
        }
    }
    match words {
        [what] if what == "build" => build::run(options),
        [what] if what == "bundle" => bundle::run(options),
        [what] if what == "launch" => launch::run(options),
        [what] if what == "layers" => layers::run(options),
        [what] if what == "search" => search::run(options),
        [what] if what == "store" => store::run(options),
        _ => bail!("{USAGE}"),
    }
}
