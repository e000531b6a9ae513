//! Real packages, disks and tools.

mod bootstrap;
mod fetched_kernel;
