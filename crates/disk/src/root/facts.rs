//! What kind of system a root holds, read from a few of its files.

use super::{Root, TEXT_LIMIT};
use crate::{
    Disk, Error, FileSystem,
    tree::{Place, Tree},
};
use kiln_types::Architecture;

/// The largest program that is looked at for its architecture; busybox is 2 MiB, systemd below 1 MiB.
const PROGRAM_LIMIT: u64 = 64 << 20;

/// What can be known about the system without starting it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RootFacts {
    /// What its programs are for; `None` when no program that every system has is there, or it is for something else.
    pub architecture: Option<Architecture>,
    /// Whether systemd is there.
    pub systemd: bool,
    /// Whether OpenSSH's server is there.
    pub sshd: bool,
    /// Whether cloud-init is there.
    pub cloud_init: bool,
    /// What `/etc/selinux/config` asks for; `None` without one.
    pub selinux: Option<Selinux>,
}

/// `SELINUX=` of `/etc/selinux/config`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selinux {
    /// What is not allowed is stopped.
    Enforcing,
    /// What is not allowed is told.
    Permissive,
    /// Off.
    Disabled,
}

/// Finds out what kind of system a root holds; `None` when its file system is not one that can be read here.
///
/// # Errors
/// When the file system is damaged.
pub fn facts(disk: impl Into<Disk>, root: &Root) -> Result<Option<RootFacts>, Error> {
    if root.filesystem != FileSystem::Ext4 {
        return Ok(None);
    }
    let tree = Place::Ext4 { disk: disk.into(), offset: root.offset, size: root.size }.open()?;
    let any = |names: &[&str]| names.iter().any(|name| tree.has(name));
    let selinux = tree.read_text("/etc/selinux/config", TEXT_LIMIT)?;
    Ok(Some(RootFacts {
        architecture: architecture(&tree)?,
        systemd: any(&["/usr/lib/systemd/systemd", "/lib/systemd/systemd"]),
        sshd: any(&["/usr/sbin/sshd", "/usr/bin/sshd", "/sbin/sshd"]),
        cloud_init: any(&["/usr/bin/cloud-init", "/bin/cloud-init"]),
        selinux: selinux.and_then(|text| Selinux::parse(&text)),
    }))
}

impl Selinux {
    fn parse(config: &str) -> Option<Self> {
        match config.lines().rev().find_map(|line| line.trim().strip_prefix("SELINUX="))?.trim() {
            "enforcing" => Some(Self::Enforcing),
            "permissive" => Some(Self::Permissive),
            "disabled" => Some(Self::Disabled),
            _ => None,
        }
    }
}

/// Says what the first program that can be found is for.
fn architecture(tree: &Tree) -> Result<Option<Architecture>, Error> {
    for name in ["/bin/sh", "/usr/bin/sh", "/sbin/init", "/usr/lib/systemd/systemd"] {
        if let Some(program) = tree.read(name, PROGRAM_LIMIT)? {
            return Ok(of_elf(&program));
        }
    }
    Ok(None)
}

/// Bytes 18 and 19 of an ELF file are its machine (elf(5)), here of one whose byte 5 says little endian.
fn of_elf(program: &[u8]) -> Option<Architecture> {
    if !program.starts_with(b"\x7fELF") || program.get(5) != Some(&1) {
        return None;
    }
    match program.get(18..20)? {
        [3, 0] => Some(Architecture::I386),
        [62, 0] => Some(Architecture::X86_64),
        [183, 0] => Some(Architecture::Arm64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_is_for_this_machine() -> anyhow::Result<()> {
        let program = fs_err::read(std::env::current_exe()?)?;
        let expected: Architecture = std::env::consts::ARCH.replace("aarch64", "arm64").parse()?;
        assert_eq!(of_elf(&program), Some(expected));
        assert_eq!(of_elf(b"#!/bin/sh"), None);
        assert_eq!(of_elf(b"\x7fELF\x02\x01"), None);
        Ok(())
    }

    #[test]
    fn selinux_is_what_the_last_line_says() {
        let config = "# SELINUX= can take\nSELINUX=permissive\nSELINUXTYPE=targeted\nSELINUX=enforcing\n";
        assert_eq!(Selinux::parse(config), Some(Selinux::Enforcing));
        assert_eq!(Selinux::parse("SELINUXTYPE=targeted\n"), None);
    }
}
