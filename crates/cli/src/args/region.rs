//! The command line of `kiln region`, and of what looks after a whole region.

use super::List;
use clap::{Args as ClapArgs, Subcommand};
use kiln_types::{RegionName, TimeSpan};

#[derive(Debug, Subcommand)]
pub(crate) enum Region {
    /// List this host's regions
    List(List),
    /// Name a region in the configuration; one that is not there yet is made
    Add(RegionAdd),
    /// Take a region out of the configuration; what it holds stays
    Remove(RegionRemove),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RegionAdd {
    /// What this host calls the region
    #[arg(value_name = "NAME")]
    pub(crate) name: RegionName,
    /// s3://bucket/prefix, reached as the AWS_ variables say (AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, …) and
    /// else the profile in ~/.aws (AWS_PROFILE), or a folder
    #[arg(value_name = "URL")]
    pub(crate) url: String,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RegionRemove {
    /// The region's name
    #[arg(value_name = "NAME")]
    pub(crate) name: RegionName,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Gc {
    /// How long garbage is kept before it is condemned, and again before it is deleted. Less than 1h is for a region that
    /// nothing else uses meanwhile
    #[arg(long, value_name = "SPAN", default_value = "24h")]
    pub(crate) grace: TimeSpan,
    /// How long bases and layers that were pushed into the region's cache are kept
    #[arg(long, value_name = "SPAN", default_value = "30d")]
    pub(crate) cache_age: TimeSpan,
    /// Only say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Fsck {
    /// Take what is damaged aside: records and maps go to quarantine/ in the region, snapshots into state error, and packs
    /// lend no more blocks
    #[arg(long)]
    pub(crate) repair: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
