//! What a template says about the cache: which results are kept, for how long and where.

use kiln_types::{RegionName, TimeSpan};

/// How long the result of a step stands for running it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StepCache {
    /// For as long as nothing that it depends on is different.
    #[default]
    Kept,
    /// Never: the step runs in every build.
    Never,
    /// For this long, where nothing that it depends on is different.
    For(TimeSpan),
}

/// What a template says about the cache.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cache {
    /// The region that results of steps are fetched from and put into, beside this installation's own cache.
    pub region: Option<RegionName>,
}
