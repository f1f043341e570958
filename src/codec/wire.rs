//! How a value becomes bytes, and bytes a value: numbers, lists, and how structs and enums are made of them.

use alloc::{boxed::Box, vec::Vec};

use bincode::{config, enc::write::Writer, error as bincode_error};

use super::DecodeError;

pub(super) const CONFIG: config::Configuration = config::standard();

/// A number up to this one is encoded as itself.
const ONE_BYTE: u8 = 250;

/// Where bytes go.
pub(super) struct Sink<'a>(pub(super) &'a mut Vec<u8>);

impl Sink<'_> {
    pub(super) fn put<T: bincode::Encode>(&mut self, value: T) {
        let done = bincode::encode_into_writer(value, &mut *self, CONFIG);
        debug_assert!(done.is_ok(), "a vector takes every byte");
    }

    #[inline]
    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    #[inline]
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// A number: most are small, and one byte.
    #[inline]
    pub(super) fn number(&mut self, number: u64) {
        match u8::try_from(number) {
            Ok(byte) if byte <= ONE_BYTE => self.byte(byte),
            _ => self.long_number(number),
        }
    }

    pub(super) fn long_number(&mut self, number: u64) {
        debug_assert!(number > u64::from(ONE_BYTE), "a small number needs no detour");
        self.put(number);
    }
}

impl Writer for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), bincode_error::EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// The bytes that are not decoded yet.
pub(super) struct Source<'a>(pub(super) &'a [u8]);

impl<'a> Source<'a> {
    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8, DecodeError> {
        let (byte, rest) = self.0.split_first().ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(*byte)
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (array, rest) = self.0.split_first_chunk().ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(*array)
    }

    /// A number: most are small, and one byte.
    #[inline]
    pub(super) fn number(&mut self) -> Result<u64, DecodeError> {
        match self.0.split_first() {
            Some((byte, rest)) if *byte <= ONE_BYTE => {
                self.0 = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_number(),
        }
    }

    pub(super) fn long_number(&mut self) -> Result<u64, DecodeError> {
        debug_assert!(self.0.first().is_none_or(|first| *first > ONE_BYTE), "a small number needs no detour");
        let (number, taken) = self.primitive()?;
        match bincode::encode_into_slice(number, &mut [0; 9], CONFIG) {
            Ok(needed) if needed == taken => Ok(number),
            _ => Err(DecodeError::OverlongNumber),
        }
    }

    /// A length, of things of which each takes `least` bytes or more. All that may be set aside for them is theirs.
    pub(super) fn length(&mut self, least: usize) -> Result<usize, DecodeError> {
        let length = usize::try_from(self.number()?).map_err(|_| DecodeError::Truncated)?;
        match length.checked_mul(least) {
            Some(bytes) if bytes <= self.0.len() => Ok(length),
            _ => Err(DecodeError::Truncated),
        }
    }

    pub(super) fn slice(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.length(1)?;
        let (slice, rest) = self.0.split_at_checked(length).ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(slice)
    }

    pub(super) fn version(&mut self, known: u8) -> Result<(), DecodeError> {
        let version = self.byte()?;
        if version == known { Ok(()) } else { Err(DecodeError::UnknownVersion(version)) }
    }

    pub(super) fn end(self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError::LeftOver(self.0.len())) }
    }

    /// A value of a type that takes no memory of its own, and how many bytes it took.
    pub(super) fn primitive<T: bincode::Decode<()>>(&mut self) -> Result<(T, usize), DecodeError> {
        let (value, taken) = bincode::decode_from_slice(self.0, CONFIG).map_err(|error| match error {
            bincode_error::DecodeError::UnexpectedEnd { .. } => DecodeError::Truncated,
            _ => DecodeError::MalformedNumber,
        })?;
        self.0 = self.0.get(taken..).unwrap_or_default();
        Ok((value, taken))
    }
}

/// A value with exactly one encoding.
pub(super) trait Wire: Sized {
    /// The fewest bytes that a value takes.
    const LEAST: usize;

    fn put(&self, sink: &mut Sink<'_>);

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError>;
}

/// Structs: one field after the other.
macro_rules! in_order {
    ($($name:ty, least $least:literal: { $($field:tt),+ })+) => {$(
        impl Wire for $name {
            const LEAST: usize = $least;

            fn put(&self, sink: &mut Sink<'_>) {
                $(self.$field.put(sink);)+
            }

            fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
                Ok(Self { $($field: Wire::take(source)?),+ })
            }
        }
    )+};
}

/// Enums: the variant's tag, and one field after the other.
macro_rules! tagged {
    ($($kind:literal, $name:ty, least $least:literal: {
        $($tag:literal => $variant:ident $(($value:ident))? $({ $($field:ident),+ })?,)+
    })+) => {$(
        impl Wire for $name {
            const LEAST: usize = $least;

            fn put(&self, sink: &mut Sink<'_>) {
                match self {
                    $(Self::$variant $(($value))? $({ $($field),+ })? => {
                        sink.byte($tag);
                        $($value.put(sink);)?
                        $($($field.put(sink);)+)?
                    })+
                }
            }

            fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
                match source.byte()? {
                    $($tag => {
                        $(let $value = Wire::take(source)?;)?
                        $($(let $field = Wire::take(source)?;)+)?
                        Ok(Self::$variant $(($value))? $({ $($field),+ })?)
                    })+
                    tag => Err(DecodeError::UnknownTag { kind: $kind, tag }),
                }
            }
        }
    )+};
}

impl Wire for u64 {
    const LEAST: usize = 1;

    #[inline]
    fn put(&self, sink: &mut Sink<'_>) {
        sink.number(*self);
    }

    #[inline]
    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        source.number()
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    const LEAST: usize = A::LEAST.saturating_add(B::LEAST);

    fn put(&self, sink: &mut Sink<'_>) {
        self.0.put(sink);
        self.1.put(sink);
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        Ok((Wire::take(source)?, Wire::take(source)?))
    }
}

impl<T: Wire> Wire for Option<T> {
    const LEAST: usize = 1;

    fn put(&self, sink: &mut Sink<'_>) {
        sink.byte(u8::from(self.is_some()));
        if let Some(value) = self {
            value.put(sink);
        }
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        match source.byte()? {
            0 => Ok(None),
            1 => T::take(source).map(Some),
            tag => Err(DecodeError::UnknownTag { kind: "option", tag }),
        }
    }
}

pub(super) fn put_list<T: Wire>(list: &[T], sink: &mut Sink<'_>) {
    sink.number(list.len() as u64);
    for value in list {
        value.put(sink);
    }
}

pub(super) fn take_list<T: Wire>(source: &mut Source<'_>) -> Result<Vec<T>, DecodeError> {
    const { assert!(T::LEAST > 0, "a list of what takes no bytes has no bound") };
    let length = source.length(T::LEAST)?;
    let mut list = Vec::with_capacity(length);
    for _ in 0..length {
        list.push(T::take(source)?);
    }
    Ok(list)
}

impl<T: Wire> Wire for Box<T> {
    const LEAST: usize = T::LEAST;

    fn put(&self, sink: &mut Sink<'_>) {
        (**self).put(sink);
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        T::take(source).map(Self::new)
    }
}

impl<T: Wire> Wire for Box<[T]> {
    const LEAST: usize = 1;

    fn put(&self, sink: &mut Sink<'_>) {
        put_list(self, sink);
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        take_list(source).map(Vec::into_boxed_slice)
    }
}

impl<T: Wire> Wire for Vec<T> {
    const LEAST: usize = 1;

    fn put(&self, sink: &mut Sink<'_>) {
        put_list(self, sink);
    }

    fn take(source: &mut Source<'_>) -> Result<Self, DecodeError> {
        take_list(source)
    }
}

pub(super) use {in_order, tagged};
