//! What decoding allocates is bounded by the bytes at hand, whatever they promise.

use synod::{
    NodeId, TxId,
    codec::{DecodeError, decode_frame, decode_record, encode_frame},
    commit::{ClusterId, Message, Part, Transaction},
    paxos,
};

const CLUSTER: ClusterId = ClusterId([0; 16]);
const FROM: NodeId = NodeId(1);
const TO: NodeId = NodeId(2);

/// Bytes of memory per byte of input. The densest is a frame of transactions as small as they get.
const MOST: u64 = 32;

/// The bytes that `work` allocates, all together.
fn allocated(work: impl FnOnce()) -> u64 {
    allocation_counter::measure(work).bytes_total
}

/// A frame that begins well, and ends in `tail`.
fn frame(tail: &[u8]) -> Vec<u8> {
    let mut frame = encode_frame(CLUSTER, FROM, TO, &[]);
    frame.pop();
    frame.extend(tail);
    frame
}

/// Numbers near every border at which one may overflow.
fn hostile_lengths() -> impl Iterator<Item = Vec<u8>> {
    let numbers = [u64::MAX, u64::MAX / 2, u64::MAX / 56, 1 << 62, 1 << 61, 1 << 40];
    let wide = numbers.into_iter().map(|number| [&[0xfd][..], &number.to_le_bytes()].concat());
    wide.chain([vec![0xfc; 5], vec![0xfc, 0, 0, 1, 0], vec![0xfb, 0xff, 0xff], vec![0xfa]])
}

#[test]
fn a_hostile_length_is_refused_before_anything_is_allocated_for_it() {
    for length in hostile_lengths() {
        let lists: [&[u8]; 4] = [
            &[],                    // messages
            &[1, 1, 1, 1],          // participants
            &[1, 1, 1, 1, 1, 1],    // meta
            &[1, 4, 1, 1, 1, 1, 0], // parts
        ];
        for (list, before) in lists.into_iter().enumerate() {
            let frame = frame(&[before, &length].concat());
            // One message, and the one participant of its transaction, are there to be decoded.
            let room = if list == 0 { 0 } else { 256 };
            let bytes = allocated(|| assert_eq!(decode_frame(&frame, CLUSTER, TO), Err(DecodeError::Truncated)));
            assert!(bytes <= room, "{bytes} bytes for {frame:02x?}");
        }
        let record = [&[1, 4, 1, 1, 1, 1, 0], &length[..]].concat();
        let bytes = allocated(|| assert_eq!(decode_record(&record), Err(DecodeError::Truncated)));
        assert!(bytes <= 256, "{bytes} bytes for {record:02x?}");
    }
}

#[test]
fn a_length_that_the_frame_could_just_hold_allocates_no_more_than_it_would() {
    for size in [100, 10_000, 60_000u16] {
        let mut tail = vec![0xfb];
        tail.extend((size / 4).to_le_bytes());
        tail.resize(usize::from(size) + 3, 0xff);
        let frame = frame(&tail);
        let bytes = allocated(|| assert!(decode_frame(&frame, CLUSTER, TO).is_err()));
        assert!(bytes <= MOST * frame.len() as u64, "{bytes} bytes for {}", frame.len());
    }
}

#[test]
fn a_frame_takes_a_small_multiple_of_its_bytes() {
    let smallest = Transaction::new(TxId::default(), [NodeId(0)], []).unwrap();
    let many: Vec<NodeId> = (0..250).map(NodeId).collect();
    let wide = Transaction::new(TxId::default(), many, []).unwrap();
    let long = Transaction::new(TxId::default(), [NodeId(0)], vec![0; 10_000]).unwrap();
    let ballot = synod::Ballot::initial(NodeId(0));
    let parts = vec![Part { rm: NodeId(0), message: paxos::Message::Prepare { ballot } }; 10_000];
    let densest = [
        vec![Message::Inquire { transaction: smallest.clone() }; 10_000],
        vec![Message::Inquire { transaction: wide }; 10],
        vec![Message::Inquire { transaction: long }; 10],
        vec![Message::Paxos { transaction: smallest, parts }],
    ];
    for messages in densest {
        let frame = encode_frame(CLUSTER, FROM, TO, &messages);
        let bytes = allocated(|| assert!(decode_frame(&frame, CLUSTER, TO).is_ok()));
        println!("{} bytes of frame: {bytes} bytes of memory", frame.len());
        assert!(bytes <= MOST * frame.len() as u64, "{bytes} bytes for {}", frame.len());
    }
}
