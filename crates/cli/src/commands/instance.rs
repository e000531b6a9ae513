//! `kiln launch` and `kiln instance`: machines made from images.

mod console;
mod ssh;

use crate::{
    args::{Global, Instance as Args, InstanceCreateImage, InstanceOne, InstanceStop, Launch},
    commands::{bundle::s3, events, json, open, open_in, settings},
    exit,
    failure::Failure,
    table::{details, table},
};
use kiln_builder::{
    CreateImageRequest, Described, Keeper, Kiln, LaunchRequest,
    catalog::{Image, Tag},
};
use kiln_types::{ByteSize, InstanceId};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// As RunInstances answers.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Instances {
    instances: Vec<Described>,
}

/// As DescribeInstances answers: every instance is of the one account.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Reservations {
    reservations: Vec<Instances>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Images {
    images: Vec<Image>,
}

pub(crate) async fn launch(global: &Global, args: &Launch) -> Result<String, Failure> {
    let user_data = args.user_data.as_ref().map(fs_err::read).transpose();
    let user_data = user_data.map_err(|error| Failure::from_error(&error, None, exit::USAGE))?;
    let kiln = open(global).await?;
    let request = LaunchRequest {
        image: args.image.clone(),
        name: args.name.clone(),
        cpus: args.cpus,
        memory: args.memory,
        devices: args.devices.clone(),
        user_data,
        ports: args.ports.clone(),
        metadata: args.metadata,
        terminates_when_off: args.rm,
        bundle_key: args.bundle_key.clone(),
        s3: s3(),
    };
    let described = kiln.launch(request, &keeper(global, &kiln)?, &events(global)).await?;
    let id = described.instance.instance_id;
    if args.wait || args.ssh {
        kiln.wait_for_instance(&described, args.timeout.as_duration()).await?;
    }
    if args.ssh {
        return Err(ssh::log_in(&kiln, &described, "root", &[]));
    }
    if args.console {
        return console::show(&kiln, id, true).await;
    }
    answer(described, args.json)
}

pub(crate) async fn run(global: &Global, args: &Args) -> Result<String, Failure> {
    match args {
        Args::List(args) => list(global, args.json).await,
        Args::Show(args) => show(global, args).await,
        Args::Start(args) => {
            let kiln = of(global, &args.instance).await?;
            let keeper = keeper(global, &kiln)?;
            answer(kiln.start_instance(&args.instance, &keeper, &events(global)).await?, args.json)
        }
        Args::Stop(args) => stop(global, args).await,
        Args::Terminate(args) => {
            let kiln = of(global, &args.instance).await?;
            answer(kiln.terminate_instance(&args.instance, &events(global)).await?, args.json)
        }
        Args::Console(args) => {
            let kiln = open(global).await?;
            let id = kiln.instance(&args.instance)?.instance.instance_id;
            console::show(&kiln, id, args.follow).await
        }
        Args::Ssh(args) => {
            let kiln = open(global).await?;
            let described = kiln.instance(&args.instance)?;
            Err(ssh::log_in(&kiln, &described, &args.user, &args.command))
        }
        Args::CreateImage(args) => create_image(global, args).await,
        Args::Keep { id } => keep(global, *id).await,
    }
}

/// Keeps a machine. Its region is that of its record.
async fn keep(global: &Global, id: InstanceId) -> Result<String, Failure> {
    let kiln = open(global).await?;
    kiln.keep_instance(id, &events(global)).await?;
    Ok(String::new())
}

async fn list(global: &Global, as_json: bool) -> Result<String, Failure> {
    let instances = open(global).await?.instances()?;
    if as_json {
        let reservations = if instances.is_empty() { Vec::new() } else { vec![Instances { instances }] };
        return json(&Reservations { reservations });
    }
    let rows: Vec<_> = instances
        .iter()
        .map(|Described { instance, state, .. }| {
            [
                instance.instance_id.to_string(),
                instance.name().unwrap_or_default().to_owned(),
                state.name.as_str().to_owned(),
                instance.image_id.to_string(),
                ports(instance),
                instance.launch_time.to_string(),
            ]
        })
        .collect();
    Ok(table(["INSTANCE", "NAME", "STATE", "IMAGE", "PORTS", "LAUNCHED"], &rows))
}

async fn show(global: &Global, args: &InstanceOne) -> Result<String, Failure> {
    let kiln = open(global).await?;
    answer(kiln.instance(&args.instance)?, args.json)
}

async fn stop(global: &Global, args: &InstanceStop) -> Result<String, Failure> {
    let kiln = of(global, &args.one.instance).await?;
    let stopped = kiln.stop_instance(&args.one.instance, args.force, &events(global)).await?;
    answer(stopped, args.one.json)
}

async fn create_image(global: &Global, args: &InstanceCreateImage) -> Result<String, Failure> {
    let kiln = of(global, &args.one.instance).await?;
    let tag = |(key, value): &(String, String)| Tag { key: key.clone(), value: value.clone() };
    let request = CreateImageRequest {
        instance: args.one.instance.clone(),
        name: args.name.clone(),
        description: args.description.clone(),
        no_reboot: args.no_reboot,
        tags: args.tags.iter().map(tag).collect(),
    };
    let image = kiln.create_image(request, &keeper(global, &kiln)?, &events(global)).await?;
    if args.one.json {
        return json(&Images { images: vec![image] });
    }
    Ok(format!("{}  {}\n", image.image_id, image.name))
}

/// Opens the installation in the region of an instance.
async fn of(global: &Global, instance: &str) -> Result<Kiln, Failure> {
    let region = open(global).await?.instance(instance)?.instance.region_name;
    open_in(global, Some(global.region.as_ref().unwrap_or(&region))).await
}

/// How this program is started to keep a machine: with the home, the configuration and the region that it has itself.
fn keeper(global: &Global, kiln: &Kiln) -> Result<Keeper, Failure> {
    let failed = |error: std::io::Error| Failure::from_error(&error, None, exit::FAILED);
    let program = std::env::current_exe().map_err(failed)?;
    // It does not run in the folder that this one runs in.
    let absolute = |path: &Path| std::path::absolute(path).map(PathBuf::into_os_string).map_err(failed);
    let mut args = vec!["--home".into(), absolute(&settings::home(global.home.as_deref())?)?];
    if let Some(config) = &global.config {
        args.extend(["--config".into(), absolute(config)?]);
    }
    args.extend(["--region".into(), kiln.region().name().to_string().into()]);
    args.extend(["--account".into(), kiln.catalog().viewer().account.to_string().into()]);
    args.extend(["instance".into(), "keep".into()]);
    Ok(Keeper { program, args })
}

/// What a command prints of the instance that it worked on.
fn answer(described: Described, as_json: bool) -> Result<String, Failure> {
    if as_json {
        return json(&Instances { instances: vec![described] });
    }
    let Described { instance, state, accelerator } = &described;
    let volumes: Vec<String> = instance
        .volumes
        .iter()
        .map(|volume| {
            let size = ByteSize::from_bytes(volume.size);
            let of = volume.snapshot_id.map_or_else(String::new, |id| format!(" of {id}"));
            format!("{} {} {size}{of}", volume.device_name, volume.volume_id)
        })
        .collect();
    Ok(details(&[
        ("instance", instance.instance_id.to_string()),
        ("name", instance.name().unwrap_or_default().to_owned()),
        ("state", state.name.as_str().to_owned()),
        ("reason", instance.state_reason.as_ref().map_or_else(String::new, |reason| reason.message.clone())),
        ("image", instance.image_id.to_string()),
        ("machine", {
            let by = accelerator.as_ref().map_or_else(String::new, |name| format!(", {name}"));
            let memory = ByteSize::from_bytes(instance.memory);
            format!("{} processors, {memory}, {}{by}", instance.cpus, instance.architecture)
        }),
        ("volumes", volumes.join(", ")),
        ("ports", ports(instance)),
        ("launched", instance.launch_time.to_string()),
    ]))
}

/// `8080->80`; of ports that are not open yet the guest's.
fn ports(instance: &kiln_builder::Instance) -> String {
    let ports = instance.ports.iter().map(|port| match port.host {
        Some(host) => format!("{host}->{}", port.guest),
        None => port.guest.to_string(),
    });
    ports.collect::<Vec<_>>().join(" ")
}
