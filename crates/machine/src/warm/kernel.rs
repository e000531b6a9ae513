//! The kernel of an appliance, unpacked for an emulated processor. It lies beside the machine's log while QEMU reads it.

use crate::{
    appliance::kernel_image,
    config::{Accelerator, Boot, MachineConfig},
};
use kiln_types::Architecture;
use std::{
    borrow::Cow,
    io::{self, Write},
    path::Path,
};
use tempfile::NamedTempFile;

/// Unpacks the kernel where that is worth it. Where it does not work the kernel unpacks itself.
pub(super) async fn unpacked(config: &MachineConfig) -> Option<NamedTempFile> {
    let x86 = config.architecture != Architecture::Arm64;
    let Boot::Kernel { kernel, .. } = &config.boot else { return None };
    if !x86 || config.accelerator != Accelerator::Tcg {
        return None;
    }
    let (kernel, log) = (kernel.clone(), config.log.clone());
    let unpack = move || {
        let unpacked = kernel_image::unpacked(&fs_err::read(kernel).ok()?)?;
        beside(&log, &unpacked).ok()
    };
    tokio::task::spawn_blocking(unpack).await.ok().flatten()
}

/// Writes what stands for an unpacked kernel.
pub(super) fn placeholder(config: &MachineConfig) -> io::Result<NamedTempFile> {
    beside(&config.log, &kernel_image::placeholder())
}

/// Returns the machine with this kernel in place of its own.
pub(super) fn instead<'a>(config: &'a MachineConfig, file: Option<&NamedTempFile>) -> Cow<'a, MachineConfig> {
    let mut config = Cow::Borrowed(config);
    if let Some(file) = file
        && let Boot::Kernel { kernel, .. } = &mut config.to_mut().boot
    {
        *kernel = file.path().to_owned();
    }
    config
}

fn beside(log: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let mut file = NamedTempFile::with_prefix_in("kernel-", log.parent().unwrap_or(Path::new(".")))?;
    file.write_all(bytes)?;
    Ok(file)
}
