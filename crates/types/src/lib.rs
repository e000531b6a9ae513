//! Ids, digests, sizes and names: values that are parsed once into a type that cannot be wrong.
//!
//! **Invariant:** this crate does no I/O and knows no format; every type parses with [`std::str::FromStr`],
//! prints with [`std::fmt::Display`], and travels through serde as that text; a [`Grantee`] in EC2's shape.

mod account;
mod architecture;
mod block;
mod boot_command;
mod device;
mod digest;
mod duration;
mod error;
mod grantee;
mod id;
mod image_name;
mod region;
mod size;
mod text;
mod timestamp;

pub use account::AccountId;
pub use architecture::{Architecture, RootDeviceType};
pub use block::{BLOCK_SIZE, BlockIndex};
pub use boot_command::{BootAction, BootCommand, BootCommandError, Key, Named, PLACEHOLDERS};
pub use device::DeviceName;
pub use digest::Digest;
pub use duration::TimeSpan;
pub use error::ParseError;
pub use grantee::{Grantee, Group};
pub use id::{ImageId, InstanceId, SnapshotId, VolumeId};
pub use image_name::ImageName;
pub use region::RegionName;
pub use size::ByteSize;
pub use timestamp::Timestamp;
