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
    if is_own(architecture) {
        return Ok(());
    }
    let mut command = Command::new(ARCH_TEST.find()?);
    command.arg(architecture.debian());
    match process::run(&mut command, &ARCH_TEST, &AtomicBool::new(false), &mut |_| {}) {
        Err(Error::Tool { last_lines, .. }) => {
            Err(Error::Foreign { architecture, reason: format!("arch-test says {last_lines:?}") })
        }
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
