//! `[image.lifecycle]`: what becomes of a template's images as they age.

use kiln_types::TimeSpan;

/// What becomes of a template's images. It changes nothing about them while they are built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifecycle {
    /// A pattern of the images' names, with `*` and `?`; nothing means those that this build of the template made.
    pub names: Option<String>,
    /// When lists of others leave an image out.
    pub deprecate: Option<After>,
    /// When it cannot be launched any more.
    pub disable: Option<After>,
    /// When it leaves the catalogue.
    pub deregister: Option<After>,
    /// So many of the newest are left alone.
    pub keep: u32,
    /// Images with one of these tags are left alone: a key, and a value where not any will do.
    pub keep_tags: Vec<(String, Option<String>)>,
}

/// When something happens to an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// When it is so old.
    Age(TimeSpan),
    /// When there are so many newer ones.
    Newer(u32),
}
