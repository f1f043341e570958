//! Nodes meet before anything else.

use std::time::{Duration, Instant};

use super::{
    soon, until,
    world::{BRANCHES, MANAGERS, World},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_participant_with_nothing_to_send_greets_every_manager_and_again_after_a_restart() {
    let began = Instant::now();
    let mut world = World::new().await;
    let made = began.elapsed();
    let stats = |world: &World, manager| world.member(BRANCHES[0]).peers.stats(manager).unwrap();
    for manager in MANAGERS {
        until("it connects", || stats(&world, manager).connected).await;
    }
    assert!(began.elapsed() - made < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(stats(&world, MANAGERS[0]).messages, 0);
    // Nobody greets a branch.
    assert_eq!(stats(&world, BRANCHES[1]).connections, 0);

    soon("the stop", world.stop(MANAGERS[0])).await;
    until("it is noticed", || !stats(&world, MANAGERS[0]).connected).await;
    world.restart(MANAGERS[0]).await;
    until("it connects again", || stats(&world, MANAGERS[0]).connected).await;
    assert_eq!(stats(&world, MANAGERS[0]).messages, 0);
}
