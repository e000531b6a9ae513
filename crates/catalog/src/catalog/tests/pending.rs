//! Images that are tested before they are available.

use super::*;
use crate::StateReason;

fn reason() -> StateReason {
    StateReason { code: "Client.TestFailed".to_owned(), message: "nginx is down".to_owned() }
}

#[tokio::test]
async fn a_pending_image_gets_its_name_when_it_is_available() {
    let (catalog, snapshot) = catalog().await;
    let tests = kiln_types::Digest::from_bytes([7; 32]);
    let old = catalog.register(new("web", snapshot), false).await.unwrap().image_id;
    let pending = catalog.register_pending(new("web", snapshot)).await.unwrap();
    assert_eq!(serde_json::to_value(&pending).unwrap()["State"], "pending");
    assert_eq!(catalog.find("web").await.unwrap().image_id, old);
    let taken = refusal(catalog.complete(pending.image_id, None, false).await);
    assert_eq!(taken.0, "InvalidAMIName.Duplicate");
    let image = catalog.complete(pending.image_id, Some(tests), true).await.unwrap();
    assert_eq!((&image.state, image.kiln.tests), (&ImageState::Available, Some(tests)));
    assert_eq!(catalog.find("web").await.unwrap(), image);
    assert_eq!(refusal(catalog.get(old).await).0, "InvalidAMIID.Unavailable");
    assert_eq!(refusal(catalog.complete(image.image_id, None, true).await).0, "IncorrectState");
    assert_eq!(refusal(catalog.fail(image.image_id, reason()).await).0, "IncorrectState");
}

#[tokio::test]
async fn a_failed_image_holds_no_name() {
    let (catalog, snapshot) = catalog().await;
    let pending = catalog.register_pending(new("web", snapshot)).await.unwrap();
    let failed = catalog.fail(pending.image_id, reason()).await.unwrap();
    let json = serde_json::to_value(&failed).unwrap();
    assert_eq!(json["State"], "failed");
    assert_eq!(json["StateReason"]["Code"], "Client.TestFailed");
    assert_eq!(serde_json::from_value::<Image>(json).unwrap(), failed);
    assert_eq!(refusal(catalog.find("web").await).0, "InvalidAMIID.NotFound");
    assert_eq!(catalog.get(failed.image_id).await.unwrap(), failed);
    assert_eq!(refusal(catalog.complete(failed.image_id, None, false).await).0, "IncorrectState");
    catalog.register(new("web", snapshot), false).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_that_died_with_the_name_is_passed_over_and_cannot_come_back() {
    let (catalog, snapshot) = catalog().await;
    let dead = catalog.register_pending(new("web", snapshot)).await.unwrap();
    // What a writer leaves that took the name and did not come to the next record.
    let record = NameRecord { name: name("web"), holder: Some(dead.image_id), replaces: None };
    let digest = kiln_types::Digest::from_bytes(Sha256::digest("web").into());
    let key = format!("{}/{digest}", AccountId::LOCAL);
    assert_eq!(catalog.region.versions("names").put(&key, 1, &record).await.unwrap(), Put::Done);
    let image = catalog.register(new("web", snapshot), false).await.unwrap();
    assert_eq!(catalog.find("web").await.unwrap(), image);
    assert_eq!(refusal(catalog.complete(dead.image_id, None, false).await).0, "InvalidAMIID.Unavailable");
}
