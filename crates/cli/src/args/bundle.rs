//! `kiln bundle`.

use clap::{Args as ClapArgs, Subcommand};
use kiln_types::{AccountId, ByteSize};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum Bundle {
    /// Make a bundle of an image's, a snapshot's or a file's disk
    Create(Box<BundleCreate>),
    /// Check a bundle and write its disk to a file
    Extract(BundleExtract),
    /// Check a bundle as extract does, and write nothing
    Verify(BundleVerify),
    /// Show what a manifest says; nothing is checked
    Show(BundleShow),
    /// Bring a bundle from a folder to s3://…; once more takes up what was cut off
    Upload(BundleTransfer),
    /// Bring a bundle from s3://… to a folder; once more takes up what was cut off
    Download(BundleTransfer),
    /// Remove a bundle: its parts, then its manifest
    Delete(BundleDelete),
    /// Make a throw-away certificate and its private key
    Keygen(BundleKeygen),
    /// Write a bundle's manifest anew for another region; its parts stay
    Migrate(BundleMigrate),
}

#[derive(Debug, Clone, ClapArgs)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct BundleCreate {
    /// An image's id or name, a snapshot's id, or a disk file
    #[arg(value_name = "IMAGE|SNAPSHOT|FILE")]
    pub(crate) source: String,
    /// Of a disk file: raw, qcow2, vmdk, vhd, vhdx or vdi [default: by its first bytes]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// The bundle's name, which its files begin with
    #[arg(long, value_name = "NAME")]
    pub(crate) prefix: String,
    /// The place for the parts and the manifest: a folder, or s3://BUCKET/PREFIX
    #[arg(long, short, value_name = "DIR|S3")]
    pub(crate) output: String,
    /// The account that owns the bundle
    #[arg(long, value_name = "ACCOUNT")]
    pub(crate) user: AccountId,
    /// The user's certificate
    #[arg(long, value_name = "FILE")]
    pub(crate) cert: PathBuf,
    /// The certificate's private key: it signs the manifest
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// The region's certificate: its key opens the bundle too
    #[arg(long, value_name = "FILE")]
    pub(crate) ec2cert: PathBuf,
    /// The machine's architecture as manifests call it
    #[arg(long, value_name = "ARCH", value_parser = ["x86_64", "i386", "arm64"], default_value = "x86_64")]
    pub(crate) arch: String,
    /// Bundle this partition alone
    #[arg(long, value_name = "N", conflicts_with = "whole_disk")]
    pub(crate) partition: Option<u32>,
    /// Bundle the whole disk [default, unless --kernel is given: then the root file system alone]
    #[arg(long)]
    pub(crate) whole_disk: bool,
    /// A device that the machine is to see, like root=/dev/sda1; may be given many times
    #[arg(long = "block-device-mapping", value_name = "VIRTUAL=DEVICE", value_parser = super::name_and_value)]
    pub(crate) mappings: Vec<(String, String)>,
    /// The kernel's id, of paravirtual machines
    #[arg(long, value_name = "AKI")]
    pub(crate) kernel: Option<String>,
    /// The RAM disk's id, of paravirtual machines
    #[arg(long, value_name = "ARI")]
    pub(crate) ramdisk: Option<String>,
    /// Bytes of a part
    #[arg(long, value_name = "SIZE", default_value = "10MiB")]
    pub(crate) part_size: ByteSize,
    /// How hard to compress
    #[arg(long, value_name = "1-9", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=9))]
    pub(crate) level: u32,
    /// Write holes as zeros, for readers that know no sparse archives
    #[arg(long)]
    pub(crate) dense: bool,
    /// Encrypt with a key that is known to everybody, so that the same disk makes the same parts: for tests
    #[arg(long)]
    pub(crate) reproducible: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct BundleExtract {
    #[command(flatten)]
    pub(crate) bundle: BundleVerify,
    /// The file to write; one that exists is replaced when the new one is whole
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct BundleVerify {
    /// The manifest, a file or s3://…; the parts lie beside it
    #[arg(value_name = "MANIFEST")]
    pub(crate) manifest: String,
    /// The private key of the user's or of the region's certificate
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// The user's certificate: checks the manifest's signature, as the user's own key does without it
    #[arg(long, value_name = "FILE")]
    pub(crate) cert: Option<PathBuf>,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct BundleShow {
    /// The manifest, a file or s3://…
    #[arg(value_name = "MANIFEST")]
    pub(crate) manifest: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct BundleTransfer {
    /// The manifest, a file or s3://…; the parts lie beside it
    #[arg(value_name = "MANIFEST")]
    pub(crate) manifest: String,
    /// Where the bundle is to lie: a folder, or s3://BUCKET/PREFIX
    #[arg(value_name = "DIR|S3")]
    pub(crate) to: String,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct BundleDelete {
    /// The manifest, a file or s3://…; the parts lie beside it
    #[arg(value_name = "MANIFEST")]
    pub(crate) manifest: String,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct BundleKeygen {
    /// The folder for cert.pem and key.pem, neither of which may be there
    #[arg(long, short, value_name = "DIR")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct BundleMigrate {
    /// The manifest, a file or s3://…
    #[arg(value_name = "MANIFEST")]
    pub(crate) manifest: String,
    /// The new manifest's name beside the old one [default: the old one is replaced]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// The user's certificate, whose key signed the manifest
    #[arg(long, value_name = "FILE")]
    pub(crate) cert: PathBuf,
    /// The certificate's private key: it signs the new manifest
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// The other region's certificate
    #[arg(long, value_name = "FILE")]
    pub(crate) ec2cert: Option<PathBuf>,
    /// The kernel's id there
    #[arg(long, value_name = "AKI")]
    pub(crate) kernel: Option<String>,
    /// The RAM disk's id there
    #[arg(long, value_name = "ARI")]
    pub(crate) ramdisk: Option<String>,
}
