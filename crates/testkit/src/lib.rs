//! Development only: temporary worlds, the command in one of them, a base disk made in seconds, and guests that boot a disk by itself.

mod command;
mod guest;
mod installer;
mod kernel;
mod tiny;
mod world;

pub use command::{Kiln, LONG, Run, Started, tiny_template, tool};
pub use guest::{Firmware, Guest};
pub use installer::{INSTALLED, Installer, PARTITION, QUESTION, installer};
pub use kernel::{CloudKernel, cloud_kernel};
pub use tiny::{MARKER, TinyBase, Variant, tiny_base, tiny_base_variant};
pub use world::World;
