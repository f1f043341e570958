//! The name of a prepared transaction: all that must be known of a branch when everything else is forgotten.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use synod::{
    NodeId, TxId,
    commit::{ClusterId, Meta, Participants, Transaction},
};

/// What all of them begin with.
const PREFIX: &str = "synod_";

/// As long as PostgreSQL allows.
const LONGEST: usize = 199;

/// The branch of one participant in a transaction of one cluster.
///
/// As text it is what PostgreSQL knows the prepared transaction by (`pg_prepared_xacts.gid`): a prefix, then the cluster, the
/// participant, the transaction's name and all participants, in base64. Nothing in it changes over restarts.
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gid {
    cluster: ClusterId,
    participant: NodeId,
    transaction: Transaction,
    text: String,
}

/// Why there is no such name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GidError {
    /// The participants do not fit.
    #[error(
        "the name of the prepared transaction would have {0} bytes, and PostgreSQL allows {LONGEST}: there are too many participants, or their numbers are too large"
    )]
    TooLong(usize),
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
        let tx = transaction.id();
        let place = transaction.participants().iter().position(|node| *node == participant);
        let place = place.ok_or(GidError::NotAParticipant(participant))?;
        let others = transaction.participants().iter().map(|node| node.0);
        let numbers: Vec<u64> = [tx.origin.0, tx.seq, transaction.epoch()].into_iter().chain(others).collect();
        // All numbers have as many bytes as the largest one needs.
        let width = numbers.iter().map(|number| width(*number)).max().unwrap_or(1);
        let mut bytes = cluster.0.to_vec();
        // One with so many participants that this does not fit is too long in any case.
        bytes.extend([u8::try_from(place).unwrap_or(u8::MAX), width as u8]);
        numbers.iter().for_each(|number| bytes.extend(&number.to_be_bytes()[8 - width..]));
        let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
        if text.len() > LONGEST {
            return Err(GidError::TooLong(text.len()));
        }
        Ok(Self { cluster, participant, transaction, text })
    }

    /// Whose transaction it is.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// Whose branch it is.
    pub fn participant(&self) -> NodeId {
        self.participant
    }

    /// The transaction.
    pub fn transaction(&self) -> &Transaction {
        &self.transaction
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
        let (origin, seq, epoch) = (NodeId(next()?), next()?, next()?);
        let participants: Vec<NodeId> = numbers.map(NodeId).collect();
        let participant = *participants.get(usize::from(*place)).ok_or(GidError::Foreign)?;
        let participants = Participants::new(participants).map_err(|_| GidError::Foreign)?;
        let transaction = Transaction::of(TxId { origin, seq }, participants, &Meta::default()).in_epoch(epoch);
        let gid = Self::new(ClusterId(*cluster), participant, transaction)?;
        // Another way to write the same numbers is not ours.
        if gid.text == text { Ok(gid) } else { Err(GidError::Foreign) }
    }
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
    fn a_name_holds_participants_of_any_number_and_says_so_when_it_is_full() {
        let largest = |count| (0..count).map(|offset| u64::MAX - offset);
        let most = (1..100).take_while(|count| gid(largest(*count)).is_ok()).last();
        assert_eq!(most, Some(12));
        assert_eq!(gid(largest(13)), Err(GidError::TooLong(201)));
        assert!(gid(1..=12).is_ok());
        let full = gid(largest(12)).unwrap();
        assert_eq!(full.to_string().parse(), Ok(full));
    }

    #[test]
    fn a_name_holds_the_epoch_of_its_transaction() {
        let tx = TxId { origin: NodeId(1), seq: 7 };
        for epoch in [0, 1, 300, u64::MAX] {
            let transaction = Transaction::new(tx, [NodeId(11), NodeId(12)], []).unwrap().in_epoch(epoch);
            let gid = Gid::new(ClusterId([7; 16]), NodeId(11), transaction.clone()).unwrap();
            let read: Gid = gid.as_str().parse().unwrap();
            assert_eq!((read.transaction(), read.participant()), (&transaction, NodeId(11)));
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
