//! The name of a prepared transaction: all that must be known of a branch when everything else is forgotten.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use synod::{
    NodeId, TxId,
    commit::{ClusterId, Meta, Participants, Transaction},
};

use crate::participants::to_bytes;

/// What all of them begin with.
const PREFIX: &str = "synod_";

/// As long as PostgreSQL allows.
const LONGEST: usize = 199;

/// In place of a participant's place: there is no room for them all.
const LISTED: u8 = u8::MAX;

/// The branch of one participant in a transaction of one cluster.
///
/// As text it is what PostgreSQL knows the prepared transaction by (`pg_prepared_xacts.gid`): a prefix, then the cluster, the
/// participant, the transaction's name and all participants, in base64. Where there is no room for them (for 12 there is, whatever
/// their numbers, and for a hundred with small numbers), it has a digest of them, and they are in the table `synod.participants`.
/// Nothing in it changes over restarts.
///
/// ```
/// use synod_client::{NodeId, TxId};
/// use synod_postgres::Gid;
/// # use synod::commit::{ClusterId, Transaction};
///
/// let transaction = Transaction::new(TxId { origin: NodeId(1), seq: 7 }, [NodeId(11), NodeId(12)], [])?;
/// let gid = Gid::new(ClusterId(*b"an example of it"), NodeId(11), transaction)?;
/// let text = gid.to_string();
/// assert_eq!(text, "synod_YW4gZXhhbXBsZSBvZiBpdAABAQcACww");
/// assert_eq!(text.parse::<Gid>()?, gid);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Gid {
    cluster: ClusterId,
    participant: NodeId,
    tx: TxId,
    epoch: u64,
    /// Unless the name has no room for all who take part.
    transaction: Option<Transaction>,
    text: String,
}

/// By what PostgreSQL calls them.
impl PartialEq for Gid {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Gid {}

/// Why there is no such name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GidError {
    /// The transaction has content, which does not fit into a name.
    #[error("the transaction has content of its own, which a prepared transaction cannot carry")]
    HasContent,
    /// It has no branch in the transaction.
    #[error("participant {0} takes no part in the transaction")]
    NotAParticipant(NodeId),
    /// The text is no name of ours.
    #[error("this is not the name of a branch")]
    Foreign,
}

impl Gid {
    /// The branch of `participant` in `transaction`, which has no content.
    pub fn new(cluster: ClusterId, participant: NodeId, transaction: Transaction) -> Result<Self, GidError> {
        if !transaction.is_about(&Meta::default()) {
            return Err(GidError::HasContent);
        }
        let (tx, epoch) = (transaction.id(), transaction.epoch());
        let place = transaction.participants().iter().position(|node| *node == participant);
        let place = place.ok_or(GidError::NotAParticipant(participant))?;
        let all: Vec<u64> = transaction.participants().iter().map(|node| node.0).collect();
        let text = u8::try_from(place).ok().map(|place| text(cluster, tx, epoch, place, &all));
        match text.filter(|text| text.len() <= LONGEST) {
            Some(text) => Ok(Self { cluster, participant, tx, epoch, transaction: Some(transaction), text }),
            None => Ok(Self::listed(cluster, participant, tx, epoch, digest(transaction.participants()))),
        }
    }

    /// The name of a branch that has no room for the participants, who have this digest.
    fn listed(cluster: ClusterId, participant: NodeId, tx: TxId, epoch: u64, digest: u64) -> Self {
        let text = text(cluster, tx, epoch, LISTED, &[participant.0, digest]);
        Self { cluster, participant, tx, epoch, transaction: None, text }
    }

    /// The transaction, if these are its participants.
    pub(crate) fn with(&self, participants: Participants) -> Option<Transaction> {
        let transaction = Transaction::of(self.tx, participants, &Meta::default()).in_epoch(self.epoch);
        (Self::new(self.cluster, self.participant, transaction.clone()).ok()? == *self).then_some(transaction)
    }

    /// Whose transaction it is.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// Whose branch it is.
    pub fn participant(&self) -> NodeId {
        self.participant
    }

    /// The transaction's name.
    pub fn tx(&self) -> TxId {
        self.tx
    }

    /// The transaction, if all who take part are in this name.
    pub fn transaction(&self) -> Option<&Transaction> {
        self.transaction.as_ref()
    }

    /// What PostgreSQL calls it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What all names of this cluster and participant begin with, as bytes before they are encoded: the rest differs.
    pub(crate) fn is_of(&self, cluster: ClusterId, participant: NodeId) -> bool {
        (self.cluster, self.participant) == (cluster, participant)
    }
}

impl std::fmt::Display for Gid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::str::FromStr for Gid {
    type Err = GidError;

    fn from_str(text: &str) -> Result<Self, GidError> {
        let encoded = text.strip_prefix(PREFIX).ok_or(GidError::Foreign)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| GidError::Foreign)?;
        let (cluster, rest) = bytes.split_first_chunk::<16>().ok_or(GidError::Foreign)?;
        let ([place, width], rest) = rest.split_first_chunk::<2>().ok_or(GidError::Foreign)?;
        if !(1..=8).contains(width) || rest.len() % usize::from(*width) != 0 {
            return Err(GidError::Foreign);
        }
        let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let mut numbers = rest.chunks(usize::from(*width)).map(number);
        let mut next = || numbers.next().ok_or(GidError::Foreign);
        let (tx, epoch) = (TxId { origin: NodeId(next()?), seq: next()? }, next()?);
        if *place == LISTED {
            let gid = Self::listed(ClusterId(*cluster), NodeId(next()?), tx, epoch, next()?);
            return if gid.text == text { Ok(gid) } else { Err(GidError::Foreign) };
        }
        let participants: Vec<NodeId> = numbers.map(NodeId).collect();
        let participant = *participants.get(usize::from(*place)).ok_or(GidError::Foreign)?;
        let participants = Participants::new(participants).map_err(|_| GidError::Foreign)?;
        let transaction = Transaction::of(tx, participants, &Meta::default()).in_epoch(epoch);
        let gid = Self::new(ClusterId(*cluster), participant, transaction)?;
        // Another way to write the same numbers is not ours.
        if gid.text == text { Ok(gid) } else { Err(GidError::Foreign) }
    }
}

/// The name, all of whose numbers have as many bytes as the largest one needs.
fn text(cluster: ClusterId, tx: TxId, epoch: u64, place: u8, others: &[u64]) -> String {
    let numbers = || [tx.origin.0, tx.seq, epoch].into_iter().chain(others.iter().copied());
    let width = numbers().map(width).max().unwrap_or(1);
    let mut bytes = cluster.0.to_vec();
    bytes.extend([place, width as u8]);
    numbers().for_each(|number| bytes.extend(&number.to_be_bytes()[8 - width..]));
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// The 64-bit FNV-1a digest of the participants' numbers, eight bytes each (Fowler, Noll and Vo).
fn digest(participants: &[NodeId]) -> u64 {
    Meta::from(to_bytes(participants)).digest()
}

/// How many bytes `number` needs, at least 1.
fn width(number: u64) -> usize {
    8 - (number | 1).leading_zeros() as usize / 8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gid(participants: impl IntoIterator<Item = u64>) -> Result<Gid, GidError> {
        let participants: Vec<NodeId> = participants.into_iter().map(NodeId).collect();
        let (tx, first) = (TxId { origin: NodeId(u64::MAX), seq: u64::MAX }, participants[0]);
        Gid::new(ClusterId([255; 16]), first, Transaction::new(tx, participants, []).unwrap())
    }

    #[test]
    fn a_name_holds_twelve_participants_of_any_number_and_tells_that_there_are_more() {
        let largest = |count| (0..count).map(|offset| u64::MAX - offset);
        for count in [1, 2, 12, 13, 300] {
            let gid = gid(largest(count)).unwrap();
            assert!(gid.as_str().len() <= LONGEST);
            let read: Gid = gid.as_str().parse().unwrap();
            assert_eq!((&read, read.tx(), read.participant()), (&gid, gid.tx(), gid.participant()));
            assert_eq!(read.transaction().is_some(), count <= 12, "{count}");
            // Who takes part is known by the digest, if not by the name.
            let all = |count| Participants::new(largest(count).map(NodeId)).unwrap();
            assert!(
                read.with(all(count)).is_some_and(|transaction| transaction.participants().len() == count as usize)
            );
            assert_eq!(read.with(all(count + 1)), None);
        }
        let small = Transaction::new(TxId { origin: NodeId(1), seq: 7 }, (1..=100).map(NodeId), []).unwrap();
        assert!(Gid::new(ClusterId([7; 16]), NodeId(1), small).unwrap().transaction().is_some());
        // Others write the same.
        let many = Transaction::new(TxId { origin: NodeId(1), seq: 7 }, (0..13).map(|at| NodeId((1 << 60) + at)), []);
        let gid = Gid::new(ClusterId(*b"an example of it"), NodeId(1 << 60), many.unwrap()).unwrap();
        assert_eq!(
            gid.as_str(),
            "synod_YW4gZXhhbXBsZSBvZiBpdP8IAAAAAAAAAAEAAAAAAAAABwAAAAAAAAAAEAAAAAAAAAAwBrx4b6msgQ"
        );
    }

    #[test]
    fn a_name_holds_the_epoch_of_its_transaction() {
        let tx = TxId { origin: NodeId(1), seq: 7 };
        for epoch in [0, 1, 300, u64::MAX] {
            let transaction = Transaction::new(tx, [NodeId(11), NodeId(12)], []).unwrap().in_epoch(epoch);
            let gid = Gid::new(ClusterId([7; 16]), NodeId(11), transaction.clone()).unwrap();
            let read: Gid = gid.as_str().parse().unwrap();
            assert_eq!((read.transaction(), read.participant()), (Some(&transaction), NodeId(11)));
        }
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        let own = gid([1, 2]).unwrap().to_string();
        assert!(own.parse::<Gid>().is_ok());
        for foreign in [
            "",
            "synod_",
            "synod_AA",
            "other",
            &own[1..],
            &own[..own.len() - 1],
            &format!("{own}A"),
            &format!("{own}="),
        ] {
            assert_eq!(foreign.parse::<Gid>(), Err(GidError::Foreign), "{foreign}");
        }
        let content = Transaction::new(TxId { origin: NodeId(1), seq: 1 }, [NodeId(1)], "content").unwrap();
        assert_eq!(Gid::new(ClusterId([1; 16]), NodeId(1), content), Err(GidError::HasContent));
        let others = Transaction::new(TxId { origin: NodeId(1), seq: 1 }, [NodeId(1)], []).unwrap();
        assert_eq!(Gid::new(ClusterId([1; 16]), NodeId(2), others), Err(GidError::NotAParticipant(NodeId(2))));
    }
}
