//! EC2's errors: a code for scripts and a sentence for people.

use kiln_types::{AccountId, DeviceName, ImageId, ImageName, SnapshotId, Timestamp};

/// An operation on image records that failed. The texts of refusals are EC2's own, upper case and full stop where it
/// has them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(
    clippy::error_impl_error,
    reason = "a crate has one error, and its path names it: `kiln_catalog::Error`"
)]
pub enum Error {
    /// The region could not be read or written.
    #[error("the region could not be read or written")]
    Store(#[from] kiln_store::Error),
    /// Another image of this owner holds the name.
    #[error("AMI name {name} is already in use by AMI {holder}")]
    NameDuplicate {
        /// The name.
        name: ImageName,
        /// The image that holds it.
        holder: ImageId,
    },
    /// A mapping names a snapshot that is not there.
    #[error("The snapshot ID '{id}' does not exist")]
    SnapshotNotFound {
        /// The snapshot.
        id: SnapshotId,
    },
    /// No mapping gives the root device a snapshot.
    #[error("No root snapshot specified in device mapping.")]
    NoRootSnapshot,
    /// The root is made from a bundle, and a mapping stands for it as well.
    #[error("The root device '{device}' is made from a bundle, and takes no block device mapping")]
    RootIsBundled {
        /// The root device.
        device: DeviceName,
    },
    /// Two mappings have the same device name.
    #[error("The device '{device}' is used in more than one block-device mapping")]
    DeviceDuplicate {
        /// The device.
        device: DeviceName,
    },
    /// A volume is smaller than its snapshot.
    #[error("Volume of size {size}GB is smaller than snapshot '{snapshot}', expect size >= {least}GB")]
    VolumeTooSmall {
        /// The size asked for, in GiB.
        size: u32,
        /// The snapshot.
        snapshot: SnapshotId,
        /// The snapshot's volume size in GiB.
        least: u32,
    },
    /// A mapping gives neither a snapshot nor a size.
    #[error("Either a snapshot or a size must be given for the volume of device '{device}'")]
    VolumeWithoutSize {
        /// The device.
        device: DeviceName,
    },
    /// A mapping cannot be read.
    #[error("The block-device mapping '{text}' is invalid: {why}")]
    MappingMalformed {
        /// The text.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// A volume breaks a rule of its kind.
    #[error("The volume of device '{device}' is invalid: {why}")]
    Volume {
        /// The device.
        device: DeviceName,
        /// Which rule.
        why: String,
    },
    /// A virtual name is not one of EC2's.
    #[error("The virtual name '{name}' of device '{device}' is not one of ephemeral0 to ephemeral23")]
    VirtualName {
        /// The name.
        name: String,
        /// The device.
        device: DeviceName,
    },
    /// No image has this id, or the account may not see it.
    #[error("The image id '[{id}]' does not exist")]
    ImageNotFound {
        /// The id.
        id: ImageId,
    },
    /// The image was deregistered.
    #[error("The image ID '{id}' is no longer available")]
    ImageUnavailable {
        /// The id.
        id: ImageId,
    },
    /// A text that should be an id has not its shape.
    #[error("Invalid id: \"{text}\"")]
    IdMalformed {
        /// The text.
        text: String,
    },
    /// No image holds this name.
    #[error("The image name '{name}' does not exist")]
    NameNotFound {
        /// The name as it was given.
        name: String,
    },
    /// The image is registered, and the one it replaces is still there.
    #[error("Image '{id}' is registered, and '{replaced}', which it replaces, could not be deregistered")]
    Replaced {
        /// The new image.
        id: ImageId,
        /// The image that lost its name.
        replaced: ImageId,
        /// What the region said.
        source: Box<Self>,
    },
    /// Another writer took this registration for dead and ended it.
    #[error("The registration of image '{id}' was ended by another that wanted the same name")]
    RegistrationEnded {
        /// The image that will never be.
        id: ImageId,
    },
    /// Only the owner may do this.
    #[error("Not authorized for image:{id}")]
    NotAuthorized {
        /// The image.
        id: ImageId,
    },
    /// Only the snapshot's owner may do this.
    #[error("Not authorized for snapshot:{id}")]
    NotAuthorizedForSnapshot {
        /// The snapshot.
        id: SnapshotId,
    },
    /// An image is shared with the account, and what it is made of is not. The text is CopyImage's.
    #[error("You do not have permission to access the storage of this ami")]
    StorageNotShared {
        /// The account.
        account: AccountId,
        /// The image's snapshots that the account does not see.
        snapshots: Vec<SnapshotId>,
    },
    /// Its owner protects it.
    #[error("The image '{id}' is protected from deregistration.")]
    Protected {
        /// The image.
        id: ImageId,
    },
    /// Its protection was taken away, and has a day to run.
    #[error("The image '{id}' stays protected from deregistration until {until}.")]
    Cooldown {
        /// The image.
        id: ImageId,
        /// When it ends.
        until: Timestamp,
    },
    /// It cannot be restored.
    #[error("The image '{id}' is not in the Recycle Bin")]
    NotInBin {
        /// The image.
        id: ImageId,
    },
    /// In this state it cannot be done.
    #[error("The image '{id}' is in state '{state}', in which that cannot be done")]
    IncorrectState {
        /// The image.
        id: ImageId,
        /// Its state.
        state: &'static str,
    },
    /// What sellers sell is not public.
    #[error("The image '{id}' has product codes and cannot be made public")]
    ProductCodePublic {
        /// The image.
        id: ImageId,
    },
    /// A launch permission is none.
    #[error("Invalid attribute item value \"{text}\" for userId item type.")]
    PermissionMalformed {
        /// The text.
        text: String,
    },
    /// An owner is none.
    #[error("Invalid owner '{text}'")]
    OwnerMalformed {
        /// The text.
        text: String,
    },
    /// An account of a query is none.
    #[error("Invalid account '{text}'")]
    UserMalformed {
        /// The text.
        text: String,
    },
    /// No filter has this name.
    #[error("The filter '{name}' is invalid")]
    FilterUnknown {
        /// The name.
        name: String,
    },
    /// A filter lets nothing through.
    #[error("The filter '{name}' has no value")]
    FilterEmpty {
        /// The name.
        name: String,
    },
    /// A description is too long.
    #[error("The description is longer than 255 characters")]
    DescriptionTooLong,
    /// A deprecation lies in the past.
    #[error("The deprecation time {time} has passed")]
    DeprecationPassed {
        /// The time.
        time: Timestamp,
    },
    /// More tags than a resource may have.
    #[error("{count} tags, where a resource may have 50")]
    TooManyTags {
        /// How many.
        count: usize,
    },
    /// A tag breaks a rule.
    #[error("Invalid tag key '{key}': {why}")]
    Tag {
        /// Its key.
        key: String,
        /// Which rule.
        why: &'static str,
    },
}

impl Error {
    /// Returns EC2's code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Store(_) | Self::Replaced { .. } => "InternalError",
            Self::NameDuplicate { .. } => "InvalidAMIName.Duplicate",
            Self::SnapshotNotFound { .. } => "InvalidSnapshotID.NotFound",
            Self::NoRootSnapshot
            | Self::RootIsBundled { .. }
            | Self::DeviceDuplicate { .. }
            | Self::VolumeTooSmall { .. }
            | Self::VolumeWithoutSize { .. }
            | Self::MappingMalformed { .. }
            | Self::VirtualName { .. } => "InvalidBlockDeviceMapping",
            Self::ImageNotFound { .. } | Self::NameNotFound { .. } => "InvalidAMIID.NotFound",
            Self::ImageUnavailable { .. } | Self::RegistrationEnded { .. } => "InvalidAMIID.Unavailable",
            Self::IdMalformed { .. } => "InvalidAMIID.Malformed",
            Self::NotAuthorized { .. } | Self::NotAuthorizedForSnapshot { .. } => "AuthFailure",
            Self::Protected { .. } | Self::Cooldown { .. } => "OperationNotPermitted",
            Self::IncorrectState { .. } => "IncorrectState",
            Self::PermissionMalformed { .. } => "InvalidAMIAttributeItemValue",
            Self::NotInBin { .. } => "InvalidAMIID.NotFound",
            Self::TooManyTags { .. } => "TagLimitExceeded",
            Self::ProductCodePublic { .. } | Self::StorageNotShared { .. } => "InvalidRequest",
            Self::OwnerMalformed { .. }
            | Self::UserMalformed { .. }
            | Self::FilterUnknown { .. }
            | Self::FilterEmpty { .. }
            | Self::DescriptionTooLong
            | Self::DeprecationPassed { .. }
            | Self::Volume { .. }
            | Self::Tag { .. } => "InvalidParameterValue",
        }
    }

    /// Returns a way out where one is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.hint(),
            Self::NameDuplicate { holder, .. } => Some(format!("kiln image show {holder}")),
            Self::ImageNotFound { .. } | Self::NameNotFound { .. } | Self::IdMalformed { .. } => {
                Some("kiln image list".to_owned())
            }
            Self::SnapshotNotFound { .. } => Some("kiln snapshot list".to_owned()),
            Self::StorageNotShared { account, snapshots } => {
                let share = |id| format!("kiln snapshot share {id} --add account:{account}");
                let commands: Vec<_> = snapshots.iter().map(share).collect();
                Some(format!("{}   # as the owner", commands.join(" && ")))
            }
            Self::Protected { id } => Some(format!("kiln image edit {id} --protection disabled")),
            Self::NotInBin { .. } => Some("kiln image list --recycle-bin".to_owned()),
            Self::FilterUnknown { .. } | Self::FilterEmpty { .. } => {
                Some("--filter 'name=debian-*' --filter tag:Role=web".to_owned())
            }
            Self::PermissionMalformed { .. } => {
                Some("public, account:123456789012, or the ARN of an organization".to_owned())
            }
            Self::OwnerMalformed { .. } => {
                Some("self, community, marketplace, or an account's 12 digits".to_owned())
            }
            _ => None,
        }
    }
}
