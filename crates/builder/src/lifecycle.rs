//! `[image.lifecycle]`: what becomes of a template's images as they age.

use crate::{Error, Kiln, Loaded};
use kiln_catalog::{After, Filter, Image, ImageQuery, LifecycleAction, LifecycleRules, Owner};
use kiln_template::Lifecycle;
use kiln_types::{ImageId, ImageName, TimeSpan};
use serde::Serialize;

/// How long an image that left the catalogue can be restored.
const RECYCLE_BIN: TimeSpan = TimeSpan::from_secs(7 * 24 * 60 * 60);

/// What became of an image, or would.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Aged {
    /// The image.
    pub image_id: ImageId,
    /// Its name.
    pub name: ImageName,
    /// What became of it.
    pub action: LifecycleAction,
    /// Why.
    pub reason: String,
}

impl Kiln {
    /// Does what a template's lifecycle asks for, or with `dry_run` only says it; the newest image comes first.
    ///
    /// # Errors
    /// [`Error::NoLifecycle`], or when the region cannot be read or written: what was done until then stays done.
    pub async fn age_images(&self, loaded: &Loaded, dry_run: bool) -> Result<Vec<Aged>, Error> {
        let template = &loaded.template;
        let none = || Error::NoLifecycle { template: template.name.clone() };
        let lifecycle = template.image.lifecycle.as_ref().ok_or_else(none)?;
        let images = self.meant(lifecycle, loaded).await?;
        let rules = rules(lifecycle);
        let decisions = self.catalog.decide(&rules, &images, &self.images_in_use()?).await?;
        let mut aged = Vec::with_capacity(decisions.len());
        for decision in decisions {
            if !dry_run {
                self.catalog.carry_out(&decision, RECYCLE_BIN).await?;
            }
            let (action, reason) = (decision.action, decision.why);
            aged.push(Aged { image_id: decision.image.image_id, name: decision.image.name, action, reason });
        }
        Ok(aged)
    }

    /// Finds the images that a lifecycle is about.
    async fn meant(&self, lifecycle: &Lifecycle, loaded: &Loaded) -> Result<Vec<Image>, Error> {
        // The template's own: `web-20260101-120000` is called `web-*`.
        let own = || loaded.template.image.name.as_str().replace(&loaded.now.compact(), "*");
        let pattern = lifecycle.names.clone().unwrap_or_else(own);
        let query = ImageQuery {
            owners: vec![Owner::OneSelf],
            filters: vec![Filter::new("name", vec![pattern])?],
            include_deprecated: true,
            include_disabled: true,
            ..ImageQuery::default()
        };
        let mut images = self.catalog.describe(&query).await?;
        if lifecycle.names.is_none() {
            images.retain(|image| image.kiln.template.as_ref() == Some(&loaded.template.name));
        }
        Ok(images)
    }
}

fn rules(lifecycle: &Lifecycle) -> LifecycleRules {
    let after = |after: kiln_template::After| match after {
        kiln_template::After::Age(span) => After::Age(span),
        kiln_template::After::Newer(count) => After::Newer(count),
    };
    LifecycleRules {
        deprecate: lifecycle.deprecate.map(after),
        disable: lifecycle.disable.map(after),
        deregister: lifecycle.deregister.map(after),
        keep: lifecycle.keep,
        keep_tags: lifecycle.keep_tags.clone(),
    }
}
