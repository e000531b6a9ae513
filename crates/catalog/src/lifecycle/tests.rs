//! A table a rule.

use super::*;
use crate::Tag;
use kiln_types::AccountId;

const DAY: i64 = 86_400;

fn now() -> Timestamp {
    Timestamp::from_unix(2_000_000_000).unwrap()
}

fn id(number: u64) -> ImageId {
    ImageId::from_bits(number)
}

/// An image of so many days, available.
fn image(number: u64, days: i64) -> Image {
    let name = format!("web-{number}").parse().unwrap();
    Image {
        creation_date: Timestamp::from_unix(now().unix() - days * DAY).unwrap(),
        ..Image::empty(id(number), name, AccountId::LOCAL, ImageState::Available)
    }
}

fn age(text: &str) -> Option<After> {
    Some(After::Age(text.parse().unwrap()))
}

/// Decides over images that are all there are, and returns what becomes of each, by its number.
fn decided(rules: &LifecycleRules, images: &[Image], in_use: &[u64]) -> Vec<(LifecycleAction, String)> {
    let in_use = in_use.iter().map(|number| id(*number)).collect();
    let decisions = rules.decide(images, &Surroundings { all: images, in_use: &in_use, now: now() });
    let of = |image: &Image| {
        let found = decisions.iter().find(|decision| decision.image.image_id == image.image_id).unwrap();
        (found.action, found.why.clone())
    };
    images.iter().map(of).collect()
}

fn actions(rules: &LifecycleRules, images: &[Image], in_use: &[u64]) -> Vec<LifecycleAction> {
    decided(rules, images, in_use).into_iter().map(|(action, _)| action).collect()
}

use LifecycleAction::{Deprecate, Deregister, Disable, Keep};

#[test]
fn age_takes_the_strongest_that_is_due() {
    let rules = LifecycleRules {
        deprecate: age("30d"),
        disable: age("60d"),
        deregister: age("90d"),
        ..LifecycleRules::default()
    };
    let images = [29, 30, 60, 89, 90, 1000].map(|days| image(u64::try_from(days).unwrap(), days));
    let found = decided(&rules, &images, &[]);
    let expected = [Keep, Deprecate, Disable, Disable, Deregister, Deregister];
    assert_eq!(found.iter().map(|(action, _)| *action).collect::<Vec<_>>(), expected);
    assert_eq!(found[0].1, "its time has not come");
    assert_eq!(found[4].1, "older than 90d");
}

#[test]
fn what_is_done_already_is_not_done_again() {
    let rules = LifecycleRules { deprecate: age("1d"), disable: age("50d"), ..LifecycleRules::default() };
    let mut images = [image(1, 10), image(2, 60), image(3, 60), image(4, 60)];
    images[0].deprecation_time = Some(now());
    images[1].state = ImageState::Disabled;
    images[2].state =
        ImageState::Failed { reason: crate::StateReason { code: String::new(), message: String::new() } };
    images[3].state = ImageState::Pending;
    assert_eq!(actions(&rules, &images, &[]), [Keep, Keep, Keep, Keep]);
    let rules = LifecycleRules { deregister: age("50d"), keep: 9, ..rules };
    // What failed is no image to fall back to; what is tested has not begun to age.
    assert_eq!(actions(&rules, &images, &[]), [Keep, Deregister, Deregister, Keep]);
}

#[test]
fn the_newest_stay_and_newer_ones_are_counted() {
    let rules = LifecycleRules {
        deprecate: Some(After::Newer(1)),
        deregister: Some(After::Newer(3)),
        keep: 1,
        ..LifecycleRules::default()
    };
    let mut images = [1, 2, 3, 4, 5].map(|days| image(u64::try_from(days).unwrap(), days));
    let found = decided(&rules, &images, &[]);
    let expected = [Keep, Deprecate, Deprecate, Deregister, Deregister];
    assert_eq!(found.iter().map(|(action, _)| *action).collect::<Vec<_>>(), expected);
    assert_eq!((found[0].1.as_str(), found[3].1.as_str()), ("it is the newest", "3 are newer"));
    // One that cannot be launched counts for none.
    images[1].state = ImageState::Disabled;
    assert_eq!(actions(&rules, &images, &[]), [Keep, Keep, Deprecate, Deprecate, Deregister]);
    let many = LifecycleRules { keep: 5, ..rules };
    images[1].state = ImageState::Available;
    assert!(actions(&many, &images, &[]).iter().all(|action| *action == Keep));
}

#[test]
fn tags_protection_and_instances_spare() {
    let all = LifecycleRules {
        disable: age("1d"),
        deregister: age("1d"),
        keep_tags: vec![("Keep".to_owned(), None), ("Stage".to_owned(), Some("prod".to_owned()))],
        ..LifecycleRules::default()
    };
    let tag = |key: &str, value: &str| vec![Tag { key: key.to_owned(), value: value.to_owned() }];
    let mut images = [1, 2, 3, 4, 5, 6].map(|days| image(u64::try_from(days).unwrap(), days));
    images[0].tags = tag("Keep", "");
    images[1].tags = tag("Stage", "prod");
    images[2].tags = tag("Stage", "test");
    images[3].deregistration_protection = DeregistrationProtection::Enabled;
    images[4].kiln.protected_until = Timestamp::from_unix(now().unix() + 1);
    let found = decided(&all, &images, &[6]);
    let expected = [Keep, Keep, Deregister, Disable, Disable, Keep];
    assert_eq!(found.iter().map(|(action, _)| *action).collect::<Vec<_>>(), expected);
    assert_eq!((found[1].1.as_str(), found[5].1.as_str()), ("tagged Stage", "an instance was made from it"));
}

#[test]
fn what_another_that_stays_grew_from_stays() {
    let rules = LifecycleRules { deprecate: age("1d"), deregister: age("10d"), ..LifecycleRules::default() };
    let mut images = [image(1, 40), image(2, 30), image(3, 20), image(4, 1)];
    images[3].kiln.lineage = vec![id(1), id(2)];
    let found = decided(&rules, &images, &[]);
    let expected = [Keep, Keep, Deregister, Deprecate];
    assert_eq!(found.iter().map(|(action, _)| *action).collect::<Vec<_>>(), expected);
    assert_eq!(found[0].1, format!("{} grew from it", id(4)));
    // Its child goes as well: both do.
    images[3] = Image { kiln: images[3].kiln.clone(), ..image(4, 15) };
    assert_eq!(actions(&rules, &images, &[]), [Deregister; 4]);
    // A child that is spared for a reason of its own spares its parents.
    assert_eq!(actions(&rules, &images, &[4]), [Keep, Keep, Deregister, Deprecate]);
    // Only the record of the parent says whose it is.
    images[3].kiln.lineage.clear();
    images[3].source_image_id = Some(id(2));
    assert_eq!(actions(&rules, &images, &[4]), [Deregister, Keep, Deregister, Deprecate]);
}
