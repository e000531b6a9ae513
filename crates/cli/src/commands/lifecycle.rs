//! `kiln lifecycle`: what becomes of images as they age.

use crate::{
    args::{Global, Lifecycle as Args, LifecycleApply},
    commands::{json, open, requests},
    failure::Failure,
    table::table,
};
use kiln_builder::{Aged, catalog::LifecycleAction};
use serde::Serialize;

pub(crate) async fn run(global: &Global, args: &Args) -> Result<String, Failure> {
    let Args::Apply(args) = args;
    apply(global, args).await
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    dry_run: bool,
    images: Vec<Aged>,
}

async fn apply(global: &Global, args: &LifecycleApply) -> Result<String, Failure> {
    let requests = requests(&args.templates)?;
    let kiln = open(global).await?;
    let mut images = Vec::<Aged>::new();
    for (_, loaded) in &requests {
        for aged in kiln.age_images(loaded, args.dry_run).await? {
            // Builds of one matrix may mean the same images.
            if images.iter().all(|other| other.image_id != aged.image_id) {
                images.push(aged);
            }
        }
    }
    if args.json {
        return json(&Document { dry_run: args.dry_run, images });
    }
    let rows: Vec<_> = images.iter().map(|aged| row(aged, args.dry_run)).collect();
    Ok(table(["IMAGE", "NAME", "ACTION", "WHY"], &rows))
}

fn row(aged: &Aged, dry_run: bool) -> [String; 4] {
    let action = match (aged.action, dry_run) {
        (LifecycleAction::Keep, _) => "kept",
        (LifecycleAction::Deprecate, false) => "deprecated",
        (LifecycleAction::Deprecate, true) => "would be deprecated",
        (LifecycleAction::Disable, false) => "disabled",
        (LifecycleAction::Disable, true) => "would be disabled",
        (LifecycleAction::Deregister, false) => "deregistered",
        (LifecycleAction::Deregister, true) => "would be deregistered",
    };
    [aged.image_id.to_string(), aged.name.to_string(), action.to_owned(), aged.reason.clone()]
}
