//! `kiln image`.

use super::name_and_value;
use clap::{Args as ClapArgs, Subcommand};
use kiln_builder::catalog::{Filter, LaunchPermission, Owner};
use kiln_types::{Architecture, DeviceName, ImageId, ImageName, RegionName, TimeSpan, Timestamp};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum Image {
    /// List images, the newest last
    List(ImageList),
    /// Show one image
    Show(ImageShow),
    /// Show what differs between two images: blocks, files and Debian packages, without booting either
    Diff(ImageDiff),
    /// Store a disk file as a snapshot, and register an image of it
    Import(ImageImport),
    /// Register an image of snapshots that are there
    Register(ImageRegister),
    /// Say who may launch an image beside its owner
    Share(ImageShare),
    /// Change an image's description, tags, deprecation, protection or boot mode
    Edit(ImageEdit),
    /// Copy an image to another region; only the blocks that it lacks move
    Copy(ImageCopy),
    /// Take an image out of the catalogue; its snapshots stay, unless asked otherwise
    Deregister(ImageDeregister),
    /// Take a deregistered image out of the Recycle Bin
    Restore(ImageRestore),
}

#[derive(Debug, ClapArgs)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct ImageList {
    /// Whose images: self, community, marketplace or an account; several are alternatives
    #[arg(long = "owner", value_name = "OWNER")]
    pub(crate) owners: Vec<Owner>,
    /// Only images that have this, like name=debian-* or tag:Role=web,db; several must all fit
    #[arg(long = "filter", value_name = "NAME=VALUE[,VALUE]")]
    pub(crate) filters: Vec<Filter>,
    /// Only the newest
    #[arg(long)]
    pub(crate) latest: bool,
    /// Others' deprecated images too
    #[arg(long)]
    pub(crate) include_deprecated: bool,
    /// Disabled images too
    #[arg(long)]
    pub(crate) include_disabled: bool,
    /// The deregistered images that can be restored
    #[arg(long, conflicts_with_all = ["owners", "filters", "latest", "include_deprecated", "include_disabled"])]
    pub(crate) recycle_bin: bool,
    /// The order
    #[arg(long, value_name = "BY", value_enum, default_value_t = SortBy::CreationDate)]
    pub(crate) sort: SortBy,
    /// Print JSON, in the shape of EC2's API
    #[arg(long)]
    pub(crate) json: bool,
}

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum SortBy {
    CreationDate,
    Name,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ImageShow {
    /// An image's id or name
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,
    /// Print JSON, in the shape of EC2's API
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ImageDiff {
    /// The first: an image's id or name, or a snapshot's id
    #[arg(value_name = "IMAGE|SNAPSHOT")]
    pub(crate) old: String,
    /// The second
    #[arg(value_name = "IMAGE|SNAPSHOT")]
    pub(crate) new: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ImageImport {
    /// The disk: raw, qcow2, vmdk, vhd or vhdx, in a single file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The image's name
    #[arg(long, value_name = "NAME")]
    pub(crate) name: ImageName,
    /// The file's format [default: what its first bytes say, else raw]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// What the image is, for people
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// The processor that the disk is for: x86_64, i386 or arm64
    #[arg(long, value_name = "ARCHITECTURE", default_value_t = Architecture::X86_64)]
    pub(crate) architecture: Architecture,
    /// The disk boots by UEFI and not by BIOS
    #[arg(long)]
    pub(crate) uefi: bool,
    /// Tag the image and its snapshot; may be given many times
    #[arg(long = "tag", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub(crate) tags: Vec<(String, String)>,
    /// Take the name from the image that holds it
    #[arg(long)]
    pub(crate) replace: bool,
    /// Print JSON, in the shape of EC2's API
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ImageRegister {
    /// The name, unique among this account's images
    #[arg(long)]
    pub(crate) name: ImageName,
    /// What it is, for people
    #[arg(long)]
    pub(crate) description: Option<String>,
    /// x86_64, i386 or arm64
    #[arg(long, default_value = "x86_64")]
    pub(crate) architecture: Architecture,
    /// The device of the root volume
    #[arg(long, value_name = "DEVICE", default_value = "/dev/sda1")]
    pub(crate) root_device_name: DeviceName,
    /// The manifest of an instance-store bundle, a file or s3://…, that the root is made from: its architecture, kernel
    /// and devices are the image's
    #[arg(long, value_name = "MANIFEST")]
    pub(crate) image_location: Option<String>,
    /// The private key of the user's or of the region's certificate: the bundle is checked and its disk stored as a
    /// snapshot, so that the image can be launched, built upon and exported here
    #[arg(long, value_name = "FILE", requires = "image_location")]
    pub(crate) key: Option<PathBuf>,
    /// The user's certificate: checks the signature of the bundle
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// A device, as DEVICE=SNAPSHOT:GIB:DELETE:TYPE:IOPS:THROUGHPUT with nothing where the default is meant; DELETE is
    /// true (the default) where the volume goes away with its instance. Or DEVICE=ephemeral0, or DEVICE=none
    #[arg(long = "block-device-mapping", value_name = "MAPPING", required_unless_present = "image_location")]
    pub(crate) mappings: Vec<String>,
    /// legacy-bios, uefi or uefi-preferred
    #[arg(long, value_name = "MODE", value_enum)]
    pub(crate) boot_mode: Option<BootModeName>,
    /// A tag
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = name_and_value)]
    pub(crate) tags: Vec<(String, String)>,
    /// Take the name from the image that holds it
    #[arg(long)]
    pub(crate) replace: bool,
    /// Print JSON, in the shape of EC2's API
    #[arg(long)]
    pub(crate) json: bool,
}

/// How an image boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum BootModeName {
    LegacyBios,
    Uefi,
    UefiPreferred,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ImageShare {
    /// An image's id or name
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,
    /// Who may launch it from now on: public, account:123456789012, or an organisation's ARN
    #[arg(long, value_name = "WHO", required_unless_present = "remove")]
    pub(crate) add: Vec<LaunchPermission>,
    /// Who may launch it no longer
    #[arg(long, value_name = "WHO")]
    pub(crate) remove: Vec<LaunchPermission>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ImageEdit {
    /// An image's id or name
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,
    /// A new description
    #[arg(long)]
    pub(crate) description: Option<String>,
    /// Set a tag
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = name_and_value)]
    pub(crate) tags: Vec<(String, String)>,
    /// Remove a tag
    #[arg(long = "remove-tag", value_name = "KEY")]
    pub(crate) remove_tags: Vec<String>,
    /// Deprecate it at a time, like 2027-01-31T00:00:00Z
    #[arg(long, value_name = "TIME", group = "deprecation")]
    pub(crate) deprecate_at: Option<Timestamp>,
    /// Deprecate it after a time, like 90d
    #[arg(long, value_name = "SPAN", group = "deprecation")]
    pub(crate) deprecate_in: Option<TimeSpan>,
    /// Do not deprecate it
    #[arg(long, group = "deprecation")]
    pub(crate) no_deprecation: bool,
    /// Whether it is protected from being deregistered; a cooldown is a day after the protection ends
    #[arg(long, value_name = "HOW", value_enum)]
    pub(crate) protection: Option<Protection>,
    /// Let it be launched again
    #[arg(long, conflicts_with = "disable")]
    pub(crate) enable: bool,
    /// Let nobody launch it, and end its launch permissions
    #[arg(long)]
    pub(crate) disable: bool,
    /// legacy-bios, uefi or uefi-preferred
    #[arg(long, value_name = "MODE", value_enum)]
    pub(crate) boot_mode: Option<BootModeName>,
}

/// What keeps an image from being deregistered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Protection {
    Disabled,
    Enabled,
    EnabledWithCooldown,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ImageCopy {
    /// An image's id or name
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,
    /// The region that gets the copy (`kiln region list`)
    #[arg(long, value_name = "REGION")]
    pub(crate) to: RegionName,
    /// The copy's name [default: the image's]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<ImageName>,
    /// What the copy is, for people [default: as the image's]
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// Give the copy and its snapshots the tags of the image, which must be this account's
    #[arg(long)]
    pub(crate) copy_tags: bool,
    /// Let those launch the copy who may launch the image, which must be this account's
    #[arg(long)]
    pub(crate) copy_permissions: bool,
    /// Print JSON, in the shape of EC2's API
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ImageDeregister {
    /// An image's id or name
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,
    /// How long it can be restored; 0s for not at all
    #[arg(long, value_name = "SPAN", default_value = "7d", conflicts_with = "delete_snapshots")]
    pub(crate) recycle_bin: TimeSpan,
    /// Delete its snapshots, too, but for those that other images name; it cannot be restored then
    #[arg(long)]
    pub(crate) delete_snapshots: bool,
    /// Print JSON, in the shape of EC2's API
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ImageRestore {
    /// An image's id
    #[arg(value_name = "IMAGE")]
    pub(crate) image: ImageId,
}
