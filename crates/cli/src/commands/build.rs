//! `kiln build`: templates to images.

use crate::{
    args::{self, Build, Global},
    commands::{events, events_of, export, json, open, requests},
    failure::Failure,
    output::{junit, seconds},
    settings,
    table::table,
    terminal::Controlling,
};
use kiln_builder::{
    BuildRequest, Built, Error, Kiln, Loaded, OnError, Places, Reached, Reuse, StepChoice, TestOutcome,
    TestResult, Tested,
};
use serde::Serialize;
use std::{fmt::Write, time::Duration};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    builds: Vec<Ended>,
}

/// How one build ended: with an image or with an error.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Ended {
    /// The template's name, with the values of its matrix.
    template: String,
    #[serde(flatten)]
    built: Option<Built>,
    /// What came of its tests, where they are why it failed.
    #[serde(flatten)]
    tested: Option<Tested>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Ended {
    fn of(template: String, result: &Result<Built, (Failure, Option<Tested>)>) -> Self {
        match result {
            Ok(built) => Self { template, built: Some(built.clone()), tested: None, error: None },
            Err((failure, tested)) => {
                Self { template, built: None, tested: tested.clone(), error: Some(failure.text()) }
            }
        }
    }

    fn tests(&self) -> &[TestResult] {
        let built = self.built.as_ref().map(|built| built.tests.as_slice());
        built.or(self.tested.as_ref().map(|tested| tested.tests.as_slice())).unwrap_or_default()
    }
}

/// Takes the results of tests out of the error that they are.
fn failed(error: Error) -> (Failure, Option<Tested>) {
    let tested = match &error {
        Error::TestsFailed(tested) => Some(Tested::clone(tested)),
        _ => None,
    };
    (error.into(), tested)
}

fn junit(args: &Build, ended: &[Ended]) -> Result<(), Failure> {
    let Some(path) = &args.junit else { return Ok(()) };
    let suites = ended.iter().map(|one| junit::Suite { name: &one.template, tests: one.tests() });
    junit::write(path, &suites.collect::<Vec<_>>())
}

/// Builds that were to stop at a step.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Stops {
    builds: Vec<Stopped>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Stopped {
    template: String,
    #[serde(flatten)]
    reached: Reached,
}

pub(crate) async fn run(global: &Global, args: &Build) -> Result<String, Failure> {
    // Mistakes in templates are told before anything is opened or made.
    let requests = requests(&args.templates)?;
    let one = requests.len() == 1;
    if !one && args.on_error == args::OnError::Shell {
        return Err(Failure::usage("a shell can be opened in one build at a time")
            .with_hint("kiln build --on-error keep …"));
    }
    let guest = settings::Config::read(global.config.as_deref())?.guest()?;
    let requests = requests.into_iter().map(|(template, loaded)| {
        let request = BuildRequest {
            template,
            new: args.new,
            replace: args.replace,
            reuse: Reuse {
                no_cache_from: args.no_cache_from.clone().or(args.no_cache.then_some(StepChoice::Number(1))),
                from_layer: args.from_layer.clone(),
                refresh: args.refresh,
            },
            cold: args.cold,
            on_error: match args.on_error {
                args::OnError::Cleanup => OnError::Cleanup,
                args::OnError::Keep => OnError::Keep,
                args::OnError::Shell => OnError::Shell,
            },
            guest: guest.clone(),
            terminal: if one { Controlling::if_any() } else { None },
        };
        (request, loaded)
    });
    let requests: Vec<_> = requests.collect();
    let kiln = open(global).await?;
    if let Some(until) = &args.until {
        return build_until(&kiln, global, args, &requests, until).await;
    }
    if let [(request, loaded)] = requests.as_slice() {
        return single(&kiln, global, args, request, loaded.template.label()).await;
    }
    several(&kiln, global, args, &requests).await
}

async fn single(
    kiln: &Kiln,
    global: &Global,
    args: &Build,
    request: &BuildRequest,
    template: String,
) -> Result<String, Failure> {
    let result = kiln.build(request, &events(global)).await.map_err(failed);
    let ended = [Ended::of(template.clone(), &result)];
    junit(args, &ended)?;
    match result {
        Ok(built) if !args.json => Ok(summary(&built)),
        Ok(_) => json(&Document { builds: ended.into() }),
        Err((failure, Some(_))) if args.json => {
            failure.tell(&template);
            Err(Failure::shown(json(&Document { builds: ended.into() })?, failure.code()))
        }
        Err((failure, _)) => Err(failure),
    }
}

/// Runs steps for what they leave in the cache.
async fn build_until(
    kiln: &Kiln,
    global: &Global,
    args: &Build,
    requests: &[(BuildRequest, Loaded)],
    until: &StepChoice,
) -> Result<String, Failure> {
    let mut reached = Vec::new();
    for (request, loaded) in requests {
        let template = loaded.template.label();
        let ended = kiln.build_until(request, until, &events_of(global, &template)).await?;
        reached.push(Stopped { template, reached: ended });
    }
    if args.json {
        return json(&Stops { builds: reached });
    }
    let row = |stopped: &Stopped| {
        let Stopped { template, reached } = stopped;
        let layer = reached.layer.map_or_else(|| "not kept".to_owned(), |layer| layer.short());
        let step = format!("{} {}", reached.step, reached.name);
        let took = seconds(Duration::from_secs_f64(reached.seconds.max(0.0)));
        [template.clone(), step, reached.steps_run.to_string(), reached.steps_cached.to_string(), layer, took]
    };
    let rows: Vec<_> = reached.iter().map(row).collect();
    Ok(table(["TEMPLATE", "STOPPED AFTER", "RUN", "CACHED", "LAYER", "TOOK"], &rows))
}

/// Builds side by side, as far as there is room. One that fails is told at once, and the others go on.
async fn several(
    kiln: &Kiln,
    global: &Global,
    args: &Build,
    requests: &[(BuildRequest, Loaded)],
) -> Result<String, Failure> {
    let places = Places::of_host(args.jobs);
    let builds = requests.iter().map(async |(request, loaded)| {
        let _place = places.take(&loaded.template.machine).await;
        let label = loaded.template.label();
        let result = kiln.build(request, &events_of(global, &label)).await.map_err(failed);
        if let Err((failure, _)) = &result {
            failure.tell(&label);
        }
        (label, result)
    });
    let results = futures::future::join_all(builds).await;
    let code =
        results.iter().find_map(|(_, result)| result.as_ref().err().map(|(failure, _)| failure.code()));
    let ended = results.into_iter().map(|(template, result)| Ended::of(template, &result));
    let ended: Vec<_> = ended.collect();
    junit(args, &ended)?;
    let shown = if args.json { json(&Document { builds: ended })? } else { overview(&ended) };
    match code {
        Some(code) => Err(Failure::shown(shown, code)),
        None => Ok(shown),
    }
}

/// Says what became of each of several builds.
fn overview(ended: &[Ended]) -> String {
    let row = |ended: &Ended| {
        let template = ended.template.clone();
        match &ended.built {
            None => [template, "failed".to_owned(), String::new(), String::new(), String::new()],
            Some(built) => {
                let result = if built.unchanged { "unchanged" } else { "built" };
                let took = seconds(Duration::from_secs_f64(built.seconds.max(0.0)));
                [template, result.to_owned(), built.image_id.to_string(), built.name.to_string(), took]
            }
        }
    };
    table(["TEMPLATE", "RESULT", "IMAGE", "NAME", "TOOK"], &ended.iter().map(row).collect::<Vec<_>>())
}

fn summary(built: &Built) -> String {
    let mut out = String::new();
    let what = if built.unchanged {
        "unchanged: nothing that this image depends on is different".to_owned()
    } else {
        let took = Duration::from_secs_f64(built.seconds.max(0.0));
        let steps = if built.steps_run == 1 { "step" } else { "steps" };
        format!("{} {steps} run, {} cached, in {}", built.steps_run, built.steps_cached, seconds(took))
    };
    writeln!(out, "{}  {}\n  {what}", built.image_id, built.name).expect("a string takes what is written");
    if !built.tests.is_empty() {
        writeln!(out, "  {} passed", tests_run(&built.tests)).expect("a string takes what is written");
    }
    for exported in &built.exports {
        out.push_str("  ");
        out.push_str(&export::line(exported));
    }
    out
}

/// `3 tests`.
fn tests_run(tests: &[TestResult]) -> String {
    let run = tests.iter().filter(|test| test.outcome != TestOutcome::Skipped).count();
    format!("{run} {}", if run == 1 { "test" } else { "tests" })
}
