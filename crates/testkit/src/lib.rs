//! Development only: temporary worlds, a base disk made in seconds, and guests that boot it.

mod guest;
mod tiny;
mod world;

pub use guest::Guest;
pub use tiny::{TinyBase, Variant, tiny_base, tiny_base_variant};
pub use world::World;
