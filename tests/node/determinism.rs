//! The same inputs, the same effects: again, in other bytes, and whatever else a node has seen of the world.

use synod::{
    Machine, NodeId,
    codec::{decode_frame, encode_frame, encode_record},
    commit::{Cluster, Effect, Input, Learning, Node, Vote},
    sim::Rng,
};

use super::support::{CLUSTER, Group, RMS, TMS, catalogue, cluster, cluster_of, config, say, spec, transaction, tx};

/// What each node took in, in a run with commits, aborts and recoveries.
fn record(cluster: &Cluster) -> Vec<(NodeId, Vec<Input>)> {
    let mut group = Group::apart(cluster.clone());
    group.inputs = Some(Vec::new());
    let mut rng = Rng::new(3);
    for seq in 1..=12 {
        group.votes.insert(RMS[1], if seq % 3 == 0 { Vote::Aborted } else { Vote::Prepared });
        group.begin(group.cluster().managers()[0], &transaction(seq));
        group.run_shuffled(&mut rng, 9);
        if seq % 4 == 0 {
            group.step(group.cluster().managers()[0], Input::Inquire(tx(seq)));
        }
        group.tick(17);
    }
    group.rest();
    let inputs = group.inputs.take().unwrap();
    let of = |at| inputs.iter().filter(|(to, _)| *to == at).map(|(_, input)| input.clone()).collect();
    group.nodes().into_iter().map(|at| (at, of(at))).collect()
}

fn clusters() -> [Cluster; 3] {
    [cluster(), spec().with_learning(Learning::Everyone).build().unwrap(), cluster_of(&RMS, &RMS[..2])]
}

fn replay(cluster: &Cluster, at: NodeId, inputs: &[Input]) -> Vec<Vec<Effect>> {
    let (mut node, first) = Node::create(config(cluster, at));
    [first].into_iter().chain(inputs.iter().map(|input| node.step(input.clone()))).collect()
}

/// All that `effects` would put on a disk and on a wire.
fn bytes(at: NodeId, effects: &[Vec<Effect>]) -> Vec<u8> {
    effects
        .iter()
        .flatten()
        .flat_map(|effect| match effect {
            synod::Effect::Persist(record) => encode_record(record),
            synod::Effect::Send { to, message } => encode_frame(CLUSTER, at, *to, std::slice::from_ref(message)),
            synod::Effect::Decide(decision) => serde_json::to_vec(decision).unwrap(),
        })
        .collect()
}

#[test]
fn the_same_inputs_yield_the_same_effects_byte_for_byte() {
    for cluster in clusters() {
        for (at, inputs) in record(&cluster) {
            let effects = replay(&cluster, at, &inputs);
            assert!(inputs.len() > 20 && effects.len() == inputs.len() + 1);
            let again = replay(&cluster, at, &inputs);
            assert_eq!(effects, again);
            assert_eq!(bytes(at, &effects), bytes(at, &again));
        }
    }
}

#[test]
fn inputs_that_went_through_serde_and_through_frames_yield_the_same_effects() {
    for cluster in clusters() {
        for (at, inputs) in record(&cluster) {
            let through_serde: Vec<Input> = serde_json::from_slice(&serde_json::to_vec(&inputs).unwrap()).unwrap();
            let through_frames: Vec<Input> = inputs
                .iter()
                .map(|input| match input {
                    Input::Receive { from, message } => {
                        let frame = encode_frame(CLUSTER, *from, at, std::slice::from_ref(message));
                        say::from(*from, decode_frame(&frame, CLUSTER, at).unwrap().messages.remove(0))
                    }
                    other => other.clone(),
                })
                .collect();
            let effects = replay(&cluster, at, &inputs);
            assert_eq!(replay(&cluster, at, &through_serde), effects);
            assert_eq!(replay(&cluster, at, &through_frames), effects);
        }
    }
}

#[test]
fn step_into_appends_what_step_returns() {
    for (at, inputs) in record(&cluster()) {
        let (mut node, mut effects) = Node::create(config(&cluster(), at));
        for input in &inputs {
            // What is refused has its answer among the effects, too.
            let _ = node.step_into(input.clone(), &mut effects);
        }
        assert_eq!(effects, replay(&cluster(), at, &inputs).concat());
    }
}

#[test]
fn a_clone_goes_its_own_way_from_the_same_state() {
    let mut node = Node::create(config(&cluster(), TMS[0])).0;
    node.step(say::begins(&transaction(1)));
    let mut clone = node.clone();
    let before = catalogue::memory(&node);
    let effects = clone.step(Input::Inquire(tx(1)));
    assert_eq!(catalogue::memory(&node), before);
    assert_eq!(node.step(Input::Inquire(tx(1))), effects);
}
