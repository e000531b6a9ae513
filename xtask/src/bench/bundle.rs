//! `bench bundle`: bundles made and opened beside the pipelines of shell tools that do the same, in one run.
//!
//! ```text
//! target/bench/bundle/disk.raw    512 MiB of the host's own files, then 512 MiB of zeros that are written
//!                     sparse.raw  9 GiB in which nothing is
//!                     keys/       a throw-away pair
//!                     kiln/       the bundle of disk.raw, made once
//!                     home/       Kiln's installation
//!                     out/        what a run writes
//! ```
//! `ec2-bundle-image` runs gzip -9 in its pipeline, `euca-bundle-image` runs pigz. Neither pipeline here pays for SHA-1s
//! or for reading parts again, as those tools do and Kiln does.

use super::{
    Bench, Options,
    race::{self, Tool, counted, removed},
    rows::{Row, row, within},
};
use crate::{
    run::{cargo, succeed, target},
    setup,
};
use anyhow::Result;
use std::{
    ffi::OsString,
    path::PathBuf,
    process::{Command, Stdio},
};

const MAKE_DISK: &str = "test -e sparse.raw && exit
    tar -c -C / usr/bin usr/lib usr/share 2>/dev/null | head -c 536870912 > disk.raw
    head -c 536870912 /dev/zero >> disk.raw
    truncate -s 9G sparse.raw";

/// The key is all zeros: what it costs does not depend on it.
const CIPHER: &str = "-aes-128-cbc -K 00000000000000000000000000000000 -iv 00000000000000000000000000000000";

const ROWS: [Row; 5] = [
    row("bundle", "kiln create", "tar, gzip -9, openssl", 6.0, None),
    row("bundle", "kiln create", "tar, pigz, openssl", 1.5, None),
    row("bundle, no larger", "kiln create", "tar, gzip -6, openssl", 1.0, Some(1.03)),
    within("bundle of 9 GiB, sparse", "kiln create, sparse", "2 s", 2.0),
    row("disk from a bundle", "kiln extract", "openssl, gunzip, tar", 1.0, None),
];

pub(super) fn run(options: Options) -> Result<()> {
    let bench = Bench::new(options)?;
    if options.install {
        setup::for_bench()?;
    }
    let world = World::make(&bench)?;
    let facts = "a disk of 1 GiB: half of it files of this host, half of it zeros";
    race::run(options, &bench, &facts, &world.tools(), &ROWS)
}

struct World {
    folder: PathBuf,
    kiln: PathBuf,
}

impl World {
    fn make(bench: &Bench) -> Result<Self> {
        eprintln!("== cargo build --release");
        let mut cargo = cargo(&["build", "--quiet", "--release", "--locked", "--package", "kiln-cli"]);
        succeed(cargo.stdout(std::io::stderr()))?;
        let world = Self { folder: bench.path("bundle"), kiln: target()?.join("release/kiln") };
        fs_err::create_dir_all(world.folder.join("out"))?;
        let mut make = Command::new("sh");
        succeed(make.args(["-c", MAKE_DISK]).current_dir(&world.folder))?;
        if !world.folder.join("keys").exists() {
            world.once(&["bundle", "keygen", "-o", "keys"])?;
        }
        removed(world.folder.join("kiln"))()?;
        world.once(&create("disk.raw", "kiln"))?;
        Ok(world)
    }

    fn once(&self, words: &[&str]) -> Result<()> {
        let mut kiln = Command::new(&self.kiln);
        kiln.args(["--quiet", "--home", "home"]).args(words).current_dir(&self.folder);
        succeed(kiln.stdout(Stdio::null()))
    }

    fn tools(&self) -> Vec<Tool> {
        let pack = |compress: &str| {
            format!("tar -cS disk.raw | {compress} | openssl enc -e {CIPHER} | split -b 10485760 - out/part.")
        };
        let unpack = format!("cat kiln/disk.part.* | openssl enc -d {CIPHER} | gunzip | tar -xS -C out");
        let extract =
            ["bundle", "extract", "kiln/disk.manifest.xml", "--key", "keys/key.pem", "-o", "out/disk"];
        vec![
            self.kiln("kiln create", &create("disk.raw", "out")),
            self.shell("tar, gzip -9, openssl", &pack("gzip -9")),
            self.shell("tar, gzip -6, openssl", &pack("gzip -6")),
            self.shell("tar, pigz, openssl", &pack("pigz -6")),
            self.kiln("kiln create, sparse", &create("sparse.raw", "out")),
            self.kiln("kiln extract", &extract),
            self.shell("openssl, gunzip, tar", &unpack),
        ]
    }

    fn kiln(&self, name: &'static str, words: &[&str]) -> Tool {
        let kiln = ["--quiet", "--home", "home"].into_iter().chain(words.iter().copied());
        let program = self.kiln.clone().into_os_string();
        self.tool(name, "exec \"$@\"", std::iter::once(program).chain(kiln.map(OsString::from)))
    }

    fn shell(&self, name: &'static str, script: &str) -> Tool {
        self.tool(name, script, std::iter::empty())
    }

    /// A script in the folder, with arguments.
    fn tool(&self, name: &'static str, script: &str, arguments: impl Iterator<Item = OsString>) -> Tool {
        let script = format!("cd \"$0\" && {script}");
        let shell = [OsString::from("-c"), script.into(), self.folder.clone().into()];
        let out = self.folder.join("out");
        let (clear, made) = (removed(out.clone()), out.clone());
        let prepare = move || {
            clear()?;
            Ok(fs_err::create_dir_all(&made)?)
        };
        Tool {
            name,
            program: PathBuf::from("sh"),
            arguments: shell.into_iter().chain(arguments).collect(),
            environment: &[],
            reads: Vec::new(),
            prepare: Box::new(prepare),
            bytes: counted(out),
        }
    }
}

/// Arguments that make a bundle whose key the pipelines know.
fn create<'a>(disk: &'a str, folder: &'a str) -> [&'a str; 12] {
    [
        "bundle",
        "create",
        disk,
        "--format=raw",
        "--prefix=disk",
        "-o",
        folder,
        "--user=000000000000",
        "--cert=keys/cert.pem",
        "--key=keys/key.pem",
        "--ec2cert=keys/cert.pem",
        "--reproducible",
    ]
}
