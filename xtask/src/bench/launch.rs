//! `bench launch`: how long it takes until QEMU runs for an image whose disk is in the cache.
//!
//! ```text
//! target/bench/launch/disk.raw   a disk of 4 GiB, of which 1 GiB is written, and whose boot sector stops the processor
//!                     home/      Kiln's installation, with the image
//! ```
//! What the guest does afterwards is not Kiln's time. The first round writes the snapshot's disk into the cache.

use super::{
    Bench, Options,
    race::{self, Tool},
    rows::{Row, within},
};
use crate::run::{cargo, succeed, target};
use anyhow::Result;
use std::{
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
    process::{Command, Stdio},
};

/// `cli`, `hlt`, and back to `hlt`.
const STOPS: [u8; 4] = [0xfa, 0xf4, 0xeb, 0xfd];
const SIZE: u64 = 4 << 30;
const WRITTEN: u64 = 1 << 30;
const NAME: &str = "bench";

const ROWS: [Row; 1] = [within("launch, cached", "kiln launch", "1 s", 1.0)];

pub(super) fn run(options: Options) -> Result<()> {
    let bench = Bench::new(options)?;
    eprintln!("== cargo build --release");
    let mut build = cargo(&["build", "--quiet", "--release", "--locked", "--package", "kiln-cli"]);
    succeed(build.stdout(std::io::stderr()))?;
    let (folder, kiln) = (bench.path("launch"), target()?.join("release/kiln"));
    fs_err::create_dir_all(&folder)?;
    let home = folder.join("home");
    register(&kiln, &folder, &home)?;
    let terminate = (kiln.clone(), home.clone());
    let mut arguments = vec!["--home".into(), home.clone().into()];
    arguments.extend(race::words(&["launch", NAME, "--name", NAME, "--json"]));
    let tool = Tool {
        name: "kiln launch",
        program: kiln.clone(),
        arguments,
        environment: &[],
        reads: Vec::new(),
        prepare: Box::new(move || terminated(&terminate.0, &terminate.1)),
        bytes: Box::new(|| Ok(0)),
    };
    let raced = race::run(options, &bench, &"an image of 4 GiB in the cache", &[tool], &ROWS);
    terminated(&kiln, &home)?;
    raced
}

/// Makes the image, once.
fn register(kiln: &Path, folder: &Path, home: &Path) -> Result<()> {
    if home.exists() {
        return Ok(());
    }
    eprintln!("== an image of 4 GiB");
    let (disk, staged) = (folder.join("disk.raw"), folder.join("new"));
    let mut file = fs_err::File::create(&disk)?;
    // Bytes that do not compress, as most of an image's do not twice.
    std::io::copy(&mut fs_err::File::open("/dev/urandom")?.take(WRITTEN), &mut file)?;
    file.set_len(SIZE)?;
    let mut sector = [0; 512];
    sector[..STOPS.len()].copy_from_slice(&STOPS);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&sector)?;
    race::removed(staged.clone())()?;
    succeed(kiln_in(kiln, &staged, &["image", "import"]).arg(&disk).args(["--name", NAME]))?;
    fs_err::remove_file(disk)?;
    Ok(fs_err::rename(staged, home)?)
}

/// Ends the instance of the round before, where there was one.
fn terminated(kiln: &Path, home: &Path) -> Result<()> {
    kiln_in(kiln, home, &["instance", "terminate", NAME]).stderr(Stdio::null()).status()?;
    Ok(())
}

fn kiln_in(kiln: &Path, home: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(kiln);
    command.arg("--home").arg(home).args(words).stdout(Stdio::null());
    command
}
