//! How much of the cache a build may use, as a person asks for it.

use crate::Error;
use kiln_template::Template;
use std::{convert::Infallible, fmt, str::FromStr};

/// How much of the cache a build may use.
#[derive(Debug, Clone, Default)]
pub struct Reuse {
    /// The first step that runs although its result may be there.
    pub no_cache_from: Option<StepChoice>,
    /// The layer to go on from, whatever became of the steps that made it: its key, or the beginning of that.
    pub from_layer: Option<String>,
    /// Whether a base that is not pinned is made anew.
    pub refresh: bool,
}

impl Reuse {
    /// Says whether an image that is there may be the result.
    pub(crate) fn takes_an_image(&self) -> bool {
        self.no_cache_from.is_none() && self.from_layer.is_none()
    }

    /// Returns how many steps need not run where their results are there.
    pub(crate) fn most(&self, template: &Template) -> Result<usize, Error> {
        let from = self.no_cache_from.as_ref().filter(|_| !template.provisioners.is_empty());
        from.map_or(Ok(usize::MAX), |choice| choice.index_in(template))
    }
}

/// A step of a template, as a person names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepChoice {
    /// By its place, from 1.
    Number(usize),
    /// By its name.
    Name(String),
}

impl StepChoice {
    /// Finds the step's place, from 0.
    pub(crate) fn index_in(&self, template: &Template) -> Result<usize, Error> {
        let steps = &template.provisioners;
        let index = match self {
            Self::Number(number) => number.checked_sub(1).filter(|index| *index < steps.len()),
            Self::Name(name) => steps.iter().position(|step| step.name == *name),
        };
        index.ok_or_else(|| self.unknown(template))
    }

    /// Says that a template has no such step.
    pub(crate) fn unknown(&self, template: &Template) -> Error {
        let names = template.provisioners.iter().map(|step| step.name.clone());
        Error::NoSuchStep { step: self.clone(), steps: names.collect() }
    }
}

impl FromStr for StepChoice {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.parse().map_or_else(|_not_a_number| Self::Name(text.to_owned()), Self::Number))
    }
}

impl fmt::Display for StepChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => write!(f, "`{name}`"),
        }
    }
}
