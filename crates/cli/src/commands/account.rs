//! `kiln account`: who commands act as, and who else the configuration names.

use crate::{
    args::{Global, List},
    commands::{json, open},
    failure::Failure,
    settings,
    table::table,
};
use kiln_types::{AccountId, RegionName};
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Described {
    /// Who commands act as.
    account: AccountId,
    region_name: RegionName,
    /// The owner of the region that commands work in.
    region_owner: AccountId,
    accounts: Vec<Named>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    name: String,
    account: AccountId,
}

pub(crate) async fn run(global: &Global, args: &List) -> Result<String, Failure> {
    let accounts = settings::Config::read(global.config.as_deref())?.accounts()?;
    let kiln = open(global).await?;
    let account = kiln.catalog().viewer().account;
    let named = accounts.names().map(|(name, account)| Named { name: name.to_owned(), account });
    let (region_name, region_owner) = (kiln.region().name().clone(), kiln.region().owner());
    if args.json {
        return json(&Described { account, region_name, region_owner, accounts: named.collect() });
    }
    let acts = ["commands act as it".to_owned(), account.to_string()];
    let owns = [format!("owns the region {region_name}"), region_owner.to_string()];
    let named = named.map(|named| [format!("--account {}", named.name), named.account.to_string()]);
    let rows: Vec<_> = [acts, owns].into_iter().chain(named).map(|[what, account]| [account, what]).collect();
    Ok(table(["ACCOUNT", "WHAT"], &rows))
}
