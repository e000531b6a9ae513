//! Which images are asked for, as DescribeImages takes it.

use crate::{Error, Filter, Image, ImageState, Viewer};
use kiln_types::{AccountId, ImageId, Timestamp};
use std::{cmp::Ordering, str::FromStr};

/// Which images are asked for; what is left empty asks for all that the account may see.
#[derive(Debug, Clone, Default)]
pub struct ImageQuery {
    /// Images by id; one that is not there is an error.
    pub ids: Vec<ImageId>,
    /// Who owns them.
    pub owners: Vec<Owner>,
    /// What they have.
    pub filters: Vec<Filter>,
    /// Whether others' deprecated images are among them.
    pub include_deprecated: bool,
    /// Whether disabled images are among them.
    pub include_disabled: bool,
    /// In which order they come.
    pub sort: Sort,
    /// Whether only the newest of them is asked for.
    pub latest: bool,
}

/// Who owns an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// The account that asks.
    OneSelf,
    /// An account.
    Account(AccountId),
    /// An owner with a name of its own, like `aws-marketplace`.
    Alias(String),
    /// Anybody else who made an image public.
    Community,
}

/// EC2's name for those who sell images.
pub const MARKETPLACE: &str = "aws-marketplace";

impl FromStr for Owner {
    type Err = Error;

    /// Reads `self`, `community`, `marketplace`, another alias, or twelve digits.
    fn from_str(text: &str) -> Result<Self, Error> {
        let alias = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        match text {
            "self" => Ok(Self::OneSelf),
            "community" => Ok(Self::Community),
            "marketplace" | MARKETPLACE => Ok(Self::Alias(MARKETPLACE.to_owned())),
            _ => match text.parse() {
                Ok(account) => Ok(Self::Account(account)),
                Err(_not_digits) if alias(text) && !text.bytes().all(|b| b.is_ascii_digit()) => {
                    Ok(Self::Alias(text.to_owned()))
                }
                Err(_not_digits) => Err(Error::OwnerMalformed { text: text.to_owned() }),
            },
        }
    }
}

impl Owner {
    fn is(&self, image: &Image, viewer: &Viewer) -> bool {
        match self {
            Self::OneSelf => viewer.owns(image),
            Self::Account(account) => image.owner_id == *account,
            Self::Alias(alias) => image.image_owner_alias.as_ref() == Some(alias),
            Self::Community => image.public && !viewer.owns(image) && image.image_owner_alias.is_none(),
        }
    }
}

/// In which order images come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sort {
    /// By creation date and then id, the newest last.
    #[default]
    CreationDate,
    /// By name, and then as above.
    Name,
}

impl Sort {
    fn compare(self, a: &Image, b: &Image) -> Ordering {
        let by_date = || (a.creation_date, a.image_id).cmp(&(b.creation_date, b.image_id));
        match self {
            Self::CreationDate => by_date(),
            Self::Name => a.name.cmp(&b.name).then_with(by_date),
        }
    }
}

impl ImageQuery {
    /// Picks what is asked for from images that are there for the viewer, each as the viewer sees it.
    pub(crate) fn pick(&self, images: Vec<Image>, viewer: &Viewer, now: Timestamp) -> Vec<Image> {
        let images = images.into_iter().filter(|image| self.wants(image, viewer, now));
        // What others may not see, they may not search by either.
        let views = images.map(|image| viewer.view(image));
        let mut found: Vec<_> =
            views.filter(|view| self.filters.iter().all(|filter| filter.matches(view))).collect();
        found.sort_by(|a, b| self.sort.compare(a, b));
        found.dedup_by_key(|image| image.image_id);
        if self.latest {
            let newest = found.into_iter().max_by(|a, b| Sort::CreationDate.compare(a, b));
            return newest.into_iter().collect();
        }
        found
    }

    fn wants(&self, image: &Image, viewer: &Viewer, now: Timestamp) -> bool {
        let by_id = !self.ids.is_empty();
        viewer.sees(image)
            && (self.owners.is_empty() || self.owners.iter().any(|owner| owner.is(image, viewer)))
            && (by_id || self.include_deprecated || viewer.finds(image, now))
            && (by_id || self.include_disabled || image.state != ImageState::Disabled)
    }
}
