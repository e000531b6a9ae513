//! The packages that test disks are made of, through the host's apt.

use anyhow::{Context, Result, ensure};
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// The versions that apt would fetch now.
pub(crate) struct Packages {
    /// File names like `busybox-static_1%3a1.35.0-4_amd64.deb`.
    pub(crate) names: Vec<String>,
    wanted: &'static [&'static str],
}

impl Packages {
    /// Asks apt, without downloading.
    pub(crate) fn resolve(wanted: &'static [&'static str]) -> Result<Self> {
        let answer = run(apt().arg("--print-uris").args(wanted))?;
        // 'http://…/x.deb' x_1.0_amd64.deb 1234 SHA256:…
        let names: Vec<_> = String::from_utf8(answer.stdout)?
            .lines()
            .filter(|line| line.starts_with('\''))
            .filter_map(|line| Some(line.split_whitespace().nth(1)?.to_owned()))
            .collect();
        ensure!(names.len() == wanted.len(), "apt named {names:?}: is its list fresh (apt-get update)?");
        Ok(Self { names, wanted })
    }

    /// Downloads and unpacks all of them into one tree below `work`.
    pub(crate) fn unpack(&self, work: &Path) -> Result<PathBuf> {
        let folder = work.join("packages");
        fs_err::create_dir(&folder)?;
        run(apt().args(self.wanted).current_dir(&folder))?;
        let unpacked = work.join("unpacked");
        for entry in fs_err::read_dir(&folder)? {
            run(Command::new("dpkg-deb").arg("-x").arg(entry?.path()).arg(&unpacked))?;
        }
        Ok(unpacked)
    }
}

fn apt() -> Command {
    let mut apt = Command::new("apt-get");
    apt.args(["-q", "-o", "APT::Sandbox::User=root", "download"]);
    apt
}

fn run(command: &mut Command) -> Result<Output> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output)
}
