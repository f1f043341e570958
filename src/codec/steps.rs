//! What a node was told, and its whole state, as bytes: for recordings.

use alloc::vec::Vec;

use serde::{Serialize, de::DeserializeOwned};

use super::{
    DecodeError,
    wire::{CONFIG, Sink, Source, Wire, in_order, put_list, tagged, take_list},
};
use crate::{
    NodeId,
    commit::{EpochTag, Input, Message, Participants, Time},
};

/// The tag of a packet. No input has it.
const PACKET: u8 = 0;

/// What a node was told at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Input(Input),
    /// Messages of one node, in order.
    Packet(NodeId, Vec<Message>),
}

pub(crate) fn put_input(bytes: &mut Vec<u8>, input: &Input) {
    input.put(&mut Sink(bytes));
}

pub(crate) fn put_packet(bytes: &mut Vec<u8>, from: NodeId, messages: &[Message]) {
    let mut sink = Sink(bytes);
    sink.byte(PACKET);
    from.put(&mut sink);
    put_list(messages, &mut sink);
}

/// What the bytes begin with, which are then those after it.
pub(crate) fn take_told(bytes: &mut &[u8]) -> Result<Told, DecodeError> {
    let mut source = Source(bytes);
    let told = if bytes.first() == Some(&PACKET) {
        source.byte()?;
        Told::Packet(Wire::take(&mut source)?, take_list(&mut source)?)
    } else {
        Told::Input(Wire::take(&mut source)?)
    };
    *bytes = source.0;
    Ok(told)
}

pub(crate) fn put_number(bytes: &mut Vec<u8>, number: u64) {
    Sink(bytes).number(number);
}

pub(crate) fn take_number(bytes: &mut &[u8]) -> Result<u64, DecodeError> {
    let mut source = Source(bytes);
    let number = source.number()?;
    *bytes = source.0;
    Ok(number)
}

/// A value of a type that knows how to be serialized. There is more than one encoding of some values. `None` of a type that
/// cannot be serialized after all.
pub(crate) fn encode_value(value: &impl Serialize) -> Option<Vec<u8>> {
    bincode::serde::encode_to_vec(value, CONFIG).ok()
}

pub(crate) fn decode_value<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    match bincode::serde::decode_from_slice(bytes, CONFIG) {
        Ok((value, taken)) if taken == bytes.len() => Ok(value),
        Ok((_, taken)) => Err(DecodeError::LeftOver(bytes.len().saturating_sub(taken))),
        Err(bincode::error::DecodeError::UnexpectedEnd { .. }) => Err(DecodeError::Truncated),
        Err(_) => Err(DecodeError::MalformedNumber),
    }
}

in_order! {
    EpochTag, least 9: { number, digest }
}

tagged! {
    "input", Input, least 1: {
        1 => Begin { participants, meta },
        2 => BeginAs { transaction, meta },
        3 => Vote { transaction, vote },
        4 => Finished(tx),
        5 => Inquire(tx),
        6 => Receive { from, message },
        7 => Tick(now),
        8 => Patience { tx, patience },
        9 => Met { node, birth, epoch },
        10 => Prepared { transaction, meta },
        11 => Resolve { tx, outcome },
        12 => Names { count },
        13 => Change(membership),
    }
}

impl Wire for Time {
    const LEAST: usize = 1;

    fn put(&self, sink: &mut Sink<'_>) {
        self.0.put(sink);
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        source.number().map(Self)
    }
}

impl Wire for Participants {
    const LEAST: usize = 1;

    fn put(&self, sink: &mut Sink<'_>) {
        put_list(self.nodes(), sink);
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        Ok(take_list(source)?.try_into()?)
    }
}

#[cfg(all(test, feature = "proptest"))]
mod tests {
    #![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]

    use proptest::prelude::*;

    use super::*;
    use crate::strategies;

    fn told() -> impl Strategy<Value = Told> {
        strategies::cluster().prop_flat_map(|cluster| {
            let messages = proptest::collection::vec(strategies::message(&cluster), 0..4);
            prop_oneof![
                strategies::input(&cluster).prop_map(Told::Input),
                (strategies::node(), messages).prop_map(|(from, messages)| Told::Packet(from, messages)),
            ]
        })
    }

    fn encode(told: &Told) -> Vec<u8> {
        let mut bytes = Vec::new();
        match told {
            Told::Input(input) => put_input(&mut bytes, input),
            Told::Packet(from, messages) => put_packet(&mut bytes, *from, messages),
        }
        bytes
    }

    #[test]
    fn a_value_is_made_of_all_its_bytes_and_of_no_more() {
        let mut bytes = encode_value(&(7_u64, "seven")).expect("bytes");
        assert_eq!(decode_value(&bytes), Ok((7_u64, alloc::string::String::from("seven"))));
        bytes.extend([0; 3]);
        assert_eq!(decode_value::<(u64, alloc::string::String)>(&bytes), Err(DecodeError::LeftOver(3)));
        bytes.truncate(4);
        assert_eq!(decode_value::<(u64, alloc::string::String)>(&bytes), Err(DecodeError::Truncated));
    }

    proptest! {
        #[test]
        fn what_a_node_was_told_comes_back_and_nothing_of_what_follows_is_taken(told in told(), rest: Vec<u8>) {
            let mut bytes = encode(&told);
            bytes.extend(&rest);
            let mut left = &bytes[..];
            prop_assert_eq!(take_told(&mut left).expect("it was encoded"), told);
            prop_assert_eq!(left, &rest[..]);
        }

        #[test]
        fn bytes_that_end_too_early_are_refused(told in told(), cut: prop::sample::Index) {
            let bytes = encode(&told);
            let mut part = &bytes[..cut.index(bytes.len())];
            prop_assert!(take_told(&mut part).is_err());
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes: Vec<u8>) {
            let mut left = &bytes[..];
            while take_told(&mut left).is_ok() && !left.is_empty() {}
        }
    }
}
