//! A proposer in any sequence of events, against a twin that keeps what it heard and works everything out again.

use std::collections::BTreeSet;

use proptest::{prelude::*, test_runner::FileFailurePersistence};
use synod::{
    Effect, Machine, NodeId, Quorums,
    paxos::{Input, Message, Proposer, ProposerConfig, ProposerRecord},
};

use super::*;

type Sent = Effect<ProposerRecord<Value>, Message<Value>, Value>;

/// Something that happens to a proposer. `ago` says how many rounds before the present one a message is about.
#[derive(Clone, Debug)]
enum Event {
    Propose(Value),
    Timeout,
    Promise {
        from: NodeId,
        ago: u64,
        accepted: Option<Ballot>,
    },
    Accepted {
        from: NodeId,
        ago: u64,
        right: bool,
    },
    Reject {
        from: NodeId,
        ago: u64,
        promised: Ballot,
    },
    /// All memory is lost; of its records, the durable ones are left.
    Restart,
}

/// The value that the acceptors accepted in a ballot: one per ballot, as it must be.
fn value_at(ballot: Ballot) -> Value {
    ballot.round.wrapping_mul(1000).wrapping_add(ballot.node.0)
}

fn acceptor() -> impl Strategy<Value = NodeId> {
    prop::sample::select(vec![ACCEPTORS[0], ACCEPTORS[1], ACCEPTORS[2], STRANGER])
}

fn any_ballot() -> impl Strategy<Value = Ballot> {
    let node = prop::sample::select(vec![PROPOSERS[0], PROPOSERS[1], PROPOSERS[2], STRANGER]);
    let round = prop_oneof![20 => 0..8u64, 1 => Just(1 << 32), 1 => Just(u64::MAX)];
    (round, node).prop_map(|(round, node)| Ballot::new(round, node))
}

fn event() -> impl Strategy<Value = Event> {
    let ago = || prop_oneof![3 => Just(0u64), 1 => 1..3u64];
    prop_oneof![
        2 => (1..9u64).prop_map(Event::Propose),
        2 => Just(Event::Timeout),
        8 => (acceptor(), ago(), prop::option::of(any_ballot()))
            .prop_map(|(from, ago, accepted)| Event::Promise { from, ago, accepted }),
        8 => (acceptor(), ago(), prop::bool::weighted(0.9))
            .prop_map(|(from, ago, right)| Event::Accepted { from, ago, right }),
        3 => (acceptor(), ago(), any_ballot()).prop_map(|(from, ago, promised)| Event::Reject { from, ago, promised }),
        1 => Just(Event::Restart),
    ]
}

fn configs() -> impl Strategy<Value = ProposerConfig> {
    let owner = prop::sample::select(vec![None, Some(PROPOSERS[0]), Some(PROPOSERS[1])]);
    (owner, any::<bool>(), 1..=3usize).prop_map(|(owner, eager, accept)| {
        ProposerConfig::new(PROPOSERS[1], Quorums::flexible(ACCEPTORS, 4 - accept, accept).unwrap(), PROPOSERS)
            .with_owner(owner)
            .with_eager(eager)
    })
}

/// The proposer restated: what was heard at the present ballot, and everything else worked out from it.
struct Twin {
    config: ProposerConfig,
    accept: usize,
    durable: ProposerRecord<Value>,
    own: Option<Value>,
    rejected_by: Vec<Ballot>,
    ballot: Option<Ballot>,
    promises: Vec<(NodeId, Option<Ballot>)>,
    proposed: Option<Value>,
    acceptors: BTreeSet<NodeId>,
    chosen: Option<Value>,
}

impl Twin {
    fn new(config: ProposerConfig, accept: usize, durable: ProposerRecord<Value>) -> Self {
        Self {
            config,
            accept,
            durable,
            own: durable.initial,
            rejected_by: Vec::new(),
            ballot: None,
            promises: Vec::new(),
            proposed: None,
            acceptors: BTreeSet::new(),
            chosen: None,
        }
    }

    fn is_owner(&self) -> bool {
        self.config.owner == Some(self.config.id)
    }

    fn take(&mut self, input: &Input<Value>) -> Vec<Sent> {
        if self.chosen.is_some() {
            return Vec::new();
        }
        match *input {
            Input::Propose(value) if self.own.is_none() => self.propose(value),
            Input::Timeout if self.own.is_some() => self.climb(),
            Input::Receive { from, message } if ACCEPTORS.contains(&from) && Some(message.ballot()) == self.ballot => {
                self.hear(from, message)
            }
            _ => Vec::new(),
        }
    }

    fn propose(&mut self, value: Value) -> Vec<Sent> {
        let fresh = self.durable == ProposerRecord { round: 0, initial: None };
        if !(fresh && self.is_owner()) {
            let effects = self.climb_for(Some(value));
            self.own = Some(value).filter(|_| !effects.is_empty());
            return effects;
        }
        self.own = Some(value);
        self.durable.initial = Some(value);
        self.begin(ballot(0, self.config.id), Some(value))
    }

    fn climb(&mut self) -> Vec<Sent> {
        self.climb_for(self.own)
    }

    fn climb_for(&mut self, own: Option<Value>) -> Vec<Sent> {
        let above = self.rejected_by.iter().map(|ballot| ballot.round).chain([self.durable.round]).max().unwrap();
        if own.is_none() || above == u64::MAX {
            return Vec::new();
        }
        self.durable.round = above + 1;
        self.begin(ballot(above + 1, self.config.id), None)
    }

    fn begin(&mut self, ballot: Ballot, proposed: Option<Value>) -> Vec<Sent> {
        self.ballot = Some(ballot);
        self.promises.clear();
        self.acceptors.clear();
        self.proposed = proposed;
        let message = proposed.map_or(Message::Prepare { ballot }, |value| Message::Accept { ballot, value });
        [vec![Effect::Persist(self.durable)], to_all(message)].concat()
    }

    fn hear(&mut self, from: NodeId, message: Message<Value>) -> Vec<Sent> {
        let present = message.ballot();
        match message {
            Message::Promise { accepted, .. } if self.proposed.is_none() => {
                let accepted = accepted.map(|(at, _)| at);
                if accepted < Some(present) && self.promises.iter().all(|(node, _)| *node != from) {
                    self.promises.push((from, accepted));
                }
                if self.promises.len() + self.accept < 4 {
                    return Vec::new();
                }
                let highest = self.promises.iter().filter_map(|(_, at)| *at).max();
                self.proposed = highest.map(value_at).or(self.own);
                self.proposed.map(|value| to_all(Message::Accept { ballot: present, value })).unwrap_or_default()
            }
            Message::Accepted { value, .. } if self.proposed == Some(value) => {
                self.acceptors.insert(from);
                if self.acceptors.len() < self.accept {
                    return Vec::new();
                }
                self.chosen = Some(value);
                vec![Effect::Decide(value)]
            }
            Message::Reject { promised, .. }
                if promised > present && promised.round - present.round <= 1 << 32 && self.may_propose(promised) =>
            {
                self.rejected_by.push(promised);
                if self.config.eager { self.climb() } else { Vec::new() }
            }
            _ => Vec::new(),
        }
    }

    fn may_propose(&self, ballot: Ballot) -> bool {
        if ballot.round == 0 { self.config.owner == Some(ballot.node) } else { PROPOSERS.contains(&ballot.node) }
    }
}

/// The input that an event is, now that it is known which round is the present one.
fn input(event: &Event, twin: &Twin) -> Option<Input<Value>> {
    let round = |ago: u64| {
        let present = twin.ballot.map_or(0, |ballot| ballot.round);
        ballot(present.saturating_sub(ago), twin.config.id)
    };
    Some(match *event {
        Event::Propose(value) => Input::Propose(value),
        Event::Timeout => Input::Timeout,
        Event::Promise { from, ago, accepted } => promise(from, round(ago), accepted.map(|at| (at, value_at(at)))),
        Event::Accepted { from, ago, right } => {
            accepted(from, round(ago), twin.proposed.unwrap_or(0) + u64::from(!right))
        }
        Event::Reject { from, ago, promised } => reject(from, round(ago), promised),
        Event::Restart => return None,
    })
}

/// What is durable when only these effects were carried out.
fn last_record(effects: &[Sent]) -> ProposerRecord<Value> {
    let record = |effect: &Sent| if let Effect::Persist(record) = effect { Some(*record) } else { None };
    effects.iter().rev().find_map(record).unwrap_or_default()
}

fn ballots_sent(effects: &[Sent]) -> BTreeSet<Ballot> {
    let ballot = |effect: &Sent| if let Effect::Send { message, .. } = effect { Some(message.ballot()) } else { None };
    effects.iter().filter_map(ballot).collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("failures"))),
        cases: 2000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn in_any_sequence_a_proposer_does_what_its_twin_works_out(
        config in configs(),
        events in prop::collection::vec(event(), 0..40),
    ) {
        let accept = config.acceptors.nodes_of(config.acceptors.first_accept_quorum(None)).count();
        let mut twin = Twin::new(config.clone(), accept, ProposerRecord::default());
        let mut proposer = Proposer::new(config.clone());
        for event in events {
            let Some(input) = input(&event, &twin) else {
                proposer = Proposer::restore(config.clone(), *proposer.record()).unwrap();
                twin = Twin::new(config.clone(), accept, twin.durable);
                continue;
            };
            let before = proposer.clone();
            let expected = twin.take(&input);
            let (verdict, effects) = take(&mut proposer, input);
            prop_assert_eq!(&effects, &expected, "after {:?}", input);
            prop_assert_eq!(*proposer.record(), twin.durable);
            prop_assert_eq!(proposer.chosen().copied(), twin.chosen);
            prop_assert_eq!(proposer.ballot(), twin.ballot.filter(|_| twin.chosen.is_none()));
            if verdict.is_err() {
                prop_assert_eq!(&proposer, &before, "a refused input changes nothing: {:?}", input);
            }
        }
    }

    #[test]
    fn a_message_that_comes_again_changes_nothing(
        config in configs(),
        events in prop::collection::vec(event(), 0..40),
    ) {
        let mut twin = Twin::new(config.clone(), 2, ProposerRecord::default());
        let mut proposer = Proposer::new(config);
        for event in events {
            let Some(input) = input(&event, &twin) else { continue };
            twin.take(&input);
            proposer.step(input);
            let after = proposer.clone();
            if matches!(input, Input::Receive { .. }) {
                prop_assert_eq!(proposer.step(input), [], "{:?} came twice", input);
                prop_assert_eq!(&proposer, &after);
            }
        }
    }

    /// A crash between any two effects, at any time: what was sent in a ballot is never sent by a later life.
    #[test]
    fn restored_from_any_prefix_of_its_effects_it_uses_no_ballot_twice(
        config in configs(),
        events in prop::collection::vec(event(), 0..40),
    ) {
        let mut twin = Twin::new(config.clone(), 2, ProposerRecord::default());
        let mut proposer = Proposer::new(config.clone());
        let mut done: Vec<Sent> = Vec::new();
        for event in events {
            let Some(input) = input(&event, &twin) else { continue };
            twin.take(&input);
            let effects = proposer.step(input);
            for crash in 0..=effects.len() {
                let lived: Vec<Sent> = done.iter().chain(&effects[..crash]).cloned().collect();
                let record = last_record(&lived);
                let mut restored = Proposer::restore(config.clone(), record).unwrap();
                let kick = if record.initial.is_some() { Input::Timeout } else { Input::Propose(77) };
                let used = ballots_sent(&lived);
                let later = ballots_sent(&restored.step(kick));
                prop_assert!(used.is_disjoint(&later), "{later:?} was used before the crash after {:?}", lived.last());
                prop_assert!(used.iter().all(|used| later.iter().all(|later| used < later)));
            }
            done.extend(effects);
        }
    }
}
