//! `kiln doctor`: what this host can do.

use crate::{
    args::{Doctor as Args, Global},
    commands::{events, json, open},
    exit,
    failure::Failure,
};
use kiln_builder::{Check, CheckState};
use serde::Serialize;
use std::fmt::Write;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Document<'a> {
    checks: &'a [Check],
}

pub(crate) async fn run(global: &Global, args: &Args) -> Result<String, Failure> {
    let kiln = open(global).await?;
    let mut checks = kiln.doctor();
    let lacks_kernel = |check: &Check| check.name == "fallback kernel" && check.state != CheckState::Ok;
    if args.fix && checks.iter().any(lacks_kernel) {
        kiln.fetch_kernel(&events(global)).await?;
        checks = kiln.doctor();
    }
    let text = if args.json { json(&Document { checks: &checks })? } else { shown(&checks) };
    if checks.iter().any(|check| check.state == CheckState::Missing) {
        return Err(Failure::shown(text, exit::HOST));
    }
    Ok(text)
}

fn shown(checks: &[Check]) -> String {
    let mut out = String::new();
    for check in checks {
        let word = match check.state {
            CheckState::Ok => "ok",
            CheckState::Warning => "warning",
            CheckState::Missing => "missing",
        };
        writeln!(out, "{word:<8} {:<16} {}", check.name, check.finding)
            .expect("a string takes what is written");
        if let Some(fix) = &check.fix {
            writeln!(out, "{:<26}mend: {fix}", "").expect("a string takes what is written");
        }
    }
    out
}
