//! The bytes of frames, records and keys: frozen, and the only ones that are understood.

mod frozen;
mod refused;

use proptest::{collection::vec, prelude::*};
use synod::{
    Ballot, NodeId, QuorumError, Quorums, TxId,
    codec::{
        DecodeError, FRAME_VERSION, Frame, RECORD_VERSION, decode_frame, decode_key, decode_record, encode_frame,
        encode_frame_into, encode_key, encode_record,
    },
    commit::{
        Acceptance, AcceptorRecord, ClusterId, ClusterSpec, EmptyRange, Ending, Entry, EpochMessage, Fingerprint,
        Fingerprints, HigherInstance, Key, Learning, Membership, Message, Meta, Obstacle, Outcome, OutcomeBlock, Page,
        Part, Places, Promises, Ranges, Record, ResourceManagerRecord, Targets, Transaction, TransactionError,
        TransactionSpec, TxRange, Vote, Votes, What,
    },
    paxos, strategies,
};

const CLUSTER: ClusterId = ClusterId(*b"0123456789abcdef");
const FROM: NodeId = NodeId(7);
const TO: NodeId = NodeId(8);

/// Version, cluster, from, to.
const HEAD: &str = "03 30313233343536373839616263646566 07 08 ";
/// The bytes of [`transaction`]: origin 7, number 10,000, epoch 0, the digest of "hi", three participants.
const TRANSACTION: &str = "07 fb1027 00 dac35eb5075fba08 03 010203";
/// The bytes of [`membership`]: three acceptors of weight 1 and quorums of two, two managers, everyone learns, a quorum is
/// the target, a contact, one participant that is written off.
const MEMBERSHIP: &str = "03 0101 0201 0301 02 02 02 04 fb2c01 02 02 01 01 02 6869 01 09";
/// The bytes of [`page`]: digest 300, nine entries in all, the third is the first here.
const PAGE: &str =
    "fb2c01 09 02 05 01 0701fb2c01 02 07 fb1027 09 02 00 01 0304 02 03 070bfdffffffffffffffff 04 070d0d 05 07 fb2c01";

fn transaction() -> Transaction {
    let id = TxId { origin: NodeId(7), seq: 10_000 };
    Transaction::new(id, [NodeId(1), NodeId(2), NodeId(3)], *b"hi").unwrap()
}

fn membership() -> Membership {
    let acceptors = Quorums::majority([NodeId(1), NodeId(2), NodeId(3)]).unwrap();
    let spec = ClusterSpec::new(CLUSTER, acceptors, [NodeId(4), NodeId(300)]);
    let spec = spec.with_learning(Learning::Everyone).with_targets(Targets::Quorum);
    spec.build().unwrap().membership().with_contact(NodeId(1), *b"hi").with_departed(NodeId(9))
}

/// A page with every kind of entry.
fn page() -> Page {
    let instances = [None, Some((Ballot::new(3, NodeId(4)), Vote::Aborted))].into();
    let entries = [
        Entry::Ready(fingerprint(1, 300)),
        Entry::Part(Part { transaction: fingerprint(10_000, 9), instances }),
        Entry::Committed(fingerprint(11, u64::MAX)),
        Entry::Retired(range(13, 13)),
        Entry::Peer { node: NodeId(7), birth: 300 },
    ];
    Page { digest: 300, total: 9, first: 2, entries: entries.into() }
}

fn fingerprint(seq: u64, digest: u64) -> Fingerprint {
    Fingerprint { tx: TxId { origin: NodeId(7), seq }, digest }
}

fn range(first: u64, last: u64) -> TxRange {
    TxRange::new(NodeId(7), first, last).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn frame_of(message: &Message) -> Vec<u8> {
    encode_frame(CLUSTER, FROM, TO, std::slice::from_ref(message))
}

/// The outcome of decoding a frame of one message that has these bytes.
fn one_message(body: &str) -> Result<Message, DecodeError> {
    let frame = bytes(&format!("{HEAD} 01 {body}"));
    decode_frame(&frame, CLUSTER, TO).map(|mut frame| frame.messages.remove(0))
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        messages in vec(strategies::any_message(), 0..4),
        from in strategies::node(),
        to in strategies::node(),
        record in strategies::record(),
    ) {
        let frame = decode_frame(&encode_frame(CLUSTER, from, to, &messages), CLUSTER, to);
        prop_assert_eq!(frame, Ok(Frame { from, to, messages }));
        prop_assert_eq!(decode_record(&encode_record(&record)), Ok(record));
    }

    #[test]
    fn keys_sort_as_their_bytes_do(one in strategies::key(), other in strategies::key()) {
        prop_assert_eq!(decode_key(&encode_key(&one)), Ok(one));
        prop_assert_eq!(encode_key(&one).cmp(&encode_key(&other)), one.cmp(&other));
        prop_assert!(one == other || !encode_key(&one).starts_with(&encode_key(&other)));
    }

    #[test]
    fn bytes_that_are_decoded_are_the_bytes_that_would_be_encoded(
        body in vec(prop_oneof![0..4u8, any::<u8>()], 0..64),
    ) {
        let frame = [&bytes(HEAD)[..], &body].concat();
        if let Ok(Frame { from, to, messages }) = decode_frame(&frame, CLUSTER, TO) {
            prop_assert_eq!(encode_frame(CLUSTER, from, to, &messages), frame);
        }
        let record = [&[3], &body[..]].concat();
        if let Ok(decoded) = decode_record(&record) {
            prop_assert_eq!(encode_record(&decoded), record);
        }
        if let Ok(key) = decode_key(&body) {
            prop_assert_eq!(encode_key(&key), body);
        }
    }
}
