//! `kiln fsck`: whether a region holds what was written to it.

use crate::{
    args::{Fsck as Args, Global},
    commands::{events, json, open},
    exit,
    failure::Failure,
    output::printable,
};
use kiln_builder::store::Checked;
use std::fmt::Write;

pub(crate) async fn run(global: &Global, args: &Args) -> Result<String, Failure> {
    let checked = open(global).await?.fsck(args.repair, &events(global)).await?;
    let text = if args.json { json(&checked)? } else { shown(&checked) };
    if checked.problems.is_empty() { Ok(text) } else { Err(Failure::shown(text, exit::FAILED)) }
}

fn shown(checked: &Checked) -> String {
    let mut out = String::new();
    for problem in &checked.problems {
        write!(out, "{}: {}", printable(&problem.path), printable(&problem.what))
            .expect("a string takes what is written");
        match &problem.repair {
            Some(repair) => writeln!(out, "; {repair}"),
            None => writeln!(out),
        }
        .expect("a string takes what is written");
    }
    let Checked { packs, blocks, snapshots, .. } = checked;
    let problems = match checked.problems.len() {
        0 => "no damage".to_owned(),
        count => format!("{count} problems"),
    };
    out + &format!("{packs} packs, {blocks} blocks, {snapshots} snapshots: {problems}\n")
}
