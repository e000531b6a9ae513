//! `kiln gc`: what no snapshot names goes away.

use crate::{
    args::{Gc as Args, Global},
    commands::{events, json, open},
    failure::Failure,
};
use kiln_builder::store::{Collect, Collected, Garbage};
use kiln_types::ByteSize;
use std::fmt::Write;

pub(crate) async fn run(global: &Global, args: &Args) -> Result<String, Failure> {
    let kiln = open(global).await?;
    let collect = Collect { grace: args.grace.as_duration(), dry_run: args.dry_run };
    let collected = kiln.collect_garbage(collect, args.cache_age.as_duration(), &events(global)).await?;
    if args.json { json(&collected) } else { Ok(shown(&collected, args)) }
}

fn shown(collected: &Collected, args: &Args) -> String {
    let mut out = String::new();
    let (repacked, deleted, condemned) = match args.dry_run {
        true => ("dead in packs that would be written anew", "would be deleted", "would be condemned"),
        false => ("dead in packs that were written anew", "deleted", "condemned"),
    };
    let mut line = |objects: &[Garbage], said: &str| {
        if !objects.is_empty() {
            let bytes = objects.iter().map(|object| object.bytes).sum();
            let (count, bytes) = (objects.len(), ByteSize::from_bytes(bytes).approximate());
            writeln!(out, "{count} objects, {bytes}: {said}").expect("a string takes what is written");
        }
    };
    line(&collected.repacked, repacked);
    line(&collected.deleted, deleted);
    line(&collected.condemned, &format!("{condemned}; the first kiln gc after {} deletes them", args.grace));
    line(&collected.waiting, "condemned earlier, and wait");
    line(&collected.young, &format!("younger than {}, and wait", args.grace));
    if out.is_empty() { "no garbage\n".to_owned() } else { out }
}
