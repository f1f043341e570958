//! Worlds from seeds.

use synod::{commit::Node, sim};

#[test]
fn three_thousand_worlds_keep_every_property_and_come_to_rest() {
    for seed in 0..3000 {
        let run = sim::run(seed);
        if run.result.is_err() {
            let small = sim::shrink::<Node>(&run);
            panic!("seed {seed}: {:?}\n{:?}\n{:?}", small.result, small.setup, small.events);
        }
    }
}
