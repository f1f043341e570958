//! What decoding allocates is bounded by the bytes at hand, whatever they promise.

use synod::{
    NodeId, Quorums, TxId,
    codec::{DecodeError, decode_frame, decode_record, encode_frame},
    commit::{
        Acceptance, Cluster, ClusterId, Entry, EpochMessage, Fingerprint, Message, Meta, Obstacle, Page, Part,
        Participants, Promises, Transaction, Vote, Votes, What,
    },
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
        // A message about transaction 1 of node 1 in epoch 0, of any content, up to its participants; and with just one.
        let before: [u8; 13] = [1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let about = |what: &[u8]| [&before[..], &[1, 1], what].concat();
        let lists: [Vec<u8>; 8] = [
            vec![],                  // messages
            before.to_vec(),         // participants
            about(&[1]),             // meta
            about(&[4, 1, 1]),       // words of instances
            about(&[6, 1, 1]),       // words of votes
            about(&[6, 1, 1, 1, 1]), // words of votes to commit
            about(&[7, 0, 0]),       // acceptances
            about(&[8, 1, 1]),       // obstacles
        ];
        for (list, before) in lists.into_iter().enumerate() {
            let frame = frame(&[&before, &length[..]].concat());
            // One message, and the one participant of its transaction, are there to be decoded.
            let room = if list == 0 { 0 } else { 256 };
            let bytes = allocated(|| assert_eq!(decode_frame(&frame, CLUSTER, TO), Err(DecodeError::Truncated)));
            assert!(bytes <= room, "{bytes} bytes for {frame:02x?}");
        }
        let record = [&[3, 4], &before[2..], &[1, 1, 0, 0], &length[..]].concat();
        let bytes = allocated(|| assert_eq!(decode_record(&record), Err(DecodeError::Truncated)));
        assert!(bytes <= 256, "{bytes} bytes for {record:02x?}");
    }
}

#[test]
fn a_hostile_length_inside_an_epoch_is_refused_before_anything_is_allocated_for_it() {
    // One acceptor, one manager, no contact, nobody written off.
    const MEMBERS: [u8; 11] = [1, 1, 1, 1, 1, 1, 4, 1, 1, 0, 0];
    // A promise, up to the entries of its page.
    const PAGE: [u8; 18] = [1, 4, 1, 5, 0, 0, 0, 0, 0, 0, 0, 5, 3, 4, 0, 7, 1, 0];
    for length in hostile_lengths() {
        let invite = |of: &[u8]| [&[1, 4, 1, 5, 0, 0, 0, 0, 0, 0, 0, 1], of].concat();
        let messages: [Vec<u8>; 8] = [
            invite(&[]),                                                     // acceptors
            invite(&MEMBERS[..5]),                                           // managers
            invite(&MEMBERS[..9]),                                           // contacts
            invite(&[&MEMBERS[..9], &[1, 1]].concat()),                      // a contact
            invite(&MEMBERS[..10]),                                          // who is written off
            [&[1, 4, 1, 5, 0, 0, 0, 0, 0, 0, 0, 13], &MEMBERS[..]].concat(), // former members
            PAGE.to_vec(),                                                   // entries
            [&PAGE[..], &[1, 2, 7, 1]].concat(),                             // instances
        ];
        for before in messages {
            let frame = frame(&[&before, &length[..]].concat());
            let bytes = allocated(|| assert_eq!(decode_frame(&frame, CLUSTER, TO), Err(DecodeError::Truncated)));
            // One message, and one member of each kind, or one entry, are there to be decoded.
            assert!(bytes <= 512, "{bytes} bytes for {frame:02x?}");
        }
        let epoch = [&[3, 13, 5], &MEMBERS[..]].concat();
        let handover = [&[3, 14, 5, 1, 3, 4, 1, 3, 4], &MEMBERS[..]].concat();
        let records: [Vec<u8>; 4] = [
            epoch.clone(),                  // former members
            [&epoch[..], &[0]].concat(),    // committed
            handover.clone(),               // committed
            [&handover[..], &[0]].concat(), // retired
        ];
        for before in records {
            let record = [&before, &length[..]].concat();
            let bytes = allocated(|| assert_eq!(decode_record(&record), Err(DecodeError::Truncated)));
            assert!(bytes <= 512, "{bytes} bytes for {record:02x?}");
        }
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
    let long = Message::about(&smallest, What::Begin { meta: Meta::from(vec![0; 10_000]) });
    let short = Message::about(&smallest, What::Begin { meta: Meta::from(vec![0; 23]) });
    let ballot = synod::Ballot::initial(NodeId(0));
    let votes: Votes = (0..64).map(|place| (place, Vote::Prepared)).collect();
    let accepted = vec![Acceptance { rm: NodeId(0), ballot, vote: Vote::Prepared }; 10_000];
    let obstacles = vec![Obstacle { rm: NodeId(0), promised: ballot }; 10_000];
    let few = Participants::new([NodeId(0), NodeId(1), NodeId(2), NodeId(3)]).unwrap();
    let few = Transaction::of(TxId::default(), few, &Meta::default());
    let about = |what| vec![Message::about(&smallest, what)];
    let promise = What::Phase1b { ballot, promises: Box::new(Promises::default()) };
    let of_epoch = |what| Message::Epoch { number: None, what: Box::new(what) };
    let report = |entries: Vec<Entry>| {
        let page = Page { digest: 0, total: 0, first: 0, entries: entries.into() };
        vec![of_epoch(EpochMessage::Promise { ballot, accepted: None, page })]
    };
    let nodes = || (0..60).map(NodeId);
    let members = Cluster::new(CLUSTER, Quorums::majority(nodes()).unwrap(), nodes().collect::<Vec<_>>());
    let members = (0..250).map(NodeId).fold(members.unwrap().membership(), |members, node| {
        members.with_contact(node, []).with_departed(NodeId(node.0 + 100))
    });
    let nobodys = Fingerprint { tx: TxId::default(), digest: 0 };
    let densest = [
        vec![Message::about(&smallest, What::Inquire); 10_000],
        vec![Message::about(&few, What::Inquire); 10_000],
        vec![Message::about(&wide, What::Inquire); 10],
        vec![long; 10],
        vec![short; 10_000],
        vec![Message::about(&smallest, promise); 10_000],
        vec![Message::about(&smallest, What::Phase2a { ballot, votes }); 10_000],
        about(What::Phase1a { ballot, instances: (0..640_000).step_by(64).collect() }),
        about(What::Phase2b { votes: Votes::default(), higher: accepted.into() }),
        about(What::Reject { ballot, promised: obstacles.into() }),
        report(vec![Entry::Ready(nobodys); 10_000]),
        report(vec![Entry::Peer { node: NodeId(0), birth: 0 }; 10_000]),
        report(vec![Entry::Part(Part { transaction: nobodys, instances: [].into() }); 10_000]),
        report(vec![Entry::Part(Part { transaction: nobodys, instances: vec![None; 10_000].into() })]),
        vec![of_epoch(EpochMessage::Invite(members.into())); 10],
        vec![of_epoch(EpochMessage::Ready); 10_000],
    ];
    for messages in densest {
        let frame = encode_frame(CLUSTER, FROM, TO, &messages);
        let bytes = allocated(|| assert!(decode_frame(&frame, CLUSTER, TO).is_ok()));
        println!("{} bytes of frame: {bytes} bytes of memory", frame.len());
        assert!(bytes <= MOST * frame.len() as u64, "{bytes} bytes for {}", frame.len());
    }
}
