//! Real packages, disks and tools.

mod fetched_kernel;
