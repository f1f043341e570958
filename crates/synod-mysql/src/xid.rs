//! The name of a branch.

use std::fmt;

use synod::{
    NodeId, TxId,
    commit::{self, ClusterId},
};
use synod_client::Name;

/// The `formatID` of all of them: "SYNO".
const FORMAT: i64 = 0x5359_4e4f;

/// What the second part of all of them begins with.
const PREFIX: &[u8] = b"synod";

/// The branch of one participant in a transaction of one cluster, as the server knows it.
///
/// Its `gtrid` is the cluster and the transaction's name, its `bqual` is `synod` and the participant. A branch is named when
/// it begins. Who else takes part is not known then, so the name does not say it.
///
/// ```
/// # use synod::commit::ClusterId;
/// use synod_client::{NodeId, TxId};
/// use synod_mysql::Xid;
///
/// let xid = Xid::new(ClusterId(*b"an example of it"), NodeId(11), TxId { origin: NodeId(1), seq: 7 });
/// assert_eq!(
///     format!("XA ROLLBACK {xid}"),
///     "XA ROLLBACK X'616e206578616d706c65206f6620697400000000000000010000000000000007',\
///      X'73796e6f64000000000000000b',1398361679",
/// );
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Xid {
    cluster: ClusterId,
    participant: NodeId,
    tx: TxId,
}

impl Xid {
    /// The branch of `participant` in the transaction `tx` of `cluster`.
    pub fn new(cluster: ClusterId, participant: NodeId, tx: TxId) -> Self {
        Self { cluster, participant, tx }
    }

    pub(crate) fn of(name: Name, participant: NodeId) -> Self {
        Self::new(name.cluster, participant, name.tx)
    }

    /// Reads a row of `XA RECOVER`: nothing, if the branch is not one of `synod`'s.
    pub(crate) fn read((format, gtrid, bqual, data): &(i64, i64, i64, Vec<u8>)) -> Option<Self> {
        if (*format, *gtrid, *bqual) != (FORMAT, 32, 13) {
            return None;
        }
        let (cluster, rest) = data.split_first_chunk()?;
        let (origin, rest) = rest.split_first_chunk()?;
        let (seq, rest) = rest.split_first_chunk()?;
        let participant = rest.strip_prefix(PREFIX)?.try_into().ok()?;
        let tx = TxId { origin: NodeId(u64::from_be_bytes(*origin)), seq: u64::from_be_bytes(*seq) };
        Some(Self::new(ClusterId(*cluster), NodeId(u64::from_be_bytes(participant)), tx))
    }

    /// Whose branch it is.
    pub fn participant(&self) -> NodeId {
        self.participant
    }

    /// The cluster of the transaction.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// The transaction.
    pub fn tx(&self) -> TxId {
        self.tx
    }

    /// Whether it is the branch of `transaction` of `cluster`.
    pub(crate) fn is_of(&self, cluster: ClusterId, transaction: &commit::Transaction) -> bool {
        (self.cluster, self.tx) == (cluster, transaction.id())
    }
}

/// As in a statement after `XA COMMIT`.
impl fmt::Display for Xid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gtrid = [&self.cluster.0[..], &self.tx.origin.0.to_be_bytes(), &self.tx.seq.to_be_bytes()].concat();
        let bqual = [PREFIX, &self.participant.0.to_be_bytes()].concat();
        write!(f, "{},{},{FORMAT}", literal(&gtrid), literal(&bqual))
    }
}

/// Bytes as part of a statement.
pub(crate) fn literal(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("X'{digits}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_is_read_as_the_server_lists_it_and_one_of_others_is_not() {
        let xid = Xid::new(ClusterId([7; 16]), NodeId(u64::MAX), TxId { origin: NodeId(3), seq: 1 << 40 });
        let data = [&[7; 16][..], &3_u64.to_be_bytes(), &(1_u64 << 40).to_be_bytes(), PREFIX, &[255; 8]].concat();
        let row = (FORMAT, 32, 13, data);
        assert_eq!(Xid::read(&row), Some(xid));
        assert_eq!(Xid::read(&(1, row.1, row.2, row.3.clone())), None);
        assert_eq!(Xid::read(&(row.0, 31, 14, row.3.clone())), None);
        assert_eq!(Xid::read(&(row.0, row.1, row.2, row.3[1..].to_vec())), None);
    }
}
