//! `kiln image`: the catalogue.

use crate::{
    args::{Global, Image as Args, ImageImport, ImageShow, List},
    commands::{events, json, open},
    failure::Failure,
    table::{details, table},
};
use kiln_builder::{
    ImportRequest,
    catalog::{BlockDevice, DescribeImages, Image, ImageQuery},
};

pub(crate) async fn run(global: &Global, args: &Args) -> Result<String, Failure> {
    match args {
        Args::List(args) => list(global, args).await,
        Args::Show(args) => show(global, args).await,
        Args::Import(args) => import(global, args).await,
    }
}

async fn import(global: &Global, args: &ImageImport) -> Result<String, Failure> {
    let request = ImportRequest {
        file: args.file.clone(),
        format: args.format.clone(),
        name: args.name.clone(),
        description: args.description.clone(),
        architecture: args.architecture,
        uefi: args.uefi,
        tags: args.tags.clone(),
        replace: args.replace,
    };
    let kiln = open(global).await?;
    let image = kiln.import_image(&request, &events(global)).await?;
    if args.json {
        return json(&DescribeImages { images: vec![image] });
    }
    Ok(format!("{}  {}\n", image.image_id, image.name))
}

async fn list(global: &Global, args: &List) -> Result<String, Failure> {
    let kiln = open(global).await?;
    let images = kiln.catalog().describe(&ImageQuery::default()).await.map_err(kiln_builder::Error::from)?;
    if args.json {
        return json(&DescribeImages { images });
    }
    let rows: Vec<_> = images.iter().map(row).collect();
    Ok(table(["IMAGE", "NAME", "STATE", "ARCHITECTURE", "CREATED"], &rows))
}

fn row(image: &Image) -> [String; 5] {
    [
        image.image_id.to_string(),
        image.name.to_string(),
        image.state.as_str().to_owned(),
        image.architecture.to_string(),
        image.creation_date.to_string(),
    ]
}

async fn show(global: &Global, args: &ImageShow) -> Result<String, Failure> {
    let kiln = open(global).await?;
    let image = kiln.catalog().find(&args.image).await.map_err(kiln_builder::Error::from)?;
    if args.json {
        return json(&DescribeImages { images: vec![image] });
    }
    Ok(details(&rows(&image)))
}

fn rows(image: &Image) -> Vec<(&'static str, String)> {
    let mut rows = vec![
        ("image", image.image_id.to_string()),
        ("name", image.name.to_string()),
        ("description", image.description.clone().unwrap_or_default()),
        ("state", image.state.as_str().to_owned()),
        ("owner", image.owner_id.to_string()),
        ("created", image.creation_date.to_string()),
        ("architecture", image.architecture.to_string()),
        ("root device", format!("{} ({})", image.root_device_name, image.root_device_type)),
    ];
    for mapping in &image.block_device_mappings {
        rows.push(("mapping", format!("{} = {}", mapping.device_name, device(&mapping.device))));
    }
    rows.extend(image.tags.iter().map(|tag| ("tag", format!("{} = {}", tag.key, tag.value))));
    if let Some(template) = &image.kiln.template {
        rows.push(("template", template.clone()));
    }
    if let Some(base) = &image.kiln.base {
        rows.push(("base", base.clone()));
    }
    rows
}

fn device(device: &BlockDevice) -> String {
    match device {
        BlockDevice::Ebs(ebs) => {
            let snapshot = ebs.snapshot_id.map_or_else(|| "empty".to_owned(), |id| id.to_string());
            format!("{snapshot}, {} GiB", ebs.volume_size)
        }
        BlockDevice::VirtualName(name) => name.clone(),
        BlockDevice::NoDevice(_) => "none".to_owned(),
    }
}
