//! The language of the scripts.
//!
//! | step | what happens |
//! |---|---|
//! | `cluster acceptors n1 n2 n3 managers n4 rms n5 n6 [newcomers n7] [faster] [quorum]` | the world; every node's identity is written |
//! | `begin n1: n5 n6` | a client begins a transaction at n1 |
//! | `again n2 1` | a client says so again at n2, of the first transaction |
//! | `vote n5 prepared` | the resource of n5 votes on what it was asked first; or `aborted` |
//! | `finish n5` | the resource of n5 has carried out what it was told first |
//! | `inquire n1 1` | an operator asks n1 about the first transaction |
//! | `sync n1 n2` | all that these nodes owe their disks is written, and what waits for it is sent |
//! | `deliver n1->n2` | all that is under way from n1 to n2 now arrives |
//! | `late n1->n2 3` | the third of all messages that arrived or were lost on that link arrives once more |
//! | `lose n1->n2` | all that is under way from n1 to n2 now is lost |
//! | `cut n1 \| n2 n3`, `mend n1 \| n2 n3` | nothing passes between these groups any more, or again |
//! | `crash n1`, `restart n1` | n1 loses its memory; it is restored from its disk |
//! | `change n4: n1 n7` | an operator asks n4 for n7 in the place of n1 |
//! | `off n1` | n1, which is no member any more, is switched off for good |
//! | `restore n1 from nothing` | somebody tries to restore n1 from a blank disk |
//! | `tick n1 +100` | n1 is told that it is that much later |
//! | `run` | messages arrive and writes are done, in order, until nothing is under way |
//! | `heal` | as `run`, and time passes, too, until everything is over |
//! | `status n1` | what n1 knows of every transaction |
//!
//! `*` stands for every node of the cluster, where a node is named.

use synod::{
    NodeId, Quorums,
    commit::{ClusterId, ClusterSpec, Config, Learning, Metrics, Node, Targets, Timeouts, Transaction, Vote},
    sim::{Event, Setup, World},
};

use synod_draw::{Sketch, role};

use super::{draw, print};

/// A world in the hands of a script, and what it has shown since the last step.
pub(crate) struct Script {
    setup: Setup,
    world: World,
    shown: Vec<String>,
    sketch: Sketch,
}

impl Script {
    /// The world that the first step of a script describes, to be drawn under a title.
    pub(crate) fn new(step: &str, title: &str) -> Self {
        let mut lists: [Vec<NodeId>; 4] = Default::default();
        let (mut list, mut learning, mut targets) = (0, Learning::Leader, Targets::All);
        for word in step.strip_prefix("cluster ").expect("a script begins with its cluster").split_whitespace() {
            match word {
                "acceptors" => list = 0,
                "managers" => list = 1,
                "rms" => list = 2,
                "newcomers" => list = 3,
                "faster" => learning = Learning::Everyone,
                "quorum" => targets = Targets::Quorum,
                name => lists[list].push(node(name)),
            }
        }
        let [acceptors, managers, resource_managers, newcomers] = lists;
        let timeouts =
            Timeouts::default().with_flush(20).with_recover(100).with_inquire(150).with_repeat(60).with_ceiling(1_000);
        let spec = ClusterSpec::new(ClusterId(*b"a golden script."), Quorums::majority(&acceptors).unwrap(), &managers);
        let cluster = spec.with_timeouts(timeouts).with_learning(learning).with_targets(targets).build().unwrap();
        let mut nodes: Vec<NodeId> =
            [&acceptors, &managers, &resource_managers].into_iter().flatten().copied().collect();
        nodes.sort_unstable();
        nodes.dedup();
        let setup = Setup { in_order: true, newcomers, ..Setup::new(cluster, nodes, resource_managers) };
        let mut sketch = Sketch::new(title, "");
        for node in setup.nodes.iter().chain(&setup.newcomers) {
            sketch.lane(*node, role(&setup.cluster, *node));
        }
        let mut script = Self { world: World::new(setup.clone()), setup, shown: Vec::new(), sketch };
        script.sync("*");
        // How nodes come to be is no part of the story.
        script.world.watch();
        script
    }

    /// What has happened, as a picture; without how all came to its end in a healed world.
    pub(crate) fn drawn(self) -> String {
        self.sketch.into_picture().svg()
    }

    /// Takes a step. Returns what followed from it.
    pub(crate) fn step(&mut self, step: &str) -> Vec<String> {
        let (verb, rest) = step.split_once(' ').unwrap_or((step, ""));
        match verb {
            "begin" => {
                let (at, participants) = rest.split_once(": ").expect("begin AT: PARTICIPANTS");
                let participants = participants.split_whitespace().map(node).collect();
                self.apply(Event::Begin { at: node(at), participants });
            }
            "again" => self.about(rest, |at, index| Event::Again { at, index }),
            "inquire" => self.about(rest, |at, index| Event::Inquire { at, index }),
            "vote" => {
                let (at, vote) = rest.split_once(' ').expect("vote AT HOW");
                let vote = if vote == "prepared" { Vote::Prepared } else { Vote::Aborted };
                self.each(at, |at| Event::Vote { at, index: 0, vote });
            }
            "change" => {
                let (at, who) = rest.split_once(": ").expect("change AT: OLD NEW");
                let (old, new) = who.split_once(' ').expect("OLD NEW");
                self.apply(Event::Change { at: node(at), old: node(old), new: node(new) });
            }
            "off" => self.each(rest, |at| Event::SwitchOff { at }),
            "finish" => self.each(rest, |at| Event::Finish { at, index: 0 }),
            "sync" => self.sync(rest),
            "deliver" => self.links(rest, |from, to| Event::Deliver { from, to, index: 0 }),
            "lose" => self.links(rest, |from, to| Event::Lose { from, to, index: 0 }),
            "late" => {
                let (link, number) = rest.split_once(' ').expect("late FROM->TO NUMBER");
                let (from, to) = link.split_once("->").expect("FROM->TO");
                let index = number.parse::<usize>().unwrap() - 1;
                self.apply(Event::Late { from: node(from), to: node(to), index });
            }
            "cut" => self.groups(rest, |from, to| Event::Cut { from, to, both_ways: true }),
            "mend" => self.groups(rest, |from, to| Event::Mend { from, to }),
            "crash" => self.each(rest, |at| Event::Crash { at, keep: 0 }),
            "restart" => self.each(rest, |at| Event::Restart { at }),
            "restore" => {
                let at = node(rest.strip_suffix(" from nothing").expect("restore AT from nothing"));
                let config = Config::new(self.setup.cluster.clone(), at, at.0);
                let error = Node::restore(config, []).map(|_| ()).expect_err("a blank disk does not vote");
                self.shown.push(format!("{at} error: {error}"));
            }
            "tick" => {
                let (at, by) = rest.split_once(" +").expect("tick AT +BY");
                let by = by.parse().unwrap();
                self.each(at, |at| Event::Tick { at, by });
            }
            "run" => self.run(),
            "heal" => {
                self.world.heal().unwrap_or_else(|violation| panic!("{violation}"));
                self.shown.push("everything is over, and a transaction that begins now commits".into());
            }
            "status" => self.status(rest),
            _ => panic!("{verb} is no step"),
        }
        core::mem::take(&mut self.shown)
    }

    /// Lets an event happen, and shows what follows: the effects, or why there are none.
    fn apply(&mut self, event: Event) {
        let at = stepping(&event);
        let before = self.metrics(at);
        let effects = self.world.apply(&event).unwrap_or_else(|violation| panic!("{violation}"));
        let resource = matches!(event, Event::Vote { .. } | Event::Finish { .. });
        assert!(!resource || self.metrics(at).steps > before.steps, "the resource of {at} was asked nothing");
        self.shown.extend(effects.iter().map(|effect| format!("{at} {}", print::effect(effect))));
        draw::happened(&mut self.sketch, &mut self.world, Some(&event));
        let now = self.metrics(at);
        let refused = now.refusals().filter(|(refusal, count)| *count > before.refused(*refusal));
        self.shown.extend(refused.map(|(refusal, _)| format!("{at} refuses: {refusal}")));
    }

    fn metrics(&self, at: NodeId) -> Metrics {
        self.world.actor(at).map(Node::metrics).unwrap_or_default()
    }

    fn nodes(&self, names: &str) -> Vec<NodeId> {
        match names {
            "*" => self.setup.nodes.iter().chain(&self.setup.newcomers).copied().collect(),
            _ => names.split_whitespace().map(node).collect(),
        }
    }

    fn each(&mut self, names: &str, event: impl Fn(NodeId) -> Event) {
        for at in self.nodes(names) {
            self.apply(event(at));
        }
    }

    fn about(&mut self, rest: &str, event: impl Fn(NodeId, usize) -> Event) {
        let (at, number) = rest.split_once(' ').expect("AT NUMBER");
        self.apply(event(node(at), number.parse::<usize>().unwrap() - 1));
    }

    fn groups(&mut self, rest: &str, event: impl Fn(Vec<NodeId>, Vec<NodeId>) -> Event) {
        let (some, others) = rest.split_once(" | ").expect("SOME | OTHERS");
        self.apply(event(self.nodes(some), self.nodes(others)));
    }

    /// Whatever is under way on some links now.
    fn links(&mut self, rest: &str, event: impl Fn(NodeId, NodeId) -> Event) {
        let (from, to) = rest.split_once("->").expect("FROM->TO");
        let (from, to) = (self.nodes(from), self.nodes(to));
        for ((sender, receiver), count) in self.world.under_way() {
            if from.contains(&sender) && to.contains(&receiver) {
                (0..count).for_each(|_| self.apply(event(sender, receiver)));
            }
        }
    }

    fn sync(&mut self, names: &str) {
        // What is free to go leaves with the first write; what comes behind it, with the second.
        for _ in 0..2 {
            self.each(names, |at| Event::Write { at });
            self.each(names, |at| Event::Sync { at });
        }
    }

    fn run(&mut self) {
        self.sync("*");
        for _ in 0..100 {
            if self.world.under_way().is_empty() {
                return;
            }
            self.links("*->*", |from, to| Event::Deliver { from, to, index: 0 });
            self.sync("*");
        }
        panic!("the nodes do not stop talking");
    }

    fn status(&mut self, names: &str) {
        let transactions: Vec<_> = self.world.begun().iter().map(Transaction::id).collect();
        for at in self.nodes(names) {
            for tx in &transactions {
                let status = self.world.actor(at).map(|node| node.status(*tx));
                self.shown.push(
                    status.map_or(format!("{at} is down"), |status| format!("{at} {tx} {}", print::status(status))),
                );
            }
        }
    }
}

/// Who takes the step that an event causes, if it causes one.
fn stepping(event: &Event) -> NodeId {
    match event {
        Event::Deliver { to, .. } | Event::Duplicate { to, .. } | Event::Late { to, .. } | Event::Lose { to, .. } => {
            *to
        }
        Event::Cut { .. } | Event::Mend { .. } => NodeId::default(),
        Event::Begin { at, .. }
        | Event::BeginAs { at, .. }
        | Event::Again { at, .. }
        | Event::Vote { at, .. }
        | Event::LoseVote { at, .. }
        | Event::Find { at, .. }
        | Event::Hide { at, .. }
        | Event::Lie { at, .. }
        | Event::VoteAgain { at, .. }
        | Event::StealName { at, .. }
        | Event::Finish { at, .. }
        | Event::Inquire { at, .. }
        | Event::Write { at }
        | Event::Sync { at }
        | Event::Fail { at, .. }
        | Event::Crash { at, .. }
        | Event::Damage { at, .. }
        | Event::Restart { at }
        | Event::Change { at, .. }
        | Event::SwitchOff { at }
        | Event::Compact { at }
        | Event::Tick { at, .. } => *at,
    }
}

fn node(name: &str) -> NodeId {
    name.parse().unwrap_or_else(|error| panic!("{name} is no node: {error}"))
}
