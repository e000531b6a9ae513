//! The packages that the tiny base is made of, through the host's apt.

use anyhow::{Context, Result, ensure};
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// `libdevmapper1.02.1` is what `grub-mkimage` needs and small hosts lack.
const PACKAGES: [&str; 4] = ["busybox-static", "grub-pc-bin", "grub-common", "libdevmapper1.02.1"];

/// The versions that apt would fetch now.
pub(super) struct Packages {
    /// File names like `busybox-static_1%3a1.35.0-4_amd64.deb`.
    pub(super) names: Vec<String>,
}

impl Packages {
    /// Asks apt, without downloading.
    pub(super) fn resolve() -> Result<Self> {
        let answer = run(apt().arg("--print-uris").args(PACKAGES))?;
        // 'http://…/x.deb' x_1.0_amd64.deb 1234 SHA256:…
        let names: Vec<_> = String::from_utf8(answer.stdout)?
            .lines()
            .filter(|line| line.starts_with('\''))
            .filter_map(|line| Some(line.split_whitespace().nth(1)?.to_owned()))
            .collect();
        ensure!(names.len() == PACKAGES.len(), "apt named {names:?}: is its list fresh (apt-get update)?");
        Ok(Self { names })
    }

    /// Downloads and unpacks all of them into one tree below `work`.
    #[expect(clippy::unused_self, reason = "resolved first: the cache's key holds the versions")]
    pub(super) fn unpack(&self, work: &Path) -> Result<PathBuf> {
        let folder = work.join("packages");
        fs_err::create_dir(&folder)?;
        run(apt().args(PACKAGES).current_dir(&folder))?;
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
