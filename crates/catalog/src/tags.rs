//! Tags of images and snapshots under EC2's rules.

use crate::{Error, Tag};

/// How many a resource may have.
const MOST: usize = 50;

/// Characters of a key.
const LONGEST_KEY: usize = 127;

/// Characters of a value.
const LONGEST_VALUE: usize = 255;

/// Sets and removes tags; they stay in the order of their keys.
///
/// # Errors
/// When there are too many then, or one is not as EC2 wants it.
pub fn change(tags: &mut Vec<Tag>, set: &[Tag], remove: &[String]) -> Result<(), Error> {
    tags.retain(|tag| !remove.contains(&tag.key) && set.iter().all(|new| new.key != tag.key));
    if !set.is_empty() {
        tags.extend(set.iter().cloned());
        tags.sort_by(|a, b| a.key.cmp(&b.key));
    }
    check(tags)
}

/// Checks the tags of a resource.
pub(crate) fn check(tags: &[Tag]) -> Result<(), Error> {
    if tags.len() > MOST {
        return Err(Error::TooManyTags { count: tags.len() });
    }
    let bad = |tag: &Tag, why| Error::Tag { key: tag.key.clone(), why };
    for tag in tags {
        let (key, value) = (tag.key.chars().count(), tag.value.chars().count());
        if key == 0 || key > LONGEST_KEY {
            return Err(bad(tag, "a key has 1 to 127 characters"));
        }
        if value > LONGEST_VALUE {
            return Err(bad(tag, "a value has up to 255 characters"));
        }
        if tag.key.to_ascii_lowercase().starts_with("aws:") {
            return Err(bad(tag, "keys that begin with aws: are EC2's own"));
        }
    }
    Ok(())
}
