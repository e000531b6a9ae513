//! What lies where, for whom, and for how long.

use super::*;
use crate::instances::{Port, Volume};
use kiln_catalog::Tag;
use kiln_types::{AccountId, Architecture, ImageId, RegionName, VolumeId};

const NOW: i64 = 1_700_000_000;

fn volume(device: &str, ephemeral: bool) -> Volume {
    Volume {
        volume_id: VolumeId::random(),
        device_name: device.parse().unwrap(),
        snapshot_id: None,
        size: 1 << 30,
        overlays: 1,
        delete_on_termination: true,
        ephemeral,
    }
}

fn instance() -> Instance {
    Instance {
        instance_id: "i-0123456789abcdef0".parse().unwrap(),
        image_id: ImageId::random(),
        region_name: RegionName::local(),
        owner_id: AccountId::LOCAL,
        launch_time: Timestamp::from_unix(NOW).unwrap(),
        architecture: Architecture::X86_64,
        cpus: 1,
        memory: 1 << 30,
        boot_mode: None,
        tpm: false,
        root_device_name: "/dev/sda1".parse().unwrap(),
        volumes: vec![
            volume("/dev/sda1", false),
            volume("/dev/sdb", true),
            volume("/dev/sdf", false),
            volume("/dev/sdg", false),
        ],
        ports: vec![Port { host: None, guest: 22 }],
        metadata: true,
        generations: 0,
        terminates_when_off: false,
        tags: vec![Tag { key: "Name".to_owned(), value: "web".to_owned() }],
        termination_time: None,
        state_reason: None,
    }
}

fn metadata(secret: &str) -> Metadata {
    let tree = Tree::new(&instance(), "web", "ssh-ed25519 AAAA me\n", Some(b"#cloud-config\n".to_vec()));
    Metadata { tree, secret: secret.as_bytes().to_vec() }
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(NOW + seconds).unwrap()
}

fn new_token(metadata: &Metadata, pairs: &[(&'static str, &str)]) -> Result<String, StatusCode> {
    let answer = metadata.respond(&Method::PUT, "/latest/api/token", &headers(pairs), at(0));
    answer.map(|token| String::from_utf8(token).unwrap())
}

fn told(path: &str) -> Result<String, StatusCode> {
    let metadata = metadata("secret");
    let token = new_token(&metadata, &[(TOKEN_LASTS, "60")])?;
    let told = metadata.respond(&Method::GET, path, &headers(&[(TOKEN, &token)]), at(1))?;
    Ok(String::from_utf8(told).unwrap())
}

#[test]
fn what_lies_where() {
    for (path, expected) in [
        ("/", "latest"),
        ("/latest", "dynamic\nmeta-data\nuser-data"),
        ("/latest/meta-data/instance-id", "i-0123456789abcdef0"),
        ("/2021-03-23/meta-data/hostname", "web"),
        ("/latest/meta-data/block-device-mapping/", "ami\nebs1\nebs2\nephemeral0\nroot"),
        ("/latest/meta-data/block-device-mapping/ami", "sda1"),
        ("/latest/meta-data/block-device-mapping/ebs2", "sdg"),
        ("/latest/meta-data/block-device-mapping/root", "/dev/sda1"),
        ("/latest/meta-data/public-keys/", "0=kiln"),
        ("/latest/meta-data/public-keys/0/", "openssh-key"),
        ("/latest/meta-data/public-keys/0/openssh-key", "ssh-ed25519 AAAA me"),
        ("/latest/meta-data/tags/", "instance/"),
        ("/latest/meta-data/tags/instance/Name", "web"),
        ("/latest/dynamic/", "instance-identity/"),
        ("/latest/user-data", "#cloud-config\n"),
    ] {
        assert_eq!(told(path).as_deref(), Ok(expected), "{path}");
    }
    let document: serde_json::Value =
        serde_json::from_str(&told("/latest/dynamic/instance-identity/document").unwrap()).unwrap();
    assert_eq!((&document["accountId"], &document["region"]), (&"000000000000".into(), &"local".into()));
    for path in ["/latest/meta-data/nothing", "/latest/meta", "/newest/user-data", "/latest/../key"] {
        assert_eq!(told(path), Err(StatusCode::NOT_FOUND), "{path}");
    }
}

#[test]
fn nothing_is_told_without_a_token_that_holds() {
    let metadata = metadata("secret");
    let token = new_token(&metadata, &[(TOKEN_LASTS, "60")]).unwrap();
    let get = |token: &str, now| {
        metadata.respond(
            &Method::GET,
            "/latest/meta-data/ami-launch-index",
            &headers(&[(TOKEN, token)]),
            at(now),
        )
    };
    assert_eq!(get(&token, 60), Ok(b"0".to_vec()));
    assert_eq!(get(&token, 61), Err(StatusCode::UNAUTHORIZED));
    // One that says that it lasts longer, that of another instance, and none.
    let (until, proof) = token.split_once('-').unwrap();
    let longer = format!("{:x}-{proof}", i64::from_str_radix(until, 16).unwrap() + 1);
    let other = new_token(&self::metadata("other"), &[(TOKEN_LASTS, "60")]).unwrap();
    for token in [longer.as_str(), &other, "", "-", until] {
        assert_eq!(get(token, 0), Err(StatusCode::UNAUTHORIZED), "{token}");
    }
}

#[test]
fn tokens_are_for_whoever_asks_rightly() {
    let metadata = metadata("secret");
    for lasts in ["0", "21601", "-1", "long"] {
        assert_eq!(new_token(&metadata, &[(TOKEN_LASTS, lasts)]), Err(StatusCode::BAD_REQUEST), "{lasts}");
    }
    assert_eq!(new_token(&metadata, &[]), Err(StatusCode::BAD_REQUEST));
    let forwarded = [(TOKEN_LASTS, "60"), ("x-forwarded-for", "10.0.0.1")];
    assert_eq!(new_token(&metadata, &forwarded), Err(StatusCode::FORBIDDEN));
    let posted = metadata.respond(&Method::POST, "/latest/api/token", &HeaderMap::new(), at(0));
    assert_eq!(posted, Err(StatusCode::METHOD_NOT_ALLOWED));
}
