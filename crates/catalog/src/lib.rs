//! Image records under EC2's names and rules.
//!
//! ```text
//! images/ami-…/00000001.json                      the record, one object a version      (image.rs)
//! names/<owner>/<sha256 of the name>/00000001.json who holds a name, create-only         (name.rs)
//! ```
//! Errors carry EC2's codes, and their texts are EC2's sentences, word for word, so that scripts and people who know
//! EC2 recognise them.

mod catalog;
mod copy;
mod edit;
mod error;
mod filter;
mod image;
mod index;
mod launch;
mod lifecycle;
mod mapping;
mod name;
mod new_image;
mod pending;
mod permission;
mod query;
mod records;
mod resolve;
mod snapshot;
mod tags;
mod usage;

pub use catalog::Catalog;
pub use copy::CopyImage;
pub use edit::{ImageEdit, check_description};
pub use error::Error;
pub use filter::Filter;
pub use image::{
    BootMode, DeregistrationProtection, DescribeImages, Image, ImageKiln, ImageState, ImdsSupport,
    ProductCode, RecycleBin, StateReason, TpmSupport, VirtualizationType,
};
pub use kiln_store::Tag;
pub use lifecycle::{After, Decision, LifecycleAction, LifecycleRules};
pub use mapping::{BlockDevice, BlockDeviceMapping, EbsBlockDevice, VolumeType};
pub use new_image::{NewBlockDevice, NewBundle, NewEbs, NewImage, NewMapping};
pub use permission::{LaunchPermission, Viewer};
pub use query::{ImageQuery, MARKETPLACE, Owner, Sort};
pub use snapshot::{RestorableBy, SnapshotQuery, Who};
pub use tags::change as change_tags;
