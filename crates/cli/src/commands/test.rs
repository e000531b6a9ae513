//! `kiln test`: a template's tests on an image that is there.

use crate::{
    args::{Global, Templates, Test},
    commands::{events, json, open, requests},
    exit,
    failure::Failure,
    output::{junit, printable, seconds},
    settings,
    table::table,
};
use kiln_builder::{Error, Loaded, TemplateRequest, TestOutcome, TestRequest, TestResult, Tested};
use std::{fmt::Write, time::Duration};

pub(crate) async fn run(global: &Global, args: &Test) -> Result<String, Failure> {
    let templates = Templates {
        templates: vec![args.template.clone()],
        vars: args.vars.clone(),
        var_files: args.var_files.clone(),
    };
    let (template, loaded) = one_of(requests(&templates)?, args)?;
    if loaded.template.tests.is_empty() {
        return Err(Failure::usage(format!("the template {} has no tests", loaded.template.name))
            .with_hint("add `[[test]]` to it"));
    }
    let guest = settings::Config::read(global.config.as_deref())?.guest()?;
    let request = TestRequest { image: args.image.clone(), template, guest };
    let result = open(global).await?.test_image(&request, &events(global)).await;
    let (tested, passed) = match result {
        Ok(tested) => (tested, true),
        Err(Error::TestsFailed(tested)) => (*tested, false),
        Err(error) => return Err(error.into()),
    };
    if let Some(path) = &args.junit {
        junit::write(path, &[junit::Suite { name: &tested.template, tests: &tested.tests }])?;
    }
    let text = if args.json { json(&tested)? } else { shown(&tested) };
    if passed { Ok(text) } else { Err(Failure::shown(text, exit::FAILED)) }
}

/// Returns the build of a template's matrix that is meant: each of them may have other tests.
fn one_of(
    mut requests: Vec<(TemplateRequest, Loaded)>,
    args: &Test,
) -> Result<(TemplateRequest, Loaded), Failure> {
    let first = requests.first().map(|(request, _)| request.combination.clone()).unwrap_or_default();
    requests.retain(|(request, _)| {
        let has = |(axis, value): &(String, String)| {
            request.combination.axes().any(|(its, of)| (its, of) == (axis.as_str(), value.as_str()))
        };
        args.matrix.iter().all(has)
    });
    let what = match (requests.pop(), requests.is_empty()) {
        (Some(only), true) => return Ok(only),
        (Some(_), false) => "the template's matrix means several builds, and an image is of one of them",
        (None, _) => "no build of the template is that one",
    };
    let axes: Vec<_> = first.axes().map(|(axis, value)| format!(" --matrix {axis}={value}")).collect();
    let hint = format!("kiln test {} --template {}{}", args.image, args.template.display(), axes.concat());
    Err(Failure::usage(what).with_hint(hint))
}

/// Shows what came of each test, and why of those that failed.
fn shown(tested: &Tested) -> String {
    let mut out = table(["TEST", "RESULT", "TOOK"], &tested.tests.iter().map(row).collect::<Vec<_>>());
    for test in tested.tests.iter().filter(|test| test.outcome == TestOutcome::Failed) {
        write!(out, "\n{}\n", test.name).expect("a string takes what is written");
        for line in test.message.lines() {
            writeln!(out, "  {}", printable(line)).expect("a string takes what is written");
        }
    }
    let (image, name) = (tested.image_id, &tested.name);
    write!(out, "\n{image} {name}: {}\n", tested.summary()).expect("a string takes what is written");
    out
}

fn row(test: &TestResult) -> [String; 3] {
    let result = match test.outcome {
        TestOutcome::Passed => "passed",
        TestOutcome::Failed => "failed",
        TestOutcome::Skipped => "skipped",
    };
    let took = match test.outcome {
        TestOutcome::Skipped => String::new(),
        _ => seconds(Duration::from_secs_f64(test.seconds.max(0.0))),
    };
    [test.name.clone(), result.to_owned(), took]
}
