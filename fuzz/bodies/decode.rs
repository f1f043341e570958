//! Any bytes into every decoder: none panics, and what is decoded is encoded as the same bytes.

use synod::{
    NodeId,
    codec::{DecodeError, Frame, decode_frame, decode_key, decode_record, encode_frame, encode_key, encode_record},
    commit::ClusterId,
};

pub(crate) fn run(bytes: &[u8]) {
    if let Some((cluster, Frame { from, to, messages })) = frame(bytes) {
        assert_eq!(encode_frame(cluster, from, to, &messages), bytes);
    }
    if let Ok(record) = decode_record(bytes) {
        assert_eq!(encode_record(&record), bytes);
    }
    if let Ok(key) = decode_key(bytes) {
        assert_eq!(encode_key(&key), bytes);
    }
}

/// The frame as the node of the cluster sees it for which it is.
fn frame(bytes: &[u8]) -> Option<(ClusterId, Frame)> {
    let cluster = ClusterId(*bytes.get(1..)?.first_chunk()?);
    let frame = match decode_frame(bytes, cluster, NodeId(0)) {
        Err(DecodeError::OtherAddressee(to)) => decode_frame(bytes, cluster, to),
        frame => frame,
    };
    Some((cluster, frame.ok()?))
}
