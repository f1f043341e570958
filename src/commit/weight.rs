//! About how much memory a record, a message or a decision takes, so that what waits can be bounded in bytes.
//!
//! What a transaction is about, and its list of participants, are counted in full with every value that holds them,
//! though clones share them. Sets of participants are not counted: they are far smaller than the list.

use alloc::vec::Vec;

use super::{Decision, Entry, EpochMessage, Membership, Message, Meta, Page, Record, Transaction, What};

/// About how many bytes a value takes.
pub(crate) trait Weight: Sized {
    /// The bytes that it points to.
    fn pointed_to(&self) -> usize;

    /// All its bytes.
    #[inline]
    fn weight(&self) -> usize {
        size_of::<Self>().saturating_add(self.pointed_to())
    }
}

impl Weight for Record {
    fn pointed_to(&self) -> usize {
        match self {
            Self::Acceptor(record) => {
                record.transaction.pointed_to().saturating_add(size_of_val::<[_]>(&record.higher))
            }
            Self::ResourceManager(record) | Self::Resolved { record, .. } => {
                about(&record.transaction, record.meta.as_ref())
            }
            Self::Identity { .. }
            | Self::Birth(_)
            | Self::Peer { .. }
            | Self::Sequence { .. }
            | Self::Rounds { .. }
            | Self::Retired(_)
            | Self::History { .. }
            | Self::Erased(_)
            | Self::Resolutions { .. } => 0,
            Self::Epoch { membership, former, committed, .. } => {
                let ids = size_of_val::<[_]>(former).saturating_add(committed.memory());
                membership.weight().saturating_add(ids)
            }
            Self::Handover { state, .. } => {
                let ending = state.accepted.as_ref().map_or(0, |(_, ending)| {
                    let ranges = ending.committed.memory().saturating_add(size_of_val::<[_]>(&ending.retired));
                    ranges.saturating_add(ending.membership.pointed_to())
                });
                size_of_val(&**state).saturating_add(ending)
            }
        }
    }
}

impl Weight for Message {
    fn pointed_to(&self) -> usize {
        match self {
            Self::About { transaction, what } => transaction.pointed_to().saturating_add(what.pointed_to()),
            Self::Retired { outcomes, .. } => size_of_val::<[_]>(outcomes.blocks()),
            Self::RetiredNoted { .. } => 0,
            Self::Epoch { what, .. } => size_of_val(&**what).saturating_add(what.pointed_to()),
        }
    }
}

impl Weight for What {
    fn pointed_to(&self) -> usize {
        match self {
            Self::Begin { meta } | Self::Prepare { meta, .. } => meta.pointed_to(),
            Self::Phase1b { promises, .. } => {
                size_of_val(&**promises).saturating_add(size_of_val::<[_]>(&promises.higher))
            }
            Self::Phase2b { higher, .. } => size_of_val::<[_]>(higher),
            Self::Reject { promised, .. } => size_of_val::<[_]>(promised),
            Self::Vote { .. }
            | Self::Phase1a { .. }
            | Self::Phase2a { .. }
            | Self::Inquire
            | Self::Outcome(_)
            | Self::Finished(_)
            | Self::Decline
            | Self::Wait
            | Self::OtherTransaction => 0,
        }
    }
}

impl Weight for EpochMessage {
    fn pointed_to(&self) -> usize {
        match self {
            Self::Invite(membership) => membership.weight(),
            Self::Promise { accepted, page, .. } => {
                let membership = accepted.as_ref().map_or(0, |(_, membership)| membership.weight());
                membership.saturating_add(page.pointed_to())
            }
            Self::Accept { membership, page, .. } => membership.weight().saturating_add(page.pointed_to()),
            Self::Told { membership, former, page } => {
                membership.weight().saturating_add(size_of_val::<[_]>(former)).saturating_add(page.pointed_to())
            }
            Self::Ready
            | Self::Hold
            | Self::Prepare { .. }
            | Self::Accepted { .. }
            | Self::Reject { .. }
            | Self::Frozen { .. }
            | Self::More { .. }
            | Self::Newer
            | Self::Wanted
            | Self::Noted
            | Self::Drained => 0,
        }
    }
}

impl Weight for Page {
    fn pointed_to(&self) -> usize {
        let parts = self.entries.iter().map(|entry| match entry {
            Entry::Part(part) => size_of_val::<[_]>(&part.instances),
            _ => 0,
        });
        parts.fold(size_of_val::<[_]>(&self.entries), usize::saturating_add)
    }
}

impl Weight for Membership {
    fn pointed_to(&self) -> usize {
        let contacts = self.contacts.values().map(|contact| size_of::<(u64, Vec<u8>)>().saturating_add(contact.len()));
        let ids = self.managers.len().saturating_add(self.departed.len()).saturating_add(self.acceptors.len());
        contacts.fold(ids.saturating_mul(size_of::<u64>()), usize::saturating_add)
    }
}

impl Weight for Decision {
    fn pointed_to(&self) -> usize {
        match self {
            Self::Vote { transaction, meta } | Self::Commit { transaction, meta } => about(transaction, Some(meta)),
            Self::Abort { transaction, meta } => about(transaction, meta.as_ref()),
            Self::Epoch { membership, .. } => membership.weight(),
            Self::Begun(_)
            | Self::Decided { .. }
            | Self::Completed { .. }
            | Self::Forget(_)
            | Self::Named(_)
            | Self::Changed { .. } => 0,
        }
    }
}

impl Weight for Transaction {
    #[inline]
    fn pointed_to(&self) -> usize {
        self.shared_bytes()
    }
}

impl Weight for Meta {
    #[inline]
    fn pointed_to(&self) -> usize {
        self.shared_bytes()
    }
}

fn about(transaction: &Transaction, meta: Option<&Meta>) -> usize {
    transaction.pointed_to().saturating_add(meta.map_or(0, Weight::pointed_to))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "a test may panic")]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::{
        Ballot, NodeId, Quorums, TxId,
        commit::{Acceptance, Fingerprint, Part, Promises, Vote},
    };

    #[test]
    fn what_a_message_points_to_is_part_of_its_weight() {
        let few = Transaction::new(TxId::default(), [NodeId(1)], "").unwrap();
        let many = Transaction::new(TxId::default(), (1..=100).map(NodeId), "").unwrap();
        let bare = size_of::<Message>();
        let prepare = |meta: usize| What::prepare(vec![0; meta].into());
        assert_eq!(Message::about(&few, prepare(0)).weight(), bare);
        assert_eq!(Message::about(&few, prepare(1_000)).weight(), bare + 1_000);
        assert_eq!(Message::about(&many, prepare(1_000)).weight(), bare + 800 + 1_000);
        let acceptance = Acceptance { rm: NodeId(1), ballot: Ballot::initial(NodeId(1)), vote: Vote::Prepared };
        let higher = vec![acceptance; 100].into_boxed_slice();
        let promises = Promises { higher, ..Promises::default() };
        let promise = What::Phase1b { ballot: acceptance.ballot, promises: promises.into() };
        let boxed = size_of::<Promises>() + 100 * size_of::<Acceptance>();
        assert_eq!(Message::about(&few, promise).weight(), bare + boxed);
    }

    #[test]
    fn what_is_said_of_an_epoch_weighs_as_much_as_its_members_and_its_page() {
        let (ballot, nodes) = (Ballot::new(1, NodeId(4)), [1, 2, 3].map(NodeId));
        let few = Membership::new(Quorums::majority(nodes).unwrap(), [NodeId(4), NodeId(5)]);
        assert_eq!(few.pointed_to(), 5 * size_of::<u64>());
        let contacts = 2 * size_of::<(u64, Vec<u8>)>() + 150;
        let many = few.with_contact(NodeId(1), [0; 100]).with_contact(NodeId(2), [0; 50]).with_departed(NodeId(9));
        assert_eq!(many.pointed_to(), 6 * size_of::<u64>() + contacts);

        let transaction = Fingerprint { tx: TxId::default(), digest: 0 };
        let part = |instances| Entry::Part(Part { transaction, instances: vec![None; instances].into() });
        let entries = vec![part(3), Entry::Ready(transaction), part(5)];
        let page = Page { digest: 0, total: 3, first: 0, entries: entries.into() };
        let paged = 3 * size_of::<Entry>() + 8 * size_of::<Option<(Ballot, Vote)>>();
        assert_eq!(page.pointed_to(), paged);

        let said = |what: EpochMessage| {
            let message = Message::Epoch { number: Some(1), what: what.into() };
            message.weight() - size_of::<Message>() - size_of::<EpochMessage>()
        };
        let (members, membership) = (many.weight(), || many.clone().into());
        let promise = |accepted| EpochMessage::Promise { ballot, accepted, page: page.clone() };
        assert_eq!(said(EpochMessage::Ready), 0);
        assert_eq!(said(EpochMessage::Invite(membership())), members);
        assert_eq!(said(promise(None)), paged);
        assert_eq!(said(promise(Some((ballot, membership())))), members + paged);
        assert_eq!(
            said(EpochMessage::Accept { ballot, membership: membership(), page: page.clone() }),
            members + paged
        );
        let told = EpochMessage::Told { membership: membership(), former: nodes.into(), page: page.clone() };
        assert_eq!(said(told), members + paged + 3 * size_of::<NodeId>());
    }
}
