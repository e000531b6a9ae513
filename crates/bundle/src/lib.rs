//! Instance-store bundles: a disk as Amazon's `ec2-bundle-image` leaves it, made and read in one pass.
//!
//! ```text
//! disk ─→ tar (one member) ─→ gzip (one member) ─→ AES-128-CBC ─→ PREFIX.part.00, .01, …      (10 MiB each)
//!         SHA-1: image/digest   a thread a core                    SHA-1 of each part
//!                                                                  PREFIX.manifest.xml          (last)
//! ```
//! Holes of the disk are never read: the member is sparse in GNU tar's old form, which both stock readers take. Key and IV
//! stand in the manifest as hexadecimal text under RSA, once for the user and once for EC2; the manifest is signed.
//!
//! What is read is hostile until it is checked: every digest, size and count is compared, names are never paths, and a
//! bundle that fails anything leaves no file.
//!
//! **Invariant:** no temporary copy of the disk or of the compressed stream; memory does not grow with the disk.

mod archive;
mod create;
mod deflate;
mod error;
mod extract;
mod hex;
mod image;
mod keys;
mod manifest;
mod member;
mod migrate;
mod place;
mod seal;
mod transfer;
mod unseal;
mod watch;

pub use create::{Secret, Settings, create};
pub use error::Error;
pub use extract::{Extracted, extract, verify};
pub use image::{Image, RawImage, Slice};
pub use keys::{Certificate, PrivateKey, generate};
pub use manifest::{ImageType, MachineConfiguration, Manifest, Mapping, Part, Sealed, SignedManifest};
pub use migrate::{Changes, migrate};
pub use place::Place;
pub use seal::{DEFAULT_PART_SIZE, MAX_PART_SIZE};
pub use transfer::{Copied, copy, remove};
pub use watch::Watch;
