//! The profiles that AWS's tools keep in `~/.aws`.
//!
//! ```text
//! ~/.aws/config                     ~/.aws/credentials
//! [default]                         [default]
//! region = eu-central-1             aws_access_key_id = …
//! [profile team]                    aws_secret_access_key = …
//! endpoint_url = https://s3.team    [team]
//! services = minio                  …
//! [services minio]
//! s3 =
//!   endpoint_url = https://minio.team
//! ```
//! What stands earlier wins: variables, the service's section, the profile; and the file of credentials wins over the
//! other one. Credentials are taken as a whole from one place.

use crate::Error;
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

/// Settings by name, as variables or as a section of a file.
type Settings = BTreeMap<String, String>;
type Sections = BTreeMap<String, Settings>;

/// What a profile can say, and the variable that says the same.
const SETTINGS: [(&str, &str); 2] = [("region", "AWS_REGION"), ("endpoint_url", "AWS_ENDPOINT_URL")];
const KEYS: [(&str, &str); 3] = [
    ("aws_access_key_id", "AWS_ACCESS_KEY_ID"),
    ("aws_secret_access_key", "AWS_SECRET_ACCESS_KEY"),
    ("aws_session_token", "AWS_SESSION_TOKEN"),
];
const WEB_IDENTITY: [(&str, &str); 3] = [
    ("web_identity_token_file", "AWS_WEB_IDENTITY_TOKEN_FILE"),
    ("role_arn", "AWS_ROLE_ARN"),
    ("role_session_name", "AWS_ROLE_SESSION_NAME"),
];

/// Ways to credentials that need another program or a browser.
const OTHER_WAYS: [&str; 5] =
    ["credential_process", "sso_session", "sso_start_url", "login_session", "role_arn"];

/// Adds to the variables what the profile says that they name, where they do not say it themselves.
pub(crate) fn with_profile(variables: &Settings) -> Result<Settings, Error> {
    let of = |variable: &str, name: &str| {
        let home = || variables.get("HOME").map(|home| Path::new(home).join(".aws").join(name));
        variables.get(variable).map(PathBuf::from).or_else(home)
    };
    let config = sections(of("AWS_CONFIG_FILE", "config"))?;
    let credentials = sections(of("AWS_SHARED_CREDENTIALS_FILE", "credentials"))?;
    let named = variables.get("AWS_PROFILE").or_else(|| variables.get("AWS_DEFAULT_PROFILE"));
    let name = named.map_or("default", String::as_str);
    let in_config = config.get(&format!("profile {name}"));
    let in_config = in_config.or_else(|| config.get(name).filter(|_| name == "default"));
    let in_credentials = credentials.get(name);
    if named.is_some() && in_config.is_none() && in_credentials.is_none() {
        return Err(Error::AwsProfile { name: name.to_owned() });
    }
    let (none, mut all) = (Settings::new(), variables.clone());
    let (in_config, in_credentials) = (in_config.unwrap_or(&none), in_credentials.unwrap_or(&none));
    if variables.get("AWS_REGION").is_none() && variables.get("AWS_DEFAULT_REGION").is_none() {
        copy(in_config, &SETTINGS[..1], &mut all);
    }
    let ignored = variables.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").is_some_and(|said| said == "true");
    if !ignored
        && !["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"].iter().any(|name| variables.contains_key(*name))
    {
        copy(in_config, &SETTINGS[1..], &mut all);
        let service = in_config.get("services").and_then(|name| config.get(&format!("services {name}")));
        if let Some(endpoint) = service.and_then(|service| service.get("s3.endpoint_url")) {
            all.insert("AWS_ENDPOINT_URL".to_owned(), endpoint.clone());
        }
    }
    if !["AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE"].iter().any(|name| variables.contains_key(*name))
    {
        credentials_of(name, [in_credentials, in_config], &mut all)?;
    }
    Ok(all)
}

/// Takes a profile's credentials from the first place that has any.
fn credentials_of(name: &str, places: [&Settings; 2], all: &mut Settings) -> Result<(), Error> {
    for place in places {
        let has = |key: &str| place.contains_key(key);
        // A role is taken on with the credentials beside it, which only a token's file can do here.
        if has("aws_access_key_id") && !has("role_arn") {
            copy(place, &KEYS, all);
            return Ok(());
        }
        if has("web_identity_token_file") {
            copy(place, &WEB_IDENTITY, all);
            return Ok(());
        }
        if let Some(way) = OTHER_WAYS.iter().find(|way| has(way)) {
            return Err(Error::AwsCredentials { name: name.to_owned(), way });
        }
    }
    Ok(())
}

fn copy(from: &Settings, names: &[(&str, &str)], to: &mut Settings) {
    let said =
        names.iter().filter_map(|(key, variable)| Some(((*variable).to_owned(), from.get(*key)?.clone())));
    to.extend(said);
}

/// Reads a file where there is one.
fn sections(path: Option<PathBuf>) -> Result<Sections, Error> {
    let Some(path) = path else { return Ok(Sections::new()) };
    let read = match fs_err::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Sections::new()),
        read => read.and_then(|text| parse(&text)),
    };
    read.map_err(|source| Error::AwsFile { path, source })
}

/// Parses a file; a setting under another one is called `outer.inner`. No line is ever repeated in an error: it may be
/// a secret.
fn parse(text: &str) -> io::Result<Sections> {
    let mut sections = Sections::new();
    let (mut section, mut outer) = (None::<&mut Settings>, String::new());
    for (line, number) in text.trim_start_matches('\u{feff}').lines().zip(1_usize..) {
        let content = line.trim();
        if content.is_empty() || content.starts_with(['#', ';']) {
            continue;
        }
        if let Some(rest) = content.strip_prefix('[') {
            let header = rest.split(']').next().unwrap_or_default().replace('"', "");
            let name = header.split_whitespace().collect::<Vec<_>>().join(" ");
            section = Some(sections.entry(name).or_default());
            continue;
        }
        let Some((settings, (key, value))) = section.as_mut().zip(content.split_once('=')) else {
            let what = format!("line {number} is neither a section nor a setting of one");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        };
        let (mut key, value) = (key.trim().to_ascii_lowercase(), without_comment(value).trim());
        if line.starts_with([' ', '\t']) && !outer.is_empty() {
            key = format!("{outer}.{key}");
        } else {
            outer.clone_from(&key);
        }
        if !value.is_empty() {
            settings.insert(key, value.to_owned());
        }
    }
    Ok(sections)
}

/// A comment behind a value begins after a space.
fn without_comment(value: &str) -> &str {
    let at = [" #", " ;", "\t#", "\t;"].iter().filter_map(|mark| value.find(mark)).min();
    at.and_then(|at| value.get(..at)).unwrap_or(value)
}

#[cfg(test)]
mod tests;
