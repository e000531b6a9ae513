//! The record of an image, in the shape of EC2's DescribeImages.

use crate::{BlockDeviceMapping, LaunchPermission, Tag};
use kiln_types::{
    AccountId, Architecture, DeviceName, Digest, ImageId, ImageName, InstanceId, RegionName, RootDeviceType,
    SnapshotId, Timestamp,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The state of an image, with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "State", rename_all = "lowercase")]
#[non_exhaustive]
pub enum ImageState {
    /// It is being made; it will have its name when it is available.
    Pending,
    /// It can be launched.
    Available,
    /// Its making failed; it holds no name.
    Failed {
        /// Why.
        #[serde(rename = "StateReason")]
        reason: StateReason,
    },
    /// It cannot be launched, and lists leave it out.
    Disabled,
    /// It is gone: reading commands do not see it.
    Deregistered,
}

impl ImageState {
    /// Returns EC2's name of the state.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Available => "available",
            Self::Failed { .. } => "failed",
            Self::Disabled => "disabled",
            Self::Deregistered => "deregistered",
        }
    }

    /// Says whether an image in this state holds its name.
    pub(crate) const fn holds_name(&self) -> bool {
        matches!(self, Self::Available | Self::Disabled)
    }
}

/// Why an image is in its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StateReason {
    /// A code, like `Client.TestFailed`.
    pub code: String,
    /// A sentence for people.
    pub message: String,
}

/// How an image boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BootMode {
    /// By BIOS only.
    LegacyBios,
    /// By UEFI only.
    Uefi,
    /// By either, UEFI first.
    UefiPreferred,
}

/// The TPM that an image is launched with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TpmSupport {
    /// TPM 2.0.
    #[serde(rename = "v2.0")]
    V2_0,
}

/// The instance metadata service that an image is launched with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImdsSupport {
    /// Only the one that asks for a token.
    #[serde(rename = "v2.0")]
    V2_0,
}

/// What keeps an image from being deregistered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeregistrationProtection {
    /// Nothing.
    #[default]
    Disabled,
    /// It is protected.
    Enabled,
    /// It is protected, and stays so for a day after the protection is taken away.
    EnabledWithCooldown,
}

/// What a seller calls an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ProductCode {
    /// The code.
    pub product_code_id: String,
    /// `devpay` or `marketplace`.
    pub product_code_type: String,
}

/// How an image is virtualised. What Kiln builds knows one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VirtualizationType {
    /// Hardware virtual machine.
    #[default]
    Hvm,
    /// With a kernel that the host brings; only bundles have such.
    Paravirtual,
}

/// An image's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Image {
    /// The id.
    pub image_id: ImageId,
    /// The name; held by this image while it is pending or available.
    pub name: ImageName,
    /// What it is, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The state.
    #[serde(flatten)]
    pub state: ImageState,
    /// The account that owns it.
    pub owner_id: AccountId,
    /// Who the owner is, where everybody knows it: `aws-marketplace`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub image_owner_alias: Option<String>,
    /// Whether every account may launch it.
    pub public: bool,
    /// Who may launch it beside its owner; shown to the owner alone.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub launch_permissions: Vec<LaunchPermission>,
    /// When it was registered.
    pub creation_date: Timestamp,
    /// From when on others do not find it in lists.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub deprecation_time: Option<Timestamp>,
    /// When an instance was last made from it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_launched_time: Option<Timestamp>,
    /// `OWNER/NAME`, or the manifest of a bundle.
    pub image_location: String,
    /// EC2's `machine`.
    pub image_type: String,
    /// The processor architecture.
    pub architecture: Architecture,
    /// Where the root comes from.
    pub root_device_type: RootDeviceType,
    /// The device of the root volume.
    pub root_device_name: DeviceName,
    /// The devices.
    pub block_device_mappings: Vec<BlockDeviceMapping>,
    /// How it is virtualised.
    pub virtualization_type: VirtualizationType,
    /// How it boots, where it cannot do both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_mode: Option<BootMode>,
    /// `v2.0` where it is launched with a TPM.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tpm_support: Option<TpmSupport>,
    /// `v2.0` where instances take only requests with a token.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub imds_support: Option<ImdsSupport>,
    /// The kernel of a paravirtual image, as its bundle says.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kernel_id: Option<String>,
    /// The initial RAM disk of a paravirtual image, as its bundle says.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ramdisk_id: Option<String>,
    /// What sellers call it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub product_codes: Vec<ProductCode>,
    /// The image that it was copied from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source_image_id: Option<ImageId>,
    /// The region that it was copied from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source_image_region: Option<RegionName>,
    /// The instance that it was made from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source_instance_id: Option<InstanceId>,
    /// Always true: kept for scripts.
    pub ena_support: bool,
    /// EC2's `xen`, which it answers for every image.
    pub hypervisor: String,
    /// `windows`, or nothing.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub platform: Option<String>,
    /// EC2's `Linux/UNIX`.
    pub platform_details: String,
    /// EC2's `RunInstances`.
    pub usage_operation: String,
    /// What keeps it from being deregistered; shown to the owner alone.
    #[serde(default)]
    pub deregistration_protection: DeregistrationProtection,
    /// Tags.
    #[serde(default)]
    pub tags: Vec<Tag>,
    /// What EC2 has no name for.
    #[serde(default)]
    pub kiln: ImageKiln,
}

/// What Kiln knows of an image's making and EC2 has no name for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageKiln {
    /// The template's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// The digest of the template and all that it names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_digest: Option<Digest>,
    /// The moment that the build's `${build.timestamp}` stood for: the template read as of then gives this image's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_timestamp: Option<Timestamp>,
    /// What the build started from, for people: `bootstrap debian bookworm`, or an image's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// The images that this one grew from, the oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lineage: Vec<ImageId>,
    /// The digest of the tests that it passed last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tests: Option<Digest>,
    /// The cache keys of the base and each step, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<Digest>,
    /// The snapshot of the disk that the image's bundle was made of, in the same region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundled_from: Option<SnapshotId>,
    /// The UEFI variables that the image's machine ended with: zstd, then base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uefi_data: Option<String>,
    /// The state that the TPM of the image's machine ended with, by file: zstd, then base64.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tpm_data: BTreeMap<String, String>,
    /// Until when it is protected although its protection was taken away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protected_until: Option<Timestamp>,
    /// When it was deregistered, and until when that can be undone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recycle_bin: Option<RecycleBin>,
}

/// A deregistered image's time in the Recycle Bin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RecycleBin {
    /// When it came in.
    pub enter_time: Timestamp,
    /// When it is gone for good.
    pub exit_time: Timestamp,
}

/// The answer of DescribeImages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeImages {
    /// The images, by creation date and then id.
    pub images: Vec<Image>,
}
