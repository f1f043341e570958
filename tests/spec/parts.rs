//! Messages of Paxos Commit about several instances, taken apart into one message of Paxos for each instance, and put
//! together again.

use synod::{
    Ballot,
    commit::{Acceptance, AcceptorRecord, HigherInstance, Obstacle, Places, Promises, Transaction, Vote, Votes, What},
    paxos,
};

/// What a message says about one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// The place of the resource manager whose vote the instance chooses.
    pub(crate) rm: usize,
    pub(crate) message: paxos::Message<Vote>,
}

/// Whether this is a phase of several instances, or a rejection in several instances.
pub(crate) fn has_parts(what: &What) -> bool {
    match what {
        What::Phase1a { .. }
        | What::Phase1b { .. }
        | What::Phase2a { .. }
        | What::Phase2b { .. }
        | What::Reject { .. } => true,
        What::Begin { .. }
        | What::Prepare { .. }
        | What::Vote { .. }
        | What::Inquire
        | What::Decline
        | What::Wait
        | What::OtherTransaction
        | What::Outcome(_)
        | What::Finished(_) => false,
    }
}

/// What it says about each instance, in their order; nothing if it is no phase of several instances.
pub(crate) fn parts(transaction: &Transaction, what: &What) -> Vec<Part> {
    let place = |rm| transaction.participants().binary_search(&rm).expect("machines speak of participants only");
    let initial = |rm: usize| Ballot::initial(transaction.participants()[rm]);
    let mut parts = Vec::new();
    let mut add = |rm, message| parts.push(Part { rm, message });
    match what {
        What::Phase1a { ballot, instances } => {
            instances.iter().for_each(|rm| add(rm, paxos::Message::Prepare { ballot: *ballot }));
        }
        What::Phase1b { ballot, promises } => {
            for rm in promises.instances.iter() {
                let higher = promises.higher.iter().find(|accepted| place(accepted.rm) == rm);
                let higher = higher.map(|accepted| (accepted.ballot, accepted.vote));
                let accepted = higher.or(promises.votes.get(rm).map(|vote| (initial(rm), vote)));
                add(rm, paxos::Message::Promise { ballot: *ballot, accepted });
            }
        }
        What::Phase2a { ballot, votes } => {
            votes.iter().for_each(|(rm, value)| add(rm, paxos::Message::Accept { ballot: *ballot, value }));
        }
        What::Phase2b { votes, higher } => {
            votes.iter().for_each(|(rm, value)| add(rm, paxos::Message::Accepted { ballot: initial(rm), value }));
            for Acceptance { rm, ballot, vote } in higher {
                add(place(*rm), paxos::Message::Accepted { ballot: *ballot, value: *vote });
            }
        }
        What::Reject { ballot, promised } => {
            for obstacle in promised {
                let promised = obstacle.promised;
                add(place(obstacle.rm), paxos::Message::Reject { ballot: *ballot, promised });
            }
        }
        _ => {}
    }
    parts.sort_by_key(|part| part.rm);
    parts
}

/// The message that says all this: parts of one phase, in the order of their instances, and of one ballot unless they
/// are acceptances.
pub(crate) fn together(transaction: &Transaction, parts: &[Part]) -> What {
    let participants = transaction.participants();
    let ballot = parts.first().expect("no message is empty").message.ballot();
    let (mut instances, mut votes, mut accepted, mut promised) =
        (Places::default(), Votes::default(), Vec::new(), Vec::new());
    for Part { rm, message } in parts {
        match *message {
            paxos::Message::Prepare { .. } => instances.insert(*rm),
            paxos::Message::Accept { value, .. } => votes.insert(*rm, value),
            paxos::Message::Promise { accepted: told, .. } => {
                instances.insert(*rm);
                match told {
                    Some((ballot, vote)) if ballot.is_initial() => votes.insert(*rm, vote),
                    Some((ballot, vote)) => accepted.push(Acceptance { rm: participants[*rm], ballot, vote }),
                    None => {}
                }
            }
            paxos::Message::Accepted { ballot, value } if ballot.is_initial() => votes.insert(*rm, value),
            paxos::Message::Accepted { ballot, value } => {
                accepted.push(Acceptance { rm: participants[*rm], ballot, vote: value });
            }
            paxos::Message::Reject { promised: obstacle, .. } => {
                promised.push(Obstacle { rm: participants[*rm], promised: obstacle });
            }
        }
    }
    match parts[0].message {
        paxos::Message::Prepare { .. } => What::Phase1a { ballot, instances },
        paxos::Message::Promise { .. } => {
            What::Phase1b { ballot, promises: Box::new(Promises { instances, votes, higher: accepted.into() }) }
        }
        paxos::Message::Accept { .. } => What::Phase2a { ballot, votes },
        paxos::Message::Accepted { .. } => What::Phase2b { votes, higher: accepted.into() },
        paxos::Message::Reject { .. } => What::Reject { ballot, promised: promised.into() },
    }
}

/// The record of an acceptor that knows this of each instance.
pub(crate) fn record(
    transaction: &Transaction,
    instances: impl IntoIterator<Item = paxos::AcceptorRecord<Vote>>,
) -> AcceptorRecord {
    let (mut votes, mut higher) = (Votes::default(), Vec::new());
    for ((place, rm), state) in transaction.participants().iter().enumerate().zip(instances) {
        if state.promised > Some(Ballot::initial(*rm)) {
            higher.push(HigherInstance { rm: *rm, state });
        } else if let Some((_, vote)) = state.accepted {
            votes.insert(place, vote);
        }
    }
    AcceptorRecord { transaction: transaction.clone(), votes, higher: higher.into() }
}
