//! The commands: one a file. Each returns what it prints on standard output.

mod account;
pub(crate) mod build;
pub(crate) mod bundle;
mod cache;
pub(crate) mod doctor;
pub(crate) mod export;
mod fsck;
mod gc;
pub(crate) mod image;
mod instance;
mod lifecycle;
pub(crate) mod metadata;
pub(crate) mod plan;
pub(crate) mod region;
pub(crate) mod snapshot;
pub(crate) mod supervise;
mod test;
pub(crate) mod validate;

use crate::{
    args::{Args, Command, Global, Instance, Templates},
    exit,
    failure::Failure,
    output::{self, Verbosity},
    settings,
};
use kiln_builder::{Combination, Events, Kiln, Loaded, TemplateRequest};
use kiln_types::{RegionName, Timestamp};
use serde::Serialize;
use std::{future::Future, io, time::Duration};

/// How long tasks on other threads may take to notice that the command has ended.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);

/// Runs the command that was asked for.
pub(crate) fn run(args: Args) -> Result<String, Failure> {
    let Args { global, command } = args;
    match command {
        Command::Validate(args) => validate::run(&args),
        Command::Build(args) => block_on(build::run(&global, &args)),
        Command::Test(args) => block_on(test::run(&global, &args)),
        Command::Plan(args) => block_on(plan::run(&global, &args)),
        Command::Image(args) => block_on(image::run(&global, &args)),
        Command::Lifecycle(args) => block_on(lifecycle::run(&global, &args)),
        Command::Launch(args) => block_on(instance::launch(&global, &args)),
        // Signals are for the machine that it keeps.
        Command::Instance(args @ Instance::Keep { .. }) => alone(instance::run(&global, &args)),
        Command::Instance(args) => block_on(instance::run(&global, &args)),
        Command::Region(args) => block_on(region::run(&global, &args)),
        Command::Account(args) => block_on(account::run(&global, &args)),
        Command::Gc(args) => block_on(gc::run(&global, &args)),
        Command::Fsck(args) => block_on(fsck::run(&global, &args)),
        Command::Snapshot(args) => block_on(snapshot::run(&global, &args)),
        Command::Export(args) => block_on(export::run(&global, &args)),
        Command::Cache(args) => block_on(cache::run(&global, &args)),
        Command::Bundle(args) => block_on(bundle::run(&global, &args)),
        Command::Doctor(args) => block_on(doctor::run(&global, &args)),
    }
}

/// Runs a command until it ends or is interrupted. An interrupted command is dropped: every machine that it
/// started dies with it, and what it was writing goes away.
fn block_on(command: impl Future<Output = Result<String, Failure>>) -> Result<String, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::from_error(&error, None, exit::FAILED))?;
    let result = runtime.block_on(async {
        tokio::select! {
            result = command => result,
            signal = interrupted() => Err(signal),
        }
    });
    runtime.shutdown_timeout(LEAVE_WITHIN);
    result
}

/// Runs a command that deals with signals itself.
fn alone(command: impl Future<Output = Result<String, Failure>>) -> Result<String, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| Failure::from_error(&error, None, exit::FAILED))?.block_on(command)
}

/// Waits for Ctrl-C or a termination signal.
async fn interrupted() -> Failure {
    use tokio::signal::unix::{SignalKind, signal};
    let wait = async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        io::Result::Ok(())
    };
    match wait.await {
        Ok(()) => Failure::interrupted(),
        Err(error) => Failure::from_error(&error, None, exit::FAILED),
    }
}

/// Opens the installation that the command line names.
async fn open(global: &Global) -> Result<Kiln, Failure> {
    open_in(global, global.region.as_ref()).await
}

/// Opens the installation in a region, its own where none is named.
async fn open_in(global: &Global, region: Option<&RegionName>) -> Result<Kiln, Failure> {
    let home = settings::home(global.home.as_deref())?;
    let program = std::env::current_exe().map_err(|error| Failure::from_error(&error, None, exit::FAILED))?;
    let mut kiln = Kiln::open(&home, settings::program_path(), supervise::command(program)).await?;
    let config = settings::Config::read(global.config.as_deref())?;
    if let Some(region) = region {
        kiln = kiln.in_region(region, &config.regions()?).await?;
    }
    Ok(match config.account(global.account.as_deref())? {
        Some(account) => kiln.acting_as(account),
        None => kiln,
    })
}

/// Returns where a build's events go.
fn events(global: &Global) -> Events {
    output::events(verbosity(global))
}

/// Returns where the events of one of several builds go.
fn events_of(global: &Global, build: &str) -> Events {
    output::events_of(verbosity(global), build)
}

fn verbosity(global: &Global) -> Verbosity {
    if global.quiet { Verbosity::Quiet } else { Verbosity::Normal }
}

/// Makes requests of what the command line says: one for each template, or one for each combination of its matrix. The
/// mistakes of all templates are told at once.
fn requests(templates: &Templates) -> Result<Vec<(TemplateRequest, Loaded)>, Failure> {
    let now = Timestamp::now();
    let (mut requests, mut mistakes) = (Vec::<(TemplateRequest, Loaded)>::new(), String::new());
    for path in &templates.templates {
        let request = TemplateRequest {
            path: path.clone(),
            vars: templates.vars.clone(),
            var_files: templates.var_files.clone(),
            environment: settings::environment(),
            combination: Combination::default(),
        };
        match request.each(now) {
            Ok(each) => requests.extend(each),
            Err(kiln_builder::Error::Template(report)) => mistakes.push_str(&report.render(true)),
            Err(error) => return Err(error.into()),
        }
    }
    if !mistakes.is_empty() {
        return Err(Failure::template(mistakes));
    }
    for (index, (_, one)) in requests.iter().enumerate() {
        let name = &one.template.image.name;
        if let Some((_, other)) =
            requests[..index].iter().find(|(_, other)| other.template.image.name == *name)
        {
            let (one, other) = (one.template.label(), other.template.label());
            return Err(Failure::usage(format!("{other} and {one} both make the image {name}"))
                .with_hint("give each its own `name` in [image]"));
        }
    }
    Ok(requests)
}

/// Prints a document for programs.
fn json<T: Serialize>(document: &T) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(document);
    text.map(|text| text + "\n").map_err(|error| Failure::from_error(&error, None, exit::FAILED))
}
