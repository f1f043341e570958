//! Strategies for messages and records of any kind: whatever the types allow.

use alloc::{boxed::Box, vec::Vec};
use proptest::{
    arbitrary::any,
    collection::vec,
    option,
    prelude::{BoxedStrategy, Just, Strategy},
    prop_oneof,
};

use super::{
    ballot, cluster, meta, node, one_of, outcome, outcome_block, outcomes, places, range, small, transaction, tx, vote,
    votes,
};
use crate::{
    commit::{
        Acceptance, AcceptorRecord, ClusterId, Ending, Entry, EpochMessage, Fingerprint, Fingerprints, HigherInstance,
        Key, Membership, Message, Obstacle, OutcomeBlock, Page, Part, Promises, Ranges, Record, ResourceManagerRecord,
        What,
    },
    paxos,
};

/// A message of any kind about any [`transaction`], which may be malformed and come from nobody who may say so.
pub fn any_message() -> BoxedStrategy<Message> {
    prop_oneof![
        7 => (transaction(), what()).prop_map(|(transaction, what)| Message::About { transaction, what }),
        1 => (range(), outcomes()).prop_map(|(range, outcomes)| {
            let of_range = |block: &OutcomeBlock| {
                let number = block.first().seq / u64::from(u64::BITS);
                OutcomeBlock::new(range.origin(), number, block.known(), block.committed()).ok()
            };
            Message::Retired { range, outcomes: outcomes.blocks().iter().filter_map(of_range).collect() }
        }),
        1 => range().prop_map(|range| Message::RetiredNoted { range }),
        1 => (option::of(small(0..3)), epoch_message(cluster().prop_map(|cluster| cluster.membership()).boxed()))
            .prop_map(|(number, what)| Message::Epoch { number, what: Box::new(what) }),
    ]
    .boxed()
}

/// Anything that a message says about an epoch, or its handover to one of these memberships.
pub fn epoch_message(membership: BoxedStrategy<Membership>) -> BoxedStrategy<EpochMessage> {
    let of = || membership.clone().prop_map(Box::new);
    let accepted = option::of((ballot(), of()));
    prop_oneof![
        of().prop_map(EpochMessage::Invite),
        Just(EpochMessage::Ready),
        Just(EpochMessage::Hold),
        Just(EpochMessage::Drained),
        ballot().prop_map(|ballot| EpochMessage::Prepare { ballot }),
        (ballot(), accepted, page()).prop_map(|(ballot, accepted, page)| EpochMessage::Promise {
            ballot,
            accepted,
            page
        }),
        (ballot(), of(), page()).prop_map(|(ballot, membership, page)| EpochMessage::Accept {
            ballot,
            membership,
            page
        }),
        ballot().prop_map(|ballot| EpochMessage::Accepted { ballot }),
        (ballot(), ballot()).prop_map(|(ballot, promised)| EpochMessage::Reject { ballot, promised }),
        ballot().prop_map(|promised| EpochMessage::Frozen { promised }),
        (small(0..3), small(0..3)).prop_map(|(digest, next)| EpochMessage::More { digest, next }),
        Just(EpochMessage::Newer),
        Just(EpochMessage::Wanted),
        (of(), vec(node(), 0..4), page()).prop_map(|(membership, former, page)| EpochMessage::Told {
            membership,
            former: former.into(),
            page
        }),
        Just(EpochMessage::Noted),
    ]
    .boxed()
}

/// A [`transaction`], as a handover tells of it; or nobody's.
fn fingerprint() -> BoxedStrategy<Fingerprint> {
    let nobodys = (tx(), 0..3u64).prop_map(|(tx, digest)| Fingerprint { tx, digest });
    prop_oneof![3 => transaction().prop_map(|transaction| transaction.fingerprint()), 1 => nobodys].boxed()
}

/// A page of a few entries. One in two is whole, and says nothing.
fn page() -> BoxedStrategy<Page> {
    let instances = vec(option::of((ballot(), vote())), 0..4);
    let entry = prop_oneof![
        fingerprint().prop_map(Entry::Ready),
        (fingerprint(), instances)
            .prop_map(|(transaction, instances)| Entry::Part(Part { transaction, instances: instances.into() })),
        fingerprint().prop_map(Entry::Committed),
        range().prop_map(Entry::Retired),
        (node(), 0..3u64).prop_map(|(node, birth)| Entry::Peer { node, birth }),
    ];
    let wild = (any::<u64>(), small(0..4), small(0..4), vec(entry, 0..4))
        .prop_map(|(digest, total, first, entries)| Page { digest, total, first, entries: entries.into() });
    prop_oneof![Just(Page { digest: 0, total: 0, first: 0, entries: [].into() }), wild].boxed()
}

/// Anything that a message says about a transaction, which may be about participants that it does not have.
pub fn what() -> BoxedStrategy<What> {
    let obstacle = (node(), ballot()).prop_map(|(rm, promised)| Obstacle { rm, promised });
    let promises = (places(), votes(), acceptances())
        .prop_map(|(instances, votes, higher)| Box::new(Promises { instances, votes, higher }));
    prop_oneof![
        meta().prop_map(|meta| What::Begin { meta }),
        (meta(), places()).prop_map(|(meta, acceptors)| What::Prepare { meta, acceptors }),
        (vote(), node()).prop_map(|(vote, manager)| What::Vote { vote, manager }),
        (ballot(), places()).prop_map(|(ballot, instances)| What::Phase1a { ballot, instances }),
        (ballot(), promises).prop_map(|(ballot, promises)| What::Phase1b { ballot, promises }),
        (ballot(), votes()).prop_map(|(ballot, votes)| What::Phase2a { ballot, votes }),
        (votes(), acceptances()).prop_map(|(votes, higher)| What::Phase2b { votes, higher }),
        (ballot(), vec(obstacle, 0..4))
            .prop_map(|(ballot, promised)| What::Reject { ballot, promised: promised.into() }),
        Just(What::Inquire),
        Just(What::Decline),
        Just(What::Wait),
        Just(What::OtherTransaction),
        outcome().prop_map(What::Outcome),
        outcome().prop_map(What::Finished),
    ]
    .boxed()
}

fn acceptances() -> BoxedStrategy<Box<[Acceptance]>> {
    let acceptance = (node(), ballot(), vote()).prop_map(|(rm, ballot, vote)| Acceptance { rm, ballot, vote });
    vec(acceptance, 0..4).prop_map(Vec::into_boxed_slice).boxed()
}

/// A key of any kind.
pub fn key() -> BoxedStrategy<Key> {
    prop_oneof![
        one_of([Key::Identity, Key::Birth, Key::Sequence, Key::Rounds, Key::Resolutions, Key::Epoch, Key::Handover]),
        node().prop_map(Key::Peer),
        tx().prop_map(Key::Acceptor),
        tx().prop_map(Key::ResourceManager),
        tx().prop_map(Key::Retired),
        tx().prop_map(Key::History),
    ]
    .boxed()
}

/// A record of any kind about any [`transaction`], which perhaps no node can have written.
pub fn record() -> BoxedStrategy<Record> {
    let state = (option::of(ballot()), option::of((ballot(), vote())))
        .prop_map(|(promised, accepted)| paxos::AcceptorRecord { promised, accepted });
    let higher = (node(), state).prop_map(|(rm, state)| HigherInstance { rm, state });
    let acceptor = (transaction(), votes(), vec(higher, 0..4))
        .prop_map(|(transaction, votes, higher)| AcceptorRecord { transaction, votes, higher: higher.into() });
    let resource_manager = (transaction(), option::of(meta()), option::of(vote()), option::of(outcome()))
        .prop_map(|(transaction, meta, vote, finished)| ResourceManagerRecord { transaction, meta, vote, finished });
    let resolved = (resource_manager.clone(), outcome());
    let ranges = || vec(range(), 0..4).prop_map(Ranges::from);
    let committed = || vec(fingerprint(), 0..4).prop_map(Fingerprints::from);
    let membership = || cluster().prop_map(|cluster| cluster.membership());
    let epoch = (small(0..3), membership(), vec(node(), 0..4), committed()).prop_map(
        |(number, membership, former, committed)| Record::Epoch {
            number,
            membership: membership.into(),
            former: former.into(),
            committed,
        },
    );
    let ending = (membership(), committed(), ranges()).prop_map(|(membership, committed, retired)| Ending {
        membership,
        committed,
        retired,
    });
    let handover =
        (small(0..3), option::of(ballot()), option::of((ballot(), ending))).prop_map(|(epoch, promised, accepted)| {
            Record::Handover { epoch, state: paxos::AcceptorRecord { promised, accepted }.into() }
        });
    prop_oneof![
        (any::<u8>(), node()).prop_map(|(byte, node)| Record::Identity { cluster: ClusterId([byte; 16]), node }),
        small(0..8).prop_map(|reserved| Record::Sequence { reserved }),
        small(0..8).prop_map(|reserved| Record::Rounds { reserved }),
        acceptor.prop_map(Record::Acceptor),
        resource_manager.prop_map(Record::ResourceManager),
        range().prop_map(Record::Retired),
        key().prop_map(Record::Erased),
        (outcome_block(), small(0..8)).prop_map(|(outcomes, age)| Record::History { outcomes, age }),
        small(0..8).prop_map(Record::Birth),
        (node(), 0..3u64).prop_map(|(node, birth)| Record::Peer { node, birth }),
        resolved.prop_map(|(record, outcome)| Record::Resolved { record, outcome }),
        small(0..8).prop_map(|count| Record::Resolutions { count }),
        epoch,
        handover,
    ]
    .boxed()
}
