//! `test`: everything that the tests need, and the tests.

use crate::{
    run::{Phases, cargo, output, succeed, target},
    setup::{self, For},
    templates, tidy,
};
use anyhow::Result;
use std::{path::PathBuf, process::Command};

/// Checks the code and runs every test. What cannot be run fails.
pub(crate) fn run(install: bool) -> Result<()> {
    let mut phases = Phases::default();
    if install {
        phases.part("packages", || setup::run(For::Tests))?;
    }
    phases.check("format", || succeed(&mut cargo(&["fmt", "--all", "--check"])));
    phases.check("tidy", tidy::run);
    let clippy = ["clippy", "--quiet", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"];
    phases.check("clippy", || succeed(&mut cargo(&clippy)));
    let doc = [
        "doc",
        "--quiet",
        "--locked",
        "--workspace",
        "--keep-going",
        "--no-deps",
        "--document-private-items",
    ];
    phases.check("doc", || succeed(cargo(&doc).env("RUSTDOCFLAGS", "-D warnings")));
    let build = ["test", "--quiet", "--locked", "--workspace", "--no-run"];
    phases.part("build", || succeed(&mut cargo(&build)))?;
    phases.check("templates", templates::changed);
    phases.print();
    // Last, so that the runner's own closing lines close the output.
    println!("== tests");
    succeed(&mut runner()?)?;
    phases.finish()
}

/// Returns nextest where it is installed, and cargo's own runner elsewhere: installing nextest takes longer than the tests.
fn runner() -> Result<Command> {
    let nextest = output("cargo", &["nextest", "--version"]).is_some();
    let words: &[&str] = if nextest { &["nextest", "run"] } else { &["test"] };
    let mut command = cargo(&[words, &["--locked", "--workspace", "--no-fail-fast"]].concat());
    command.env("KILN_TEST_CACHE", target()?.join("test-cache")).env("INSTA_UPDATE", "no");
    Ok(with_system_folders(command))
}

/// Debian's users have no system folders in their PATH; tests judge disks with programs from there.
fn with_system_folders(mut command: Command) -> Command {
    #[expect(clippy::disallowed_methods, reason = "xtask has no configuration but its environment")]
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")]);
    if let Ok(path) = std::env::join_paths(folders) {
        command.env("PATH", path);
    }
    command
}
