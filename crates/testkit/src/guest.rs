//! A guest that boots a disk by itself under QEMU.

use anyhow::Result;
use std::{path::Path, time::Duration};

/// A running QEMU; killed when dropped.
#[derive(Debug)]
pub struct Guest {}

impl Guest {
    /// Boots a disk under SeaBIOS on a throw-away overlay; `format` is `raw` or `qcow2`.
    ///
    /// # Errors
    /// When QEMU does not start.
    pub fn boot(disk: &Path, format: &str) -> Result<Self> {
        todo!("{disk:?} {format}")
    }

    /// As [`Guest::boot`], under OVMF.
    ///
    /// # Errors
    /// When QEMU does not start.
    pub fn boot_uefi(disk: &Path, format: &str) -> Result<Self> {
        todo!("{disk:?} {format}")
    }

    /// Waits until the console has said `text`; the error holds the console's last lines.
    ///
    /// # Errors
    /// When the time is over or QEMU ended.
    pub fn wait_for_console(&mut self, text: &str, timeout: Duration) -> Result<()> {
        todo!("{text} {timeout:?}")
    }

    /// Returns everything the console said so far.
    ///
    /// # Errors
    /// When the console's file cannot be read.
    pub fn console(&self) -> Result<String> {
        todo!()
    }

    /// Returns the loopback port that is forwarded to the guest's port 80.
    #[must_use]
    pub fn http_port(&self) -> u16 {
        todo!()
    }
}
