//! `kiln plan`: what a build would do.

use crate::{
    args::{Global, Plan as Args},
    commands::{json, open, requests},
    failure::Failure,
    table::table,
};
use kiln_builder::{Plan, PlanItem, PlanOptions};
use serde::Serialize;
use std::fmt::Write;

/// The plans of several builds; that of one stands by itself.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Document<'a> {
    plans: &'a [Plan],
}

pub(crate) async fn run(global: &Global, args: &Args) -> Result<String, Failure> {
    let requests = requests(&args.templates)?;
    let kiln = open(global).await?;
    let options = PlanOptions { offline: args.offline, refresh: args.refresh };
    let mut plans = Vec::new();
    for (request, _) in &requests {
        plans.push(kiln.plan(request, options).await?);
    }
    match (plans.as_slice(), args.json) {
        ([plan], true) => json(plan),
        (plans, true) => json(&Document { plans }),
        ([plan], false) => Ok(shown(plan)),
        (plans, false) => {
            let each = plans.iter().map(|plan| format!("{}\n{}", plan.template, shown(plan)));
            Ok(each.collect::<Vec<_>>().join("\n"))
        }
    }
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
