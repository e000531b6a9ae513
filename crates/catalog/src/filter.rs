//! Filters of DescribeImages: the values of one are alternatives, several filters must all fit.
//!
//! ```text
//! name=debian-*,ubuntu-?      tag:Role=web      block-device-mapping.volume-size=8
//! ```
//! In a value `*` stands for any text and `?` for one character; `\` before one of them means it as it is.

use crate::{BlockDevice, EbsBlockDevice, Error, Image, ImageState};
use serde::Serialize;
use std::{borrow::Cow, str::FromStr};

/// One filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    name: String,
    values: Vec<String>,
}

impl Filter {
    /// Makes a filter.
    ///
    /// # Errors
    /// [`Error::FilterUnknown`], or [`Error::FilterEmpty`] without a value.
    pub fn new(name: &str, values: Vec<String>) -> Result<Self, Error> {
        let name = name.to_owned();
        if !is_known(&name) {
            return Err(Error::FilterUnknown { name });
        }
        if values.is_empty() {
            return Err(Error::FilterEmpty { name });
        }
        Ok(Self { name, values })
    }

    pub(crate) fn matches(&self, image: &Image) -> bool {
        let has = values(image, &self.name);
        has.iter().any(|value| self.values.iter().any(|pattern| glob(pattern, value)))
    }
}

impl FromStr for Filter {
    type Err = Error;

    /// Reads `NAME=VALUE[,VALUE…]`; `\,` is a comma.
    fn from_str(text: &str) -> Result<Self, Error> {
        let Some((name, values)) = text.split_once('=') else {
            return Err(Error::FilterEmpty { name: text.to_owned() });
        };
        Self::new(name, split(values))
    }
}

/// Cuts at commas that no backslash stands before.
fn split(text: &str) -> Vec<String> {
    let (mut values, mut value, mut chars) = (Vec::new(), String::new(), text.chars());
    while let Some(c) = chars.next() {
        match c {
            ',' => values.push(std::mem::take(&mut value)),
            '\\' => match chars.next() {
                Some(',') => value.push(','),
                next => value.extend(std::iter::once('\\').chain(next)),
            },
            c => value.push(c),
        }
    }
    values.push(value);
    values
}

/// The filters that EC2 documents for images, beside `tag:KEY`.
const KNOWN: [&str; 39] = [
    "architecture",
    "block-device-mapping.delete-on-termination",
    "block-device-mapping.device-name",
    "block-device-mapping.encrypted",
    "block-device-mapping.snapshot-id",
    "block-device-mapping.volume-size",
    "block-device-mapping.volume-type",
    "boot-mode",
    "creation-date",
    "description",
    "ena-support",
    "free-tier-eligible",
    "hypervisor",
    "image-allowed",
    "image-id",
    "image-type",
    "imds-support",
    "is-public",
    "kernel-id",
    "manifest-location",
    "name",
    "owner-alias",
    "owner-id",
    "platform",
    "platform-details",
    "product-code",
    "product-code.type",
    "ramdisk-id",
    "root-device-name",
    "root-device-type",
    "source-image-id",
    "source-image-region",
    "source-instance-id",
    "sriov-net-support",
    "state",
    "state-reason-code",
    "state-reason-message",
    "tag-key",
    "virtualization-type",
];

fn is_known(name: &str) -> bool {
    KNOWN.contains(&name) || name.strip_prefix("tag:").is_some_and(|key| !key.is_empty())
}

/// Returns what an image has under a filter's name: nothing, one value, or as many as it has devices or tags.
fn values<'i>(image: &'i Image, name: &str) -> Vec<Cow<'i, str>> {
    let reason = match &image.state {
        ImageState::Failed { reason } => Some(reason),
        _ => None,
    };
    if let Some(key) = name.strip_prefix("tag:") {
        let tags = image.tags.iter().filter(|tag| tag.key == key);
        return tags.map(|tag| tag.value.as_str().into()).collect();
    }
    if let Some(field) = name.strip_prefix("block-device-mapping.") {
        return mapping(image, field);
    }
    let one = |value: Cow<'i, str>| vec![value];
    let text = |value: Option<&'i str>| value.map(Cow::from).into_iter().collect();
    match name {
        "architecture" => one(image.architecture.to_string().into()),
        "boot-mode" => image.boot_mode.as_ref().map(word).into_iter().collect(),
        "creation-date" => one(image.creation_date.to_string().into()),
        "description" => text(image.description.as_deref()),
        "ena-support" => one(image.ena_support.to_string().into()),
        "hypervisor" => text(Some(&image.hypervisor)),
        "image-id" => one(image.image_id.to_string().into()),
        "image-type" => text(Some(&image.image_type)),
        "imds-support" => image.imds_support.as_ref().map(word).into_iter().collect(),
        "is-public" => one(image.public.to_string().into()),
        "kernel-id" => text(image.kernel_id.as_deref()),
        "manifest-location" => text(Some(&image.image_location)),
        "name" => text(Some(image.name.as_str())),
        "owner-alias" => text(image.image_owner_alias.as_deref()),
        "owner-id" => one(image.owner_id.to_string().into()),
        "platform" => text(image.platform.as_deref()),
        "platform-details" => text(Some(&image.platform_details)),
        "product-code" => {
            image.product_codes.iter().map(|code| code.product_code_id.as_str().into()).collect()
        }
        "product-code.type" => {
            image.product_codes.iter().map(|code| code.product_code_type.as_str().into()).collect()
        }
        "ramdisk-id" => text(image.ramdisk_id.as_deref()),
        "root-device-name" => text(Some(image.root_device_name.as_str())),
        "root-device-type" => one(image.root_device_type.to_string().into()),
        "source-image-id" => image.source_image_id.map(|id| id.to_string().into()).into_iter().collect(),
        "source-image-region" => {
            image.source_image_region.as_ref().map(|region| region.to_string().into()).into_iter().collect()
        }
        "source-instance-id" => {
            image.source_instance_id.map(|id| id.to_string().into()).into_iter().collect()
        }
        "state" => text(Some(image.state.as_str())),
        "state-reason-code" => text(reason.map(|reason| reason.code.as_str())),
        "state-reason-message" => text(reason.map(|reason| reason.message.as_str())),
        "tag-key" => image.tags.iter().map(|tag| tag.key.as_str().into()).collect(),
        "virtualization-type" => one(word(&image.virtualization_type)),
        // The rest has no local meaning: no image has it.
        _ => Vec::new(),
    }
}

fn mapping<'i>(image: &'i Image, field: &str) -> Vec<Cow<'i, str>> {
    if field == "device-name" {
        return image
            .block_device_mappings
            .iter()
            .map(|mapping| mapping.device_name.as_str().into())
            .collect();
    }
    let volumes = image.block_device_mappings.iter().filter_map(|mapping| match &mapping.device {
        BlockDevice::Ebs(ebs) => Some(ebs),
        _ => None,
    });
    let value = |ebs: &EbsBlockDevice| -> Option<Cow<'i, str>> {
        Some(match field {
            "delete-on-termination" => ebs.delete_on_termination.to_string().into(),
            "encrypted" => ebs.encrypted.to_string().into(),
            "snapshot-id" => ebs.snapshot_id?.to_string().into(),
            "volume-size" => ebs.volume_size.to_string().into(),
            "volume-type" => word(&ebs.volume_type),
            _ => return None,
        })
    };
    volumes.filter_map(value).collect()
}

/// Returns the word that a value has in a record.
fn word<T: Serialize>(value: &T) -> Cow<'static, str> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word.into(),
        _ => "".into(),
    }
}

/// Compares a text with a pattern, in time that grows with the product of their lengths at most.
fn glob(pattern: &str, text: &str) -> bool {
    let pattern: Vec<Token> = tokens(pattern).collect();
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut read) = (0, 0);
    // Where to go on when what follows the last star did not fit.
    let mut again: Option<(usize, usize)> = None;
    while let Some(&c) = text.get(read) {
        match pattern.get(at) {
            Some(Token::Any) => {
                again = Some((at + 1, read));
                at += 1;
            }
            Some(Token::One) => (at, read) = (at + 1, read + 1),
            Some(Token::Char(wanted)) if *wanted == c => (at, read) = (at + 1, read + 1),
            _ => match again {
                Some((after, from)) => {
                    again = Some((after, from + 1));
                    (at, read) = (after, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(at).all(|token| *token == Token::Any)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    Any,
    One,
    Char(char),
}

fn tokens(pattern: &str) -> impl Iterator<Item = Token> {
    let mut chars = pattern.chars();
    std::iter::from_fn(move || {
        Some(match chars.next()? {
            '*' => Token::Any,
            '?' => Token::One,
            '\\' => Token::Char(chars.next().unwrap_or('\\')),
            c => Token::Char(c),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stars_and_question_marks() {
        for (pattern, text, fits) in [
            ("debian-*", "debian-web", true),
            ("debian-*", "debian-", true),
            ("debian-*", "ubuntu-web", false),
            ("*web*", "a-web-b", true),
            ("d?bian", "debian", true),
            ("d?bian", "dbian", false),
            ("*a*b*c", "xxaxxbxxbc", true),
            ("*a*b*c", "xxaxxbxxbcd", false),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("", "", true),
            ("", "x", false),
            ("**", "", true),
        ] {
            assert_eq!(glob(pattern, text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn a_pattern_of_stars_takes_no_time() {
        let (pattern, text) = ("*a".repeat(60) + "b", "a".repeat(4000));
        assert!(!glob(&pattern, &text));
    }

    proptest! {
        #[test]
        fn a_glob_is_what_a_regular_expression_says(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
            let as_regex = format!("^{}$", pattern.replace('*', ".*").replace('?', "."));
            let expected = regex::Regex::new(&as_regex).unwrap().is_match(&text);
            prop_assert_eq!(glob(&pattern, &text), expected);
        }
    }

    #[test]
    fn a_filter_is_read_as_it_is_typed() {
        let filter: Filter = "name=a,b\\,c,d=e\\*".parse().unwrap();
        assert_eq!(filter.values, ["a", "b,c", "d=e\\*"]);
        for (text, code) in [
            ("nmae=x", "The filter 'nmae' is invalid"),
            ("tag:=x", "The filter 'tag:' is invalid"),
            ("name", "The filter 'name' has no value"),
        ] {
            let error = text.parse::<Filter>().unwrap_err();
            assert_eq!((error.code(), &*error.to_string()), ("InvalidParameterValue", code));
        }
    }
}
