//! A member that was away during a change, and has nobody left whom it believes.

use std::collections::{BTreeMap, VecDeque};

use synod::{Effect, Machine, NodeId, Quorums, commit::*};

const FOUNDERS: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];
const NEW: NodeId = NodeId(4);

type Nodes = BTreeMap<NodeId, Node>;

/// Lets these nodes talk for a while. Whoever else there is, is off.
fn talk(nodes: &mut Nodes, up: &[NodeId], from: u64, mut inputs: VecDeque<(NodeId, Input)>) {
    for now in from..from + 2_000 {
        inputs.extend(up.iter().map(|at| (*at, Input::Tick(Time(now * 50)))));
        while let Some((at, input)) = inputs.pop_front() {
            for effect in nodes.get_mut(&at).unwrap().step(input) {
                if let Effect::Send { to, message } = effect
                    && up.contains(&to)
                {
                    inputs.push_back((to, Input::Receive { from: at, message }));
                }
            }
        }
    }
}

fn number(nodes: &Nodes, node: NodeId) -> Option<u64> {
    nodes[&node].epoch().map(|epoch| epoch.number)
}

#[test]
fn a_member_that_slept_through_a_change_and_lost_all_it_believes_catches_up_when_its_configuration_names_the_present_members()
 {
    let [first, asleep, leaver] = FOUNDERS;
    let quorums = Quorums::majority(FOUNDERS).unwrap();
    let cluster = Cluster::new(ClusterId(*b"one falls asleep"), quorums, FOUNDERS).unwrap();
    let config = |node: NodeId| Config::new(cluster.clone(), node, node.0);
    let mut nodes: Nodes = FOUNDERS.into_iter().map(|node| (node, Node::create(config(node)).0)).collect();
    nodes.insert(NEW, Node::join(config(NEW)).0);
    let next = cluster.membership().replace(leaver, NEW);
    let change = VecDeque::from([(first, Input::Change(Box::new(next.clone())))]);
    talk(&mut nodes, &[first, leaver, NEW], 0, change);
    assert!(nodes[&first].epoch().is_some_and(|epoch| epoch.number == 1 && epoch.may_leave));
    // One has left, another one is lost: two of the three members are there, and one of them is behind.
    talk(&mut nodes, &[asleep, NEW], 2_000, VecDeque::new());
    assert_eq!((number(&nodes, asleep), number(&nodes, NEW)), (Some(0), Some(1)), "it believes no stranger");
    // It has written nothing since it was created.
    let effects = Node::create(config(asleep)).1;
    let records = effects.into_iter().filter_map(|effect| match effect {
        Effect::Persist(record) => Some(record),
        _ => None,
    });
    let records: Vec<Record> = records.collect();
    let present = Config::new(cluster.with_membership(next).unwrap(), asleep, 2);
    nodes.insert(asleep, Node::restore(present, records).unwrap());
    talk(&mut nodes, &[asleep, NEW], 4_000, VecDeque::new());
    assert_eq!(number(&nodes, asleep), Some(1));
}
