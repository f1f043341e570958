//! Names of processes, transactions and consensus instances.

use core::{fmt, str::FromStr};

/// The name of one process (node), and of every role that it plays.
///
/// ```
/// # use synod::NodeId;
/// assert_eq!(NodeId(7).to_string(), "n7");
/// assert_eq!("n7".parse(), Ok(NodeId(7)));
/// assert_eq!("7".parse(), Ok(NodeId::from(7)));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct NodeId(pub u64);

/// The name of one transaction: the node that numbered it, and its number there.
///
/// A name is used only once. [`Input::Begin`](crate::commit::Input::Begin) guarantees that across restarts; a caller
/// that numbers transactions itself ([`Input::BeginAs`](crate::commit::Input::BeginAs)) must guarantee it.
///
/// ```
/// # use synod::{NodeId, TxId};
/// let tx = TxId { origin: NodeId(1), seq: 5 };
/// assert_eq!(tx.to_string(), "n1#5");
/// assert_eq!("n1#5".parse(), Ok(tx));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TxId {
    /// The node that gave the number.
    pub origin: NodeId,
    /// The number. Consecutive numbers keep the memory of finished transactions small.
    pub seq: u64,
}

/// The name of one consensus instance: the vote of one resource manager in one transaction.
///
/// ```
/// # use synod::{InstanceId, NodeId, TxId};
/// let instance = InstanceId { tx: TxId { origin: NodeId(1), seq: 5 }, rm: NodeId(2) };
/// assert_eq!(instance.to_string(), "n1#5/n2");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct InstanceId {
    /// The transaction.
    pub tx: TxId,
    /// The resource manager whose vote the instance chooses, and which owns its initial ballot.
    pub rm: NodeId,
}

/// Why text is not the name of a node, a transaction or a cluster.
///
/// ```
/// # use synod::{NodeId, ParseIdError, TxId};
/// assert_eq!("n1".parse::<TxId>(), Err(ParseIdError::NoSeparator));
/// assert_eq!("n-1".parse::<NodeId>(), Err(ParseIdError::NotANumber));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseIdError {
    /// A number is missing, or has something else than digits.
    #[error("expected a decimal number")]
    NotANumber,
    /// A number needs more than 64 bits.
    #[error("the number does not fit in 64 bits")]
    TooLarge,
    /// The name of a transaction lacks the sign between its node and its number.
    #[error("expected a node and a number with `#` between them, as in `n1#5`")]
    NoSeparator,
    /// The name of a cluster is too short or too long, or has something else than hexadecimal digits.
    #[error("expected 32 hexadecimal digits")]
    NotHexadecimal,
}

impl From<u64> for NodeId {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl FromStr for NodeId {
    type Err = ParseIdError;

    /// Takes what `Display` prints, such as `n7`, and the number alone.
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        number(text.strip_prefix('n').unwrap_or(text)).map(Self)
    }
}

impl FromStr for TxId {
    type Err = ParseIdError;

    /// Takes what `Display` prints, such as `n1#5`, and the same without the `n`.
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let (origin, seq) = text.split_once('#').ok_or(ParseIdError::NoSeparator)?;
        Ok(Self { origin: origin.parse()?, seq: number(seq)? })
    }
}

/// A number in decimal digits. (Integers of the standard library take a sign as well.)
fn number(digits: &str) -> Result<u64, ParseIdError> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ParseIdError::NotANumber);
    }
    digits.parse().map_err(|_| ParseIdError::TooLarge)
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

impl fmt::Display for TxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.origin, self.seq)
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tx, self.rm)
    }
}
