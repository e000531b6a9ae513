//! Whether this host can run the programs of another architecture: mmdebstrap does, in the tree that it makes.

use crate::{
    Error,
    process::{self, Tool},
};
use kiln_types::Architecture;
use std::{process::Command, sync::atomic::AtomicBool};

const ARCH_TEST: Tool = Tool {
    program: "arch-test",
    purpose: "mmdebstrap asks it whether programs of another architecture run here",
    package: "arch-test",
};

/// Asks as mmdebstrap will, before it says so in words of its own.
pub(super) fn check(architecture: Architecture) -> Result<(), Error> {
    if is_own(architecture) { Ok(()) } else { ask(&ARCH_TEST.find()?, architecture) }
}

fn ask(arch_test: &str, architecture: Architecture) -> Result<(), Error> {
    let mut command = Command::new(arch_test);
    command.arg(architecture.debian());
    match process::run(&mut command, &ARCH_TEST, &AtomicBool::new(false), &mut |_| {}) {
        Err(Error::Tool { last_lines, .. }) => Err(Error::Foreign { architecture, reason: last_lines }),
        other => other,
    }
}

/// Says whether a program of this architecture could be Kiln itself.
fn is_own(architecture: Architecture) -> bool {
    let name = match architecture {
        Architecture::X86_64 => "x86_64",
        Architecture::I386 => "x86",
        Architecture::Arm64 => "aarch64",
    };
    std::env::consts::ARCH == name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_run_is_told_with_what_to_install() -> anyhow::Result<()> {
        // As arch-test does where the kernel knows of no interpreter.
        let folder = tempfile::tempdir()?;
        let arch_test = folder.path().join("arch-test");
        fs_err::write(&arch_test, "#!/bin/sh\necho \"$1: not supported on this machine/kernel\"; exit 1\n")?;
        fs_err::set_permissions(&arch_test, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let error = ask(&arch_test.display().to_string(), Architecture::Arm64).err();
        let error = error.ok_or_else(|| anyhow::anyhow!("arm64 runs"))?;
        let expected = "this host cannot run programs for arm64: arm64: not supported on this machine/kernel";
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.hint().as_deref(), Some("apt-get install qemu-user-static"));
        Ok(())
    }

    #[test]
    fn own_programs_run() -> Result<(), Error> {
        let own = Architecture::ALL.into_iter().find(|architecture| is_own(*architecture));
        own.map_or(Ok(()), |own| ask(&ARCH_TEST.find()?, own))
    }
}
