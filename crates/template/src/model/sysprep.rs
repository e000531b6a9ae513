//! `[sysprep]`: what is taken out of the guest after the last step.

use crate::names::words;
use serde::Serialize;
use std::collections::BTreeSet;

/// What is taken out of the guest after the last step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sysprep {
    /// Whether anything is.
    pub enabled: bool,
    /// What stays all the same.
    pub keep: BTreeSet<SysprepItem>,
}

impl Default for Sysprep {
    fn default() -> Self {
        Self { enabled: true, keep: BTreeSet::new() }
    }
}

impl Sysprep {
    /// Says whether an item is to be done.
    #[must_use]
    pub fn does(&self, item: SysprepItem) -> bool {
        self.enabled && !self.keep.contains(&item)
    }
}

words! {
    /// What belongs to the machine that an image was built in, and not into the image.
    pub enum SysprepItem {
        /// `/etc/machine-id` and D-Bus's copy.
        MachineId = "machine-id",
        /// The SSH server's own keys.
        SshHostKeys = "ssh-host-keys",
        /// What cloud-init keeps of the instance it ran on.
        CloudInit = "cloud-init",
        /// Addresses that DHCP servers gave.
        DhcpLeases = "dhcp-leases",
        /// Seeds of random generators.
        RandomSeed = "random-seed",
        /// Logs and journals.
        Logs = "logs",
        /// What people typed into shells.
        ShellHistory = "shell-history",
        /// Lists and caches of package managers.
        Apt = "apt",
        /// What lies in `/tmp` and `/var/tmp`.
        TemporaryFiles = "temporary-files",
        /// Rules and settings bound to this machine's network card.
        NetRules = "net-rules",
        /// Free blocks, given back.
        Trim = "trim",
        /// The search for values of sensitive variables in what changed.
        SecretsScan = "secrets-scan",
    }
}
