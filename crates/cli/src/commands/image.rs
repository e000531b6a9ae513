//! `kiln image`: the catalogue.

mod bundled;
mod deregister;
mod diff;

use crate::{
    args::{
        self, BootModeName, Global, Image as Args, ImageCopy, ImageImport, ImageList, ImageRegister,
        ImageShow, Protection, SortBy,
    },
    commands::{bundle::s3, events, json, open, open_in},
    failure::Failure,
    output::printable,
    table::{details, table},
};
use kiln_builder::{
    CopyRequest, ImportRequest, Kiln,
    catalog::{
        self, BlockDevice, BootMode, Catalog, DeregistrationProtection, DescribeImages, Image, ImageEdit,
        ImageKiln, ImageQuery, ImageState, NewImage, Sort, Tag,
    },
};
use kiln_types::{TimeSpan, Timestamp};

pub(crate) async fn run(global: &Global, args: &Args) -> Result<String, Failure> {
    let kiln = open(global).await?;
    let catalog = kiln.catalog();
    match args {
        Args::List(args) => list(catalog, args).await,
        Args::Show(args) => show(catalog, args).await,
        Args::Diff(args) => {
            let found = kiln.diff(&args.old, &args.new).await?;
            if args.json { json(&found) } else { Ok(diff::shown(&found)) }
        }
        Args::Import(args) => import(&kiln, global, args).await,
        Args::Register(args) => {
            let new = new_image(catalog, args)?;
            let image = match &args.image_location {
                Some(location) => bundled::register(&kiln, global, new, location, args).await?,
                None => refused(catalog.register(new, args.replace).await)?,
            };
            if args.json {
                json(&DescribeImages { images: vec![image] })
            } else {
                Ok(format!("{}\n", image.image_id))
            }
        }
        Args::Share(args) => {
            let (share_with, unshare) = (args.add.clone(), args.remove.clone());
            let change = ImageEdit { share_with, unshare, ..ImageEdit::default() };
            let image = edit(catalog, &args.image, &change).await?;
            let shared = image.launch_permissions.iter().map(|who| ("launch", who.to_string()));
            let rows: Vec<_> = std::iter::once(("image", image.image_id.to_string())).chain(shared).collect();
            Ok(details(&rows))
        }
        Args::Edit(args) => {
            let image = edit(catalog, &args.image, &change(args)?).await?;
            Ok(details(&rows(&image)))
        }
        Args::Copy(args) => copy(&kiln, global, args).await,
        Args::Deregister(args) => deregister::run(&kiln, args).await,
        Args::Restore(args) => {
            let image = refused(catalog.restore(args.image).await)?;
            Ok(format!("{}  {}\n", image.image_id, image.name))
        }
    }
}

async fn import(kiln: &Kiln, global: &Global, args: &ImageImport) -> Result<String, Failure> {
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
    made(kiln.import_image(&request, &events(global)).await?, args.json)
}

async fn copy(kiln: &Kiln, global: &Global, args: &ImageCopy) -> Result<String, Failure> {
    let to = open_in(global, Some(&args.to)).await?;
    let request = CopyRequest {
        image: args.image.clone(),
        name: args.name.clone(),
        description: args.description.clone(),
        tags: args.copy_tags,
        permissions: args.copy_permissions,
        s3: s3(),
    };
    made(kiln.copy_image(&request, &to, &events(global)).await?, args.json)
}

fn made(image: Image, as_json: bool) -> Result<String, Failure> {
    if as_json {
        return json(&DescribeImages { images: vec![image] });
    }
    Ok(format!("{}  {}\n", image.image_id, image.name))
}

fn refused<T>(result: Result<T, catalog::Error>) -> Result<T, Failure> {
    Ok(result.map_err(kiln_builder::Error::from)?)
}

async fn edit(catalog: &Catalog, image: &str, change: &ImageEdit) -> Result<Image, Failure> {
    let image = refused(catalog.find(image).await)?;
    refused(catalog.edit(image.image_id, change).await)
}

fn change(args: &args::ImageEdit) -> Result<ImageEdit, Failure> {
    let after = |span: TimeSpan| {
        let seconds = i64::try_from(span.as_duration().as_secs()).ok();
        let time = seconds.and_then(|seconds| Timestamp::now().unix().checked_add(seconds));
        let time = time.and_then(Timestamp::from_unix);
        time.ok_or_else(|| Failure::usage("--deprecate-in reaches past the end of the calendar"))
    };
    let deprecation = match (args.deprecate_at, args.deprecate_in) {
        (Some(time), _) => Some(Some(time)),
        (None, Some(span)) => Some(Some(after(span)?)),
        (None, None) => args.no_deprecation.then_some(None),
    };
    Ok(ImageEdit {
        description: args.description.clone(),
        set_tags: tags(&args.tags),
        remove_tags: args.remove_tags.clone(),
        deprecation,
        protection: args.protection.map(|protection| match protection {
            Protection::Disabled => DeregistrationProtection::Disabled,
            Protection::Enabled => DeregistrationProtection::Enabled,
            Protection::EnabledWithCooldown => DeregistrationProtection::EnabledWithCooldown,
        }),
        enabled: if args.enable { Some(true) } else { args.disable.then_some(false) },
        boot_mode: args.boot_mode.map(boot_mode),
        ..ImageEdit::default()
    })
}

fn new_image(catalog: &Catalog, args: &ImageRegister) -> Result<NewImage, Failure> {
    let mappings = args.mappings.iter().map(|text| refused(text.parse())).collect::<Result<_, _>>()?;
    Ok(NewImage {
        name: args.name.clone(),
        description: args.description.clone(),
        owner: catalog.viewer().account,
        architecture: args.architecture,
        root_device_name: args.root_device_name.clone(),
        mappings,
        boot_mode: args.boot_mode.map(boot_mode),
        tpm_support: None,
        tags: tags(&args.tags),
        kiln: ImageKiln::default(),
    })
}

fn boot_mode(name: BootModeName) -> BootMode {
    match name {
        BootModeName::LegacyBios => BootMode::LegacyBios,
        BootModeName::Uefi => BootMode::Uefi,
        BootModeName::UefiPreferred => BootMode::UefiPreferred,
    }
}

fn tags(pairs: &[(String, String)]) -> Vec<Tag> {
    pairs.iter().map(|(key, value)| Tag { key: key.clone(), value: value.clone() }).collect()
}

async fn list(catalog: &Catalog, args: &ImageList) -> Result<String, Failure> {
    let images = if args.recycle_bin {
        refused(catalog.recycle_bin().await)?
    } else {
        let query = ImageQuery {
            ids: Vec::new(),
            owners: args.owners.clone(),
            filters: args.filters.clone(),
            include_deprecated: args.include_deprecated,
            include_disabled: args.include_disabled,
            latest: args.latest,
            sort: match args.sort {
                SortBy::CreationDate => Sort::CreationDate,
                SortBy::Name => Sort::Name,
            },
        };
        refused(catalog.describe(&query).await)?
    };
    if args.json {
        return json(&DescribeImages { images });
    }
    if args.recycle_bin {
        let until = |image: &Image| image.kiln.recycle_bin.map(|bin| bin.exit_time.to_string());
        let rows = images.iter().map(|image| {
            [image.image_id.to_string(), image.name.to_string(), until(image).unwrap_or_default()]
        });
        return Ok(table(["IMAGE", "NAME", "RESTORABLE UNTIL"], &rows.collect::<Vec<_>>()));
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

async fn show(catalog: &Catalog, args: &ImageShow) -> Result<String, Failure> {
    let image = refused(catalog.find(&args.image).await)?;
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
    if let ImageState::Failed { reason } = &image.state {
        rows.push(("reason", format!("{}: {}", reason.code, printable(&reason.message))));
    }
    for mapping in &image.block_device_mappings {
        rows.push(("mapping", format!("{} = {}", mapping.device_name, device(&mapping.device))));
    }
    rows.extend(image.launch_permissions.iter().map(|who| ("launch", who.to_string())));
    if let Some(time) = image.deprecation_time {
        rows.push(("deprecated", format!("from {time}")));
    }
    if image.deregistration_protection != DeregistrationProtection::Disabled {
        rows.push(("protection", "from deregistration".to_owned()));
    }
    rows.extend(image.tags.iter().map(|tag| ("tag", format!("{} = {}", tag.key, tag.value))));
    if let Some(template) = &image.kiln.template {
        rows.push(("template", template.clone()));
    }
    if let Some(base) = &image.kiln.base {
        rows.push(("base", base.clone()));
    }
    if let (Some(id), Some(region)) = (image.source_image_id, &image.source_image_region) {
        rows.push(("source", format!("{id} in region {region}")));
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
