//! `kiln cache`: what builds keep to begin from.

use crate::{
    args::{Cache, CacheList, CachePrune, CacheTravel, Global},
    commands::{events, json, open, requests},
    exit,
    failure::Failure,
    table::table,
};
use kiln_builder::{CacheEntry, Prune, Travelled};
use kiln_types::{ByteSize, RegionName, TimeSpan};
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entries<'a> {
    entries: &'a [CacheEntry],
    total_bytes: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Document<'a> {
    templates: &'a [Travelled],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Verified {
    whole: usize,
    damaged: Vec<Damaged>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Damaged {
    layer: String,
    reason: String,
}

pub(crate) async fn run(global: &Global, args: &Cache) -> Result<String, Failure> {
    match args {
        Cache::List(args) => list(global, args).await,
        Cache::Prune(args) => prune(global, args).await,
        Cache::Verify(args) => verify(global, args).await,
        Cache::Push(args) => travel(global, args, Way::Push).await,
        Cache::Pull(args) => travel(global, args, Way::Pull).await,
    }
}

async fn list(global: &Global, args: &CacheList) -> Result<String, Failure> {
    let entries = open(global).await?.cache()?;
    if args.json { document(&entries) } else { Ok(shown(&entries, "in all")) }
}

async fn prune(global: &Global, args: &CachePrune) -> Result<String, Failure> {
    let prune = Prune {
        older_than: args.older_than.map(TimeSpan::as_duration),
        max_bytes: args.max_size.map(ByteSize::bytes),
        all: args.all,
        dry_run: args.dry_run,
    };
    let removed = open(global).await?.prune_cache(&prune)?;
    let said = if args.dry_run { "would be removed" } else { "removed" };
    if args.json { document(&removed) } else { Ok(shown(&removed, said)) }
}

async fn verify(global: &Global, args: &CacheList) -> Result<String, Failure> {
    let (whole, damaged) = open(global).await?.verify_cache(&events(global))?;
    let damaged = damaged.into_iter().map(|(layer, reason)| Damaged { layer: layer.to_string(), reason });
    let verified = Verified { whole, damaged: damaged.collect() };
    let text = match args.json {
        true => json(&verified)?,
        false => {
            format!("{whole} layers are whole, {} were damaged and are dropped\n", verified.damaged.len())
        }
    };
    if verified.damaged.is_empty() { Ok(text) } else { Err(Failure::shown(text, exit::FAILED)) }
}

/// Between this home and a region.
#[derive(Clone, Copy)]
enum Way {
    Push,
    Pull,
}

async fn travel(global: &Global, args: &CacheTravel, way: Way) -> Result<String, Failure> {
    let requests = requests(&args.templates)?;
    if global.region.as_ref().is_none_or(|region| *region == RegionName::local()) {
        return Err(Failure::usage("the region to share with is missing")
            .with_hint("--region NAME   # kiln region list"));
    }
    let kiln = open(global).await?;
    let mut travelled = Vec::new();
    for (request, _) in &requests {
        travelled.push(match way {
            Way::Push => kiln.push_cache(request, &events(global)).await?,
            Way::Pull => kiln.pull_cache(request, &events(global)).await?,
        });
    }
    if args.json {
        return json(&Document { templates: &travelled });
    }
    let row = |travelled: &Travelled| {
        [
            travelled.template.clone(),
            if travelled.base { "yes" } else { "" }.to_owned(),
            travelled.layers.len().to_string(),
            travelled.there.to_string(),
            travelled.stopped.clone().unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = travelled.iter().map(row).collect();
    let moved = match way {
        Way::Push => "SENT",
        Way::Pull => "FETCHED",
    };
    Ok(table(["TEMPLATE", "BASE", moved, "THERE ALREADY", "NOTE"], &rows))
}

fn document(entries: &[CacheEntry]) -> Result<String, Failure> {
    json(&Entries { entries, total_bytes: total(entries) })
}

fn total(entries: &[CacheEntry]) -> u64 {
    entries.iter().map(|entry| entry.bytes).sum()
}

fn shown(entries: &[CacheEntry], said: &str) -> String {
    let row = |entry: &CacheEntry| {
        [
            entry.kind.to_string(),
            entry.name.chars().take(12).collect(),
            ByteSize::from_bytes(entry.bytes).approximate(),
            entry.last_used.to_string(),
            if entry.in_use { "yes" } else { "" }.to_owned(),
            entry.of.clone(),
        ]
    };
    let rows: Vec<_> = entries.iter().map(row).collect();
    let total = ByteSize::from_bytes(total(entries)).approximate();
    format!("{}\n{total} {said}\n", table(["KIND", "NAME", "SIZE", "LAST USED", "IN USE", "OF"], &rows))
}
