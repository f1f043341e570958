//! Messages between nodes, and the inputs and decisions of a node.

use alloc::boxed::Box;

use super::{
    EpochMessage, EpochTag, Membership, Meta, Outcome, Outcomes, Participants, Places, Time, Transaction, Vote, Votes,
    record::{Record, TxRange},
};
use crate::{Ballot, NodeId, TxId};

/// A message of Paxos Commit (Gray and Lamport 2006, section 4).
///
/// See [`Node`](crate::commit::Node) for an example.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Message {
    /// A message about one transaction. It carries the whole [`Transaction`], because the receiver may not know of it
    /// yet.
    About {
        /// The transaction.
        transaction: Transaction,
        /// What the message says.
        what: What,
    },
    /// To anyone: all resource managers have finished these transactions; drop them. Also the answer to a message about
    /// a retired transaction.
    Retired {
        /// The transactions.
        range: TxRange,
        /// How some of them ended, between transaction managers.
        outcomes: Outcomes,
    },
    /// Acceptor or transaction manager to transaction manager: the sender has durably noted that these are retired.
    RetiredNoted {
        /// The transactions.
        range: TxRange,
    },
    /// Any node to any node: about the epoch that a node is in, or its handover to the next.
    Epoch {
        /// The epoch: that of the handover, or of the sender. A newcomer has none.
        number: Option<u64>,
        /// What the message says.
        what: Box<EpochMessage>,
    },
}

/// What a message says about its transaction.
///
/// An acceptor that a transaction manager asks to take part in a recovery:
///
/// ```
/// # use synod::{Ballot, Effect, Machine, NodeId, Quorums, TxId, commit::*};
/// # use synod::commit::roles::{Acceptor, AcceptorInput};
/// # let (manager, rms) = (NodeId(1), [NodeId(2), NodeId(3)]);
/// # let cluster = Cluster::new(ClusterId(*b"an example of it"), Quorums::majority([manager])?, [manager])?;
/// # let transaction = Transaction::new(TxId { origin: manager, seq: 1 }, rms, *b"from 2 to 3")?;
/// # let mut acceptor = Acceptor::new(cluster, transaction.clone());
/// let mut answer_to = |what| {
///     let message = Message::about(&transaction, what);
///     match acceptor.step(AcceptorInput::Receive { from: manager, message }).pop() {
///         Some(Effect::Send { message: Message::About { what, .. }, .. }) => what,
///         other => panic!("{other:?} is no answer"),
///     }
/// };
/// let (low, ballot, instances) = (Ballot::new(1, manager), Ballot::new(2, manager), Places::first(2));
/// let promises = Promises { instances: instances.clone(), ..Promises::default() }; // it has accepted nothing yet
/// let promised = What::Phase1b { ballot, promises: promises.into() };
/// assert_eq!(answer_to(What::Phase1a { ballot, instances: instances.clone() }), promised);
///
/// let votes: Votes = [(0, Vote::Aborted), (1, Vote::Aborted)].into_iter().collect();
/// let higher = rms.map(|rm| Acceptance { rm, ballot, vote: Vote::Aborted });
/// let accepted = What::Phase2b { votes: Votes::default(), higher: higher.into() };
/// assert_eq!(answer_to(What::Phase2a { ballot, votes }), accepted);
///
/// let obstacles = rms.map(|rm| Obstacle { rm, promised: ballot });
/// let rejected = What::Reject { ballot: low, promised: obstacles.into() };
/// assert_eq!(answer_to(What::Phase1a { ballot: low, instances }), rejected);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum What {
    /// Resource manager to transaction manager: the sender has voted; ask the others. A repeat asks for the outcome
    /// but, unlike an inquiry, does not start a recovery at once. (The paper's *BeginCommit*.)
    Begin {
        /// What the transaction is about.
        meta: Meta,
    },
    /// Transaction manager to resource manager: vote, and name the sender to the acceptors. (The paper's *Prepare*, not
    /// that of Paxos.)
    Prepare {
        /// What the transaction is about.
        meta: Meta,
        /// The acceptors to send a first vote to, by their places among the acceptors of the cluster, if those that
        /// [`Targets::Quorum`](super::Targets::Quorum) would name do not all seem to answer; otherwise empty.
        acceptors: Places,
    },
    /// Resource manager to acceptor: phase 2a of the sender's own instance, at its initial ballot.
    Vote {
        /// The vote.
        vote: Vote,
        /// The transaction manager that the acceptor answers.
        manager: NodeId,
    },
    /// Transaction manager to acceptor: phase 1a in several instances.
    Phase1a {
        /// The sender's own ballot, above round 0.
        ballot: Ballot,
        /// The instances.
        instances: Places,
    },
    /// Acceptor to transaction manager: phase 1b in several instances. The sender promises to take no lower ballot, and
    /// reports what it has accepted.
    Phase1b {
        /// The promised ballot.
        ballot: Ballot,
        /// What is promised.
        promises: Box<Promises>,
    },
    /// Transaction manager to acceptor: phase 2a in several instances, above round 0.
    Phase2a {
        /// The sender's own ballot.
        ballot: Ballot,
        /// The one value of that ballot in each instance.
        votes: Votes,
    },
    /// Acceptor to transaction managers, and in Faster mode to resource managers: phase 2b in several instances. (The
    /// *bundle*.)
    Phase2b {
        /// The votes that are accepted at initial ballots.
        votes: Votes,
        /// The votes that are accepted at higher ballots, in ascending order of resource managers.
        higher: Box<[Acceptance]>,
    },
    /// Acceptor to transaction manager: these instances have promised a higher ballot. A hint: no safety rests on it.
    Reject {
        /// The refused ballot.
        ballot: Ballot,
        /// The higher ballots, in ascending order of resource managers.
        promised: Box<[Obstacle]>,
    },
    /// Resource manager or acceptor to transaction manager: bring this transaction to its outcome.
    Inquire,
    /// Transaction manager to resource manager or transaction manager: the outcome of the transaction.
    Outcome(Outcome),
    /// Resource manager to transaction manager: the sender has durably carried out this outcome.
    Finished(Outcome),
    /// Resource manager to transaction manager, if its votes are [durable elsewhere](super::ResourceKind): its resource
    /// cannot prepare. Recover at once. It is no vote: the initial ballot of the sender's instance stays free.
    Decline,
    /// Transaction manager to resource manager or acceptor: the sender is at work on it, and waits for votes longer than
    /// usual. Ask it once more before turning to another one, which would abort.
    Wait,
    /// Acceptor to transaction manager, or transaction manager to participant: the sender knows another transaction by this
    /// name, with other participants or other content, or gives the name itself and has not given it to this one. Somebody
    /// has used a name twice. A hint: no safety rests on it.
    OtherTransaction,
}

/// Phase 1b in several instances.
///
/// See [`What`] for an example.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Promises {
    /// The instances that promise the ballot.
    pub instances: Places,
    /// The votes that they have accepted at initial ballots.
    pub votes: Votes,
    /// The votes that they have accepted at higher ballots, in ascending order of resource managers.
    pub higher: Box<[Acceptance]>,
}

/// A vote that one instance has accepted at a ballot above the initial one.
///
/// See [`What`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Acceptance {
    /// The resource manager whose vote the instance chooses.
    pub rm: NodeId,
    /// The ballot.
    pub ballot: Ballot,
    /// The one value of that ballot.
    pub vote: Vote,
}

/// A higher promise that stops a ballot in one instance.
///
/// See [`What`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Obstacle {
    /// The resource manager whose vote the instance chooses.
    pub rm: NodeId,
    /// The ballot promised there.
    pub promised: Ballot,
}

/// An input of a node.
///
/// See [`Node`](crate::commit::Node) for an example.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Input {
    /// Begin a new transaction, at a transaction manager or a participant. The node names it, and reports the name with
    /// [`Decision::Begun`]. A refused begin uses no name.
    Begin {
        /// The resource managers that take part.
        participants: Participants,
        /// What the transaction is about.
        meta: Meta,
    },
    /// Begin this transaction. The caller guarantees that its name is used only once. Repeating this, here or at
    /// another transaction manager, is harmless and drives the transaction on. If it has ended, and the history still
    /// knows how, [`Decision::Decided`] says so.
    ///
    /// [`Refusal::OldEpoch`](crate::Refusal::OldEpoch) says that its epoch is over and that it has not committed, so that it
    /// never will: begin it under another name, in the present epoch.
    ///
    /// Number transactions in a row: every gap is remembered at every node for ever, and a history remembers the
    /// outcomes of most transactions if their numbers are consecutive.
    ///
    /// A caller that numbers transactions itself does so under a node id of its own, or begins each transaction first
    /// at the node whose id it uses: a node takes no part in a transaction that is named after it and whose number it
    /// has not reserved.
    BeginAs {
        /// The transaction.
        transaction: Transaction,
        /// What the transaction is about.
        meta: Meta,
    },
    /// The local resource's answer to [`Decision::Vote`].
    ///
    /// A vote to commit that comes too late, or in what this node has never heard of, is answered with
    /// [`Decision::Abort`]: nobody was told of it, so the resource may let go of what it holds, and must. If its votes are
    /// [durable elsewhere](super::ResourceKind), a vote in what is not open here is refused instead: see
    /// [`Input::Prepared`].
    Vote {
        /// The transaction voted on.
        transaction: Transaction,
        /// The vote.
        vote: Vote,
    },
    /// The local resource has durably carried out [`Decision::Commit`] or [`Decision::Abort`].
    Finished(TxId),
    /// Bring this transaction to its outcome now, without waiting for a time-out. A missing vote makes it abort.
    Inquire(TxId),
    /// A message has arrived.
    Receive {
        /// The node that sent it, authenticated by the transport.
        from: NodeId,
        /// The message.
        message: Message,
    },
    /// The time on the caller's clock.
    Tick(Time),
    /// At a transaction manager: wait for the votes on this transaction until this long after it was opened here, instead of
    /// [`Timeouts::recover`](super::Timeouts::recover). Whoever is prepared goes on asking this transaction manager; should it
    /// not answer any more, another one brings the transaction to its end.
    Patience {
        /// A transaction that is open here, and whose outcome is not known.
        tx: TxId,
        /// How long, on the caller's clock.
        patience: u64,
    },
    /// A connection to another node begins. The caller says so before the first message of the connection. Once a node has
    /// met any other, it begins no transaction that names one that it has not met.
    ///
    /// On [`Refusal::OtherBirth`](crate::Refusal::OtherBirth) refuse the connection and raise an alarm: the other node has
    /// lost its storage, or runs twice, and could vote twice. Nothing that comes of its messages leaves this node before the
    /// meeting is durable.
    Met {
        /// The other node, authenticated by the transport.
        node: NodeId,
        /// Its [birth](super::Config::birth), as it says.
        birth: u64,
        /// The epoch that it is in, as it says: [`Node::tag`](super::Node::tag). Two nodes that are in one epoch and do not
        /// agree on its members refuse each other: [`Refusal::OtherMembership`](crate::Refusal::OtherMembership). `None` if
        /// it is in none, or does not say.
        epoch: Option<EpochTag>,
    },
    /// A local resource whose votes are [durable elsewhere](super::ResourceKind) finds this transaction prepared in itself:
    /// after a restart, before anything else, or in a later sweep. The node may have forgotten that it voted, so it votes to
    /// commit, again perhaps, and asks for the outcome. Of what is over here the resource is told the end again. If the
    /// end is not known here any more, or is a commit that the resource has lost, that is counted as a violation.
    Prepared {
        /// The transaction.
        transaction: Transaction,
        /// What it is about.
        meta: Meta,
    },
    /// An operator's last resort: end a transaction that is in doubt here by the operator's word. The resource here
    /// carries `outcome` out. Nobody else hears of it, no history remembers it, and nothing that comes later about the
    /// transaction touches it again: it waits until the transaction is retired. A transaction manager that cannot go on
    /// because another transaction has the name, and where no resource manager is in doubt, gives the transaction up,
    /// whatever the `outcome`.
    ///
    /// It breaks atomicity if the others ended otherwise. Use it only where the protocol cannot help any more, because
    /// one of its assumptions was broken: [`Node::violations`](super::Node::violations) lists such transactions. For
    /// all others [`Inquire`](Self::Inquire) finds the outcome.
    Resolve {
        /// The transaction.
        tx: TxId,
        /// How it is to end here.
        outcome: Outcome,
    },
    /// Give names of this transaction manager's own away, at most this many in a row, from 1 to [`MOST_NAMES`]. The node
    /// reports them with [`Decision::Named`], uses none of them itself, and whoever asked begins transactions of these names by
    /// [`BeginAs`](Self::BeginAs), at any transaction manager.
    ///
    /// A name that is never used leaves a gap, which every node remembers for ever: ask for few.
    Names {
        /// How many.
        count: u64,
    },
    /// An operator's: go to the next epoch, with these members, at an acceptor or transaction manager of the present one.
    ///
    /// The node first asks the members to come whether they are there. Once enough of them are, it proposes the handover.
    /// [`Decision::Changed`] tells how that ended: if another change came first, ask again. There is no taking back after
    /// that, and a membership whose members vanish is as final as any other.
    ///
    /// An id that was a member's once is never one again: a machine that has lost its disk comes back under a new id, which
    /// [joins](super::Node::join).
    Change(Box<Membership>),
}

/// The most names that [`Input::Names`] gives away at once.
pub const MOST_NAMES: u64 = 1024;

/// Names that a transaction manager gives away by [`Decision::Named`], and the epoch in which it does: transactions under these
/// names are [of that epoch](Transaction::in_epoch).
///
/// Once that epoch is over, none of them begins any more: [`Refusal::OldEpoch`](crate::Refusal::OldEpoch). Ask for others then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct GivenNames {
    /// The names.
    pub names: TxRange,
    /// The number of the epoch.
    pub epoch: u64,
}

/// A decision of a node, for its caller.
///
/// See [`Node`](crate::commit::Node) for an example.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Decision {
    /// To the caller: the name given to the [`Input::Begin`] of this step.
    Begun(TxId),
    /// To the local resource: vote on this transaction, by [`Input::Vote`]. It comes again until there is a vote: the
    /// resource may have crashed. A driver that delays decisions must drop it unless the node still
    /// [awaits the vote](super::Node::awaits_vote): the resource may have carried out the outcome by then.
    Vote {
        /// The transaction.
        transaction: Transaction,
        /// What it is about.
        meta: Meta,
    },
    /// To the local resource: commit, then send [`Input::Finished`]. It comes at least once: committing again must be
    /// harmless.
    Commit {
        /// The transaction.
        transaction: Transaction,
        /// What it is about. Empty if this node was never told: it has forgotten a vote that is
        /// [durable elsewhere](super::ResourceKind), and the resource knows the transaction by its name.
        meta: Meta,
    },
    /// To the local resource: abort, then send [`Input::Finished`]. It comes at least once, perhaps for a transaction
    /// on which the resource was never asked to vote. It may come again after that: then a vote to commit came too late,
    /// or twice. What is committed stays committed.
    Abort {
        /// The transaction.
        transaction: Transaction,
        /// What it is about, if this node was told.
        meta: Option<Meta>,
    },
    /// At a transaction manager: the outcome is known, and final.
    ///
    /// If another transaction manager took over, this one may learn that a transaction is over, but not its outcome.
    /// Then this never comes, and [`Node::status`](super::Node::status) reports the transaction as retired. For an
    /// ended transaction, [`Input::BeginAs`] has it come again, if the history still knows the outcome.
    Decided {
        /// The transaction.
        tx: TxId,
        /// How it ended.
        outcome: Outcome,
    },
    /// At a transaction manager: every resource manager has carried out the outcome.
    ///
    /// It precedes the record that retires the transaction, so a caller that carries out effects one by one receives it
    /// at least once. If a batch with that record is written before the batch's decisions are carried out, a crash in
    /// between loses it. Nor does it come if this node hears of the retirement from others, before it knows the
    /// outcome. In both cases [`Node::status`](super::Node::status) reports the transaction as retired.
    Completed {
        /// The transaction.
        tx: TxId,
        /// How it ended.
        outcome: Outcome,
    },
    /// To a local resource whose votes are [durable elsewhere](super::ResourceKind): these transactions are retired, so what
    /// it keeps to remember how they ended may go. It names the whole range around what is newly retired, because a crash
    /// may lose it.
    Forget(TxRange),
    /// To the caller: the names that the [`Input::Names`] of this step was given, as many as were free in a row.
    Named(GivenNames),
    /// To the caller: this node is in this epoch now. The transport takes up the [contacts](Membership::contacts).
    Epoch {
        /// The number of the epoch.
        number: u64,
        /// Its members.
        membership: Box<Membership>,
    },
    /// To the operator: the handover that followed an [`Input::Change`] is over.
    Changed {
        /// The number of the epoch that it led to.
        number: u64,
        /// Whether that has the membership that was asked for. Otherwise another handover came first: ask again.
        is_mine: bool,
    },
}

/// An effect of a node or of a commit role.
///
/// See [`Node`](crate::commit::Node) for an example.
pub type Effect = crate::Effect<Record, Message, Decision>;

/// Where a node or a commit role puts its effects: any sink, as a trait object, so that the roles are compiled once, in
/// this crate.
///
/// See [`Machine`](crate::Machine) for an example.
pub type Sink<'a> = dyn crate::EffectSink<Record, Message, Decision> + 'a;

impl What {
    /// The question for a vote, which is to go to the acceptors that the resource manager chooses.
    pub fn prepare(meta: Meta) -> Self {
        Self::Prepare { meta, acceptors: Places::default() }
    }
}

impl Message {
    /// The message that says `what` about `transaction`.
    pub fn about(transaction: &Transaction, what: What) -> Self {
        Self::About { transaction: transaction.clone(), what }
    }

    /// The message that `range` is over. It does not say how.
    pub fn retired(range: TxRange) -> Self {
        Self::Retired { range, outcomes: Outcomes::default() }
    }

    /// The transaction that this message is about; `None` for a message about a range.
    #[inline]
    pub fn transaction(&self) -> Option<&Transaction> {
        match self {
            Self::About { transaction, .. } => Some(transaction),
            Self::Retired { .. } | Self::RetiredNoted { .. } | Self::Epoch { .. } => None,
        }
    }
}
