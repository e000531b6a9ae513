//! `plan`: what a build would do, in words.

use crate::{
    Error, Kiln,
    base::source_key,
    plan::PlannedSteps,
    request::{Loaded, TemplateRequest},
    source,
};
use kiln_types::{Digest, ImageId, Timestamp};
use serde::Serialize;
use std::fmt;

/// What a build would do.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Plan {
    /// The template's name, with the values of its matrix.
    pub template: String,
    /// The base, the steps, the image, the exports.
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
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Cached => "cached",
            Self::Run => "run",
        })
    }
}

impl Kiln {
    /// Says what a build would do, and starts nothing. A checksum file's URL is fetched to know the base.
    ///
    /// # Errors
    /// When the template is not valid, or a file that it names cannot be read.
    pub async fn plan(&self, request: &TemplateRequest) -> Result<Plan, Error> {
        let loaded = request.load(Timestamp::now())?;
        let base_key = source_key(&loaded.template).await?;
        let base = self.cached_base(base_key).await?;
        let planned = match &base {
            Some(base) => {
                Some(PlannedSteps::over(base.record.content, &loaded.template, &self.home.seal()?)?)
            }
            None => None,
        };
        let image = match &planned {
            Some(planned) => self.unchanged(request, planned).await?.map(|(image, _)| image.image_id),
            None => None,
        };
        let mut items = vec![base_item(&loaded, base_key, base.is_some())];
        items.extend(step_items(&loaded, planned.as_ref(), image));
        Ok(Plan { template: loaded.template.label(), items, unchanged: image })
    }
}

fn base_item(loaded: &Loaded, key: Digest, cached: bool) -> PlanItem {
    let (action, reason) = match cached {
        true => (Action::Cached, "its disk and snapshot are here"),
        false => (Action::Run, "no disk of this source is in the cache"),
    };
    let name = format!("base: {}", source::describe(&loaded.template.source));
    PlanItem { name, action, reason: reason.to_owned(), key: Some(key) }
}

fn step_items<'a>(
    loaded: &'a Loaded,
    planned: Option<&'a PlannedSteps>,
    image: Option<ImageId>,
) -> impl Iterator<Item = PlanItem> + 'a {
    let count = loaded.template.provisioners.len();
    loaded.template.provisioners.iter().enumerate().map(move |(index, step)| {
        let (action, reason) = match (image, planned) {
            (Some(image), _) => (Action::Cached, format!("its result is in {image}")),
            (None, Some(_)) => (Action::Run, "no image has these inputs".to_owned()),
            (None, None) => (Action::Run, "the base above is made anew".to_owned()),
        };
        let key = planned.and_then(|planned| planned.steps.get(index)).map(|step| step.key);
        PlanItem { name: format!("step {}/{count}: {}", index + 1, step.name), action, reason, key }
    })
}
