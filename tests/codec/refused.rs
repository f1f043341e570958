//! Bytes that mean nothing are refused, and none stand for what was not said.

use super::{
    frozen::{keys, messages, records},
    *,
};

#[test]
fn no_ballot_loses_its_round_or_its_node() {
    let ballots = [Ballot::new(0, NodeId(0)), Ballot::new(0, NodeId(1)), Ballot::new(1, NodeId(0))];
    let far = [Ballot::new(u64::MAX, NodeId(2)), Ballot::new(2, NodeId(u64::MAX))];
    let ballots: Vec<Ballot> = ballots.into_iter().chain(far).collect();
    for &one in &ballots {
        for &other in &ballots {
            let (instances, votes) = (Places::first(1), [(0, Vote::Prepared)].into_iter().collect::<Votes>());
            let higher = || Box::from([Acceptance { rm: NodeId(1), ballot: other, vote: Vote::Prepared }]);
            let promises = Promises { instances: instances.clone(), votes: Votes::default(), higher: higher() };
            for what in [
                What::Phase1a { ballot: one, instances },
                What::Phase1b { ballot: one, promises: Box::new(promises) },
                What::Phase2a { ballot: one, votes: votes.clone() },
                What::Phase2b { votes, higher: higher() },
                What::Reject { ballot: one, promised: [Obstacle { rm: NodeId(1), promised: other }].into() },
            ] {
                let message = Message::about(&transaction(), what);
                assert_eq!(decode_frame(&frame_of(&message), CLUSTER, TO).unwrap().messages, [message]);
            }
            let state = paxos::AcceptorRecord { promised: Some(one), accepted: Some((other, Vote::Prepared)) };
            let higher = [HigherInstance { rm: NodeId(1), state }].into();
            let record = AcceptorRecord { transaction: transaction(), votes: Votes::default(), higher };
            let record = Record::Acceptor(record);
            assert_eq!(decode_record(&encode_record(&record)), Ok(record));
        }
    }
}

#[test]
fn no_beginning_of_a_frame_is_a_frame() {
    for (message, _) in messages() {
        let frame = frame_of(&message);
        for end in 0..frame.len() {
            assert_eq!(decode_frame(&frame[..end], CLUSTER, TO), Err(DecodeError::Truncated), "{message:?}");
        }
    }
}

#[test]
fn no_beginning_of_a_record_or_key_is_one() {
    for (record, _) in records() {
        let bytes = encode_record(&record);
        for end in 0..bytes.len() {
            assert_eq!(decode_record(&bytes[..end]), Err(DecodeError::Truncated), "{record:?}");
        }
    }
    for (key, _) in keys() {
        let bytes = encode_key(&key);
        for end in 0..bytes.len() {
            assert_eq!(decode_key(&bytes[..end]), Err(DecodeError::Truncated), "{key:?}");
        }
    }
}

#[test]
fn nothing_may_be_left_over_at_the_end() {
    for (message, _) in messages() {
        let longer = [frame_of(&message), vec![0]].concat();
        assert_eq!(decode_frame(&longer, CLUSTER, TO), Err(DecodeError::LeftOver(1)));
    }
    for (record, _) in records() {
        let longer = [encode_record(&record), vec![0; 2]].concat();
        assert_eq!(decode_record(&longer), Err(DecodeError::LeftOver(2)));
    }
    for (key, _) in keys() {
        let longer = [encode_key(&key), vec![0]].concat();
        assert_eq!(decode_key(&longer), Err(DecodeError::LeftOver(1)));
    }
}

/// Every change of one byte.
fn changes(bytes: Vec<u8>) -> impl Iterator<Item = Vec<u8>> {
    (0..bytes.len() * 256).filter_map(move |change| {
        let (place, byte) = (change / 256, (change % 256) as u8);
        let mut changed = bytes.clone();
        changed[place] = byte;
        (changed != bytes).then_some(changed)
    })
}

#[test]
fn a_changed_byte_is_refused_or_means_something_else() {
    for (message, _) in messages() {
        for changed in changes(frame_of(&message)) {
            if let Ok(frame) = decode_frame(&changed, CLUSTER, TO) {
                assert_eq!(encode_frame(CLUSTER, frame.from, frame.to, &frame.messages), changed);
            }
        }
    }
    for (record, _) in records() {
        for changed in changes(encode_record(&record)) {
            if let Ok(record) = decode_record(&changed) {
                assert_eq!(encode_record(&record), changed);
            }
        }
    }
    for (key, _) in keys() {
        for changed in changes(encode_key(&key)) {
            if let Ok(key) = decode_key(&changed) {
                assert_eq!(encode_key(&key), changed);
            }
        }
    }
}

#[test]
fn news_is_what_a_newer_version_may_have_written_and_nothing_else() {
    let newest = RECORD_VERSION.max(FRAME_VERSION);
    for version in 0..=255 {
        assert_eq!(DecodeError::UnknownVersion(version).is_news(), version > newest, "{version}");
    }
    assert!(decode_record(&[newest + 1]).unwrap_err().is_news() && decode_key(&[255]).unwrap_err().is_news());
    for old in [
        DecodeError::Truncated,
        DecodeError::LeftOver(1),
        DecodeError::OtherCluster(CLUSTER),
        DecodeError::OtherAddressee(TO),
        DecodeError::MalformedNumber,
        DecodeError::OverlongNumber,
        DecodeError::UncastVote,
        DecodeError::EmptyRange(EmptyRange),
        DecodeError::Unsorted,
    ] {
        assert!(!old.is_news(), "{old:?}");
    }
}

#[test]
fn another_version_is_refused_whatever_follows() {
    for version in (0..=255).filter(|version| *version != 3) {
        assert_eq!(decode_frame(&[version], CLUSTER, TO), Err(DecodeError::UnknownVersion(version)));
        assert_eq!(decode_record(&[version, 7, 3]), Err(DecodeError::UnknownVersion(version)));
    }
}

/// These bytes were frozen in version 1: the smallest ones, a begin, and a resource manager that is prepared.
#[test]
fn what_was_written_in_version_1_is_refused_by_that_name() {
    let head = "01 30313233343536373839616263646566 07 08";
    for body in ["00", "01 01 07 fb1027 03 010203 02 6869"] {
        let refused = decode_frame(&bytes(&format!("{head} {body}")), CLUSTER, TO).unwrap_err();
        assert_eq!(refused, DecodeError::UnknownVersion(1));
        assert_eq!(refused.to_string(), "version 1 is not known here");
    }
    for record in ["01 01 30313233343536373839616263646566 07", "01 05 07 fb1027 03 010203 02 6869 01 01 00"] {
        assert_eq!(decode_record(&bytes(record)), Err(DecodeError::UnknownVersion(1)));
    }
}

/// These bytes were frozen in version 2: the same ones.
#[test]
fn what_was_written_in_version_2_is_refused_by_that_name() {
    let head = "02 30313233343536373839616263646566 07 08";
    for body in ["00".into(), format!("01 01 {TRANSACTION} 01 02 6869")] {
        let refused = decode_frame(&bytes(&format!("{head} {body}")), CLUSTER, TO).unwrap_err();
        assert_eq!(refused, DecodeError::UnknownVersion(2));
        assert_eq!(refused.to_string(), "version 2 is not known here");
    }
    for record in
        ["02 01 30313233343536373839616263646566 07".into(), format!("02 05 {TRANSACTION} 01 02 6869 01 01 00")]
    {
        assert_eq!(decode_record(&bytes(&record)), Err(DecodeError::UnknownVersion(2)));
    }
    assert_eq!((FRAME_VERSION, RECORD_VERSION), (3, 3));
}

#[test]
fn a_frame_of_another_cluster_or_for_another_node_is_refused() {
    let frame = encode_frame(CLUSTER, FROM, TO, &[]);
    let other = ClusterId([9; 16]);
    assert_eq!(decode_frame(&frame, other, TO), Err(DecodeError::OtherCluster(CLUSTER)));
    assert_eq!(decode_frame(&frame, CLUSTER, FROM), Err(DecodeError::OtherAddressee(TO)));
    assert_eq!(decode_frame(&frame, other, FROM), Err(DecodeError::OtherCluster(CLUSTER)));
}

#[test]
fn a_vote_of_257_is_no_vote() {
    let t = TRANSACTION;
    assert!(one_message(&format!("01 {t} 03 01 09")).is_ok());
    assert_eq!(one_message(&format!("01 {t} 03 fb0101 09")), Err(DecodeError::UnknownTag { kind: "vote", tag: 0xfb }));
}

#[test]
fn unknown_tags_are_refused() {
    let t = TRANSACTION;
    let unknown = |kind, tag| DecodeError::UnknownTag { kind, tag };
    for tag in [0, 5, 255] {
        assert_eq!(one_message(&format!("{tag:02x} {t} 09")), Err(unknown("message", tag)));
    }
    for tag in [0, 15, 255] {
        assert_eq!(one_message(&format!("01 {t} {tag:02x}")), Err(unknown("statement about a transaction", tag)));
    }
    for tag in [0, 15, 255] {
        assert_eq!(decode_record(&[3, tag, 0, 0]), Err(unknown("record", tag)));
    }
    for tag in [0, 13, 255] {
        assert_eq!(decode_key(&[tag; 17]), Err(unknown("key", tag)));
    }
    for tag in [0, 3, 255] {
        assert_eq!(one_message(&format!("01 {t} 03 {tag:02x} 09")), Err(unknown("vote", tag)));
        assert_eq!(one_message(&format!("01 {t} 07 00 00 01 01 03 04 {tag:02x}")), Err(unknown("vote", tag)));
        assert_eq!(one_message(&format!("01 {t} 0a {tag:02x}")), Err(unknown("outcome", tag)));
        assert_eq!(one_message(&format!("01 {t} 0b {tag:02x}")), Err(unknown("outcome", tag)));
    }
    for tag in [0, 16, 255] {
        assert_eq!(
            one_message(&format!("04 01 0500000000000000 {tag:02x}")),
            Err(unknown("statement about an epoch", tag))
        );
    }
    for tag in [0, 6, 255] {
        let page = format!("04 01 0500000000000000 05 03 04 00 07 01 00 01 {tag:02x} 07 01 01 00");
        assert_eq!(one_message(&page), Err(unknown("entry of a page", tag)));
    }
    for tag in [0, 3, 255] {
        let invited = |learning, targets| {
            one_message(&format!("04 01 0500000000000000 01 01 0101 01 01 01 04 {learning:02x} {targets:02x} 00 00"))
        };
        assert!(invited(1, 1).is_ok());
        assert_eq!(invited(tag, 1), Err(unknown("learning", tag)));
        assert_eq!(invited(1, tag), Err(unknown("targets", tag)));
    }
    for before in ["04 02 0500000000000000 0c", "04 01 0500000000000000 05 03 04 02"] {
        assert_eq!(one_message(before), Err(unknown("option", 2)));
    }
    for (before, after) in [("", "00 00"), ("00", "00"), ("00 00", "")] {
        let record = bytes(&format!("03 05 {t} {before} 02 {after}"));
        assert_eq!(decode_record(&record), Err(unknown("option", 2)));
    }
}

#[test]
fn a_number_of_more_bytes_than_it_needs_is_refused() {
    for number in ["fb0700", "fbfa00", "fcffff0000", "fc00000000", "fdffffffff00000000", "fd0700000000000000"] {
        let frame = bytes(&format!("03 30313233343536373839616263646566 {number} 08 00"));
        assert_eq!(decode_frame(&frame, CLUSTER, TO), Err(DecodeError::OverlongNumber), "{number}");
        let epoch = format!("01 07 fb1027 {number} dac35eb5075fba08 03 010203 09");
        assert_eq!(one_message(&epoch), Err(DecodeError::OverlongNumber), "{number}");
    }
    let overlong_lengths = [
        "01 07 fb1027 00 dac35eb5075fba08 fb0300 010203 09", // participants
        "01 07 fb1027 00 dac35eb5075fba08 03 010203 02 fb0200 6869", // meta
        "01 07 fb1027 00 dac35eb5075fba08 03 010203 04 03 04 fb0100 05", // words of places
        "01 07 fb1027 00 dac35eb5075fba08 03 010203 07 00 00 fb0000", // higher acceptances
        "01 07 fb1027 00 dac35eb5075fba08 03 010203 08 03 04 fb0100 01 05 06", // obstacles
        "04 01 0500000000000000 01 fb0100 0101 01 01 01 04 01 01 00 00", // acceptors
        "04 01 0500000000000000 01 01 0101 01 01 fb0100 04 01 01 00 00", // managers
        "04 01 0500000000000000 01 01 0101 01 01 01 04 01 01 fb0000 00", // contacts
        "04 01 0500000000000000 01 01 0101 01 01 01 04 01 01 01 01 fb0100 07 00", // a contact
        "04 01 0500000000000000 01 01 0101 01 01 01 04 01 01 00 fb0000", // who is written off
        "04 01 0500000000000000 0d 01 0101 01 01 01 04 01 01 00 00 fb0000 00 00 00 00", // former members
        "04 01 0500000000000000 05 03 04 00 00 00 00 fb0000", // entries
        "04 01 0500000000000000 05 03 04 00 00 01 00 01 02 07 01 fb0100 00", // instances
    ];
    // Nobody is in no epoch of a number.
    assert_eq!(one_message("04 00 0100000000000000 0c"), Err(DecodeError::OverlongNumber));
    for body in overlong_lengths {
        assert_eq!(one_message(body), Err(DecodeError::OverlongNumber), "{body}");
    }
}

#[test]
fn a_set_of_places_has_no_word_more_than_it_needs() {
    let t = TRANSACTION;
    for places in ["01 00", "02 05 00", "03 00 00 00"] {
        let phase_1a = format!("01 {t} 04 03 04 {places}");
        assert_eq!(one_message(&phase_1a), Err(DecodeError::OverlongNumber), "{places}");
        let record = bytes(&format!("03 04 {t} {places} 00 00"));
        assert_eq!(decode_record(&record), Err(DecodeError::OverlongNumber), "{places}");
    }
    assert!(one_message(&format!("01 {t} 04 03 04 02 00 01")).is_ok(), "the 65th place alone");
}

#[test]
fn nobody_is_prepared_who_has_not_voted() {
    let t = TRANSACTION;
    for (cast, prepared) in [("00", "01 01"), ("01 04", "01 02"), ("01 04", "01 06"), ("01 01", "02 01 01")] {
        let refused = Err(DecodeError::UncastVote);
        assert_eq!(one_message(&format!("01 {t} 06 03 04 {cast} {prepared}")), refused);
        assert_eq!(one_message(&format!("01 {t} 07 {cast} {prepared} 00")), refused);
        assert_eq!(one_message(&format!("01 {t} 05 03 04 01 07 {cast} {prepared} 00")), refused);
        let record = bytes(&format!("03 04 {t} {cast} {prepared} 00"));
        assert_eq!(decode_record(&record), Err(DecodeError::UncastVote));
    }
}

#[test]
fn a_number_of_more_than_64_bits_is_refused() {
    for number in ["fe07000000000000000000000000000000", "ff0700000000000000"] {
        let frame = bytes(&format!("03 30313233343536373839616263646566 {number} 08 00"));
        assert_eq!(decode_frame(&frame, CLUSTER, TO), Err(DecodeError::MalformedNumber), "{number}");
    }
}

#[test]
fn a_transaction_that_is_none_is_refused() {
    let refused = |participants: &str| one_message(&format!("01 07 01 00 25232284e49cf2cb {participants} 09"));
    let reason = |error| Err(DecodeError::Transaction(error));
    assert!(refused("02 0102").is_ok());
    assert_eq!(refused("00"), reason(TransactionError::NoParticipants));
    assert_eq!(refused("02 0202"), reason(TransactionError::Repeated(NodeId(2))));
    assert_eq!(refused("03 010302"), reason(TransactionError::Unsorted(NodeId(2))));
}

/// An epoch is any number, and so is a digest: both are part of the name that is compared.
#[test]
fn epoch_and_digest_survive_whatever_they_are() {
    for (epoch, content) in [(0, 0), (1, u64::MAX), (u64::MAX, 1 << 63)] {
        let id = TxId { origin: NodeId(7), seq: 1 };
        let spec = TransactionSpec { id, epoch, participants: vec![NodeId(1)], content };
        let transaction = Transaction::try_from(spec).unwrap();
        let message = Message::about(&transaction, What::Inquire);
        let decoded = decode_frame(&frame_of(&message), CLUSTER, TO).unwrap().messages.remove(0);
        let decoded = decoded.transaction().unwrap().clone();
        assert_eq!((decoded.epoch(), decoded.content(), &decoded), (epoch, content, &transaction));
    }
}

#[test]
fn an_empty_range_is_refused() {
    assert_eq!(one_message("02 07 02 01"), Err(DecodeError::EmptyRange(EmptyRange)));
    assert_eq!(one_message("03 07 02 01"), Err(DecodeError::EmptyRange(EmptyRange)));
    let page = "04 01 0500000000000000 05 03 04 00 00 01 00 01 04 07 02 01";
    assert_eq!(one_message(page), Err(DecodeError::EmptyRange(EmptyRange)));
    assert_eq!(decode_record(&bytes("03 06 07 02 01")), Err(DecodeError::EmptyRange(EmptyRange)));
}

#[test]
fn members_that_are_none_or_out_of_order_are_refused() {
    let invited =
        |acceptors: &str, rest: &str| one_message(&format!("04 01 0500000000000000 01 {acceptors} 01 04 01 01 {rest}"));
    assert!(invited("02 0101 0201 02 02", "02 01 00 02 00 02 07 08").is_ok());
    let quorums = |error| Err(DecodeError::Quorums(error));
    assert_eq!(invited("00 01 01", "00 00"), quorums(QuorumError::Empty));
    assert_eq!(invited("02 0101 0101 02 02", "00 00"), quorums(QuorumError::Repeated(NodeId(1))));
    for rest in ["02 02 00 01 00 00", "02 01 00 01 00 00", "00 02 08 07", "00 02 07 07"] {
        assert_eq!(invited("02 0101 0201 02 02", rest), Err(DecodeError::Unsorted), "{rest}");
    }
}

#[test]
fn the_smallest_values_fill_lists_of_any_length() {
    // The fewest bytes of each kind bound its lists; were one of these bounds too high, such a list would be refused.
    let transaction = Transaction::new(TxId::default(), [NodeId(0)], []).unwrap();
    let range = TxRange::only(TxId::default());
    let fingerprint = Fingerprint { tx: TxId::default(), digest: 0 };
    let zero = Ballot::initial(NodeId(0));
    let accepted = Acceptance { rm: NodeId(0), ballot: zero, vote: Vote::Prepared };
    let obstacle = Obstacle { rm: NodeId(0), promised: zero };
    let about = |what| Message::about(&transaction, what);
    let of_epoch = |what| Message::Epoch { number: None, what: Box::new(what) };
    let page = Page { digest: 0, total: 0, first: 0, entries: [].into() };
    let promise = |entries: Vec<Entry>| {
        let page = Page { entries: entries.into(), ..page.clone() };
        EpochMessage::Promise { ballot: zero, accepted: None, page }
    };
    let nodes = || (0..100).map(NodeId);
    let many = ClusterSpec::new(CLUSTER, Quorums::majority(nodes()).unwrap(), nodes().collect::<Vec<_>>());
    let many = nodes().fold(many.build().unwrap().membership(), |many, node| many.with_contact(node, []));
    let many = nodes().fold(many, |many, node| many.with_departed(NodeId(node.0 + 100)));
    let smallest = [
        Message::retired(range),
        about(What::Inquire),
        about(What::Begin { meta: Meta::from(vec![0; 100]) }),
        about(What::Phase2b { votes: Votes::default(), higher: vec![accepted; 100].into() }),
        about(What::Reject { ballot: zero, promised: vec![obstacle; 100].into() }),
        about(What::Phase1a { ballot: zero, instances: (0..6_400).collect() }),
        of_epoch(EpochMessage::Ready),
        of_epoch(promise(vec![Entry::Ready(fingerprint); 100])),
        of_epoch(promise(vec![Entry::Retired(range); 100])),
        of_epoch(promise(vec![Entry::Peer { node: NodeId(0), birth: 0 }; 100])),
        of_epoch(promise(vec![Entry::Part(Part { transaction: fingerprint, instances: [].into() }); 100])),
        of_epoch(promise(vec![Entry::Part(Part { transaction: fingerprint, instances: vec![None; 100].into() })])),
        of_epoch(EpochMessage::Invite(many.clone().into())),
        of_epoch(EpochMessage::Told { membership: many.clone().into(), former: vec![NodeId(0); 100].into(), page }),
    ];
    for message in smallest {
        let messages = vec![message; 100];
        let frame = encode_frame(CLUSTER, FROM, TO, &messages);
        assert_eq!(decode_frame(&frame, CLUSTER, TO).unwrap().messages, messages);
    }
    let state = paxos::AcceptorRecord { promised: None, accepted: None };
    let higher = vec![HigherInstance { rm: NodeId(0), state }; 100].into();
    let committed = Fingerprints::from(vec![fingerprint; 100]);
    let retired = Ranges::from(vec![range; 100]);
    let ending = Ending { membership: many.clone(), committed: committed.clone(), retired };
    let state = paxos::AcceptorRecord { promised: Some(zero), accepted: Some((zero, ending)) };
    for record in [
        Record::Acceptor(AcceptorRecord { transaction, votes: Votes::default(), higher }),
        Record::Epoch { number: 0, membership: many.into(), former: vec![NodeId(0); 100].into(), committed },
        Record::Handover { epoch: 0, state: state.into() },
    ] {
        assert_eq!(decode_record(&encode_record(&record)), Ok(record));
    }
}
