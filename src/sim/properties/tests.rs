//! Every property is shown what it must let pass, and then one thing more that it must not.

mod epochs;
mod hurt;
mod outcomes;
mod records;
mod requests;

use super::{Observation, Property, Violation};
use crate::{
    Ballot, Machine, NodeId, Quorums, Refusal, TxId,
    commit::{
        Acceptance, AcceptorRecord, Cluster, ClusterId, Config, Decision, Effect, HigherInstance, Input, Key, Message,
        Meta, Node, Obstacle, Outcome, Participants, Places, Promises, Record, ResourceManagerRecord, Time,
        Transaction, TxRange, Vote, Votes, What,
    },
    paxos,
};

/// Resource managers.
const R1: NodeId = NodeId(1);
const R2: NodeId = NodeId(2);
/// Acceptors.
const A1: NodeId = NodeId(11);
const A2: NodeId = NodeId(12);
const A3: NodeId = NodeId(13);
/// Transaction managers.
const M1: NodeId = NodeId(21);
const M2: NodeId = NodeId(22);

const TX: TxId = TxId { origin: M1, seq: 1 };
const OTHER: TxId = TxId { origin: M1, seq: 2 };

const PREPARED: Vote = Vote::Prepared;
const ABORTED: Vote = Vote::Aborted;

/// A property, and hand-made things for it to look at.
struct Watch<P>(P);

type Seen = Result<(), Violation>;

impl<P: Property> Watch<P> {
    fn begun(&mut self) -> &mut Self {
        let participants = Participants::new([R1, R2]).unwrap();
        let begin = Input::Begin { participants, meta: meta() };
        self.takes(M1, begin, &[Effect::Decide(Decision::Begun(TX))]).unwrap();
        self
    }

    fn takes(&mut self, at: NodeId, input: Input, effects: &[Effect]) -> Seen {
        self.0.observe(&Observation::Stepped { at, input: &input, effects, verdict: Ok(()) })
    }

    fn refuses(&mut self, at: NodeId, input: Input, refusal: Refusal, effects: &[Effect]) -> Seen {
        self.0.observe(&Observation::Stepped { at, input: &input, effects, verdict: Err(refusal) })
    }

    fn votes(&mut self, at: NodeId, vote: Vote) {
        let transaction = transaction();
        let record = ResourceManagerRecord {
            transaction: transaction.clone(),
            meta: Some(meta()),
            vote: Some(vote),
            finished: None,
        };
        let written = Effect::Persist(Record::ResourceManager(record));
        self.takes(at, Input::Vote { transaction, vote }, &[written]).unwrap();
    }

    fn yields(&mut self, at: NodeId, effect: Effect) -> Seen {
        self.takes(at, Input::Tick(Time(0)), &[effect])
    }

    fn writes(&mut self, at: NodeId, record: Record) -> Seen {
        self.0.observe(&Observation::Durable { at, record: &record })
    }

    fn sends(&mut self, at: NodeId, message: Message) -> Seen {
        self.0.observe(&Observation::Sent { at, to: NodeId(99), message: &message })
    }

    fn decides(&mut self, at: NodeId, decision: Decision) -> Seen {
        self.0.observe(&Observation::Decided { at, decision: &decision })
    }

    fn remembers(&mut self, at: NodeId, outcome: Outcome) -> Seen {
        self.0.observe(&Observation::Remembered { at, tx: TX, outcome })
    }

    fn restarts(&mut self, at: NodeId) {
        self.0.observe(&Observation::Stopped { at }).unwrap();
        self.0.observe(&Observation::Started { at }).unwrap();
    }
}

fn transaction() -> Transaction {
    named(TX)
}

fn named(tx: TxId) -> Transaction {
    Transaction::new(tx, [R1, R2], meta()).unwrap()
}

/// What the transactions are about.
fn meta() -> Meta {
    Meta::from([7])
}

fn commit(tx: TxId) -> Decision {
    Decision::Commit { transaction: named(tx), meta: meta() }
}

fn abort(tx: TxId) -> Decision {
    Decision::Abort { transaction: named(tx), meta: None }
}

fn cluster() -> Cluster {
    Cluster::new(ClusterId([0; 16]), Quorums::majority([A1, A2, A3]).unwrap(), [M1, M2]).unwrap()
}

/// What an acceptor knows: of the first instance, `promised` and `accepted`; of the second, nothing.
fn acceptor(promised: Ballot, accepted: Option<(Ballot, Vote)>) -> Record {
    let initial = Some(Ballot::initial(R1));
    let above = accepted.is_some_and(|(ballot, _)| Some(ballot) != initial);
    let (votes, higher) = if Some(promised) == initial && !above {
        (accepted.map(|(_, vote)| (0, vote)).into_iter().collect(), Vec::new())
    } else {
        let state = paxos::AcceptorRecord { promised: Some(promised), accepted };
        (Votes::default(), vec![HigherInstance { rm: R1, state }])
    };
    Record::Acceptor(AcceptorRecord { transaction: transaction(), votes, higher: higher.into() })
}

/// What an acceptor knows that has accepted these votes in round 0.
fn accepted(votes: [Option<Vote>; 2]) -> Record {
    let votes = votes.into_iter().enumerate().filter_map(|(place, vote)| Some((place, vote?))).collect();
    Record::Acceptor(AcceptorRecord { transaction: transaction(), votes, higher: Box::default() })
}

fn rm(vote: Option<Vote>, finished: Option<Outcome>) -> Record {
    let meta = Some(meta());
    Record::ResourceManager(ResourceManagerRecord { transaction: transaction(), meta, vote, finished })
}

fn about(what: What) -> Message {
    Message::about(&transaction(), what)
}

/// Something said about the first instance.
fn say(message: paxos::Message<Vote>) -> Message {
    let first = || Places::from_iter([0]);
    let told = |accepted: Option<(Ballot, Vote)>| match accepted {
        None => (Votes::default(), Box::default()),
        Some((ballot, vote)) if ballot == Ballot::initial(R1) => (Votes::from_iter([(0, vote)]), Box::default()),
        Some((ballot, vote)) => (Votes::default(), Box::from([Acceptance { rm: R1, ballot, vote }])),
    };
    about(match message {
        paxos::Message::Prepare { ballot } => What::Phase1a { ballot, instances: first() },
        paxos::Message::Promise { ballot, accepted } => {
            let (votes, higher) = told(accepted);
            What::Phase1b { ballot, promises: Box::new(Promises { instances: first(), votes, higher }) }
        }
        paxos::Message::Accept { ballot, value } => What::Phase2a { ballot, votes: Votes::from_iter([(0, value)]) },
        paxos::Message::Accepted { ballot, value } => {
            let (votes, higher) = told(Some((ballot, value)));
            What::Phase2b { votes, higher }
        }
        paxos::Message::Reject { ballot, promised } => {
            What::Reject { ballot, promised: Box::from([Obstacle { rm: R1, promised }]) }
        }
    })
}

fn receive(from: NodeId, message: Message) -> Input {
    Input::Receive { from, message }
}

fn send(to: NodeId, message: Message) -> Effect {
    Effect::Send { to, message }
}

fn decided(outcome: Outcome) -> Decision {
    Decision::Decided { tx: TX, outcome }
}
