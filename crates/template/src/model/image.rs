//! `[image]` and `[[export]]`: what a build leaves behind.

use crate::model::{DiskFormat, HostPath};
use kiln_types::{DeviceName, ImageName};
use serde::Serialize;
use std::collections::BTreeMap;

/// The image to register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Image {
    /// Its name, unique per owner and region.
    pub name: ImageName,
    /// What it is for.
    pub description: Option<String>,
    /// At most 50; keys up to 127 characters, values up to 255.
    pub tags: BTreeMap<String, String>,
    /// The root's name in the block device mapping.
    pub root_device_name: DeviceName,
}

/// A file to make from the finished image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Export {
    /// Its format.
    pub format: DiskFormat,
    /// Where it goes; relative to the template's folder, as every path in a template.
    pub path: HostPath,
}
