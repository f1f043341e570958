//! Nodes with hardly any room, and more transactions than they have room for.

#[path = "support/cores.rs"]
mod cores;

use synod::{
    commit::{Limits, Node},
    sim::{Event, Rng, Schedule, World},
};

/// Transactions that fill one node once waited for good for those that filled another.
#[test]
fn worlds_in_which_every_node_is_full_come_to_rest() {
    let refused = cores::each(1_000, |seed| {
        let (mut setup, mut schedule) = Schedule::new(seed);
        let open = 1 + seed as usize % 2;
        let limits = Limits::default().with_open(open).with_participants(16).with_meta(64);
        setup.cluster = setup.cluster.spec().clone().with_limits(limits).build().unwrap();
        let mut world = World::<Node>::new(setup.clone());
        let mut rng = Rng::new(seed);
        while let Some(event) = schedule.next(&world) {
            world.apply(&event).unwrap();
            if rng.once_in(5) && world.begun().len() < 30 {
                let participants = rng.some(&setup.resource_managers, 1);
                let at = if rng.once_in(2) { participants.first() } else { rng.pick(setup.cluster.managers()) };
                world.apply(&Event::Begin { at: *at.unwrap(), participants }).unwrap();
            }
        }
        world.heal().unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
        world.stats().refused
    });
    assert!(refused.into_iter().sum::<u64>() > 10_000, "hardly anything was refused");
}
