//! `test`: everything that the tests need, and the tests.

use crate::{
    run::{Phases, cargo, output, root, succeed},
    setup::{self, For},
    tidy,
};
use anyhow::Result;

/// Checks the code and runs every test. What cannot be run fails.
pub(crate) fn run() -> Result<()> {
    let mut phases = Phases::default();
    phases.part("packages", || setup::run(For::Tests))?;
    phases.part("format", || succeed(&mut cargo(&["fmt", "--all", "--check"])))?;
    phases.part("tidy", tidy::run)?;
    let clippy = ["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"];
    phases.part("clippy", || succeed(&mut cargo(&clippy)))?;
    let build = ["test", "--quiet", "--workspace", "--no-run"];
    phases.part("build", || succeed(&mut cargo(&build)))?;
    phases.print();
    // Last, so that the runner's own closing lines close the output.
    println!("== tests");
    let nextest =
        output("cargo", &["nextest", "--version"]).is_some_and(|version| version.contains("nextest"));
    let args: &[&str] = if nextest {
        &["nextest", "run", "--workspace", "--no-fail-fast"]
    } else {
        &["test", "--workspace", "--no-fail-fast"]
    };
    succeed(cargo(args).env("KILN_TEST_CACHE", root().join("target/test-cache")).env("INSTA_UPDATE", "no"))
}
