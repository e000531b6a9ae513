//! Installing packages with apt, without breaking what is installed.
//!
//! QEMU's packages depend on each other by exact version. Where `qemu-utils` came from backports, the distribution's own
//! `qemu-system-x86` conflicts with it: the suite that `qemu-utils` came from has to be used, and enabled where it no
//! longer is.

use crate::{
    run::{output, succeed},
    setup::HostNotAble,
    sources::{self, Source},
};
use anyhow::{Context, Result, bail, ensure};
use std::{
    collections::HashMap,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

/// Packages whose version the rest of QEMU has to have, too.
const QEMU: [&str; 5] =
    ["qemu-utils", "qemu-system-common", "qemu-system-data", "qemu-block-extra", "qemu-system-gui"];

/// Says whether this is root.
pub(crate) fn is_root() -> bool {
    output("id", &["-u"]).is_some_and(|id| id.trim() == "0")
}

/// Returns the versions of those of these packages that are installed.
pub(crate) fn installed(packages: &[&str]) -> HashMap<String, String> {
    // dpkg-query fails when it knows not all of them, and prints those that it knows.
    let mut query = Command::new("dpkg-query");
    query.args(["-W", "-f=${db:Status-Status} ${Package} ${Version}\n"]).args(packages).stdin(Stdio::null());
    let answer = query.stderr(Stdio::null()).output().map(|output| output.stdout).unwrap_or_default();
    let answer = String::from_utf8_lossy(&answer);
    let lines = answer.lines().filter_map(|line| line.strip_prefix("installed ")?.split_once(' '));
    lines.map(|(name, version)| (name.to_owned(), version.to_owned())).collect()
}

/// Makes sure that apt has lists of packages at all: images of containers are shipped without.
pub(crate) fn ensure_lists() -> Result<()> {
    let lists = fs_err::read_dir("/var/lib/apt/lists").into_iter().flatten().flatten();
    let mut names = lists.map(|entry| entry.file_name());
    if names.any(|name| name.to_string_lossy().contains("_Packages")) { Ok(()) } else { update() }
}

/// Installs packages; QEMU's in the version of those that are installed.
pub(crate) fn install(packages: &[&str], codename: &str) -> Result<()> {
    update()?;
    let (qemu, others): (Vec<&str>, Vec<&str>) = packages.iter().partition(|name| name.starts_with("qemu"));
    if !others.is_empty() {
        apt_get(&["install"], &others)?;
    }
    if !qemu.is_empty() {
        match qemu_suite(codename)? {
            Some(suite) => apt_get(&["install", "-t", &suite], &qemu)?,
            None => apt_get(&["install"], &qemu)?,
        }
    }
    Ok(())
}

/// A source that fails may be one that is not needed: the installation will tell.
fn update() -> Result<()> {
    match as_root(&["apt-get", "update", "-q"]) {
        Err(error) if error.downcast_ref::<HostNotAble>().is_none() => println!("going on after: {error:#}"),
        other => other?,
    }
    Ok(())
}

fn apt_get(verb: &[&str], packages: &[&str]) -> Result<()> {
    // A machine that has just been started is often installing its own updates.
    let options = ["-q", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"];
    as_root(&[&["apt-get"], verb, &options, packages].concat())
}

/// Runs a command as root, through sudo where that is needed; says the command first.
fn as_root(words: &[&str]) -> Result<()> {
    let mut command = root_command(words)?;
    println!("$ {}", format!("{command:?}").replace('"', ""));
    succeed(command.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()))
}

fn root_command(words: &[&str]) -> Result<Command> {
    let (first, rest) = words.split_first().context("no command")?;
    if is_root() {
        let mut command = Command::new(first);
        command.args(rest);
        return Ok(command);
    }
    if output("sudo", &["--version"]).is_none() {
        return Err(HostNotAble(format!("sudo is not there; as root, run: {}", words.join(" "))).into());
    }
    let mut command = Command::new("sudo");
    command.arg("DEBIAN_FRONTEND=noninteractive").args(words);
    Ok(command)
}

/// Returns the suite from which QEMU's packages have to come, where the distribution's choice would not fit what is installed.
fn qemu_suite(codename: &str) -> Result<Option<String>> {
    let installed = installed(&QEMU);
    let Some(version) = QEMU.iter().find_map(|name| installed.get(*name)) else { return Ok(None) };
    let policy = Policy::of("qemu-system-x86");
    if policy.candidate.as_ref() == Some(version) {
        return Ok(None);
    }
    if let Some(suite) = policy.suite_with(version) {
        println!("QEMU {version} is installed in part: its other packages come from {suite}");
        return Ok(Some(suite.to_owned()));
    }
    // Another point release of the distribution's own suite: apt replaces it.
    if !version.contains("~bpo") {
        return Ok(None);
    }
    let suite = format!("{codename}-backports");
    println!("QEMU {version} is installed in part, from {suite}: its other packages have to be, too");
    enable_backports(codename, &suite)?;
    let known = Policy::of("qemu-system-x86").offers.iter().any(|(_, known)| *known == suite);
    ensure!(known, "{suite} has no qemu-system-x86, and that of {codename} does not go with QEMU {version}");
    Ok(Some(suite))
}

/// Makes sure that the backports suite is enabled and that its lists are there.
fn enable_backports(codename: &str, suite: &str) -> Result<()> {
    let sources = sources::of_host()?;
    if sources.iter().any(|source| source.has(suite)) {
        return Ok(());
    }
    // Older machines follow the name of the day.
    let followed = [codename, "stable", "oldstable", "oldoldstable"];
    let main = followed.iter().find_map(|name| sources.iter().find(|source| source.has(name)));
    let Some(main) = main else {
        bail!("no source of {codename} is there to take the address of {suite} from");
    };
    write_source(main, suite)?;
    update()
}

fn write_source(main: &Source, suite: &str) -> Result<()> {
    let path = Path::new("/etc/apt/sources.list.d/kiln-backports").with_extension(main.extension());
    let shown = path.display().to_string();
    println!("writing {shown}, which enables {suite}");
    let mut tee = root_command(&["tee", &shown])?.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    tee.stdin.take().context("tee has no input")?.write_all(main.of_suite(suite).as_bytes())?;
    let status = tee.wait()?;
    ensure!(status.success(), "{shown} cannot be written: {status}");
    Ok(())
}

/// What apt knows about a package.
#[derive(Debug, Default, PartialEq, Eq)]
struct Policy {
    /// The version that it would install.
    candidate: Option<String>,
    /// Every version that it could install, with the suite.
    offers: Vec<(String, String)>,
}

impl Policy {
    fn of(package: &str) -> Self {
        let policy = output("apt-cache", &["policy", package]).unwrap_or_default();
        let madison = output("apt-cache", &["madison", package]).unwrap_or_default();
        Self::parse(&policy, &madison)
    }

    fn parse(policy: &str, madison: &str) -> Self {
        let candidate = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "));
        // package | version | http://host/debian bookworm/main amd64 Packages
        let offers = madison.lines().filter_map(|line| {
            let mut columns = line.split('|').map(str::trim);
            let (version, place) = (columns.nth(1)?, columns.next()?);
            let suite = place.strip_suffix(" Packages")?.split(' ').nth(1)?;
            Some((version.to_owned(), suite.split('/').next()?.to_owned()))
        });
        Self {
            candidate: candidate.filter(|version| *version != "(none)").map(str::to_owned),
            offers: offers.collect(),
        }
    }

    fn suite_with(&self, version: &str) -> Option<&str> {
        self.offers.iter().find(|(offered, _)| offered == version).map(|(_, suite)| suite.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_apt_knows() {
        let policy = "qemu-system-x86:\n  Installed: (none)\n  Candidate: 1:7.2+dfsg-7\n  Version table:\n";
        let madison = "qemu-system-x86 | 1:10.0.2~bpo12+1 | http://a.example/debian bookworm-backports/main amd64 Packages\n\
                       qemu-system-x86 | 1:7.2+dfsg-7 | http://a.example/debian bookworm/main amd64 Packages\n\
                       qemu | 1:7.2+dfsg-7 | http://a.example/debian bookworm/main Sources\n";
        let known = Policy::parse(policy, madison);
        assert_eq!(known.candidate.as_deref(), Some("1:7.2+dfsg-7"));
        assert_eq!(known.offers.len(), 2);
        assert_eq!(known.suite_with("1:10.0.2~bpo12+1"), Some("bookworm-backports"));
        assert_eq!(known.suite_with("1:9"), None);
        let unknown = Policy::parse("x:\n  Installed: (none)\n  Candidate: (none)\n", "");
        assert_eq!(unknown, Policy::default());
    }
}
