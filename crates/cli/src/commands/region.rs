//! `kiln region`: where snapshots and images are kept, besides this host's own region.

use crate::{
    args::{Global, List, Region as Args, RegionAdd, RegionRemove},
    commands::json,
    failure::Failure,
    settings,
    table::table,
};
use kiln_builder::store::Region;
use kiln_types::{AccountId, RegionName};
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Described {
    regions: Vec<Entry>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    region_name: RegionName,
    url: String,
}

pub(crate) async fn run(global: &Global, args: &Args) -> Result<String, Failure> {
    match args {
        Args::List(args) => list(global, args),
        Args::Add(args) => add(global, args).await,
        Args::Remove(args) => remove(global, args),
    }
}

fn list(global: &Global, args: &List) -> Result<String, Failure> {
    let local = settings::home(global.home.as_deref())?.join("regions/local");
    let named = settings::Config::read(global.config.as_deref())?.regions()?;
    let named = named.iter().map(|(name, url)| Entry { region_name: name.clone(), url: url.to_owned() });
    let local = Entry { region_name: RegionName::local(), url: local.display().to_string() };
    let regions: Vec<_> = std::iter::once(local).chain(named).collect();
    if args.json {
        return json(&Described { regions });
    }
    let rows: Vec<_> = regions.into_iter().map(|entry| [entry.region_name.to_string(), entry.url]).collect();
    Ok(table(["REGION", "URL"], &rows))
}

/// Opens the region, or makes it where there is none, before the configuration names it.
async fn add(global: &Global, args: &RegionAdd) -> Result<String, Failure> {
    let config = settings::Config::read(global.config.as_deref())?;
    let regions = config.regions()?;
    let url = settings::absolute_url(&args.url)?;
    let edited = regions.add(&config.text, &args.name, &url)?;
    let location = regions.location_of(&url)?;
    let owner = config.account(global.account.as_deref())?.unwrap_or(AccountId::LOCAL);
    let region = Region::open_or_create(&location, &args.name, owner).await;
    let region = region.map_err(kiln_builder::Error::from)?;
    config.write(&edited)?;
    Ok(format!("{} is {location}, owned by {}\n", args.name, region.owner()))
}

fn remove(global: &Global, args: &RegionRemove) -> Result<String, Failure> {
    let config = settings::Config::read(global.config.as_deref())?;
    let edited = config.regions()?.remove(&config.text, &args.name)?;
    config.write(&edited)?;
    Ok(format!("{} is forgotten; what it holds stays where it is\n", args.name))
}
