//! Development only: temporary worlds, a base disk made in seconds, and guests that boot a disk by itself.

mod guest;
mod tiny;
mod world;

pub use guest::{Firmware, Guest};
pub use tiny::{MARKER, TinyBase, Variant, tiny_base, tiny_base_variant};
pub use world::World;
