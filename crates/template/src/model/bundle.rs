//! `[bundle]`: an image whose root is made from a bundle.

use crate::{model::HostPath, names::words};
use kiln_types::{AccountId, ByteSize};
use serde::Serialize;

words! {
    /// `image.root_device_type`, in EC2's words.
    pub enum RootDeviceType {
        /// The root is a volume made from a snapshot.
        Ebs = "ebs",
        /// The root is made from a bundle.
        InstanceStore = "instance-store",
    }
}

/// The bundle that a build makes of the root disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bundle {
    /// The account that the manifest names.
    pub user: AccountId,
    /// The user's certificate; what it is for opens with their key.
    pub cert: HostPath,
    /// The user's private key, which signs the manifest.
    pub key: HostPath,
    /// The certificate of who makes roots from it: EC2's of a region, or one of one's own.
    pub ec2cert: HostPath,
    /// What the bundle's files are called; `None` is the image's name.
    pub prefix: Option<String>,
    /// The largest size of a part.
    pub part_size: ByteSize,
    /// How hard it is compressed.
    pub level: u32,
    /// The partition that is bundled instead of the whole disk.
    pub partition: Option<u32>,
    /// The kernel of a paravirtual machine.
    pub kernel: Option<String>,
    /// The initial RAM disk of a paravirtual machine.
    pub ramdisk: Option<String>,
}
