//! The NoCloud seed: a disk from which cloud-init takes a key of the user's and one of the guest's.
//!
//! ```text
//! CIDATA/meta-data   the instance's id: a new one makes cloud-init do its work again
//!        user-data   `#cloud-config`, and JSON, which is YAML; an instance's is its owner's
//!        vendor-data what Kiln gives an instance
//! ```
//! It is an ISO 9660 file system on a disk that the guest's initrd has a driver for: cloud-init looks for it before others
//! are loaded, and Debian's cloud kernel drives no CD of these machines at all. There is no `network-config`: cloud-init
//! then asks the network card's DHCP, which QEMU answers, and what it writes into the image fits every other machine.

use crate::{
    communicator::ssh::{KeyPair, SshError},
    medium::{Contents, MediumError, write_cd},
};
use serde_json::json;
use std::path::Path;

/// The label by which cloud-init finds it.
const LABEL: &str = "cidata";

/// What a guest is to be given.
#[derive(Debug, Clone)]
pub struct Seed {
    /// What cloud-init takes for another machine than the last one.
    pub instance_id: String,
    /// The guest's name; `None` leaves the image its own.
    pub hostname: Option<String>,
    /// The user who is let in; made where the image has none of that name.
    pub user: String,
    /// The line of `authorized_keys` that lets them in.
    pub authorized_key: String,
    /// The guest's host key.
    pub host_key: KeyPair,
}

/// What an instance is given, for as long as it lives.
#[derive(Debug, Clone)]
pub struct InstanceSeed {
    /// The instance's id.
    pub instance_id: String,
    /// The instance's name.
    pub hostname: String,
    /// The line of `authorized_keys` that lets its owner in.
    pub authorized_key: String,
    /// The instance's host key.
    pub host_key: KeyPair,
    /// What its owner gives it: a script, `#cloud-config`, …
    pub user_data: Option<Vec<u8>>,
}

/// Why there is no seed.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the NoCloud seed")]
pub enum SeedError {
    /// The key cannot be written.
    Key(#[from] SshError),
    /// The image cannot be made.
    Medium(#[from] MediumError),
}

impl Seed {
    /// Writes the disk's image.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), SeedError> {
        let mut contents = Contents::default();
        contents.add("meta-data", self.meta_data().into_bytes())?;
        contents.add("user-data", self.user_data()?.into_bytes())?;
        Ok(write_cd(path, LABEL, &contents)?)
    }

    fn meta_data(&self) -> String {
        let mut data = json!({ "instance-id": self.instance_id });
        if let Some(hostname) = &self.hostname {
            data["local-hostname"] = json!(hostname);
        }
        format!("{data}\n")
    }

    fn user_data(&self) -> Result<String, SshError> {
        let mut user = json!({ "name": self.user, "ssh_authorized_keys": [self.authorized_key] });
        if self.user != "root" {
            user["sudo"] = json!("ALL=(ALL) NOPASSWD:ALL");
            user["shell"] = json!("/bin/sh");
        }
        let data = json!({
            "users": [user],
            "disable_root": false,
            "preserve_hostname": self.hostname.is_none(),
            "ssh_keys": {
                "ed25519_private": self.host_key.private_openssh()?,
                "ed25519_public": self.host_key.public_line(""),
            },
        });
        Ok(format!("#cloud-config\n{data}\n"))
    }

    /// Returns a shell script that takes out of the guest again what cloud-init made of the seed beside its own state and
    /// the host keys, which `sysprep` takes out. Without `sudo`'s rule nobody but root can do anything afterwards: it goes
    /// last, before the guest is turned off.
    #[must_use]
    pub fn removal(&self) -> String {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
        format!(
            "key={} user={}\n{}",
            quoted(self.authorized_key.trim()),
            quoted(&self.user),
            include_str!("seed/remove.sh")
        )
    }
}

impl InstanceSeed {
    /// Writes the disk's image. What Kiln says goes into `vendor-data`: the owner's `user-data` stands above it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), SeedError> {
        let meta_data = json!({
            "instance-id": self.instance_id,
            "local-hostname": self.hostname,
            "public-keys": [self.authorized_key],
        });
        let vendor_data = json!({
            "disable_root": false,
            "ssh_keys": {
                "ed25519_private": self.host_key.private_openssh()?,
                "ed25519_public": self.host_key.public_line(""),
            },
        });
        let user_data = self.user_data.clone().unwrap_or_else(|| b"#cloud-config\n{}\n".to_vec());
        let mut contents = Contents::default();
        contents.add("meta-data", format!("{meta_data}\n").into_bytes())?;
        contents.add("vendor-data", format!("#cloud-config\n{vendor_data}\n").into_bytes())?;
        contents.add("user-data", user_data)?;
        Ok(write_cd(path, LABEL, &contents)?)
    }
}

#[cfg(test)]
mod tests;
