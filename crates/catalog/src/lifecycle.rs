//! What becomes of images as they age: found out first, so that it can be looked at before it is done.

use crate::{Catalog, DeregistrationProtection, Error, Image, ImageEdit, ImageState};
use kiln_types::{ImageId, TimeSpan, Timestamp};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// EC2 keeps deprecation by the minute.
const MINUTE: i64 = 60;

/// When something happens to an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// When it is so old.
    Age(TimeSpan),
    /// When there are so many newer ones that are available.
    Newer(u32),
}

/// What becomes of the images of one kind.
#[derive(Debug, Clone, Default)]
pub struct LifecycleRules {
    /// When lists of others leave an image out.
    pub deprecate: Option<After>,
    /// When it cannot be launched any more.
    pub disable: Option<After>,
    /// When it leaves the catalogue.
    pub deregister: Option<After>,
    /// So many of the newest that are available are left alone.
    pub keep: u32,
    /// Images with one of these tags are left alone: a key, and a value where not any will do.
    pub keep_tags: Vec<(String, Option<String>)>,
}

/// What becomes of an image now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LifecycleAction {
    /// Nothing.
    Keep,
    /// Lists of others leave it out.
    Deprecate,
    /// It cannot be launched any more.
    Disable,
    /// It leaves the catalogue.
    Deregister,
}

/// What becomes of one image, and why.
#[derive(Debug, Clone)]
pub struct Decision {
    /// The image.
    pub image: Image,
    /// What becomes of it.
    pub action: LifecycleAction,
    /// Why, for people.
    pub why: String,
}

/// Everything beside the rules that a decision depends on.
#[derive(Debug)]
struct Surroundings<'a> {
    /// Every image of the region that another could have grown from.
    all: &'a [Image],
    /// Images that instances were made from.
    in_use: &'a BTreeSet<ImageId>,
    now: Timestamp,
}

impl Catalog {
    /// Decides what becomes of this account's images that a query finds, the newest first. `in_use` are images that
    /// instances were made from.
    ///
    /// # Errors
    /// When the region cannot be read.
    pub async fn decide(
        &self,
        rules: &LifecycleRules,
        images: &[Image],
        in_use: &BTreeSet<ImageId>,
    ) -> Result<Vec<Decision>, Error> {
        let all = self.all_records().await?;
        Ok(rules.decide(images, &Surroundings { all: &all, in_use, now: Timestamp::now() }))
    }

    /// Does what was decided; `bin` is how long what leaves the catalogue can be restored.
    ///
    /// # Errors
    /// As [`Catalog::edit`] and [`Catalog::deregister`].
    pub async fn carry_out(&self, decision: &Decision, bin: TimeSpan) -> Result<(), Error> {
        let id = decision.image.image_id;
        let edit = match decision.action {
            LifecycleAction::Keep => return Ok(()),
            LifecycleAction::Deregister => return self.deregister(id, Some(bin)).await.map(drop),
            LifecycleAction::Disable => ImageEdit { enabled: Some(false), ..ImageEdit::default() },
            LifecycleAction::Deprecate => {
                // The minute that this lies in has not passed.
                let soon = Timestamp::from_unix(Timestamp::now().unix().saturating_add(MINUTE - 1));
                ImageEdit { deprecation: soon.map(Some), ..ImageEdit::default() }
            }
        };
        self.edit(id, &edit).await.map(drop)
    }
}

impl LifecycleRules {
    fn decide(&self, images: &[Image], around: &Surroundings<'_>) -> Vec<Decision> {
        let mut images: Vec<_> = images.iter().collect();
        images.sort_by_key(|image| (image.creation_date, image.image_id));
        let mut newer = 0;
        let decisions = images.into_iter().rev().map(|image| {
            let (action, why) = self.of_one(image, newer, around);
            newer += u32::from(image.state == ImageState::Available);
            Decision { image: image.clone(), action, why }
        });
        let mut decisions: Vec<_> = decisions.collect();
        spare_parents(&mut decisions, around.all);
        decisions
    }

    /// Decides what becomes of an image that nothing grew from.
    fn of_one(&self, image: &Image, newer: u32, around: &Surroundings<'_>) -> (LifecycleAction, String) {
        let keep = |why: String| (LifecycleAction::Keep, why);
        if image.state == ImageState::Pending {
            return keep("its tests run".to_owned());
        }
        if image.state == ImageState::Available && newer < self.keep {
            let newest = if self.keep == 1 {
                "it is the newest".to_owned()
            } else {
                format!("one of the {} newest", self.keep)
            };
            return keep(newest);
        }
        if let Some(tag) = self.keep_tags.iter().find(|tag| has(image, tag)) {
            return keep(format!("tagged {}", tag.0));
        }
        let due = |after: Option<After>| after.and_then(|after| after.is_due(image, newer, around.now));
        let used = around.in_use.contains(&image.image_id);
        let protected = image.deregistration_protection != DeregistrationProtection::Disabled
            || image.kiln.protected_until.is_some_and(|until| until > around.now);
        let mut spared = None;
        if let Some(why) = due(self.deregister) {
            match (used, protected) {
                (false, false) => return (LifecycleAction::Deregister, why),
                (true, _) => spared = Some("an instance was made from it"),
                (false, true) => spared = Some("it is protected from deregistration"),
            }
        }
        if image.state == ImageState::Available
            && let Some(why) = due(self.disable)
        {
            if !used {
                return (LifecycleAction::Disable, why);
            }
            spared = Some("an instance was made from it");
        }
        // A deprecation begins with a minute, which may be the next.
        let soon = Timestamp::from_unix(around.now.unix().saturating_add(MINUTE)).unwrap_or(around.now);
        let deprecated = image.deprecation_time.is_some_and(|time| time <= soon);
        if image.state == ImageState::Available
            && !deprecated
            && let Some(why) = due(self.deprecate)
        {
            return (LifecycleAction::Deprecate, why);
        }
        keep(spared.unwrap_or("its time has not come").to_owned())
    }
}

impl After {
    /// Says why it is time, if it is.
    fn is_due(self, image: &Image, newer: u32, now: Timestamp) -> Option<String> {
        match self {
            Self::Age(span) => {
                let age = now.unix().saturating_sub(image.creation_date.unix());
                let old = u64::try_from(age).is_ok_and(|age| age >= span.as_duration().as_secs());
                old.then(|| format!("older than {span}"))
            }
            Self::Newer(count) => (newer >= count).then(|| format!("{newer} are newer")),
        }
    }
}

fn has(image: &Image, (key, value): &(String, Option<String>)) -> bool {
    image.tags.iter().any(|tag| tag.key == *key && value.as_ref().is_none_or(|value| tag.value == *value))
}

/// Leaves alone what an image that stays grew from, its parents and theirs.
fn spare_parents(decisions: &mut [Decision], all: &[Image]) {
    loop {
        let going = decisions.iter().filter(|decision| decision.action == LifecycleAction::Deregister);
        let deregistered: BTreeSet<_> = going.map(|decision| decision.image.image_id).collect();
        let mut needed = BTreeMap::new();
        for image in all.iter().filter(|image| !deregistered.contains(&image.image_id)) {
            if image.state == ImageState::Deregistered {
                continue;
            }
            let parents = image.kiln.lineage.iter().copied().chain(image.source_image_id);
            needed.extend(parents.map(|parent| (parent, image.image_id)));
        }
        let mut spared = false;
        for decision in decisions.iter_mut().filter(|decision| decision.action >= LifecycleAction::Disable) {
            if let Some(child) = needed.get(&decision.image.image_id) {
                decision.action = LifecycleAction::Keep;
                decision.why = format!("{child} grew from it");
                spared = true;
            }
        }
        // What stays now may have parents of its own that were to go.
        if !spared {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
