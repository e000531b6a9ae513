//! `kiln build`: template to image.

use crate::{
    args::{self, Build, Global},
    commands::{events, export, json, open, request},
    failure::Failure,
    output::seconds,
    settings,
    terminal::Controlling,
};
use kiln_builder::{BuildRequest, Built, OnError};
use serde::Serialize;
use std::fmt::Write;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    builds: Vec<Built>,
}

pub(crate) async fn run(global: &Global, args: &Build) -> Result<String, Failure> {
    let request = BuildRequest {
        template: request(&args.template),
        new: args.new,
        replace: args.replace,
        cold: args.cold,
        on_error: match args.on_error {
            args::OnError::Cleanup => OnError::Cleanup,
            args::OnError::Keep => OnError::Keep,
            args::OnError::Shell => OnError::Shell,
        },
        guest: settings::guest_config(global.config.as_deref())?,
        terminal: Controlling::if_any(),
    };
    // Mistakes in the template are told before anything is opened or made.
    request.template.load(kiln_types::Timestamp::now())?;
    let kiln = open(global).await?;
    let built = kiln.build(&request, &events(global)).await?;
    if args.json {
        return json(&Document { builds: vec![built] });
    }
    Ok(summary(&built))
}

fn summary(built: &Built) -> String {
    let mut out = String::new();
    let what = if built.unchanged {
        "unchanged: nothing that this image depends on is different".to_owned()
    } else {
        let took = std::time::Duration::from_secs_f64(built.seconds.max(0.0));
        let steps = if built.steps_run == 1 { "step" } else { "steps" };
        format!("{} {steps} run, {} cached, in {}", built.steps_run, built.steps_cached, seconds(took))
    };
    writeln!(out, "{}  {}\n  {what}", built.image_id, built.name).expect("a string takes what is written");
    for exported in &built.exports {
        out.push_str("  ");
        out.push_str(&export::line(exported));
    }
    out
}
