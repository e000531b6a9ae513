//! What a saved state is good for.

use super::plug;
use crate::{
    Error, Qemu,
    config::{Accelerator, Boot, MachineConfig},
};
use kiln_types::Digest;
use sha2::{Digest as _, Sha256};
use std::{
    fmt,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

/// The digest of everything that a state depends on: QEMU's program, its arguments without disks and names of files, the
/// kernel, the initramfs (in which the agent is), and under KVM the processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key(Digest);

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Key {
    /// Reads the kernel and the initramfs.
    pub(super) async fn new(qemu: &Qemu, config: &MachineConfig) -> Result<Self, Error> {
        let (program, config) = (qemu.system.clone(), config.clone());
        let work = move || Self::of(&program, config);
        tokio::task::spawn_blocking(work).await.map_err(|error| Error::Io(error.into()))?
    }

    fn of(program: &Path, mut config: MachineConfig) -> Result<Self, Error> {
        let mut parts = Parts(Sha256::new());
        let metadata = fs_err::metadata(program)?;
        parts.add(program.as_os_str().as_bytes());
        for number in [metadata.size().cast_signed(), metadata.mtime(), metadata.mtime_nsec()] {
            parts.add(&number.to_le_bytes());
        }
        if let Boot::Kernel { kernel, initrd, .. } = &mut config.boot {
            for file in std::iter::once(kernel).chain(initrd) {
                parts.add(&fs_err::read(&*file)?);
                *file = PathBuf::new();
            }
        }
        config.console = PathBuf::new();
        config.log = PathBuf::new();
        for argument in plug::arguments(&config) {
            parts.add(argument.as_bytes());
        }
        if config.accelerator == Accelerator::Kvm {
            parts.add(processor(&fs_err::read_to_string("/proc/cpuinfo")?).as_bytes());
        }
        Ok(Self(Digest::from_bytes(parts.0.finalize().into())))
    }
}

struct Parts(Sha256);

impl Parts {
    /// Each with its length, so that no two lists of parts are one.
    fn add(&mut self, part: &[u8]) {
        self.0.update(part.len().to_le_bytes());
        self.0.update(part);
    }
}

/// Returns what a guest sees of the first processor under `-cpu host`.
fn processor(cpuinfo: &str) -> String {
    const SEEN: [&str; 7] =
        ["vendor_id", "cpu family", "model", "model name", "stepping", "microcode", "flags"];
    let first = cpuinfo.split("\n\n").next().unwrap_or_default();
    let seen = first.lines().filter(|line| SEEN.contains(&line.split(':').next().unwrap_or_default().trim()));
    seen.flat_map(|line| [line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_is_told_by_what_does_not_change_while_it_runs() {
        let cpuinfo = "processor\t: 0\nmodel\t\t: 7\ncpu MHz\t\t: 2999.9\nflags\t\t: fpu\n\nprocessor\t: 1\nmodel\t\t: 8\n";
        assert_eq!(processor(cpuinfo), "model\t\t: 7\nflags\t\t: fpu\n");
    }
}
