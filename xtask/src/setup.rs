//! `setup`: installs what is missing, on Debian and Ubuntu; elsewhere says what to install.

use crate::{
    apt,
    packages::{ELSEWHERE, NeededBy, PACKAGES, Package},
    run::output,
};
use anyhow::Result;
use std::{fmt, fs};

/// What the packages are wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    /// Building and running Kiln.
    Running,
    /// The tests too.
    Tests,
}

/// This host cannot be set up from here; the text says what to do.
#[derive(Debug)]
pub(crate) struct HostNotAble(pub(crate) String);

impl fmt::Display for HostNotAble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for HostNotAble {}

/// Installs what is missing. Where nothing is, it changes nothing.
pub(crate) fn run(wanted: For) -> Result<()> {
    if !is_debian(&fs::read_to_string("/etc/os-release").unwrap_or_default()) {
        return elsewhere();
    }
    let root = apt::is_root();
    let needed = PACKAGES.iter().filter(|package| match package.needed_by {
        NeededBy::Everyone => true,
        NeededBy::Tests => wanted == For::Tests,
        NeededBy::Rootless => !root,
    });
    let missing: Vec<&Package> = needed.filter(|package| apt::installed(package.debian).is_none()).collect();
    if missing.is_empty() {
        println!("every package that is needed is installed");
        return Ok(());
    }
    println!("these packages are going to be installed:");
    for package in &missing {
        println!("  {:<24}{}", package.debian, package.why);
    }
    let names: Vec<&str> = missing.iter().map(|package| package.debian).collect();
    apt::install(&names)
}

/// Says whether apt and Debian's names of packages are to be expected.
fn is_debian(os_release: &str) -> bool {
    let value = |key: &str| {
        let line = os_release.lines().find_map(|line| line.strip_prefix(key));
        line.map(|value| value.trim_matches('"').to_owned()).unwrap_or_default()
    };
    let like = format!("{} {}", value("ID="), value("ID_LIKE="));
    like.split_whitespace().any(|word| matches!(word, "debian" | "ubuntu"))
}

/// Programs that stand for the packages where names of packages are others.
const PROGRAMS: [&str; 5] = ["qemu-system-x86_64", "qemu-img", "mmdebstrap", "mke2fs", "cc"];

fn elsewhere() -> Result<()> {
    let missing: Vec<&str> =
        PROGRAMS.into_iter().filter(|program| output(program, &["--version"]).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut text = format!("not found: {}; install what holds them and try again:", missing.join(", "));
    for (name, command) in ELSEWHERE {
        text.push_str(&format!("\n  {name:<10}{command}"));
    }
    Err(HostNotAble(text).into())
}
