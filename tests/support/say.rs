//! What the nodes say to each other, in few words.

use synod::{
    Ballot, NodeId, TxId,
    commit::{
        Acceptance, Effect, EpochMessage, Input, Message, Meta, Obstacle, Outcome, Places, Promises, Transaction,
        TxRange, Vote, Votes, What,
    },
    paxos::{self, Message::*},
};

/// What a message says about one instance of its transaction, in the words of Paxos.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub rm: NodeId,
    pub message: paxos::Message<Vote>,
}

pub fn from(from: NodeId, message: Message) -> Input {
    Input::Receive { from, message }
}

/// What `transaction` is about: one of the contents that these tests use.
pub fn meta(transaction: &Transaction) -> Meta {
    let known = [&b"meta"[..], b"", b"1234", b"12345", b"other"].map(Meta::from);
    known.into_iter().find(|meta| transaction.is_about(meta)).expect("the content is one of these tests'")
}

/// A client begins `transaction`, whose name it has seen to.
pub fn begins(transaction: &Transaction) -> Input {
    Input::BeginAs { transaction: transaction.clone(), meta: meta(transaction) }
}

pub fn begin(transaction: &Transaction) -> Message {
    Message::about(transaction, What::Begin { meta: meta(transaction) })
}

pub fn prepare(transaction: &Transaction) -> Message {
    Message::about(transaction, What::prepare(meta(transaction)))
}

pub fn vote(transaction: &Transaction, vote: Vote, manager: NodeId) -> Message {
    Message::about(transaction, What::Vote { vote, manager })
}

pub fn inquire(transaction: &Transaction) -> Message {
    Message::about(transaction, What::Inquire)
}

pub fn outcome(transaction: &Transaction, outcome: Outcome) -> Message {
    Message::about(transaction, What::Outcome(outcome))
}

pub fn finished(transaction: &Transaction, outcome: Outcome) -> Message {
    Message::about(transaction, What::Finished(outcome))
}

pub fn retired(tx: TxId) -> Message {
    Message::retired(TxRange::only(tx))
}

pub fn retired_to(first: TxId, last: u64) -> Message {
    Message::retired(TxRange::new(first.origin, first.seq, last).unwrap())
}

/// The places of `rms`; one that takes no part has the first place that the transaction does not have.
pub fn places(transaction: &Transaction, rms: &[NodeId]) -> Places {
    let participants = transaction.participants();
    let place = |rm: &NodeId| participants.iter().position(|known| known == rm).unwrap_or(participants.len());
    rms.iter().map(place).collect()
}

/// What is said of an epoch.
pub fn of_epoch(number: impl Into<Option<u64>>, what: EpochMessage) -> Message {
    Message::Epoch { number: number.into(), what: Box::new(what) }
}

/// What `effects` say of epochs, with the destinations.
pub fn epochs(effects: &[Effect]) -> Vec<(NodeId, EpochMessage)> {
    let of_epoch = |(to, message): (NodeId, &Message)| match message {
        Message::Epoch { what, .. } => Some((to, (**what).clone())),
        _ => None,
    };
    sends(effects).into_iter().filter_map(of_epoch).collect()
}

/// The same vote of each of `rms`.
pub fn votes(transaction: &Transaction, rms: &[NodeId], vote: Vote) -> Votes {
    places(transaction, rms).iter().map(|place| (place, vote)).collect()
}

/// The same Paxos message about the instances of `rms`.
pub fn paxos(transaction: &Transaction, rms: &[NodeId], message: paxos::Message<Vote>) -> Message {
    all(transaction, rms.iter().map(|rm| Part { rm: *rm, message }))
}

/// The one message that says all of `parts`, which must be of one kind, and of one ballot if that is what the message has.
pub fn all(transaction: &Transaction, parts: impl IntoIterator<Item = Part>) -> Message {
    let parts: Vec<Part> = parts.into_iter().collect();
    let about = |rms: &[NodeId]| places(transaction, rms);
    let rms: Vec<NodeId> = parts.iter().map(|part| part.rm).collect();
    let of_one_ballot = |ballot: Ballot| {
        assert!(parts.iter().all(|part| part.message.ballot() == ballot), "one message has one ballot: {parts:?}");
        ballot
    };
    let (mut votes, mut higher, mut obstacles) = (Votes::default(), Vec::new(), Vec::new());
    let mut add = |rm, ballot, vote| match about(&[rm]).iter().next() {
        Some(place) if ballot == Ballot::initial(rm) => votes.insert(place, vote),
        _ => higher.push(Acceptance { rm, ballot, vote }),
    };
    let first = parts.first().expect("it says something").message;
    for Part { rm, message } in &parts {
        assert_eq!(core::mem::discriminant(message), core::mem::discriminant(&first), "{parts:?}");
        match *message {
            Prepare { .. } | Promise { accepted: None, .. } => {}
            Promise { accepted: Some((ballot, vote)), .. } => add(*rm, ballot, vote),
            Accepted { ballot, value } => add(*rm, ballot, value),
            Accept { .. } => {}
            Reject { promised, .. } => obstacles.push(Obstacle { rm: *rm, promised }),
        }
    }
    let what = match first {
        Prepare { ballot } => What::Phase1a { ballot: of_one_ballot(ballot), instances: about(&rms) },
        Promise { ballot, .. } => What::Phase1b {
            ballot: of_one_ballot(ballot),
            promises: Promises { instances: about(&rms), votes, higher: higher.into() }.into(),
        },
        Accept { ballot, .. } => {
            let mut votes = Votes::default();
            for Part { rm, message } in &parts {
                let Accept { value, .. } = message else { unreachable!() };
                about(&[*rm]).iter().for_each(|place| votes.insert(place, *value));
            }
            What::Phase2a { ballot: of_one_ballot(ballot), votes }
        }
        Accepted { .. } => What::Phase2b { votes, higher: higher.into() },
        Reject { ballot, .. } => What::Reject { ballot: of_one_ballot(ballot), promised: obstacles.into() },
    };
    Message::about(transaction, what)
}

/// What an acceptor says when it has accepted `vote` of each of `rms` at its initial ballot.
pub fn bundle(transaction: &Transaction, rms: &[NodeId], vote: Vote) -> Message {
    Message::about(transaction, What::Phase2b { votes: votes(transaction, rms, vote), higher: Box::default() })
}

/// Whether `message` is of phase 1 or 2 of Paxos, or a rejection.
pub fn is_paxos(message: &Message) -> bool {
    !parts_of(message).is_empty()
}

/// What `message` says of each instance, in order of resource managers; nothing, unless it is of Paxos.
pub fn parts_of(message: &Message) -> Vec<Part> {
    let Message::About { transaction, what } = message else { return Vec::new() };
    let rm = |place: usize| transaction.participants()[place];
    let initial = |votes: &Votes| -> Vec<Acceptance> {
        votes
            .iter()
            .map(|(place, vote)| Acceptance { rm: rm(place), ballot: Ballot::initial(rm(place)), vote })
            .collect()
    };
    let mut parts: Vec<Part> = match what {
        What::Phase1a { ballot, instances } => {
            instances.iter().map(|place| Part { rm: rm(place), message: Prepare { ballot: *ballot } }).collect()
        }
        What::Phase1b { ballot, promises } => {
            let accepted = [initial(&promises.votes), promises.higher.to_vec()].concat();
            let accepted = |rm| {
                let told = accepted.iter().find(|accepted| accepted.rm == rm);
                told.map(|accepted| (accepted.ballot, accepted.vote))
            };
            let promise = |rm| Part { rm, message: Promise { ballot: *ballot, accepted: accepted(rm) } };
            promises.instances.iter().map(|place| promise(rm(place))).collect()
        }
        What::Phase2a { ballot, votes } => {
            let accept = |(place, value)| Part { rm: rm(place), message: Accept { ballot: *ballot, value } };
            votes.iter().map(accept).collect()
        }
        What::Phase2b { votes, higher } => {
            let accepted = [initial(votes), higher.to_vec()].concat().into_iter();
            let part = |Acceptance { rm, ballot, vote }| Part { rm, message: Accepted { ballot, value: vote } };
            accepted.map(part).collect()
        }
        What::Reject { ballot, promised } => {
            let reject = |Obstacle { rm, promised }: &Obstacle| Part {
                rm: *rm,
                message: Reject { ballot: *ballot, promised: *promised },
            };
            promised.iter().map(reject).collect()
        }
        _ => Vec::new(),
    };
    parts.sort_by_key(|part| part.rm);
    parts
}

/// The messages among `effects`, with their destinations.
pub fn sends(effects: &[Effect]) -> Vec<(NodeId, &Message)> {
    let send = |effect| match effect {
        &Effect::Send { to, ref message } => Some((to, message)),
        _ => None,
    };
    effects.iter().filter_map(send).collect()
}

/// What `effects` say of each instance to the node that a Paxos message goes to first, in order of resource managers.
pub fn parts(effects: &[Effect]) -> Vec<Part> {
    let said: Vec<_> = sends(effects).into_iter().filter(|(_, message)| is_paxos(message)).collect();
    let Some((first, _)) = said.first().copied() else { return Vec::new() };
    let mut parts: Vec<Part> =
        said.into_iter().filter(|(to, _)| *to == first).flat_map(|(_, message)| parts_of(message)).collect();
    parts.sort_by_key(|part| part.rm);
    parts
}
