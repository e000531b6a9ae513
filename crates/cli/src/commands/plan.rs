//! `kiln plan`: what a build would do.

use crate::{
    args::{Global, Plan as Args},
    commands::{json, open, request},
    failure::Failure,
    table::table,
};
use kiln_builder::{Plan, PlanItem};
use kiln_types::Timestamp;
use std::fmt::Write;

pub(crate) async fn run(global: &Global, args: &Args) -> Result<String, Failure> {
    let request = request(&args.template);
    request.load(Timestamp::now())?;
    let kiln = open(global).await?;
    let plan = kiln.plan(&request).await?;
    if args.json {
        return json(&plan);
    }
    Ok(shown(&plan))
}

fn shown(plan: &Plan) -> String {
    let row = |item: &PlanItem| [item.name.clone(), item.action.to_string(), item.reason.clone()];
    let rows: Vec<_> = plan.items.iter().map(row).collect();
    let mut out = table(["WHAT", "ACTION", "WHY"], &rows);
    if let Some(image) = &plan.unchanged {
        writeln!(out, "\n{image} has the same inputs: a build would return it")
            .expect("a string takes what is written");
    }
    out
}
