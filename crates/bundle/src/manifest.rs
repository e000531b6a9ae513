//! The manifest: what a bundle is, its parts, its keys under RSA, and a signature over all of it.
//!
//! ```text
//! <?xml version='1.0'?><manifest><version>2007-10-10</version><bundler>…</bundler>
//! ┌ signed, byte for byte ──────────────────────────────────────────────────────────────────────┐
//! │ <machine_configuration>…</machine_configuration><image>…</image>                              │
//! └─────────────────────────────────────────────────────────────────────────────────────────────┘
//! <signature>…</signature></manifest>
//! ```
//! One line, single quotes, no empty elements, in the order of `ec2-bundle-image`: Amazon checks the order, and
//! `ec2-migrate-manifest` checks the signature over the document as REXML writes it again, which is then the same bytes.

pub(crate) mod read;
mod xml;

use crate::{Error, hex, keys::PrivateKey};
use quick_xml::escape::escape;
use std::fmt::Write as _;

/// As Eucalyptus has it.
pub(crate) const MAX_MANIFEST: u64 = 5 << 20;
/// The one version that is written and read.
pub(crate) const VERSION: &str = "2007-10-10";

/// What an image of a bundle is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ImageType {
    /// A root file system or a disk.
    #[default]
    Machine,
    /// A kernel.
    Kernel,
    /// A RAM disk.
    Ramdisk,
}

impl ImageType {
    /// Returns the manifest's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Machine => "machine",
            Self::Kernel => "kernel",
            Self::Ramdisk => "ramdisk",
        }
    }
}

/// A device that the machine is to see.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mapping {
    /// `ami`, `root`, `swap` or `ephemeral0`.
    pub virtual_name: String,
    /// `sda1`.
    pub device: String,
}

/// The machine that an image is for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MachineConfiguration {
    /// `i386`, `x86_64`, or another that the region knows.
    pub architecture: String,
    /// Devices, by their virtual names.
    pub mappings: Vec<Mapping>,
    /// `aki-…`.
    pub kernel_id: Option<String>,
    /// `ari-…`.
    pub ramdisk_id: Option<String>,
    /// Product codes.
    pub product_codes: Vec<String>,
}

/// One file of the encrypted stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its name beside the manifest.
    pub name: String,
    /// Its SHA-1, in hexadecimal.
    pub digest: String,
}

/// A 16-byte secret under RSA, in hexadecimal: for EC2, and for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Under the key of the region's certificate.
    pub ec2: String,
    /// Under the key of the user's certificate.
    pub user: String,
}

/// Everything that a manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Who made it: name, version, release.
    pub bundler: [String; 3],
    /// The machine that it is for.
    pub machine: MachineConfiguration,
    /// The bundle's name: the prefix of its files.
    pub name: String,
    /// The account that owns it: 12 digits.
    pub user: String,
    /// What it is.
    pub kind: ImageType,
    /// The kernel's name, of a kernel.
    pub kernel_name: Option<String>,
    /// Images that this one comes from.
    pub ancestors: Vec<String>,
    /// The SHA-1 of the archive, in hexadecimal.
    pub digest: String,
    /// The disk's bytes.
    pub size: u64,
    /// All parts' bytes.
    pub bundled_size: u64,
    /// The key.
    pub key: Sealed,
    /// The initialisation vector.
    pub iv: Sealed,
    /// The parts, in order.
    pub parts: Vec<Part>,
}

/// A manifest as it was read, with what its signature covers.
#[derive(Debug, Clone)]
pub struct SignedManifest {
    /// What it says.
    pub manifest: Manifest,
    pub(crate) signed: String,
    pub(crate) signature: Option<Vec<u8>>,
}

impl Manifest {
    /// Writes the manifest, signed.
    pub(crate) fn write(&self, key: &PrivateKey) -> Result<String, Error> {
        let signed = self.signed_text();
        let signature = hex::encode(&key.sign(signed.as_bytes())?);
        let mut head = Writer::default();
        head.element("version", VERSION);
        let [name, version, release] = &self.bundler;
        head.within("bundler", |bundler| {
            bundler.element("name", name);
            bundler.element("version", version);
            bundler.element("release", release);
        });
        Ok(format!(
            "<?xml version='1.0'?><manifest>{}{signed}<signature>{signature}</signature></manifest>",
            head.0
        ))
    }

    fn signed_text(&self) -> String {
        let mut out = Writer::default();
        out.within("machine_configuration", |out| self.machine.write(out));
        out.within("image", |out| self.write_image(out));
        out.0
    }

    fn write_image(&self, out: &mut Writer) {
        out.element("name", &self.name);
        out.element("user", &self.user);
        out.element("type", self.kind.as_str());
        out.optional("kernel_name", self.kernel_name.as_deref());
        if !self.ancestors.is_empty() {
            out.within("ancestry", |out| {
                self.ancestors.iter().for_each(|id| out.element("ancestor_ami_id", id));
            });
        }
        out.with("digest", "algorithm='SHA1'", &self.digest);
        out.element("size", &self.size.to_string());
        out.element("bundled_size", &self.bundled_size.to_string());
        out.with("ec2_encrypted_key", "algorithm='AES-128-CBC'", &self.key.ec2);
        out.with("user_encrypted_key", "algorithm='AES-128-CBC'", &self.key.user);
        out.element("ec2_encrypted_iv", &self.iv.ec2);
        out.element("user_encrypted_iv", &self.iv.user);
        write!(out.0, "<parts count='{}'>", self.parts.len()).expect("a string takes what is written");
        for (index, part) in self.parts.iter().enumerate() {
            write!(out.0, "<part index='{index}'>").expect("a string takes what is written");
            out.element("filename", &part.name);
            out.with("digest", "algorithm='SHA1'", &part.digest);
            out.0.push_str("</part>");
        }
        out.0.push_str("</parts>");
    }
}

impl MachineConfiguration {
    fn write(&self, out: &mut Writer) {
        out.element("architecture", &self.architecture);
        if !self.mappings.is_empty() {
            let mut mappings: Vec<_> = self.mappings.iter().collect();
            mappings.sort();
            out.within("block_device_mapping", |out| {
                for mapping in mappings {
                    out.within("mapping", |out| {
                        out.element("virtual", &mapping.virtual_name);
                        out.element("device", &mapping.device);
                    });
                }
            });
        }
        out.optional("kernel_id", self.kernel_id.as_deref());
        out.optional("ramdisk_id", self.ramdisk_id.as_deref());
        if !self.product_codes.is_empty() {
            out.within("product_codes", |out| {
                self.product_codes.iter().for_each(|code| out.element("product_code", code));
            });
        }
    }
}

#[derive(Default)]
struct Writer(String);

impl Writer {
    fn element(&mut self, name: &str, text: &str) {
        self.within(name, |out| out.0.push_str(&escape(text)));
    }

    fn optional(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.element(name, text);
        }
    }

    fn with(&mut self, name: &str, attribute: &str, text: &str) {
        write!(self.0, "<{name} {attribute}>{}</{name}>", escape(text))
            .expect("a string takes what is written");
    }

    fn within(&mut self, name: &str, content: impl FnOnce(&mut Self)) {
        write!(self.0, "<{name}>").expect("a string takes what is written");
        content(self);
        write!(self.0, "</{name}>").expect("a string takes what is written");
    }
}
