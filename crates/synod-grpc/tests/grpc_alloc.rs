//! What decoding a packet holds in memory is bounded by its bytes, whatever they promise.

use synod::commit::Message;
use synod_grpc::{
    prost::{Message as _, encode_length_delimiter},
    v1,
};

/// Bytes of memory at once per byte of input. The densest is a packet of the shortest ranges of
/// retired transactions.
const MOST: u64 = 128;

/// The most bytes that decoding `packet`, and making messages of it, holds at once.
fn held(packet: &[u8]) -> u64 {
    let work = || {
        if let Ok(packet) = v1::Packet::decode(packet) {
            let _ = packet.messages.into_iter().map(Message::try_from).collect::<Result<Vec<_>, _>>();
        }
    };
    allocation_counter::measure(work).bytes_max
}

/// A field of bytes, or of a message.
fn field(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag << 3 | 2];
    encode_length_delimiter(content.len(), &mut bytes).unwrap();
    bytes.extend(content);
    bytes
}

/// This, again and again.
fn many(piece: &[u8]) -> Vec<u8> {
    piece.repeat(200_000 / piece.len())
}

/// The second field of a packet is a message, whose first is about a transaction.
fn about(content: &[u8]) -> Vec<u8> {
    field(2, &field(1, content))
}

#[test]
fn no_packet_takes_more_memory_than_so_many_times_its_bytes() {
    let nothing = many(&field(2, &[]));
    // The shortest message that is one: the transactions numbered 0 of node 0 are retired.
    let retired = many(&field(2, &field(2, &[])));
    let silent = many(&about(&[]));
    let begun = many(&about(&field(2, &[])));
    let transaction = field(1, &[field(1, &[]), field(2, &[0])].concat());
    let inquired = many(&about(&[transaction, field(10, &[])].concat()));
    let participants = about(&field(1, &field(2, &many(&[1]))));
    let meta = about(&field(2, &field(1, &many(&[1]))));
    let instances = about(&field(5, &field(2, &many(&[1; 8]))));
    let votes = about(&field(7, &field(2, &[field(1, &many(&[1; 8])), field(2, &many(&[1; 8]))].concat())));
    let acceptances = about(&field(8, &many(&field(2, &[]))));
    let ballots = about(&field(6, &many(&field(4, &field(2, &[])))));
    let obstacles = about(&field(9, &many(&field(2, &[]))));
    for (name, packet) in [
        ("nothing", nothing),
        ("retired", retired),
        ("silent", silent),
        ("begun", begun),
        ("inquired", inquired),
        ("participants", participants),
        ("meta", meta),
        ("instances", instances),
        ("votes", votes),
        ("acceptances", acceptances),
        ("ballots", ballots),
        ("obstacles", obstacles),
    ] {
        assert!(v1::Packet::decode(&*packet).is_ok(), "{name}");
        let (held, length) = (held(&packet), packet.len() as u64);
        assert!(held <= MOST * length, "{name}: {held} bytes for {length}, {} times", held / length);
        assert!(held >= length, "{name}: only {held} bytes for {length}");
    }
}

#[test]
fn a_length_that_promises_more_than_there_is_takes_no_memory() {
    for tail in [[0xff, 0xff, 0xff, 0xff, 0x07], [0xff, 0xff, 0xff, 0x7f, 0x00]] {
        for start in
            [vec![2 << 3 | 2], vec![2 << 3 | 2, 0x7f, 1 << 3 | 2], vec![2 << 3 | 2, 0x7f, 1 << 3 | 2, 0x7f, 8 << 3 | 2]]
        {
            let packet = [start, tail.to_vec()].concat();
            assert!(v1::Packet::decode(&*packet).is_err());
            assert!(held(&packet) < 2_048, "{packet:02x?}");
        }
    }
}
