//! For how long nothing new commits while a member is replaced, with many transactions in flight.

use synod::{
    NodeId, Quorums,
    commit::{Cluster, ClusterId, ClusterSpec, Config, Decision, Input, Meta, Node, Outcome, Participants, Timeouts},
};

use super::world::World;
use crate::{parties::RMS, subject::value};

/// Acceptors and transaction managers.
const MEMBERS: [NodeId; 3] = [NodeId(11), NodeId(12), NodeId(13)];
/// Who comes in the place of the last one.
const NEWCOMER: NodeId = NodeId(14);
/// How long a write takes, and a message: such that a sum tells how many of each there were.
const WRITE: u64 = 10_000;
const HOP: u64 = 1_000_000;
/// When the operator asks for the change, and until when it is looked at.
const CHANGE: u64 = 60 * HOP;
const END: u64 = 200 * HOP;

/// What a change did to transactions.
#[derive(Default)]
pub struct Pause {
    /// How many of those that were in flight aborted.
    pub aborted: u64,
    /// The longest time in which no manager began anything.
    pub begun: u64,
    /// The longest time in which nothing was committed.
    pub committed: u64,
}

impl Pause {
    /// Both times, in messages and in writes, one after another.
    pub fn numbers(&self) -> [f64; 5] {
        let parts = |time: u64| [(time / HOP) as f64, ((time % HOP) as f64 / WRITE as f64).round()];
        let ([begun, begun_writes], [committed, committed_writes]) = (parts(self.begun), parts(self.committed));
        [self.aborted as f64, begun, begun_writes, committed, committed_writes]
    }
}

struct Load {
    world: World,
    /// Who has refused to begin something, and is asked again.
    held: Vec<NodeId>,
    pause: Pause,
    /// When something was begun, and committed, for the last time.
    last: [u64; 2],
}

/// Replaces a member by another one, or none, with `in_flight` transactions always in flight.
pub fn measure(in_flight: u64, is_changing: bool) -> Pause {
    let cluster = cluster(in_flight);
    let mut world = World::new(HOP, WRITE);
    for id in MEMBERS.into_iter().chain(RMS) {
        world.add(Node::create(Config::new(cluster.clone(), id, id.0)));
    }
    world.add(Node::join(Config::new(cluster.clone(), NEWCOMER, NEWCOMER.0)));
    // As drivers do, they meet before all else.
    let all = MEMBERS.into_iter().chain(RMS).chain([NEWCOMER]);
    for (at, node) in all.clone().flat_map(|at| all.clone().map(move |node| (at, node))).filter(|(at, node)| at != node)
    {
        let epoch = world.node(node).and_then(Node::tag);
        world.step(at, Input::Met { node, birth: node.0, epoch });
    }
    let mut load = Load { world, held: Vec::new(), pause: Pause::default(), last: [0; 2] };
    load.go_on(10 * HOP);
    // They come one after another, within less than a write.
    for number in 0..in_flight {
        load.world.now = 10 * HOP + number * (WRITE / 2) / in_flight;
        load.begin(MEMBERS[(number % 2) as usize]);
    }
    load.go_on(CHANGE);
    load.pause = Pause::default();
    if is_changing {
        let next = cluster.membership().replace(MEMBERS[2], NEWCOMER);
        assert!(load.world.step(MEMBERS[0], Input::Change(next.into())), "the change is refused");
    }
    load.go_on(END);
    let epoch = load.world.node(MEMBERS[1]).and_then(Node::epoch).expect("it is a member");
    assert_eq!(epoch.number, u64::from(is_changing), "the change has not come about");
    load.pause
}

fn cluster(in_flight: u64) -> Cluster {
    let quorums = Quorums::majority(MEMBERS).expect("three");
    // A moment is ten messages and writes, so nothing is taken for lost.
    let moment = 10 * HOP;
    let timeouts = Timeouts::default()
        .with_flush(moment)
        .with_recover(10 * moment)
        .with_inquire(10 * moment)
        .with_repeat(5 * moment)
        .with_ceiling(50 * moment);
    let limits = synod::commit::Limits::default().with_open(8 * in_flight as usize + 8);
    let spec = ClusterSpec::new(ClusterId::default(), quorums, MEMBERS).with_timeouts(timeouts).with_limits(limits);
    spec.build().expect("a plain cluster")
}

impl Load {
    fn begin(&mut self, at: NodeId) {
        let participants = Participants::new(RMS).expect("three");
        if !self.world.step(at, Input::Begin { participants, meta: Meta::from(value(1)) }) {
            self.held.push(at);
        }
    }

    fn go_on(&mut self, until: u64) {
        while self.world.now < until && self.world.go_on() {
            for (at, decision) in std::mem::take(&mut self.world.news) {
                self.note(at, &decision);
            }
        }
    }

    fn note(&mut self, at: NodeId, decision: &Decision) {
        let now = self.world.now;
        let mut happens = |what: usize, longest: &mut u64| {
            *longest = (*longest).max(now - self.last[what].max(CHANGE.min(now)));
            self.last[what] = now;
        };
        match decision {
            Decision::Begun(_) => happens(0, &mut self.pause.begun),
            Decision::Decided { outcome, .. } => {
                match outcome {
                    Outcome::Committed => happens(1, &mut self.pause.committed),
                    Outcome::Aborted => self.pause.aborted += 1,
                }
                self.begin(at);
            }
            // What was held is begun now, as a driver does.
            Decision::Epoch { .. } => {
                for at in std::mem::take(&mut self.held) {
                    self.begin(at);
                }
            }
            _ => {}
        }
    }
}
