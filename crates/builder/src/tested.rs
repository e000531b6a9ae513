//! An image's way through its tests.
//!
//! ```text
//! steps ─▶ snapshots ─▶ pending ─▶ tests ─┬─▶ available, under its name
//!                                         └─▶ failed, without it; also where the next build finds that this one died
//! available, other tests ─▶ tests ─▶ available, and has passed them
//! ```

use crate::{
    Error, Events, Kiln, Loaded, Phase,
    build::BuildRequest,
    bundled::Bundling,
    test_results::{Tested, has_passed, tests_key},
};
use kiln_catalog::{Image, ImageEdit, ImageQuery, ImageState, NewImage, Owner, StateReason};
use kiln_store::Location;
use kiln_types::Digest;

impl Kiln {
    /// Registers an image once its tests have passed. Until then it is pending, and afterwards failed where they do not.
    pub(crate) async fn register_tested(
        &self,
        new: NewImage,
        bundling: Option<Bundling>,
        loaded: &Loaded,
        request: &BuildRequest,
        events: &Events,
    ) -> Result<(Image, Option<Tested>), Error> {
        let tests = tests_key(&loaded.template)?;
        if tests.is_none() && bundling.is_none() {
            return Ok((self.register(new, request.replace, events).await?, None));
        }
        let phase = events.begin(Phase::Register);
        let pending = match &bundling {
            Some(bundling) => self.register_pending_bundled(new, bundling).await?,
            None => self.catalog.register_pending(new).await?,
        };
        phase.done(format!("{} pending, until it is whole", pending.image_id));
        let id = pending.image_id;
        let tested = match self.test_and_bundle(&pending, bundling, loaded, request, events).await {
            Ok(tested) => tested,
            Err(error) => {
                let code = match &error {
                    Error::TestsFailed(_) => "Client.TestFailed",
                    _ => "Server.InternalError",
                };
                self.catalog.fail(id, StateReason { code: code.to_owned(), message: error.chain() }).await?;
                return Err(error);
            }
        };
        let phase = events.begin(Phase::Register);
        let image = self.catalog.complete(id, tests, request.replace).await?;
        phase.done(format!("{} {}", image.image_id, image.name));
        Ok((image, tested))
    }

    /// Runs the tests of a pending image, where it has some, and then makes its bundle, where it is to have one.
    async fn test_and_bundle(
        &self,
        pending: &Image,
        bundling: Option<Bundling>,
        loaded: &Loaded,
        request: &BuildRequest,
        events: &Events,
    ) -> Result<Option<Tested>, Error> {
        let tested = match tests_key(&loaded.template)? {
            Some(_) => Some(self.run_tests(pending, loaded, request, events).await?.passed()?),
            None => None,
        };
        if let Some(bundling) = bundling {
            self.make_bundle(pending, bundling, events).await?;
        }
        Ok(tested)
    }

    /// Fails the images whose builds died while their tests ran; the caller holds the lock of what they are made of.
    pub(crate) async fn fail_abandoned(&self, image_key: Digest) -> Result<(), Error> {
        // In a region that hosts share, another of them may be at it.
        if self.location != Location::Folder(self.home.local_region()) {
            return Ok(());
        }
        let query = ImageQuery { owners: vec![Owner::OneSelf], ..ImageQuery::default() };
        for image in self.catalog.describe(&query).await? {
            if image.state == ImageState::Pending && image.kiln.template_digest == Some(image_key) {
                let message = "its build ended while its tests ran".to_owned();
                let reason = StateReason { code: "Server.InternalError".to_owned(), message };
                self.catalog.fail(image.image_id, reason).await?;
            }
        }
        Ok(())
    }

    /// Runs the tests of an image that is there and did not pass these yet.
    pub(crate) async fn test_again(
        &self,
        image: &Image,
        loaded: &Loaded,
        request: &BuildRequest,
        events: &Events,
    ) -> Result<Option<Tested>, Error> {
        let tests = tests_key(&loaded.template)?;
        if has_passed(image, tests) {
            return Ok(None);
        }
        let tested = self.run_tests(image, loaded, request, events).await?.passed()?;
        self.catalog.edit(image.image_id, &ImageEdit { tested: tests, ..ImageEdit::default() }).await?;
        Ok(Some(tested))
    }
}
