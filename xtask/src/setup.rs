//! `setup`: installs what is missing, on Debian and Ubuntu; elsewhere says what to install.

use crate::{
    apt,
    packages::{BENCH, ELSEWHERE, NeededBy, PACKAGES, Package},
    run::program,
};
use anyhow::Result;
use std::fmt;

/// What the packages are wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    /// Building and running Kiln.
    Running,
    /// The tests too.
    Tests,
}

/// This host cannot do what was asked; the text says what to do.
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
    let os = OsRelease::read();
    if !os.is_debian() {
        return Err(HostNotAble(elsewhere(&os)).into());
    }
    let rootless = !apt::is_root();
    let needed: Vec<&Package> = PACKAGES
        .iter()
        .filter(|package| match package.needed_by {
            NeededBy::Everyone => true,
            NeededBy::Tests => wanted == For::Tests,
            NeededBy::Rootless => rootless,
            NeededBy::Bench => false,
        })
        .collect();
    let missing = missing(&needed);
    if missing.is_empty() {
        println!("every package that is needed is installed");
        // The tests make tiny disks of packages that they download and do not install.
        return if wanted == For::Tests { apt::ensure_lists() } else { Ok(()) };
    }
    println!("these packages are going to be installed:");
    for package in needed.iter().filter(|package| missing.contains(&package.debian)) {
        println!("  {:<24}{}", package.debian, package.why);
    }
    apt::install(&missing, &os.codename)
}

/// Installs what Kiln needs, and what it is compared with, where that can be had: a tool that is missing is left out.
pub(crate) fn for_bench() -> Result<()> {
    run(For::Running)?;
    let missing = missing(&BENCH.each_ref());
    if !missing.is_empty()
        && apt::is_root()
        && let Err(error) = apt::install(&missing, &OsRelease::read().codename)
    {
        println!("going on without: {error:#}");
    }
    Ok(())
}

/// Returns what has to be installed. Another package may hold the same programs, and exclude ours (busybox, busybox-static).
fn missing(needed: &[&Package]) -> Vec<&'static str> {
    let names: Vec<&str> = needed.iter().map(|package| package.debian).collect();
    let installed = apt::installed(&names);
    let there = |package: &Package| {
        let programs = package.programs;
        installed.contains_key(package.debian)
            || (!programs.is_empty() && programs.iter().all(|name| program(name).is_some()))
    };
    needed.iter().filter(|package| !there(package)).map(|package| package.debian).collect()
}

/// What `/etc/os-release` says.
#[derive(Debug, Default, PartialEq, Eq)]
struct OsRelease {
    name: String,
    ids: Vec<String>,
    codename: String,
}

impl OsRelease {
    fn read() -> Self {
        Self::parse(&fs_err::read_to_string("/etc/os-release").unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
        };
        let ids = format!("{} {}", value("ID"), value("ID_LIKE"));
        Self {
            name: value("PRETTY_NAME"),
            ids: ids.split_whitespace().map(str::to_owned).collect(),
            codename: value("VERSION_CODENAME"),
        }
    }

    /// Says whether apt and Debian's names of packages are to be expected.
    fn is_debian(&self) -> bool {
        self.ids.iter().any(|id| id == "debian" || id == "ubuntu")
    }
}

fn elsewhere(os: &OsRelease) -> String {
    let name = if os.name.is_empty() { "this distribution" } else { &os.name };
    let what = PACKAGES.map(|package| {
        let names = if package.programs.is_empty() { package.debian } else { &package.programs.join(", ") };
        format!("  {names:<32}{}", package.why)
    });
    let how = ELSEWHERE.map(|(distribution, command)| format!("{distribution}: {command}"));
    format!(
        "packages are installed on Debian and Ubuntu only; on {name}, install what holds:\n{}\n{}\n\
         then run the same task with --no-install",
        what.join("\n"),
        how.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_of_distributions() {
        let ubuntu = OsRelease::parse("PRETTY_NAME=\"Ubuntu 24.04\"\nID=ubuntu\nID_LIKE=debian\n");
        assert!(ubuntu.is_debian());
        assert!(OsRelease::parse("ID=linuxmint\nID_LIKE=\"ubuntu debian\"").is_debian());
        let debian = OsRelease::parse("ID=debian\nVERSION_CODENAME=bookworm\n");
        assert_eq!((debian.is_debian(), debian.codename.as_str()), (true, "bookworm"));
        let fedora = OsRelease::parse("PRETTY_NAME='Fedora Linux 42'\nID=fedora\n");
        assert!(!fedora.is_debian());
        let text = elsewhere(&fedora);
        assert!(text.contains("on Fedora Linux 42, install"), "{text}");
        for package in PACKAGES {
            assert!(text.contains(package.why), "{text}");
        }
        assert!(!OsRelease::default().is_debian());
    }
}
