//! What only the network knows of a source: checksum files behind URLs.
//!
//! What each said is kept in `cache/lookups/`, for a plan that is to use no network.

use crate::{
    Error,
    download::Downloader,
    home::{Home, write_whole},
    key::KeyMaker,
};
use std::{io, path::PathBuf};

/// Looks things up, or takes what they last said.
#[derive(Debug, Clone)]
pub(crate) struct Lookups {
    folder: PathBuf,
    offline: bool,
}

impl Lookups {
    /// Looks things up for this home; `offline` takes only what is known.
    pub(crate) fn new(home: &Home, offline: bool) -> Self {
        Self { folder: home.lookups(), offline }
    }

    /// Returns the text behind a URL.
    pub(super) fn text(&self, url: &str) -> Result<String, Error> {
        let mut name = KeyMaker::new("lookup");
        name.part("url", url.as_bytes());
        let kept = self.folder.join(name.finish().to_string());
        if self.offline {
            return fs_err::read_to_string(kept).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => Error::NotLookedUp { url: url.to_owned() },
                _ => error.into(),
            });
        }
        let text = Downloader::default().text(url)?;
        write_whole(&kept, text.as_bytes())?;
        Ok(text)
    }
}
