//! The resource manager: speaks for the local resource in one transaction.
//!
//! It asks the resource for its vote, writes the vote, proposes it to the acceptors, and hands the outcome over until
//! the resource has carried it out. It must never vote twice, nor abort on its own once it is prepared, nor forget a
//! transaction that it is prepared in.
//!
//! Invariants:
//! 1. its vote is durable before it leaves, and never changes: the initial ballot of its instance has one value, ever;
//! 2. it commits only if it is prepared;
//! 3. its outcome never changes;
//! 4. that it has finished is durable before anyone is told.

use alloc::vec::Vec;

use super::{
    Cluster, Decision, Effect, Learning, Message, Outcome, Part, Record, ResourceManagerRecord, Targets, Transaction,
    Vote, Wait, message::hand_on,
};
use crate::{
    EffectSink, InstanceId, Machine, NodeId, Refusal, RestoreError,
    paxos::{self, Lesson},
};

/// A resource manager's part in one transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceManager {
    cluster: Cluster,
    id: NodeId,
    transaction: Transaction,
    /// Durable.
    vote: Option<Vote>,
    /// Durable once finished; until then it can be learned again.
    outcome: Option<Outcome>,
    /// Durable.
    finished: bool,
    /// Volatile: whether the resource was asked for its vote.
    asked: bool,
    /// Volatile: whether the transaction began here, so that the others may not have heard of it.
    began: bool,
    /// Volatile: the transaction manager to turn to.
    manager: NodeId,
    /// Volatile: how often the present wait was in vain.
    repetitions: u32,
    /// Volatile, and only in Faster mode: one per participant, in their order.
    lessons: Vec<Lesson<Vote>>,
}

/// What goes into a resource manager.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ResourceManagerInput {
    /// From the caller: begin the transaction here.
    Begin,
    /// From the resource: its vote.
    Vote(Vote),
    /// From the resource: the outcome is carried out, durably.
    Finished,
    /// From the caller: get to the outcome now.
    Inquire,
    /// A message has come.
    Receive {
        /// The node that sent it.
        from: NodeId,
        /// What it says.
        message: Message,
    },
    /// It has waited long enough for what [`ResourceManager::wait`] says.
    Timeout,
}

/// The state of a resource manager. *TLA+*: `rmState[rm]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ResourceManagerState {
    /// It has not voted.
    Working,
    /// It has voted to commit, and does not know the outcome: it is *in doubt*.
    Prepared,
    /// It is to commit.
    Committed,
    /// It is to abort.
    Aborted,
}

impl ResourceManager {
    /// The resource manager of node `id` in `transaction`, which has never heard of it. An error if it has no part in it.
    pub fn new(cluster: Cluster, id: NodeId, transaction: Transaction) -> Result<Self, Refusal> {
        if !transaction.has(id) {
            return Err(Refusal::NotAParticipant);
        }
        Ok(Self {
            manager: cluster.first_manager(),
            cluster,
            id,
            transaction,
            vote: None,
            outcome: None,
            finished: false,
            asked: false,
            began: false,
            repetitions: 0,
            lessons: Vec::new(),
        })
    }

    /// The resource manager that wrote `record`. An error if none can have written it.
    pub fn restore(cluster: Cluster, id: NodeId, record: ResourceManagerRecord) -> Result<Self, RestoreError> {
        let ResourceManagerRecord { transaction, vote, finished } = record;
        let tx = transaction.id();
        match (vote, finished) {
            (None | Some(Vote::Aborted), Some(Outcome::Committed)) | (None, None) => {
                return Err(RestoreError::ContradictoryOutcome(tx));
            }
            _ => {}
        }
        let fresh = Self::new(cluster, id, transaction).map_err(|_| RestoreError::NotAParticipant(tx))?;
        // Its own vote to abort settles the outcome.
        let settled = (vote == Some(Vote::Aborted)).then_some(Outcome::Aborted);
        Ok(Self { vote, outcome: finished.or(settled), finished: finished.is_some(), ..fresh })
    }

    /// The transaction.
    pub fn transaction(&self) -> &Transaction {
        &self.transaction
    }

    /// The consensus instance that chooses its vote.
    pub fn instance(&self) -> InstanceId {
        InstanceId { tx: self.transaction.id(), rm: self.id }
    }

    /// All that it must not forget.
    pub fn record(&self) -> ResourceManagerRecord {
        let finished = self.outcome.filter(|_| self.finished);
        ResourceManagerRecord { transaction: self.transaction.clone(), vote: self.vote, finished }
    }

    /// Whether it has anything that it must not forget.
    pub fn has_record(&self) -> bool {
        self.vote.is_some() || self.finished
    }

    /// Its state, in the specification's terms.
    pub fn state(&self) -> ResourceManagerState {
        match (self.vote, self.outcome) {
            (_, Some(Outcome::Committed)) => ResourceManagerState::Committed,
            (_, Some(Outcome::Aborted)) => ResourceManagerState::Aborted,
            (None, None) => ResourceManagerState::Working,
            (Some(_), None) => ResourceManagerState::Prepared,
        }
    }

    /// The outcome, once it is known here.
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    /// Whether the outcome is carried out.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Whether it is prepared and knows no outcome.
    pub fn is_in_doubt(&self) -> bool {
        self.state() == ResourceManagerState::Prepared
    }

    /// What it waits for; nothing while it is working, for then it is its resource's turn.
    pub fn wait(&self) -> Option<Wait> {
        match self.state() {
            ResourceManagerState::Working => None,
            ResourceManagerState::Prepared => Some(Wait::Inquire(self.repetitions)),
            ResourceManagerState::Committed | ResourceManagerState::Aborted => Some(Wait::Repeat(self.repetitions)),
        }
    }

    /// Why a message about this transaction would be refused.
    fn check_message(&self, from: NodeId, message: &Message) -> Result<(), Refusal> {
        match message {
            Message::Prepare { .. } | Message::Outcome { .. } if !self.cluster.is_manager(from) => {
                Err(Refusal::NotAManager)
            }
            Message::Prepare { .. } => Ok(()),
            Message::Outcome { outcome, .. } => self.check_outcome(*outcome),
            Message::Paxos { parts, .. } if self.cluster.learning() == Learning::Everyone => {
                Part::check_bundle(parts, &self.transaction)?;
                Ok(())
            }
            _ => Err(Refusal::NotForThisRole),
        }
    }

    fn check_outcome(&self, outcome: Outcome) -> Result<(), Refusal> {
        match (outcome, self.outcome) {
            (new, Some(known)) if new != known => Err(Refusal::ContradictoryOutcome),
            // An instance that never had a vote to commit cannot have chosen one.
            (Outcome::Committed, None) if self.vote != Some(Vote::Prepared) => Err(Refusal::ContradictoryOutcome),
            _ => Ok(()),
        }
    }

    /// The transaction begins here: the resource votes first, and the transaction manager hears of it with the vote.
    pub(crate) fn begin(&mut self, effects: &mut Vec<Effect>) {
        self.began = true;
        self.ask(effects);
        self.inquire(effects);
    }

    /// Takes a message about this transaction, or says why not.
    pub(crate) fn receive(
        &mut self,
        from: NodeId,
        message: &Message,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        self.check_message(from, message)?;
        match message {
            Message::Prepare { .. } => self.prepare(from, effects),
            Message::Paxos { parts, .. } => {
                self.bundle(from, parts, effects)?;
                self.ask(effects);
            }
            Message::Outcome { outcome, .. } => {
                self.manager = from;
                if self.finished {
                    self.send_finished(effects);
                } else {
                    self.settle(*outcome, effects);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Asks the resource to vote: once, and only while that matters.
    fn ask(&mut self, effects: &mut Vec<Effect>) {
        if self.state() == ResourceManagerState::Working && !self.asked {
            self.asked = true;
            effects.push(Effect::Decide(Decision::Vote(self.transaction.clone())));
        }
    }

    /// A transaction manager asks for the vote. What was voted before is said again, to its benefit.
    fn prepare(&mut self, from: NodeId, effects: &mut Vec<Effect>) {
        self.manager = from;
        match self.vote {
            _ if self.finished => self.send_finished(effects),
            Some(vote) => self.send_vote(vote, Targets::All, effects),
            None => self.ask(effects),
        }
    }

    /// The resource votes. *TLA+*: `RMPrepare`, `RMChooseToAbort`.
    pub(crate) fn vote(&mut self, vote: Vote, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        match (self.vote, self.outcome) {
            (Some(_), _) => return Err(Refusal::AlreadyVoted),
            (None, Some(_)) => return Err(Refusal::AlreadyAborted),
            (None, None) => {}
        }
        self.vote = Some(vote);
        effects.push(Effect::Persist(Record::ResourceManager(self.record())));
        self.send_vote(vote, self.cluster.targets(), effects);
        match vote {
            Vote::Prepared if self.began => self.send_begin(effects),
            Vote::Prepared => {}
            // No ballot can choose anything else for this instance now.
            Vote::Aborted => self.settle(Outcome::Aborted, effects),
        }
        Ok(())
    }

    /// Learns from acceptors. *TLA+*: `RMRcvCommit`, `RMRcvAbort`, with `Decide` done here.
    fn bundle(&mut self, from: NodeId, parts: &[Part], effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        let acceptors = self.cluster.acceptors();
        let acceptor = acceptors.voice(from).ok_or(Refusal::NotAnAcceptor)?;
        let known = self.outcome.is_some();
        let (lessons, transaction) = (&mut self.lessons, &self.transaction);
        Part::any(parts, |part| {
            let paxos::Message::Accepted { ballot, value } = part.message else { return Err(Refusal::NotForThisRole) };
            if known {
                return Ok(());
            }
            if lessons.is_empty() {
                lessons.resize(transaction.participants().len(), Lesson::default());
            }
            match transaction.place(part.rm).and_then(|place| lessons.get_mut(place)) {
                Some(lesson) => lesson.learn(acceptors, acceptor, ballot, value).map(drop),
                None => Ok(()),
            }
        })?;
        if !known
            && let Some(outcome) = Outcome::of(self.lessons.iter().map(|lesson| lesson.chosen().copied()))
            && self.check_outcome(outcome).is_ok()
        {
            self.settle(outcome, effects);
        }
        Ok(())
    }

    /// The outcome is known: hands it over, once more if need be.
    fn settle(&mut self, outcome: Outcome, effects: &mut Vec<Effect>) {
        if self.outcome.is_none() {
            self.outcome = Some(outcome);
            self.repetitions = 0;
            self.lessons = Vec::new();
            self.hand_over(outcome, effects);
        }
    }

    fn hand_over(&self, outcome: Outcome, effects: &mut Vec<Effect>) {
        let tx = self.transaction.id();
        effects.push(Effect::Decide(match outcome {
            Outcome::Committed => Decision::Commit(tx),
            Outcome::Aborted => Decision::Abort(tx),
        }));
    }

    /// The resource has carried the outcome out.
    pub(crate) fn finish(&mut self, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        self.outcome.ok_or(Refusal::NoOutcome)?;
        if !self.finished {
            self.finished = true;
            self.repetitions = 0;
            effects.push(Effect::Persist(Record::ResourceManager(self.record())));
            self.send_finished(effects);
        }
        Ok(())
    }

    /// Why the transaction cannot be over, if it is said to be.
    pub(crate) fn check_retire(&self) -> Result<(), Refusal> {
        let owes = !self.finished && self.vote == Some(Vote::Prepared);
        if owes { Err(Refusal::RetiredUnfinished) } else { Ok(()) }
    }

    /// The transaction is over everywhere, and may be.
    pub(crate) fn retire(&mut self, effects: &mut Vec<Effect>) {
        self.settle(Outcome::Aborted, effects);
    }

    pub(crate) fn timeout(&mut self, effects: &mut Vec<Effect>) {
        match (self.outcome, self.finished) {
            (None, _) => self.inquire(effects),
            (Some(outcome), false) => self.hand_over(outcome, effects),
            (Some(_), true) => {
                // The same transaction manager gets a second chance before the next one is bothered.
                if self.repetitions > 0 {
                    self.manager = self.cluster.manager_after(self.manager);
                }
                self.send_finished(effects);
            }
        }
        self.repetitions = self.repetitions.saturating_add(1);
    }

    /// In doubt: lets all acceptors and the next transaction manager know that it still waits.
    pub(crate) fn inquire(&mut self, effects: &mut Vec<Effect>) {
        let (Some(vote), None) = (self.vote, self.outcome) else { return };
        self.manager = self.cluster.manager_after(self.manager);
        self.send_vote(vote, Targets::All, effects);
        // Nobody else may have been asked yet, and to inquire would be to abort. But when every transaction manager was
        // turned to twice, they may all be full: none has room for what begins, and each for what is to end.
        let patience = self.cluster.managers().len().saturating_mul(2);
        if self.began && (self.repetitions as usize) < patience {
            self.send_begin(effects);
        } else {
            let message = Message::Inquire { transaction: self.transaction.clone() };
            effects.push(Effect::Send { to: self.manager, message });
        }
    }

    fn send_begin(&self, effects: &mut Vec<Effect>) {
        let message = Message::Begin { transaction: self.transaction.clone() };
        effects.push(Effect::Send { to: self.manager, message });
    }

    fn send_vote(&self, vote: Vote, targets: Targets, effects: &mut Vec<Effect>) {
        let acceptors = self.cluster.acceptors();
        let send = |to| {
            let message = Message::Vote { transaction: self.transaction.clone(), vote, manager: self.manager };
            Effect::Send { to, message }
        };
        match targets {
            Targets::All => effects.extend(acceptors.nodes().map(send)),
            Targets::Quorum => {
                let quorum = acceptors.first_accept_quorum(Some(self.manager));
                effects.extend(acceptors.nodes_of(quorum).map(send));
            }
        }
    }

    fn send_finished(&self, effects: &mut Vec<Effect>) {
        if let Some(outcome) = self.outcome {
            let message = Message::Finished { transaction: self.transaction.clone(), outcome };
            effects.push(Effect::Send { to: self.manager, message });
        }
    }
}

impl Machine for ResourceManager {
    type Input = ResourceManagerInput;
    type Record = Record;
    type Message = Message;
    type Decision = Decision;

    fn step_into(
        &mut self,
        input: ResourceManagerInput,
        effects: &mut impl EffectSink<Record, Message, Decision>,
    ) -> Result<(), Refusal> {
        let mut list = Vec::new();
        let result = match input {
            ResourceManagerInput::Vote(vote) => self.vote(vote, &mut list),
            ResourceManagerInput::Finished => self.finish(&mut list),
            ResourceManagerInput::Receive { message, .. } if message.is_about_another(&self.transaction) => {
                Err(Refusal::OtherTransaction)
            }
            ResourceManagerInput::Receive { from, message } => self.receive(from, &message, &mut list),
            ResourceManagerInput::Begin => {
                self.begin(&mut list);
                Ok(())
            }
            ResourceManagerInput::Inquire => {
                self.inquire(&mut list);
                Ok(())
            }
            ResourceManagerInput::Timeout => {
                self.timeout(&mut list);
                Ok(())
            }
        };
        hand_on(list, effects);
        result
    }
}
