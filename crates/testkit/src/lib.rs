//! Development only: temporary worlds, the command in one of them, a base disk made in seconds, guests that boot a disk by themselves, and a small S3.

mod command;
mod guest;
mod installer;
mod kernel;
mod s3;
mod tiny;
mod world;

pub use command::{Kiln, LONG, Run, Started, root_of, tiny_template, tool};
pub use guest::{Firmware, Guest};
pub use installer::{INSTALLED, Installer, PARTITION, QUESTION, installer};
pub use kernel::{CloudKernel, cloud_kernel};
pub use s3::S3;
pub use tiny::{MARKER, TinyBase, Variant, tiny_base, tiny_base_variant};
pub use world::World;
