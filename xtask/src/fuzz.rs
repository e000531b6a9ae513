//! `fuzz`: every fuzz target of the tree, for some seconds each, with the compiler that is there.
//!
//! libFuzzer wants programs in which every edge is counted. What `cargo fuzz` takes a nightly compiler for is its address
//! sanitizer; counting edges takes flags that every compiler has. Memory errors show as crashes only where they crash, which is
//! as much as code without `unsafe` needs.
//!
//! ```text
//! target/fuzz/corpus/<target>/   what the fuzzer found worth keeping; it begins there the next time
//!             found/             inputs that broke an invariant
//!             <triple>/release/  the programs
//! ```

use crate::run::{cargo, output, root, shown, succeed, target};
use anyhow::{Context, Result, ensure};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Counts edges and compared numbers, and keeps the checks of a debug build.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Coverflow-checks";

/// Images that the gate's fuzzing begins with: from nothing it would be long in making one.
const IMAGES: [&str; 5] = [
    "-f qcow2 -o cluster_size=4k",
    "-f qcow2 -o cluster_size=4k,compat=0.10",
    "-f qcow2 -o cluster_size=16k,extended_l2=on,lazy_refcounts=on",
    "-f vmdk -o subformat=monolithicSparse",
    "-f vpc -o subformat=dynamic,force_size=on",
];

/// Most memory of a target, in MiB, and most seconds for one input.
const LIMITS: [&str; 2] = ["-rss_limit_mb=1024", "-timeout=20"];

/// Runs all targets; the first that breaks an invariant fails.
pub(crate) fn run(words: &[String]) -> Result<()> {
    let seconds: u32 = match words {
        [] => 60,
        [seconds] => seconds.parse().with_context(|| format!("`{seconds}` is no number of seconds"))?,
        _ => anyhow::bail!("usage: cargo xtask fuzz [SECONDS]"),
    };
    let host =
        output("rustc", &["--print", "host-tuple"]).context("rustc does not say what it builds for")?;
    let place = target()?.join("fuzz");
    for package in packages()? {
        for program in build(&package, host.trim(), &place)? {
            fuzz(&program, &place, seconds)?;
        }
    }
    Ok(())
}

/// The folders `crates/*/fuzz`.
fn packages() -> Result<Vec<PathBuf>> {
    let crates = fs_err::read_dir(root().join("crates"))?;
    let folders = crates.map(|entry| Ok(entry?.path().join("fuzz"))).collect::<Result<Vec<_>>>()?;
    let mut folders: Vec<_> =
        folders.into_iter().filter(|folder| folder.join("Cargo.toml").exists()).collect();
    folders.sort();
    Ok(folders)
}

/// Builds a package's targets. A target for build scripts of its own keeps the flags from them.
fn build(package: &Path, host: &str, place: &Path) -> Result<Vec<PathBuf>> {
    println!("== {}", shown(package));
    // Of the pre-releases that are among the dependencies, only these versions fit together.
    fs_err::copy(root().join("Cargo.lock"), package.join("Cargo.lock"))?;
    let mut build = cargo(&["build", "--quiet", "--release", "--target", host]);
    build.current_dir(package).env("CARGO_TARGET_DIR", place).env("RUSTFLAGS", FLAGS);
    succeed(&mut build)?;
    let targets = fs_err::read_dir(package.join("fuzz_targets"))?;
    let mut names = Vec::new();
    for source in targets {
        let source = source?.path();
        names.extend(source.file_stem().map(|name| place.join(host).join("release").join(name)));
    }
    names.sort();
    Ok(names)
}

fn fuzz(program: &Path, place: &Path, seconds: u32) -> Result<()> {
    let name = program.file_name().context("a program has a name")?;
    let (corpus, found) = (place.join("corpus").join(name), place.join("found"));
    fs_err::create_dir_all(&corpus)?;
    fs_err::create_dir_all(&found)?;
    if name == "gate" {
        images(&corpus)?;
    }
    println!("== {} for {seconds} s", name.display());
    let mut command = Command::new(program);
    command.args(LIMITS).arg(format!("-max_total_time={seconds}"));
    command
        .args(["-print_final_stats=1", "-verbosity=0"])
        .arg(format!("-artifact_prefix={}/", found.display()));
    let status =
        command.arg(&corpus).status().with_context(|| format!("{} cannot be run", program.display()))?;
    ensure!(status.success(), "{} broke an invariant: {status}; see {}", name.display(), shown(&found));
    Ok(())
}

/// Makes small images with a page of data.
fn images(corpus: &Path) -> Result<()> {
    for (number, options) in IMAGES.iter().enumerate() {
        let image = corpus.join(format!("image-{number}"));
        let mut create = Command::new("qemu-img");
        succeed(create.args(["create", "-q"]).args(options.split(' ')).arg(&image).arg("128K"))?;
        succeed(Command::new("qemu-io").args(["-c", "write -q -P 7 8k 4k"]).arg(&image))?;
    }
    Ok(())
}
