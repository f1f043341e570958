//! Worlds from seeds.

#[path = "support/cores.rs"]
mod cores;

use synod::{
    commit::Node,
    sim::{self, Run, Schedule, Stats},
};

/// What the worlds of the first seeds come to. The arguments tell `simulate` which worlds they are.
fn total(seeds: u64, run: impl Fn(u64) -> Run + Sync, arguments: &str) -> Stats {
    let each = cores::each(seeds, |seed| {
        let run = run(seed);
        if let Err(violation) = run.result {
            panic!(
                "seed {seed} breaks {violation}\nTo shrink it:\n\
                 cargo run --release --features sim --example simulate -- --seeds {seed}..{}{arguments}",
                seed + 1
            );
        }
        run.stats
    });
    let mut total = Stats::default();
    each.into_iter().for_each(|stats| total += stats);
    total
}

#[test]
fn who_votes_twice_or_uses_the_names_of_others_hurts_only_what_it_touches_and_splits_no_name() {
    let total = total(400, |seed| sim::run_schedule::<Node>(Schedule::hurt(seed)), " --hurt");
    let Stats { second_votes, second_votes_refused, stolen_names, left_waiting, resolved, .. } = total;
    let hurts = [second_votes, second_votes_refused, stolen_names, left_waiting, resolved];
    assert!(hurts.iter().all(|count| *count > 50), "some things hardly happen:\n{total}");
}

#[test]
fn where_members_change_names_that_are_used_twice_split_nothing_either_and_an_operator_ends_what_they_block() {
    let total = total(300, |seed| sim::run_schedule::<Node>(Schedule::changing_and_hurt(seed)), " --changes --hurt");
    let Stats { stolen_names, left_waiting, resolved, changed, overtaken, epochs, .. } = total;
    let hurts = [stolen_names, left_waiting, resolved, changed, overtaken, epochs];
    assert!(hurts.iter().all(|count| *count > 50), "some things hardly happen:\n{total}");
}

#[test]
fn three_thousand_worlds_keep_every_property_and_come_to_rest_and_everything_happens_in_them() {
    let total = total(3_000, sim::run, "");
    let Stats { committed, aborted, recoveries, concurrent_recoveries, restarts_in_doubt, retirements, .. } = total;
    let ends = [committed, aborted, recoveries, concurrent_recoveries, restarts_in_doubt, retirements];
    let Stats { crashes, torn_writes, unsynced_writes_lost, failed_writes, compactions, overtaking, .. } = total;
    let faults_of_nodes = [crashes, torn_writes, unsynced_writes_lost, failed_writes, compactions, overtaking];
    let Stats { partitions, one_way_cuts, lost, lost_to_cuts, duplicated, late, after_retirement, .. } = total;
    let faults_of_links = [partitions, one_way_cuts, lost, lost_to_cuts, duplicated, late, after_retirement];
    let Stats { refused_for_room, small_worlds, stayed_dead, worlds_with_dead, worlds_with_dead_participants, .. } =
        total;
    let worlds = [refused_for_room, small_worlds, stayed_dead, worlds_with_dead, worlds_with_dead_participants];
    let mut all = ends.into_iter().chain(faults_of_nodes).chain(faults_of_links).chain(worlds);
    assert!(all.all(|count| count > 100), "some things hardly happen:\n{total}");
}
