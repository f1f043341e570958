//! The bounds on the bytes of messages hold.

use proptest::{collection::vec, prelude::*};
use prost::Message as _;
use synod::{
    Quorums,
    commit::{ClusterId, ClusterSpec, Entry, EpochMessage, Fingerprint, Membership, Page, Part},
    strategies,
};

use super::*;

/// Any message, perhaps much longer than usual: of many participants, and with all that can be said of each.
fn long_message() -> impl Strategy<Value = Message> {
    let long = (0..100_000_usize, 1..300_u64, strategies::any_message()).prop_map(|(meta, nodes, message)| {
        let highest: Vec<NodeId> = (0..nodes).map(|less| NodeId(u64::MAX - less)).collect();
        let places = || Places::first(highest.len());
        let all = || Votes::new(places(), places()).unwrap_or_default();
        let meta = Meta::from(vec![0; meta]);
        let ballot = Ballot::new(u64::MAX, NodeId(u64::MAX));
        let acceptance = |rm: &NodeId| Acceptance { rm: *rm, ballot, vote: Vote::Aborted };
        let obstacle = |rm: &NodeId| Obstacle { rm: *rm, promised: ballot };
        let id = TxId { origin: NodeId(u64::MAX), seq: u64::MAX };
        let (Message::About { what, .. }, Ok(transaction)) = (&message, Transaction::new(id, &highest, meta.clone()))
        else {
            return message;
        };
        let what = match what {
            What::Begin { .. } => What::Begin { meta },
            What::Prepare { acceptors, .. } => What::Prepare { meta, acceptors: acceptors.clone() },
            What::Phase1a { .. } => What::Phase1a { ballot, instances: places() },
            What::Phase1b { .. } => {
                let higher = highest.iter().map(acceptance).collect();
                let promises = Promises { instances: places(), votes: all(), higher };
                What::Phase1b { ballot, promises: Box::new(promises) }
            }
            What::Phase2a { .. } => What::Phase2a { ballot, votes: all() },
            What::Phase2b { .. } => What::Phase2b { votes: all(), higher: highest.iter().map(acceptance).collect() },
            What::Reject { .. } => What::Reject { ballot, promised: highest.iter().map(obstacle).collect() },
            other => other.clone(),
        };
        Message::about(&transaction, what)
    });
    prop_oneof![strategies::any_message(), long]
}

proptest! {
    #[test]
    fn a_packet_is_no_larger_than_its_bound(messages in vec(long_message(), 0..4)) {
        let route = v1::Route { cluster: vec![255; 16], from: u64::MAX, to: u64::MAX };
        let bound = PACKET_OVERHEAD + messages.iter().map(size).sum::<usize>();
        let packet = v1::Packet { route: Some(route), messages: messages.iter().map(v1::Message::from).collect() };
        prop_assert!(packet.encoded_len() <= bound, "{} > {bound}", packet.encoded_len());
    }

    #[test]
    fn no_message_about_a_transaction_within_limits_is_larger_than_the_largest(message in long_message()) {
        prop_assume!(!matches!(message, Message::Epoch { .. }));
        let (mut participants, mut meta) = (0, 0);
        if let Message::About { transaction, what } = &message {
            participants = transaction.participants().len();
            let named = match what {
                What::Begin { meta: bytes } | What::Prepare { meta: bytes, .. } => {
                    meta = bytes.bytes().len();
                    0
                }
                What::Phase1b { promises, .. } => promises.higher.len(),
                What::Phase2b { higher, .. } => higher.len(),
                What::Reject { promised, .. } => promised.len(),
                _ => 0,
            };
            // A node says nothing of others than the participants.
            prop_assume!(named <= participants);
            let within = |places: &Places| places.words().count() <= participants.div_ceil(64).max(1);
            prop_assume!(match what {
                What::Prepare { acceptors, .. } => acceptors.words().count() <= 2,
                What::Phase1a { instances, .. } => within(instances),
                What::Phase1b { promises, .. } => within(&promises.instances) && within(promises.votes.cast()),
                What::Phase2a { votes, .. } | What::Phase2b { votes, .. } => within(votes.cast()),
                _ => true,
            });
        }
        let limits = Limits::default().with_participants(participants).with_meta(meta);
        prop_assert!(size(&message) + PACKET_OVERHEAD <= largest(&limits));
    }
}

/// What nodes tell in pages of 32 KiB, by their own count: up to 28 bytes for a range, and 20 for an instance.
#[test]
fn the_largest_message_about_an_epoch_is_below_what_is_said_of_it() {
    let range = TxRange::new(NodeId(u64::MAX), 1, u64::MAX).unwrap();
    let ranges = vec![Entry::Retired(range); (32 << 10) / 28];
    let accepted = Some((Ballot::new(u64::MAX, NodeId(u64::MAX)), Vote::Aborted));
    let few = vec![Entry::Retired(TxRange::new(NodeId(1), 1, 1).unwrap()); (32 << 10) / 4];
    let transaction = Fingerprint { tx: range.last(), digest: u64::MAX };
    let ready = vec![Entry::Ready(transaction); (32 << 10) / 28];
    let part = |width| Entry::Part(Part { transaction, instances: vec![accepted; width].into() });
    let parts = vec![part(256); (32 << 10) / (37 + 20 * 256)];
    let acceptors = Quorums::majority((0..128).map(|node| NodeId(u64::MAX - node))).unwrap();
    let nodes = |count: u64| (0..count).map(|node| NodeId(u64::MAX - 1_000_000 - node));
    let mut membership = Membership::new(acceptors, nodes(1 << 10));
    membership.departed = nodes(1 << 14).skip(1 << 13).take(1 << 12).collect();
    membership.contacts = nodes(4_096).map(|node| (node, Vec::new())).collect();
    let spec = ClusterSpec::new(ClusterId([1; 16]), membership.acceptors.clone(), &membership.managers);
    assert!(spec.build().unwrap().with_membership(membership.clone()).is_ok(), "it is the largest");
    for entries in [ranges, few, ready, parts] {
        let page = Page { digest: u64::MAX, total: u64::MAX, first: 0, entries: entries.into() };
        let former = nodes(4_096).collect();
        let what = Box::new(EpochMessage::Told { membership: membership.clone().into(), former, page });
        let size = size(&Message::Epoch { number: Some(u64::MAX), what }) + PACKET_OVERHEAD;
        assert!(size <= EPOCH, "{size} bytes");
    }
}
