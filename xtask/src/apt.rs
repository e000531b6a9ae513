//! Installing packages with apt, without breaking what is installed.
//!
//! QEMU's packages depend on each other by exact version. Where `qemu-utils` came from backports, the distribution's own
//! `qemu-system-x86` conflicts with it: the suite that `qemu-utils` came from has to be used, and enabled where it no longer is.
//! Its address is taken from the host's own sources.

use crate::{
    run::{output, succeed},
    setup::HostNotAble,
};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

/// Where the backports suite is enabled.
const BACKPORTS_FILE: &str = "/etc/apt/sources.list.d/kiln-backports.sources";

/// Says whether this is root.
pub(crate) fn is_root() -> bool {
    output("id", &["-u"]).is_some_and(|id| id.trim() == "0")
}

/// Returns the installed version of a package.
pub(crate) fn installed(package: &str) -> Option<String> {
    let text = output("dpkg-query", &["-W", "-f=${db:Status-Status} ${Version}\n", package])?;
    let version = text.lines().find_map(|line| line.strip_prefix("installed "))?;
    Some(version.to_owned())
}

/// Installs packages; QEMU's from the suite that the installed ones came from.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let backports = match installed("qemu-utils").filter(|version| version.contains("~bpo")) {
        Some(version) => Some(enable_backports(&version)?),
        None => None,
    };
    root(&["apt-get", "update", "-q"])?;
    let (qemu, others): (Vec<&str>, Vec<&str>) = packages.iter().partition(|name| name.starts_with("qemu"));
    if !others.is_empty() {
        root(&[&["apt-get", "install", "-q", "-y", "--no-install-recommends"], others.as_slice()].concat())?;
    }
    if !qemu.is_empty() {
        let suite = backports.as_deref();
        let from = suite.map_or(Vec::new(), |suite| vec!["-t", suite]);
        let install = ["apt-get", "install", "-q", "-y", "--no-install-recommends"];
        root(&[install.as_slice(), &from, &qemu].concat())?;
    }
    Ok(())
}

/// Runs a command as root, through sudo where that is needed; says the command first.
fn root(words: &[&str]) -> Result<()> {
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
        return Err(HostNotAble(format!("as root, run: {}", words.join(" "))).into());
    }
    let mut command = Command::new("sudo");
    command.arg("DEBIAN_FRONTEND=noninteractive").args(words);
    Ok(command)
}

/// Makes sure that the backports suite which this version came from is enabled, and returns its name.
fn enable_backports(version: &str) -> Result<String> {
    let os_release = fs::read_to_string("/etc/os-release").context("/etc/os-release")?;
    let codename = os_release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let codename = codename.context("/etc/os-release names no VERSION_CODENAME")?;
    let suite = format!("{codename}-backports");
    let sources = sources()?;
    if sources.iter().any(|source| source.suites.iter().any(|known| *known == suite)) {
        return Ok(suite);
    }
    let Some(source) = sources.iter().find(|source| source.suites.iter().any(|known| known == codename))
    else {
        bail!(
            "qemu-utils {version} is from {suite}, and no source of {codename} is there to take its address from"
        );
    };
    println!("qemu-utils {version} is from {suite}: enabling that suite in {BACKPORTS_FILE}");
    write_as_root(Path::new(BACKPORTS_FILE), &source.of_suite(&suite))?;
    Ok(suite)
}

fn write_as_root(path: &Path, text: &str) -> Result<()> {
    let shown = path.display().to_string();
    let mut tee = root_command(&["tee", &shown])?.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    tee.stdin.take().context("tee has no input")?.write_all(text.as_bytes())?;
    let status = tee.wait()?;
    anyhow::ensure!(status.success(), "{shown} cannot be written: {status}");
    Ok(())
}

/// One of the host's sources of packages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Source {
    uris: String,
    suites: Vec<String>,
    signed_by: Option<String>,
}

impl Source {
    /// Writes a source of another suite at the same address.
    fn of_suite(&self, suite: &str) -> String {
        let mut text = format!("Types: deb\nURIs: {}\nSuites: {suite}\nComponents: main\n", self.uris);
        if let Some(key) = &self.signed_by {
            text.push_str(&format!("Signed-By: {key}\n"));
        }
        text
    }
}

/// Reads the host's sources, of both forms.
fn sources() -> Result<Vec<Source>> {
    let mut found = one_line(&fs::read_to_string("/etc/apt/sources.list").unwrap_or_default());
    for entry in fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten() {
        let path = entry?.path();
        let text = fs::read_to_string(&path).unwrap_or_default();
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("sources") => found.extend(deb822(&text)),
            Some("list") => found.extend(one_line(&text)),
            _ => {}
        }
    }
    Ok(found)
}

fn deb822(text: &str) -> Vec<Source> {
    let stanzas = text.split("\n\n").map(|stanza| {
        let mut source = Source::default();
        for line in stanza.lines().filter(|line| !line.starts_with('#')) {
            let Some((key, value)) = line.split_once(':') else { continue };
            let value = value.trim().to_owned();
            match key.to_ascii_lowercase().as_str() {
                "uris" => source.uris = value,
                "suites" => source.suites = value.split_whitespace().map(str::to_owned).collect(),
                "signed-by" if !value.is_empty() => source.signed_by = Some(value),
                _ => {}
            }
        }
        source
    });
    stanzas.filter(|source| !source.uris.is_empty()).collect()
}

fn one_line(text: &str) -> Vec<Source> {
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("deb "));
    let parsed = lines.filter_map(|line| {
        let (options, rest) = match line.trim().strip_prefix('[') {
            Some(line) => line.split_once(']')?,
            None => ("", line),
        };
        let signed_by = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by="));
        let mut words = rest.split_whitespace();
        let (uri, suite) = (words.next()?, words.next()?);
        Some(Source {
            uris: uri.to_owned(),
            suites: vec![suite.to_owned()],
            signed_by: signed_by.map(str::to_owned),
        })
    });
    parsed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_sources() {
        let stanzas = "Types: deb\n# a comment: x\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\n\
                       Components: main\nSigned-By: /k.gpg\n\nTypes: deb\nURIs: http://other.example\nSuites: x\n";
        let found = deb822(stanzas);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].suites, ["bookworm", "bookworm-updates"]);
        let text = found[0].of_suite("bookworm-backports");
        assert!(text.contains("URIs: http://mirror.example/debian\nSuites: bookworm-backports\n"), "{text}");
        assert!(text.contains("Signed-By: /k.gpg"), "{text}");
        let lines = one_line(
            "# deb http://no.example x main\ndeb [arch=amd64 signed-by=/k] http://a.example sid main\n",
        );
        assert_eq!(lines.len(), 1);
        assert_eq!((lines[0].uris.as_str(), lines[0].signed_by.as_deref()), ("http://a.example", Some("/k")));
    }
}
