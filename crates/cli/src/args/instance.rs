//! `kiln launch` and `kiln instance`.

use clap::{Args as ClapArgs, Subcommand};
use kiln_builder::{Port, catalog::NewMapping};
use kiln_types::{ByteSize, ImageName, InstanceId, TimeSpan};
use std::path::PathBuf;

#[derive(Debug, Clone, ClapArgs)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct Launch {
    /// The image's id or name
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,
    /// The instance's name, and its guest's
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Virtual processors
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) cpus: u8,
    /// Memory
    #[arg(long, value_name = "SIZE", default_value = "1GiB")]
    pub(crate) memory: ByteSize,
    /// A device that is to differ from the image's: DEVICE=SNAPSHOT:GIB:true|false, of which each may be left empty,
    /// DEVICE=ephemeral0 or DEVICE=none; false keeps the volume as a snapshot when the instance is terminated
    #[arg(long = "block-device-mapping", value_name = "MAPPING")]
    pub(crate) devices: Vec<NewMapping>,
    /// What cloud-init hands to the guest: a script, #cloud-config, …
    #[arg(long, value_name = "FILE")]
    pub(crate) user_data: Option<PathBuf>,
    /// Lead a port of this host's loopback address to one of the guest's; with the guest's alone, one that is free
    #[arg(long = "port", value_name = "[HOST:]GUEST", value_parser = port)]
    pub(crate) ports: Vec<Port>,
    /// Tell the guest about itself at 169.254.169.254, as EC2 does to whoever asks for a token first; the guest's own address
    /// is a link-local one then
    #[arg(long)]
    pub(crate) metadata: bool,
    /// Wait until the guest answers: on its ports that were named, or over SSH
    #[arg(long)]
    pub(crate) wait: bool,
    /// How long --wait and --ssh wait
    #[arg(long, value_name = "SPAN", default_value = "10m")]
    pub(crate) timeout: TimeSpan,
    /// Wait until the guest answers, then log in
    #[arg(long, conflicts_with_all = ["json", "console"])]
    pub(crate) ssh: bool,
    /// Show what the guest says until it ends; Ctrl-C leaves it running
    #[arg(long, conflicts_with = "json")]
    pub(crate) console: bool,
    /// Make the root from the image's bundle, which this private key opens
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle_key: Option<PathBuf>,
    /// Terminate the instance when its guest turns itself off
    #[arg(long)]
    pub(crate) rm: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn port(text: &str) -> Result<Port, String> {
    let number = |text: &str| {
        let number = text.parse::<u16>().ok().filter(|number| *number > 0);
        number.ok_or_else(|| format!("{text:?} is no port: expected a number from 1 to 65535"))
    };
    Ok(match text.split_once(':') {
        Some((host, guest)) => Port { host: Some(number(host)?), guest: number(guest)? },
        None => Port { host: None, guest: number(text)? },
    })
}

#[derive(Debug, Subcommand)]
pub(crate) enum Instance {
    /// List instances
    List(super::List),
    /// Show an instance
    Show(InstanceOne),
    /// Start an instance that is stopped
    Start(InstanceOne),
    /// Have an instance's guest turn itself off
    Stop(InstanceStop),
    /// End an instance for good
    Terminate(InstanceOne),
    /// Show what the guest said on its console
    Console(InstanceConsole),
    /// Log into the guest as its owner, or run a command there
    Ssh(InstanceSsh),
    /// Make an image of an instance
    CreateImage(InstanceCreateImage),
    /// Keep an instance's machine; launch and start run this
    #[command(hide = true)]
    Keep {
        /// The instance
        id: InstanceId,
    },
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct InstanceOne {
    /// The instance's id or name
    #[arg(value_name = "INSTANCE")]
    pub(crate) instance: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct InstanceStop {
    #[command(flatten)]
    pub(crate) one: InstanceOne,
    /// Cut its power: what it did not write is lost
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct InstanceConsole {
    /// The instance's id or name
    #[arg(value_name = "INSTANCE")]
    pub(crate) instance: String,
    /// Go on until the instance ends
    #[arg(long, short)]
    pub(crate) follow: bool,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct InstanceSsh {
    /// The instance's id or name
    #[arg(value_name = "INSTANCE")]
    pub(crate) instance: String,
    /// Whom to log in as
    #[arg(long, value_name = "USER", default_value = "root")]
    pub(crate) user: String,
    /// A command to run there, and its arguments
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct InstanceCreateImage {
    #[command(flatten)]
    pub(crate) one: InstanceOne,
    /// The image's name
    #[arg(long, value_name = "NAME")]
    pub(crate) name: ImageName,
    /// What it is, for people
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// Let the guest run on: its files may be in the middle of something then
    #[arg(long)]
    pub(crate) no_reboot: bool,
    /// Give the image a tag; may be given many times
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = super::name_and_value)]
    pub(crate) tags: Vec<(String, String)>,
}
