//! What a step says about its result: whether it is kept, and for how long.

use kiln_types::TimeSpan;

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
