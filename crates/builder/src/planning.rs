//! `plan`: what a build would do, in words.

use crate::{
    Error, Kiln,
    base::source_key,
    inputs::{Inputs, LastBuild},
    layering::Cached,
    plan::PlannedSteps,
    request::TemplateRequest,
    source,
    test_results::{has_passed, tests_key},
};
use kiln_catalog::Image;
use kiln_template::Template;
use kiln_types::{Digest, ImageId, Timestamp};
use serde::Serialize;
use std::fmt;

/// What a build would do.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Plan {
    /// The template's name, with the values of its matrix.
    pub template: String,
    /// The base, the steps, the tests.
    pub items: Vec<PlanItem>,
    /// The image that a build would return, where nothing is different.
    pub unchanged: Option<ImageId>,
}

/// One thing that a build would do.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct PlanItem {
    /// What it is, for people.
    pub name: String,
    /// Whether it would run.
    pub action: Action,
    /// Why.
    pub reason: String,
    /// What its result depends on, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Digest>,
}

/// Whether something would run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Its result is there.
    Cached,
    /// It would run.
    Run,
    /// The template leaves it out.
    Skipped,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Cached => "cached",
            Self::Run => "run",
            Self::Skipped => "skipped",
        })
    }
}

/// What a plan is to look at.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlanOptions {
    /// Whether to use no network: what was last looked up counts.
    pub offline: bool,
    /// Whether the build would be told to make a base anew that is not pinned.
    pub refresh: bool,
}

impl Kiln {
    /// Says what a build would do, and starts nothing. A checksum file's URL is fetched to know the base, unless
    /// `options.offline`.
    ///
    /// # Errors
    /// When the template is not valid, or a file that it names cannot be read.
    pub async fn plan(&self, request: &TemplateRequest, options: PlanOptions) -> Result<Plan, Error> {
        let loaded = request.load(Timestamp::now())?;
        let origin = self.origin(&loaded.template).await?;
        let base_key = source_key(&origin.template, self.lookups(options.offline)).await?;
        let refresh = options.refresh && source::is_unpinned(&origin.template.source);
        let base = if refresh { None } else { self.base_record(base_key) };
        let planned = match &base {
            Some(base) => Some(PlannedSteps::over(base.content, &loaded.template, &self.home.seal()?)?),
            None => None,
        };
        let unchanged = match &planned {
            Some(planned) => self.unchanged(request, planned).await?,
            None => None,
        };
        let tests = tests_item(&loaded.template, unchanged.as_ref().map(|(image, _)| image))?;
        let image = unchanged.map(|(image, _)| image.image_id);
        let last = LastBuild::read(&self.home.last_build(&loaded));
        let template = &loaded.template;
        let mut items = vec![base_item(&origin.template, base_key, base.is_some(), last.as_ref(), options)?];
        match (&planned, image) {
            (None, _) => items.extend(all_steps(template, None, Action::Run, "the base above is made anew")),
            (Some(planned), Some(image)) => {
                let why = format!("its result is in {image}");
                items.extend(all_steps(template, Some(planned), Action::Cached, &why));
            }
            (Some(planned), None) => {
                let cached = self.layers().cached(template, planned, None, usize::MAX);
                items.extend(steps_by_layers(template, planned, &cached, last.as_ref()));
            }
        }
        items.extend(tests);
        Ok(Plan { template: template.label(), items, unchanged: image })
    }
}

/// Says what becomes of the tests; `image` is one that is there already.
fn tests_item(template: &Template, image: Option<&Image>) -> Result<Option<PlanItem>, Error> {
    let Some(key) = tests_key(template)? else { return Ok(None) };
    let count = template.tests.iter().filter(|test| test.skipped.is_none()).count();
    let (action, reason) = match image {
        None => (Action::Run, "the image is new".to_owned()),
        Some(image) if has_passed(image, Some(key)) => {
            (Action::Cached, format!("{} has passed them", image.image_id))
        }
        Some(image) => (Action::Run, format!("{} has not passed these", image.image_id)),
    };
    let name = format!("{count} {}", if count == 1 { "test" } else { "tests" });
    Ok(Some(PlanItem { name, action, reason, key: Some(key) }))
}

fn base_item(
    template: &Template,
    key: Digest,
    cached: bool,
    last: Option<&LastBuild>,
    options: PlanOptions,
) -> Result<PlanItem, Error> {
    let (action, mut reason) = match cached {
        _ if options.refresh && source::is_unpinned(&template.source) => {
            (Action::Run, "--refresh makes it anew".to_owned())
        }
        true => (Action::Cached, "its disk is here".to_owned()),
        false => {
            let source = Inputs::of(&template.source)?;
            let changed = last.and_then(|last| source.difference(&last.source));
            (Action::Run, changed.unwrap_or_else(|| "no disk of this source is in the cache".to_owned()))
        }
    };
    if let Some(url) = source::looked_up(&template.source) {
        let when = if options.offline { "as last looked up" } else { "looked up now" };
        reason = format!("{reason} ({url}: {when})");
    }
    let name = format!("base: {}", source::describe(&template.source));
    Ok(PlanItem { name, action, reason, key: Some(key) })
}

/// Lists steps of which all have the same to be said.
fn all_steps(
    template: &Template,
    planned: Option<&PlannedSteps>,
    action: Action,
    why: &str,
) -> impl Iterator<Item = PlanItem> {
    (0..template.provisioners.len())
        .map(move |index| step_item(template, planned, index, action, why.to_owned()))
}

/// Lists the steps with the first thing that is different from the last build.
fn steps_by_layers(
    template: &Template,
    planned: &PlannedSteps,
    cached: &Cached,
    last: Option<&LastBuild>,
) -> impl Iterator<Item = PlanItem> {
    let first = cached.steps;
    let reason = move |index: usize| {
        if index < first {
            return (Action::Cached, "its result is in the cache".to_owned());
        }
        if index > first {
            return (Action::Run, format!("step {} above runs", first + 1));
        }
        let changed = || {
            let (last, step) = (last?, planned.steps.get(index)?);
            let machine = (index == 0).then(|| planned.machine.difference(&last.machine)).flatten();
            machine.or_else(|| last.step_difference(index, &step.name, &step.inputs))
        };
        let why = cached.why.clone().or_else(changed);
        let unknown = if last.is_some() {
            "its result is not in the cache"
        } else {
            "this template was not built here"
        };
        (Action::Run, why.unwrap_or_else(|| unknown.to_owned()))
    };
    (0..template.provisioners.len()).map(move |index| {
        let (action, why) = reason(index);
        step_item(template, Some(planned), index, action, why)
    })
}

fn step_item(
    template: &Template,
    planned: Option<&PlannedSteps>,
    index: usize,
    action: Action,
    why: String,
) -> PlanItem {
    let steps = &template.provisioners;
    let step = steps.get(index);
    let (action, reason) = match step.and_then(|step| step.skipped.clone()) {
        Some(skipped) => (Action::Skipped, skipped),
        None => (action, why),
    };
    let name = step.map(|step| step.name.as_str()).unwrap_or_default();
    let key = planned.and_then(|planned| planned.steps.get(index)).map(|step| step.key);
    PlanItem { name: format!("step {}/{}: {name}", index + 1, steps.len()), action, reason, key }
}
