//! A build up to its steps: the template is read, its base is there, the keys are known.

use crate::{
    Error, Event, Events, Kiln,
    base::Base,
    build::BuildRequest,
    cancel::CancelOnDrop,
    home::BuildFolder,
    layers::{Found, NamedLayer},
    on_error::OnError,
    plan::PlannedSteps,
    request::Loaded,
    reuse::StepChoice,
};
use kiln_types::{Digest, Timestamp};
use serde::Serialize;
use std::time::Instant;

/// How far a build went that was to stop at a step.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reached {
    /// The step's place, from 1.
    pub step: usize,
    /// The step's name.
    pub name: String,
    /// The layer that it left; nothing where its result cannot be kept.
    pub layer: Option<Digest>,
    /// Steps that ran.
    pub steps_run: usize,
    /// Steps whose result was there already.
    pub steps_cached: usize,
    /// How long it took.
    pub seconds: f64,
}

/// A build whose steps are about to run.
pub(crate) struct Begun {
    pub(crate) loaded: Loaded,
    pub(crate) folder: BuildFolder,
    pub(crate) base: Base,
    pub(crate) planned: PlannedSteps,
    /// The layer to go on from, where a person named one.
    pub(crate) from: Option<NamedLayer>,
    _give_up: CancelOnDrop,
}

impl Kiln {
    /// Runs a template's steps up to and with this one, for what it leaves in the cache; makes no image.
    ///
    /// # Errors
    /// As [`Self::build`], and when there is no such step.
    pub async fn build_until(
        &self,
        request: &BuildRequest,
        until: &StepChoice,
        events: &Events,
    ) -> Result<Reached, Error> {
        let started = Instant::now();
        let begun = self.begin(request, events).await?;
        let index = until.index_in(&begun.loaded.template)?;
        let finished = self.run_steps(&begun, request, Some(index), events).await;
        let finished = self.or_keep(finished, &begun, request, events)?;
        let Some(step) = begun.planned.steps.get(index) else {
            return Err(until.unknown(&begun.loaded.template));
        };
        Ok(Reached {
            step: step.number,
            name: step.name.clone(),
            layer: matches!(self.layers().find(step.key), Found::Whole(_)).then_some(step.key),
            steps_run: finished.ran,
            steps_cached: finished.cached,
            seconds: started.elapsed().as_secs_f64(),
        })
    }

    /// Reads the template, makes or finds its base, and plans the steps over it.
    pub(crate) async fn begin(&self, request: &BuildRequest, events: &Events) -> Result<Begun, Error> {
        let loaded = request.template.load(Timestamp::now())?;
        events.emit(Event::BuildStarted { template: loaded.template.label() });
        self.check_host(&loaded.template)?;
        let cancel = Self::cancel();
        let give_up = CancelOnDrop(cancel.clone());
        let folder = self.home.new_build()?;
        let base = self.base(&loaded.template, &folder, request.reuse.refresh, events, &cancel).await?;
        let planned = PlannedSteps::over(base.record.content, &loaded.template, &self.home.seal()?)?;
        planned.as_last_build(&loaded.template)?.write(&self.home.last_build(&loaded))?;
        let (planned, from) = match &request.reuse.from_layer {
            None => (planned, None),
            Some(layer) => {
                let from = self.layers().named(layer)?;
                from.check(base.record.content, &loaded.template)?;
                let (key, step) = (from.key, from.record.made.step);
                (PlannedSteps::over_layer(key, step, &loaded.template, &self.home.seal()?)?, Some(from))
            }
        };
        Ok(Begun { loaded, folder, base, planned, from, _give_up: give_up })
    }

    /// Keeps what a failed build leaves, where that is asked for.
    pub(crate) fn or_keep<T>(
        &self,
        result: Result<T, Error>,
        begun: &Begun,
        request: &BuildRequest,
        events: &Events,
    ) -> Result<T, Error> {
        if result.is_err() && request.on_error == OnError::Keep {
            let kept = self.home.keep(&begun.folder)?;
            events.warning(format!("the machine's disks and logs are kept in {}", kept.display()));
        }
        result
    }
}
