//! Profiles as AWS's tools write them, and what wins over what.

use super::*;
use std::iter::once;

const CONFIG: &str = "\u{feff}# ours\n[default]\nregion = eu-central-1 # here\n\n[profile team]\r\nRegion=us-east-1\r\n\
    endpoint_url = https://s3.team\nservices = minio\n[services minio]\ns3 =\n  endpoint_url = http://minio:9000\n\
    dynamodb =\n  endpoint_url = http://other\n[profile \"two  words\"]\nendpoint_url=https://two\n\
    [profile signed-in]\nsso_session = corp\n[profile role]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = team\n\
    [profile pod]\nrole_arn = arn\nweb_identity_token_file = /run/token\n";
const CREDENTIALS: &str = "[default]\naws_access_key_id = AKIDDEFAULT\naws_secret_access_key = a#b/c+d=\n\
    [team]\naws_access_key_id=AKIDTEAM\naws_secret_access_key=s\naws_session_token=t==\n";

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs_err::create_dir(home.path().join(".aws")).unwrap();
        fs_err::write(home.path().join(".aws/config"), CONFIG).unwrap();
        fs_err::write(home.path().join(".aws/credentials"), CREDENTIALS).unwrap();
        Self(home)
    }

    fn with(&self, variables: &[(&str, &str)]) -> Result<Settings, Error> {
        let home = self.0.path().to_str().unwrap();
        let variables = variables.iter().copied().chain(once(("HOME", home)));
        with_profile(&variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// Settings as text, in the order region, endpoint, key, secret, token.
    fn said(&self, variables: &[(&str, &str)]) -> String {
        let all = self.with(variables).unwrap();
        let names = [
            "AWS_REGION",
            "AWS_ENDPOINT_URL",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
        ];
        names.map(|name| all.get(name).map_or("-", String::as_str)).join(" ")
    }
}

#[test]
fn what_stands_earlier_wins() {
    let home = Home::new();
    assert_eq!(home.said(&[]), "eu-central-1 - AKIDDEFAULT a#b/c+d= -");
    let team = ("AWS_PROFILE", "team");
    assert_eq!(home.said(&[team]), "us-east-1 http://minio:9000 AKIDTEAM s t==");
    assert_eq!(home.said(&[("AWS_PROFILE", "two words")]), "- https://two - - -");
    let region = [team, ("AWS_DEFAULT_REGION", "x")];
    assert_eq!(home.said(&region), "- http://minio:9000 AKIDTEAM s t==", "and the variable says the region");
    // A key of the environment never meets the secret or the token of a profile.
    let key = [team, ("AWS_ACCESS_KEY_ID", "K"), ("AWS_SECRET_ACCESS_KEY", "S")];
    assert_eq!(home.said(&key), "us-east-1 http://minio:9000 K S -");
    let endpoint = [team, ("AWS_ENDPOINT_URL_S3", "http://e")];
    assert_eq!(home.said(&endpoint), "us-east-1 - AKIDTEAM s t==");
    let ignored = [team, ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")];
    assert_eq!(home.said(&ignored), "us-east-1 - AKIDTEAM s t==");
}

#[test]
fn files_may_lie_elsewhere_or_nowhere() {
    let home = Home::new();
    let credentials = home.0.path().join("elsewhere");
    fs_err::write(&credentials, "[default]\naws_access_key_id=E\naws_secret_access_key=e\n").unwrap();
    let elsewhere = ("AWS_SHARED_CREDENTIALS_FILE", credentials.to_str().unwrap());
    assert_eq!(home.said(&[elsewhere]), "eu-central-1 - E e -");
    fs_err::remove_dir_all(home.0.path().join(".aws")).unwrap();
    assert_eq!(home.said(&[]), "- - - - -");
    let missing = home.with(&[("AWS_PROFILE", "team")]).unwrap_err();
    assert_eq!(missing.to_string(), "there is no AWS profile `team`");
}

#[test]
fn credentials_that_take_another_program_are_refused_with_a_way() {
    let home = Home::new();
    for (profile, way) in [("signed-in", "sso_session"), ("role", "role_arn")] {
        let refused = home.with(&[("AWS_PROFILE", profile)]).unwrap_err();
        assert!(refused.to_string().contains(way), "{refused}");
        assert!(
            refused.hint().is_some_and(|hint| hint.contains("export-credentials") && hint.contains(profile))
        );
        // With keys of the environment the same profile gives the rest.
        let keys = [("AWS_ACCESS_KEY_ID", "K"), ("AWS_SECRET_ACCESS_KEY", "S")];
        assert_eq!(home.said(&[&[("AWS_PROFILE", profile)], &keys[..]].concat()), "- - K S -");
    }
    let pod = home.with(&[("AWS_PROFILE", "pod")]).unwrap();
    assert_eq!((&*pod["AWS_WEB_IDENTITY_TOKEN_FILE"], &*pod["AWS_ROLE_ARN"]), ("/run/token", "arn"));
}

#[test]
fn a_line_that_means_nothing_is_named_by_its_number_and_not_repeated() {
    for text in ["[default]\n\nhunter2\n", "a = b", "[a]\n= hunter2\nhunter2"] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.starts_with("line ") && !error.contains("hunter2"), "{error}");
    }
}
