//! The command line.

mod bundle;
mod image;
mod instance;
mod region;
mod snapshot;

pub(crate) use bundle::{
    Bundle, BundleCreate, BundleDelete, BundleExtract, BundleKeygen, BundleMigrate, BundleShow,
    BundleTransfer, BundleVerify,
};
pub(crate) use image::{
    BootModeName, Image, ImageCopy, ImageDeregister, ImageEdit, ImageImport, ImageList, ImageRegister,
    ImageShow, Protection, SortBy,
};
pub(crate) use instance::{Instance, InstanceCreateImage, InstanceOne, InstanceStop, Launch};
pub(crate) use region::{Fsck, Gc, Region, RegionAdd, RegionRemove};
pub(crate) use snapshot::{
    Snapshot, SnapshotCopy, SnapshotCreate, SnapshotDelete, SnapshotDiff, SnapshotEdit, SnapshotList,
    SnapshotShare, SnapshotShow, SnapshotVerify,
};

use clap::{Args as ClapArgs, Parser, Subcommand};
use kiln_builder::StepChoice;
use kiln_types::{ByteSize, RegionName, TimeSpan};
use std::{num::NonZero, path::PathBuf};

/// Builds golden VM images from templates, and keeps them as Amazon EC2 keeps AMIs: snapshots, image records and
/// disk files, on this machine.
#[derive(Debug, Parser)]
#[command(name = "kiln", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Stands below every help text.
const EXIT_CODES: &str =
    "Exit codes: 0 done, 1 failed, 2 usage or invalid template, 3 host not able, 130 interrupted";

/// What every command takes.
#[derive(Debug, ClapArgs)]
pub(crate) struct Global {
    /// Where images, snapshots and caches live [default: ~/.local/share/kiln]
    #[arg(long, global = true, env = "KILN_HOME", value_name = "DIR", hide_env_values = true)]
    pub(crate) home: Option<PathBuf>,
    /// What belongs to this host: regions, and proxies and certificate authorities for guests [default: ~/.config/kiln/config.toml]
    #[arg(long, global = true, env = "KILN_CONFIG", value_name = "FILE", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
    /// Act as this account, an id or a name of the configuration: see what it may see, own what it makes [default: the
    /// configuration's, or the owner of the region]
    #[arg(long, global = true, env = "KILN_ACCOUNT", value_name = "WHO", hide_env_values = true)]
    pub(crate) account: Option<String>,
    /// Work in this region of the configuration, with its snapshots and images [default: local]
    #[arg(long, global = true, env = "KILN_REGION", value_name = "NAME", hide_env_values = true)]
    pub(crate) region: Option<RegionName>,
    /// Print only errors and results
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build templates' images: run the steps, store the snapshots, register the images, write the exports
    Build(Build),
    /// Show what builds would do, and start nothing
    Plan(Plan),
    /// Run a template's tests on a throw-away copy of an image
    Test(Test),
    /// Check templates and print every mistake
    Validate(Validate),
    /// List, show, import, register, share, edit and deregister images
    #[command(subcommand)]
    Image(Image),
    /// Deprecate, disable and deregister images as their templates say
    #[command(subcommand)]
    Lifecycle(Lifecycle),
    /// Make an instance of an image and start it; it runs on when this command ends
    Launch(Box<Launch>),
    /// List, show, start, stop, reach and terminate instances, and make images of them
    #[command(subcommand)]
    Instance(Instance),
    /// Create, list, show, compare, verify, copy, share, edit and delete snapshots
    #[command(subcommand)]
    Snapshot(Snapshot),
    /// List, add and remove regions: places that hold snapshots and images, which teams may share
    #[command(subcommand)]
    Region(Region),
    /// Show which account commands act as, and those that the configuration names
    Account(List),
    /// Delete what no snapshot of the region names, beside whatever else runs
    Gc(Gc),
    /// Read everything in the region, and say what is damaged
    Fsck(Fsck),
    /// Write an image's or a snapshot's disk to a file
    Export(Export),
    /// List, prune and verify what builds keep to begin from
    #[command(subcommand)]
    Cache(Cache),
    /// Make, check and read instance-store bundles: disks cut in encrypted parts, as Amazon's AMI tools have them
    #[command(subcommand)]
    Bundle(Bundle),
    /// Say what this host can do, and how to mend what it lacks
    Doctor(Doctor),
}

/// Templates and the values of their variables.
#[derive(Debug, ClapArgs)]
pub(crate) struct Templates {
    /// Templates: folders that hold template.toml, or files
    #[arg(value_name = "TEMPLATE", required = true)]
    pub(crate) templates: Vec<PathBuf>,
    /// Set a variable; may be given many times
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub(crate) vars: Vec<(String, String)>,
    /// Read variables from a TOML file of `name = "value"` lines; --var wins over it
    #[arg(long = "var-file", value_name = "FILE")]
    pub(crate) var_files: Vec<PathBuf>,
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    pair.map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| "expected NAME=VALUE".to_owned())
}

#[derive(Debug, ClapArgs)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct Build {
    #[command(flatten)]
    pub(crate) templates: Templates,
    /// Build a new image although an image of the same inputs exists
    #[arg(long)]
    pub(crate) new: bool,
    /// Take the image's name from the image that holds it
    #[arg(long)]
    pub(crate) replace: bool,
    /// What becomes of the machine when a step fails: remove it, keep its disks and logs, or open a shell in it
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = OnError::Cleanup)]
    pub(crate) on_error: OnError,
    /// Builds that run at the same time [default: as many as the host has processors and memory for]
    #[arg(long, short, value_name = "N")]
    pub(crate) jobs: Option<NonZero<usize>>,
    /// Run every step although the results of some are in the cache; the new results replace them
    #[arg(long, conflicts_with_all = ["no_cache_from", "from_layer"])]
    pub(crate) no_cache: bool,
    /// Run this step, by number or name, and those after it, although their results are in the cache
    #[arg(long, value_name = "STEP")]
    pub(crate) no_cache_from: Option<StepChoice>,
    /// Make a bootstrapped base anew, of today's packages, unless the template pins it to a snapshot of the mirror
    #[arg(long)]
    pub(crate) refresh: bool,
    /// Go on from this layer, whatever became of the steps that made it (`kiln cache list`, `kiln plan --json`)
    #[arg(long, value_name = "LAYER")]
    pub(crate) from_layer: Option<String>,
    /// Stop after this step, by number or name; make no image
    #[arg(long, value_name = "STEP")]
    pub(crate) until: Option<StepChoice>,
    /// Boot the appliance although the state of a booted one is there
    #[arg(long)]
    pub(crate) cold: bool,
    /// Write what came of the tests to a file, as JUnit's XML
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Print one JSON document on standard output; progress goes to standard error
    #[arg(long)]
    pub(crate) json: bool,
}

/// What becomes of the machine when a step fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum OnError {
    Cleanup,
    Keep,
    Shell,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Test {
    /// An image's id or name
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,
    /// The template whose tests they are: a folder that holds template.toml, or a file
    #[arg(long, value_name = "TEMPLATE", default_value = ".")]
    pub(crate) template: PathBuf,
    /// Which build of its matrix is meant; may be given many times
    #[arg(long = "matrix", value_name = "AXIS=VALUE", value_parser = name_and_value)]
    pub(crate) matrix: Vec<(String, String)>,
    /// Set a variable; may be given many times
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub(crate) vars: Vec<(String, String)>,
    /// Read variables from a TOML file of `name = "value"` lines; --var wins over it
    #[arg(long = "var-file", value_name = "FILE")]
    pub(crate) var_files: Vec<PathBuf>,
    /// Write what came of the tests to a file, as JUnit's XML
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Plan {
    #[command(flatten)]
    pub(crate) templates: Templates,
    /// Use no network: checksum files behind URLs are taken as they were last looked up
    #[arg(long)]
    pub(crate) offline: bool,
    /// Plan a build with --refresh
    #[arg(long)]
    pub(crate) refresh: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Validate {
    #[command(flatten)]
    pub(crate) templates: Templates,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Lifecycle {
    /// Do what the `[image.lifecycle]` of templates asks for, now
    Apply(LifecycleApply),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct LifecycleApply {
    #[command(flatten)]
    pub(crate) templates: Templates,
    /// Only say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct List {
    /// Print JSON, in the shape of EC2's API
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Cache {
    /// List bases, layers and the rest, what was not used for the longest first
    List(CacheList),
    /// Remove what was not used for long, or until the cache is small enough; never what a build uses
    Prune(CachePrune),
    /// Read every layer, and drop those that are damaged
    Verify(CacheList),
    /// Put a template's base and the results of its steps into a region (--region), for other machines to begin with
    Push(CacheTravel),
    /// Fetch a template's base and the results of its steps from a region (--region)
    Pull(CacheTravel),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CacheTravel {
    #[command(flatten)]
    pub(crate) templates: Templates,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CacheList {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
#[group(id = "what", required = true, multiple = true)]
pub(crate) struct CachePrune {
    /// Remove what was not used for this long, like 30d
    #[arg(long, value_name = "SPAN", group = "what")]
    pub(crate) older_than: Option<TimeSpan>,
    /// Remove what was not used for the longest, until no more than this is left, like 20GiB
    #[arg(long, value_name = "SIZE", group = "what")]
    pub(crate) max_size: Option<ByteSize>,
    /// Remove everything
    #[arg(long, group = "what")]
    pub(crate) all: bool,
    /// Only say what would be removed
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Export {
    /// An image's id or name, or a snapshot's id
    #[arg(value_name = "IMAGE|SNAPSHOT")]
    pub(crate) source: String,
    /// The file to write; one that exists is replaced when the new one is whole. `-` sends the raw disk to standard output
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// qcow2, raw, vmdk, vhd, vhdx, ova, or gce for a tar.gz with disk.raw [default: by the file's ending, else qcow2]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Of qcow2: zstd, zlib or none [default: zstd; zlib with --compat 0.10]
    #[arg(long, value_name = "HOW")]
    pub(crate) compression: Option<String>,
    /// Of qcow2: 4KiB to 512KiB; 512KiB with zstd copies the region's frames as they are [default: 512KiB with zstd,
    /// else 64KiB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) cluster_size: Option<ByteSize>,
    /// Of qcow2: 1.1 for version 3 of the format, 0.10 for version 2 [default: 1.1]
    #[arg(long, value_name = "VERSION")]
    pub(crate) compat: Option<String>,
    /// Of qcow2: write only what the snapshot changed, over a file that holds its parent's disk. The name is written as
    /// given; readers take a relative one from the new file's folder
    #[arg(long, value_name = "PARENT-FILE")]
    pub(crate) incremental: Option<String>,
    /// Of vmdk: stream-optimized or sparse. Of vhd: dynamic, or fixed, which Azure takes [default: the first]
    #[arg(long, value_name = "FORM")]
    pub(crate) subformat: Option<String>,
    /// Leave out the file's SHA-256: a raw file's takes as long as hashing its holes
    #[arg(long)]
    pub(crate) no_sha256: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Doctor {
    /// Fetch what can be fetched without installing anything: the appliance's fallback kernel
    #[arg(long)]
    pub(crate) fix: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
