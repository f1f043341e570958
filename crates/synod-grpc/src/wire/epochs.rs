//! Between what is said of epochs and protobuf.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use synod::{
    NodeId, QuorumSpec, Quorums,
    commit::{
        Cluster, ClusterId, Entry, EpochMessage, EpochTag, Fingerprint, Learning, Membership, Message, Page, Part,
        Targets,
    },
};

use super::{FIXED, NUMBER, Needed, PART, WireError, ballot, vote};
use crate::v1;

/// A bound on the bytes of what is said.
pub(super) fn size(what: &EpochMessage) -> usize {
    let said = match what {
        EpochMessage::Invite(members) => size_of_membership(members),
        EpochMessage::Promise { accepted, page, .. } => {
            accepted.as_ref().map_or(0, |(_, members)| size_of_membership(members)) + size_of_page(page)
        }
        EpochMessage::Accept { membership, page, .. } => size_of_membership(membership) + size_of_page(page),
        EpochMessage::Told { membership, former, page } => {
            size_of_membership(membership) + former.len() * NUMBER + size_of_page(page)
        }
        _ => 0,
    };
    FIXED + said
}

fn size_of_membership(members: &Membership) -> usize {
    let contacts: usize = members.contacts.values().map(|contact| 3 * NUMBER + contact.len()).sum();
    let acceptors = members.acceptors.nodes().count() * 3 * NUMBER;
    FIXED + acceptors + (members.managers.len() + members.departed.len()) * NUMBER + contacts
}

fn size_of_page(page: &Page) -> usize {
    let entry = |entry: &Entry| match entry {
        Entry::Part(part) => 5 * NUMBER + part.instances.len() * PART,
        // There may be thousands of small ones. A tag and the length come with each, in two bytes.
        small => v1::Entry { entry: Some(small.into()) }.encoded_len() + 2,
    };
    FIXED + page.entries.iter().map(entry).sum::<usize>()
}

/// What is said of the epoch of this number.
pub(super) fn epoch(number: Option<u64>, what: &EpochMessage) -> v1::Epoch {
    v1::Epoch { number, what: Some(what.into()) }
}

/// The same, back.
pub(super) fn message(epoch: v1::Epoch) -> Result<Message, WireError> {
    let what = epoch.what.ok_or(WireError::UnknownKind("what is said about the epoch"))?;
    Ok(Message::Epoch { number: epoch.number, what: Box::new(what.try_into()?) })
}

impl From<&EpochMessage> for v1::epoch::What {
    fn from(what: &EpochMessage) -> Self {
        use v1::epoch as wire;
        match what {
            EpochMessage::Invite(members) => Self::Invite((&**members).into()),
            EpochMessage::Ready => Self::Ready(wire::Ready {}),
            EpochMessage::Hold => Self::Hold(wire::Hold {}),
            EpochMessage::Prepare { ballot } => Self::Prepare(wire::Prepare { ballot: Some((*ballot).into()) }),
            EpochMessage::Promise { ballot, accepted, page } => Self::Promise(wire::Promise {
                ballot: Some((*ballot).into()),
                accepted: accepted.as_ref().map(|(at, _)| (*at).into()),
                membership: accepted.as_ref().map(|(_, members)| (&**members).into()),
                page: Some(page.into()),
            }),
            EpochMessage::Accept { ballot, membership, page } => Self::Accept(wire::Accept {
                ballot: Some((*ballot).into()),
                membership: Some((&**membership).into()),
                page: Some(page.into()),
            }),
            EpochMessage::Accepted { ballot } => Self::Accepted(wire::Accepted { ballot: Some((*ballot).into()) }),
            EpochMessage::Reject { ballot, promised } => {
                Self::Reject(wire::Reject { ballot: Some((*ballot).into()), promised: Some((*promised).into()) })
            }
            EpochMessage::Frozen { promised } => Self::Frozen(wire::Frozen { promised: Some((*promised).into()) }),
            EpochMessage::More { digest, next } => Self::More(wire::More { digest: *digest, next: *next }),
            EpochMessage::Newer => Self::Newer(wire::Newer {}),
            EpochMessage::Wanted => Self::Wanted(wire::Wanted {}),
            EpochMessage::Told { membership, former, page } => Self::Told(wire::Told {
                membership: Some((&**membership).into()),
                former: former.iter().map(|node| node.0).collect(),
                page: Some(page.into()),
            }),
            EpochMessage::Noted => Self::Noted(wire::Noted {}),
            EpochMessage::Drained => Self::Drained(wire::Drained {}),
        }
    }
}

impl TryFrom<v1::epoch::What> for EpochMessage {
    type Error = WireError;

    fn try_from(what: v1::epoch::What) -> Result<Self, WireError> {
        use v1::epoch::What as Wire;
        match what {
            Wire::Invite(members) => Ok(Self::Invite(membership(Some(members))?)),
            Wire::Ready(_) => Ok(Self::Ready),
            Wire::Hold(_) => Ok(Self::Hold),
            Wire::Prepare(said) => Ok(Self::Prepare { ballot: ballot(said.ballot, "the ballot")? }),
            Wire::Promise(said) => {
                let accepted = match (said.accepted, said.membership) {
                    (None, None) => None,
                    (at, members) => Some((ballot(at, "the ballot of the ending")?, membership(members)?)),
                };
                Ok(Self::Promise { ballot: ballot(said.ballot, "the ballot")?, accepted, page: page(said.page)? })
            }
            Wire::Accept(said) => Ok(Self::Accept {
                ballot: ballot(said.ballot, "the ballot")?,
                membership: membership(said.membership)?,
                page: page(said.page)?,
            }),
            Wire::Accepted(said) => Ok(Self::Accepted { ballot: ballot(said.ballot, "the ballot")? }),
            Wire::Reject(said) => Ok(Self::Reject {
                ballot: ballot(said.ballot, "the ballot")?,
                promised: ballot(said.promised, "the promised ballot")?,
            }),
            Wire::Frozen(said) => Ok(Self::Frozen { promised: ballot(said.promised, "the promised ballot")? }),
            Wire::More(said) => Ok(Self::More { digest: said.digest, next: said.next }),
            Wire::Newer(_) => Ok(Self::Newer),
            Wire::Wanted(_) => Ok(Self::Wanted),
            Wire::Told(said) => Ok(Self::Told {
                membership: membership(said.membership)?,
                former: said.former.into_iter().map(NodeId).collect(),
                page: page(said.page)?,
            }),
            Wire::Noted(_) => Ok(Self::Noted),
            Wire::Drained(_) => Ok(Self::Drained),
        }
    }
}

impl From<&Membership> for v1::Membership {
    fn from(members: &Membership) -> Self {
        let QuorumSpec { members: acceptors, prepare, accept } = members.acceptors.clone().into();
        let learning = match members.learning {
            Learning::Leader => v1::Learning::Leader,
            Learning::Everyone => v1::Learning::Everyone,
        };
        let targets = match members.targets {
            Targets::All => v1::Targets::All,
            Targets::Quorum => v1::Targets::Quorum,
        };
        let contact = |(node, contact): (&NodeId, &Vec<u8>)| v1::Contact { node: node.0, contact: contact.clone() };
        Self {
            acceptors: acceptors.into_iter().map(|(node, weight)| v1::Voice { node: node.0, weight }).collect(),
            prepare,
            accept,
            managers: members.managers.iter().map(|node| node.0).collect(),
            learning: learning.into(),
            targets: targets.into(),
            contacts: members.contacts.iter().map(contact).collect(),
            departed: members.departed.iter().map(|node| node.0).collect(),
        }
    }
}

/// A membership that must be there. Whether a cluster can have it is for the node to say.
pub(crate) fn membership(members: Option<v1::Membership>) -> Result<Box<Membership>, WireError> {
    let members = members.needed("the membership")?;
    let (value, targets) = (members.learning, members.targets);
    let learning = match v1::Learning::try_from(value) {
        Ok(v1::Learning::Leader) => Learning::Leader,
        Ok(v1::Learning::Everyone) => Learning::Everyone,
        Ok(v1::Learning::Unspecified) | Err(_) => return Err(WireError::UnknownValue { kind: "learning", value }),
    };
    let targets = match v1::Targets::try_from(targets) {
        Ok(v1::Targets::All) => Targets::All,
        Ok(v1::Targets::Quorum) => Targets::Quorum,
        Ok(v1::Targets::Unspecified) | Err(_) => {
            return Err(WireError::UnknownValue { kind: "choice of targets", value: targets });
        }
    };
    let voices = members.acceptors.into_iter().map(|voice| (NodeId(voice.node), voice.weight)).collect();
    let acceptors =
        Quorums::try_from(QuorumSpec { members: voices, prepare: members.prepare, accept: members.accept })?;
    let first: Vec<NodeId> = acceptors.nodes().take(1).collect();
    // There is no other way to make one than from a cluster that has it.
    let cluster = Cluster::new(ClusterId::default(), acceptors, first);
    let mut made = cluster.map_err(|_| WireError::Missing("an acceptor"))?.membership();
    made.managers = members.managers.into_iter().map(NodeId).collect();
    (made.learning, made.targets) = (learning, targets);
    if !members.contacts.is_sorted_by(|left, right| left.node < right.node) {
        return Err(WireError::Unsorted("contacts"));
    }
    let contact = |contact: v1::Contact| (NodeId(contact.node), contact.contact);
    made.contacts = members.contacts.into_iter().map(contact).collect::<BTreeMap<_, _>>();
    if !members.departed.is_sorted_by(|left, right| left < right) {
        return Err(WireError::Unsorted("departed"));
    }
    made.departed = members.departed.into_iter().map(NodeId).collect::<BTreeSet<_>>();
    Ok(Box::new(made))
}

impl From<&Page> for v1::Page {
    fn from(page: &Page) -> Self {
        let entries = page.entries.iter().map(|entry| v1::Entry { entry: Some(entry.into()) }).collect();
        Self { digest: page.digest, total: page.total, first: page.first, entries }
    }
}

/// A page that must be there.
fn page(page: Option<v1::Page>) -> Result<Page, WireError> {
    let v1::Page { digest, total, first, entries } = page.needed("the page")?;
    let entry = |entry: v1::Entry| entry.entry.ok_or(WireError::UnknownKind("an entry of a page"))?.try_into();
    Ok(Page { digest, total, first, entries: entries.into_iter().map(entry).collect::<Result<_, WireError>>()? })
}

impl From<&Entry> for v1::entry::Entry {
    fn from(entry: &Entry) -> Self {
        match entry {
            Entry::Ready(transaction) => Self::Ready((*transaction).into()),
            Entry::Part(part) => Self::Part(part.into()),
            Entry::Committed(transaction) => Self::Committed((*transaction).into()),
            Entry::Retired(range) => Self::Retired((*range).into()),
            Entry::Peer { node, birth } => Self::Peer(v1::entry::Peer { node: node.0, birth: *birth }),
        }
    }
}

impl TryFrom<v1::entry::Entry> for Entry {
    type Error = WireError;

    fn try_from(entry: v1::entry::Entry) -> Result<Self, WireError> {
        use v1::entry::Entry as Wire;
        match entry {
            Wire::Ready(transaction) => Ok(Self::Ready(transaction.try_into()?)),
            Wire::Part(part) => Ok(Self::Part(part.try_into()?)),
            Wire::Committed(transaction) => Ok(Self::Committed(transaction.try_into()?)),
            Wire::Retired(range) => Ok(Self::Retired(range.try_into()?)),
            Wire::Peer(peer) => Ok(Self::Peer { node: NodeId(peer.node), birth: peer.birth }),
        }
    }
}

impl From<Fingerprint> for v1::entry::Fingerprint {
    fn from(Fingerprint { tx, digest }: Fingerprint) -> Self {
        Self { id: Some(tx.into()), digest }
    }
}

impl TryFrom<v1::entry::Fingerprint> for Fingerprint {
    type Error = WireError;

    fn try_from(v1::entry::Fingerprint { id, digest }: v1::entry::Fingerprint) -> Result<Self, WireError> {
        Ok(Self { tx: id.needed("the transaction's id")?.into(), digest })
    }
}

impl From<&Part> for v1::entry::Part {
    fn from(part: &Part) -> Self {
        let instance = |accepted: &Option<_>| match accepted {
            None => v1::entry::Instance { ballot: None, vote: v1::Vote::Unspecified.into() },
            Some((at, vote)) => {
                let vote: v1::Vote = synod::commit::Vote::into(*vote);
                v1::entry::Instance { ballot: Some(synod::Ballot::into(*at)), vote: vote.into() }
            }
        };
        Self { transaction: Some(part.transaction.into()), instances: part.instances.iter().map(instance).collect() }
    }
}

impl TryFrom<v1::entry::Part> for Part {
    type Error = WireError;

    fn try_from(part: v1::entry::Part) -> Result<Self, WireError> {
        let instance = |of: v1::entry::Instance| match of.ballot {
            None if of.vote == i32::from(v1::Vote::Unspecified) => Ok(None),
            at => Ok(Some((ballot(at, "the ballot of an acceptance")?, vote(of.vote)?))),
        };
        let instances = part.instances.into_iter().map(instance).collect::<Result<_, WireError>>()?;
        Ok(Self { transaction: part.transaction.needed("the transaction")?.try_into()?, instances })
    }
}

impl From<EpochTag> for v1::EpochTag {
    fn from(EpochTag { number, digest }: EpochTag) -> Self {
        Self { number, digest }
    }
}

impl From<v1::EpochTag> for EpochTag {
    fn from(v1::EpochTag { number, digest }: v1::EpochTag) -> Self {
        Self { number, digest }
    }
}
