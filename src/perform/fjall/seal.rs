//! What tells whether all records are there, and as they were written.
//!
//! Every batch carries a new seal, in the same keyspace as the records: how many batches there were, how many records
//! there are now, and the sum of the hashes of all of them. A batch changes the sum only by what it changes, so a seal
//! costs as much as the batch has records. The sum does not depend on the order in which records came.
//!
//! The hashes are kept in memory: to replace a record, nothing is read.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::{xxh3_64, xxh3_128, xxh3_128_with_seed};

/// Where the seal is: no key of a record is as long.
pub(super) const KEY: &[u8] = b"\xffthe seal of all records";

/// What a storage's seals begin with, and no other bytes in its journals do, because nobody knows it who could write
/// something there.
pub(super) type Nonce = [u8; 16];

/// How many bytes a seal has.
pub(super) const LENGTH: usize = 56;

/// The sum over all records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seal {
    /// How many batches there were.
    pub(super) batches: u64,
    /// How many records there are.
    pub(super) records: u64,
    pub(super) sum: u128,
}

/// What is there: the seal over it, and the hash of each record, by that of its key.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) seal: Seal,
    hashes: BTreeMap<u128, u128>,
}

impl Contents {
    /// Puts a record in the place of the one of its key, if there is any, or erases that.
    pub(super) fn put(&mut self, key: &[u8], record: Option<&[u8]>) {
        let of_key = xxh3_128(key);
        let before = match record {
            Some(record) => {
                let hash = xxh3_128_with_seed(record, xxh3_64(key));
                self.seal.sum = self.seal.sum.wrapping_add(hash);
                self.hashes.insert(of_key, hash)
            }
            None => self.hashes.remove(&of_key),
        };
        self.seal.sum = self.seal.sum.wrapping_sub(before.unwrap_or(0));
        self.seal.records = self.hashes.len() as u64;
    }
}

impl Seal {
    /// Whether the other seal is over the same records.
    pub(super) fn is_over_the_same(&self, other: &Self) -> bool {
        (self.records, self.sum) == (other.records, other.sum)
    }

    pub(super) fn encode(&self, nonce: &Nonce) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.extend_from_slice(nonce);
        bytes.extend_from_slice(&self.batches.to_le_bytes());
        bytes.extend_from_slice(&self.records.to_le_bytes());
        bytes.extend_from_slice(&self.sum.to_le_bytes());
        bytes.extend_from_slice(&xxh3_64(&bytes).to_le_bytes());
        bytes
    }

    /// The seal that these bytes are, if they are one of the storage with this nonce.
    pub(super) fn decode(bytes: &[u8], nonce: &Nonce) -> Option<Self> {
        let (body, check) = bytes.split_last_chunk::<8>()?;
        let (of, rest) = body.split_first_chunk::<16>()?;
        let (batches, rest) = rest.split_first_chunk::<8>()?;
        let (records, rest) = rest.split_first_chunk::<8>()?;
        let sum: &[u8; 16] = rest.try_into().ok()?;
        let [batches, records] = [batches, records].map(|bytes| u64::from_le_bytes(*bytes));
        let is_whole = u64::from_le_bytes(*check) == xxh3_64(body) && of == nonce;
        is_whole.then_some(Self { batches, records, sum: u128::from_le_bytes(*sum) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_depends_on_the_records_and_not_on_the_order_in_which_they_came() {
        let mut one = Contents::default();
        one.put(b"a", Some(b"1"));
        one.put(b"b", Some(b"2"));
        let mut other = Contents { seal: Seal { batches: 9, ..Seal::default() }, ..Contents::default() };
        let is_same = |other: &Contents| one.seal.is_over_the_same(&other.seal);
        other.put(b"b", Some(b"0"));
        other.put(b"a", Some(b"1"));
        assert!(!is_same(&other));
        other.put(b"b", None);
        assert!(!is_same(&other));
        other.put(b"b", Some(b"2"));
        assert!(is_same(&other));
        other.put(b"c", None);
        assert!(is_same(&other), "there was none");
        other.put(b"b", None);
        other.put(b"c", Some(b"2"));
        assert!(!is_same(&other), "the key counts");
    }

    #[test]
    fn a_changed_seal_is_none() {
        let seal = Seal { batches: 1, records: 2, sum: 3 };
        let bytes = seal.encode(&[7; 16]);
        assert_eq!((bytes.len(), Seal::decode(&bytes, &[7; 16])), (LENGTH, Some(seal)));
        assert_eq!(Seal::decode(&bytes, &[8; 16]), None);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            assert_eq!(Seal::decode(&changed, &[7; 16]), None, "{at}");
        }
    }
}
