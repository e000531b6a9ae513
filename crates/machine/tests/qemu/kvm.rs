//! KVM that nobody has tried yet: it works, or it is found out, once.

use crate::appliances::Appliances;
use anyhow::Result;
use kiln_machine::{
    KvmFacts, KvmProbe, KvmVerdict, Wanted, choose, communicator::agent::Setup, config::Accelerator,
};
use kiln_types::Architecture;
use std::time::{Duration, Instant};

/// What trying may cost, beside a start under TCG on a busy host.
const BOUND: Duration = Duration::from_secs(130);

#[tokio::test]
async fn kvm_works_or_tcg_takes_over_and_it_is_noted() -> Result<()> {
    let mut world = Appliances::new()?;
    let probe = KvmProbe::new(&world.path("kvm-probe.json"));
    // Whatever this host has: an agent is what tells.
    let facts = KvmFacts { device: None, flags: true };
    let choose = || choose(Wanted::Auto, Architecture::X86_64, &facts, Some(&probe));
    world.choice = choose();
    assert_eq!((world.choice.accelerator, world.choice.may_fall_back), (Accelerator::Kvm, true));
    world.config.accelerator = Accelerator::Kvm;
    let began = Instant::now();
    let mut started = world.start("first").await?;
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
    started.prepare(&Setup::default()).await?;
    started.sh("true").await?;
    let (accelerator, why) =
        (started.0.running.accelerator(), started.0.running.fallback().map(str::to_owned));
    started.stop().await?;
    let expected = match (accelerator, why) {
        (Accelerator::Kvm, None) => KvmVerdict::Works,
        (Accelerator::Tcg, Some(why)) => KvmVerdict::Fails(why),
        other => anyhow::bail!("{other:?}"),
    };
    assert_eq!(probe.recall(), Some(expected));
    // Nobody tries again.
    world.choice = choose();
    assert_eq!((world.choice.accelerator, world.choice.may_fall_back), (accelerator, false));
    Ok(())
}
