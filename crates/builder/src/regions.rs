//! The regions that the host's configuration names.
//!
//! ```toml
//! [region.team]
//! url = "s3://bucket/prefix"     # or a folder: file:///srv/kiln, or its path, seen from the configuration's folder
//! ```
//! The region `local` needs no entry: it is a folder of the home. How S3 is reached, and with which credentials, is said by
//! the environment, never by this file.

use crate::Error;
use kiln_store::{Location, S3Settings};
use kiln_types::RegionName;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};
use toml_edit::{DocumentMut, Item, Table, value};

/// A configuration that says nothing useful of regions.
#[derive(Debug, thiserror::Error)]
#[error("the configuration's [region] tables cannot be read")]
pub struct RegionsError(#[source] Box<dyn std::error::Error + Send + Sync>);

/// The regions of the configuration, and how those on S3 are reached.
#[derive(Debug, Clone, Default)]
pub struct Regions {
    urls: BTreeMap<RegionName, String>,
    /// Where the configuration lies.
    folder: PathBuf,
    settings: S3Settings,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    region: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    url: String,
}

impl Regions {
    /// Reads the `[region]` tables of a configuration that lies in a folder.
    ///
    /// # Errors
    /// When it is not TOML, a region's name is none, or a table holds other keys.
    pub fn parse(text: &str, folder: &Path, settings: S3Settings) -> Result<Self, RegionsError> {
        let file: File = toml::from_str(text).map_err(|error| RegionsError(error.into()))?;
        let entries = file.region.into_iter().map(|(name, entry)| Ok((name.parse()?, entry.url)));
        let urls = entries.collect::<Result<_, kiln_types::ParseError>>();
        let urls = urls.map_err(|error| RegionsError(error.into()))?;
        Ok(Self { urls, folder: folder.to_owned(), settings })
    }

    /// Lists the regions and where they lie, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&RegionName, &str)> {
        self.urls.iter().map(|(name, url)| (name, url.as_str()))
    }

    /// Says where a region lies.
    ///
    /// # Errors
    /// [`Error::NoSuchRegion`], or when its URL means nothing.
    pub fn location(&self, name: &RegionName) -> Result<Location, Error> {
        let url = self.urls.get(name).ok_or_else(|| Error::NoSuchRegion { name: name.clone() })?;
        self.location_of(url)
    }

    /// Parses a URL as one of a region.
    ///
    /// # Errors
    /// When it means nothing.
    pub fn location_of(&self, url: &str) -> Result<Location, Error> {
        Ok(match Location::parse(url, &self.settings)? {
            Location::Folder(path) => Location::Folder(self.folder.join(path)),
            elsewhere => elsewhere,
        })
    }

    /// Returns the configuration's text with one more region; the rest stays as it is written.
    ///
    /// # Errors
    /// [`Error::RegionNamed`] when the name is taken, or when the text cannot be read.
    pub fn add(&self, text: &str, name: &RegionName, url: &str) -> Result<String, Error> {
        if *name == RegionName::local() || self.urls.contains_key(name) {
            return Err(Error::RegionNamed { name: name.clone() });
        }
        let mut document = document(text)?;
        let regions = document.entry("region").or_insert_with(|| {
            let mut table = Table::new();
            table.set_implicit(true);
            Item::Table(table)
        });
        let regions = regions.as_table_like_mut();
        let regions = regions.ok_or_else(|| RegionsError("`region` is no table".into()))?;
        let mut entry = Table::new();
        entry.insert("url", value(url));
        regions.insert(name.as_str(), Item::Table(entry));
        Ok(document.to_string())
    }

    /// Returns the configuration's text without a region; the rest stays as it is written.
    ///
    /// # Errors
    /// [`Error::NoSuchRegion`], or when the text cannot be read.
    pub fn remove(&self, text: &str, name: &RegionName) -> Result<String, Error> {
        let mut document = document(text)?;
        let regions = document.get_mut("region").and_then(Item::as_table_like_mut);
        let removed = regions.and_then(|regions| regions.remove(name.as_str()));
        removed.ok_or_else(|| Error::NoSuchRegion { name: name.clone() })?;
        Ok(document.to_string())
    }
}

fn document(text: &str) -> Result<DocumentMut, RegionsError> {
    text.parse().map_err(|error: toml_edit::TomlError| RegionsError(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITTEN: &str =
        "# Ours.\n[guest]\nproxy = \"http://p:1\" # the house's\n\n[region.team]\nurl = \"s3://b/p\"\n";

    fn name(text: &str) -> RegionName {
        text.parse().unwrap()
    }

    fn parsed(text: &str) -> Result<Regions, RegionsError> {
        Regions::parse(text, Path::new("/etc/kiln"), S3Settings::default())
    }

    #[test]
    fn a_relative_folder_is_seen_from_the_configuration() {
        let regions = parsed("[region.a]\nurl = \"shared/a\"\n").unwrap();
        let location = regions.location(&name("a")).unwrap();
        assert_eq!(location, Location::Folder("/etc/kiln/shared/a".into()));
    }

    #[test]
    fn what_people_wrote_stays() {
        let regions = parsed(WRITTEN).unwrap();
        let added = regions.add(WRITTEN, &name("eu"), "/srv/eu").unwrap();
        assert_eq!(added, format!("{WRITTEN}\n[region.eu]\nurl = \"/srv/eu\"\n"));
        let regions = parsed(&added).unwrap();
        assert_eq!(regions.location(&name("eu")).unwrap(), Location::Folder("/srv/eu".into()));
        assert_eq!(regions.remove(&added, &name("eu")).unwrap(), WRITTEN);
        assert_eq!(regions.add("", &name("a"), "x").unwrap(), "[region.a]\nurl = \"x\"\n");
    }

    #[test]
    fn names_are_taken_once_and_local_is_always_there() {
        let regions = parsed(WRITTEN).unwrap();
        for taken in ["team", "local"] {
            let refused = regions.add(WRITTEN, &name(taken), "x").unwrap_err();
            assert!(matches!(refused, Error::RegionNamed { .. }), "{refused}");
        }
        assert!(matches!(regions.remove(WRITTEN, &name("eu")), Err(Error::NoSuchRegion { .. })));
    }

    #[test]
    fn mistakes_are_refused() {
        for wrong in ["[region.A]\nurl = \"x\"", "[region.a]\nuri = \"x\"", "region = 1", "region"] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }
}
