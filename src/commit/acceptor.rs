//! The acceptor of a transaction: one [`paxos::Acceptor`] per participant, under one record.
//!
//! It gathers the votes of the initial ballots and accepts them all at once: one write, one bundled answer. Above
//! round 0 it is a plain acceptor, of several instances at a time. It must never take a vote of round 0 from anyone but
//! the resource manager whose vote it is, nor answer before the record is durable.
//!
//! Invariants, beside those of [`paxos::Acceptor`]:
//! 1. a gathered vote is not accepted yet: a crash may lose it, and nobody has been told;
//! 2. votes are gathered only while their instance is at its initial ballot.

use alloc::vec::Vec;

use super::{AcceptorRecord, Cluster, Decision, Effect, Learning, Message, Part, Record, Transaction, Vote, Wait};
use crate::{Ballot, Machine, NodeId, Refusal, RestoreError, paxos};

/// An acceptor's part in one transaction.
#[derive(Clone, Debug)]
pub struct Acceptor {
    cluster: Cluster,
    transaction: Transaction,
    /// One per participant, in their order.
    instances: Vec<Instance>,
    /// Volatile: whom the bundle is for, as the latest vote says.
    manager: NodeId,
    /// Volatile: how often it has inquired.
    inquiries: u32,
}

#[derive(Clone, Debug)]
struct Instance {
    /// Durable.
    paxos: paxos::Acceptor<Vote>,
    /// Volatile: a vote of the initial ballot that is not accepted yet.
    gathered: Option<Vote>,
}

/// What goes into an acceptor of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum AcceptorInput {
    /// A message has come.
    Receive {
        /// The node that sent it.
        from: NodeId,
        /// What it says.
        message: Message,
    },
    /// It has waited long enough for what [`Acceptor::wait`] says.
    Timeout,
}

impl Acceptor {
    /// An acceptor that has never heard of `transaction`.
    pub fn new(cluster: Cluster, transaction: Transaction) -> Self {
        let owners = transaction.participants().iter();
        let instances = owners.map(|rm| Instance::from(paxos::Acceptor::new(Some(*rm)))).collect();
        Self::with(cluster, transaction, instances)
    }

    /// The acceptor that wrote `record`. An error if none can have written it.
    pub fn restore(cluster: Cluster, record: AcceptorRecord) -> Result<Self, RestoreError> {
        let AcceptorRecord { transaction, instances } = record;
        if instances.len() != transaction.participants().len() {
            return Err(RestoreError::WrongInstances(transaction.id()));
        }
        let mut restored = Vec::with_capacity(instances.len());
        for (rm, record) in transaction.participants().iter().zip(instances) {
            let accepted = record.accepted.map(|(ballot, _)| ballot);
            let ballots = [Some(record.promised.ok_or(RestoreError::NotTheOwner)?), accepted];
            if ballots.into_iter().flatten().any(|ballot| ballot.is_initial() && ballot.node != *rm) {
                return Err(RestoreError::NotTheOwner);
            }
            restored.push(Instance::from(paxos::Acceptor::restore(record)?));
        }
        Ok(Self::with(cluster, transaction, restored))
    }

    fn with(cluster: Cluster, transaction: Transaction, instances: Vec<Instance>) -> Self {
        let manager = cluster.first_manager();
        Self { cluster, transaction, instances, manager, inquiries: 0 }
    }

    /// The transaction.
    pub fn transaction(&self) -> &Transaction {
        &self.transaction
    }

    /// All that it must not forget.
    pub fn record(&self) -> AcceptorRecord {
        let instances = self.instances.iter().map(|instance| *instance.paxos.record()).collect();
        AcceptorRecord { transaction: self.transaction.clone(), instances }
    }

    /// Whether it has anything that it must not forget.
    pub fn has_record(&self) -> bool {
        self.instances.iter().any(|instance| {
            instance.paxos.accepted().is_some() || instance.paxos.promised().is_some_and(|ballot| !ballot.is_initial())
        })
    }

    /// What it waits for.
    pub fn wait(&self) -> Wait {
        if self.is_gathering() { Wait::Flush } else { Wait::Inquire(self.inquiries) }
    }

    /// Why `input` would be refused. Of a bundle: why all of it would be. Ballots of a bundle that are too low are
    /// refused with [`paxos::Message::Reject`], all else in silence.
    pub fn check(&self, input: &AcceptorInput) -> Result<(), Refusal> {
        match input {
            AcceptorInput::Receive { from, message } => self.check_message(*from, message),
            AcceptorInput::Timeout => Ok(()),
        }
    }

    pub(crate) fn check_message(&self, from: NodeId, message: &Message) -> Result<(), Refusal> {
        match message {
            Message::Vote { transaction, .. } | Message::Paxos { transaction, .. }
                if *transaction != self.transaction =>
            {
                Err(Refusal::OtherTransaction)
            }
            Message::Vote { vote, manager, .. } => self.check_vote(from, *vote, *manager),
            Message::Paxos { transaction, parts } => {
                if !self.cluster.is_manager(from) {
                    return Err(Refusal::NotAManager);
                }
                Part::check_bundle(parts, transaction)?;
                Part::any(parts, |part| self.check_part(from, part))
            }
            _ => Err(Refusal::NotForThisRole),
        }
    }

    fn check_vote(&self, from: NodeId, vote: Vote, manager: NodeId) -> Result<(), Refusal> {
        let instance = self.instance(from).ok_or(Refusal::NotAParticipant)?;
        if !self.cluster.is_manager(manager) {
            return Err(Refusal::NotAManager);
        }
        if instance.gathered.is_some_and(|gathered| gathered != vote) {
            return Err(Refusal::SecondValue);
        }
        instance.paxos.check(&paxos::Input::Receive { from, message: initial(from, vote) })
    }

    fn check_part(&self, from: NodeId, part: &Part) -> Result<(), Refusal> {
        let instance = self.instance(part.rm).ok_or(Refusal::NotAParticipant)?;
        if part.message.ballot().is_initial() {
            // Votes of the initial ballot come as votes, from their owners.
            return Err(Refusal::NotYourBallot);
        }
        instance.paxos.check(&paxos::Input::Receive { from, message: part.message })
    }

    /// Takes a message, or says why not. A bundle with a stale ballot is refused and answered.
    pub(crate) fn receive(&mut self, from: NodeId, message: Message, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        let checked = self.check_message(from, &message);
        match (message, checked) {
            (Message::Vote { vote, manager, .. }, Ok(())) => self.vote(from, vote, manager, effects),
            (Message::Paxos { parts, .. }, Ok(())) => self.requests(from, parts, effects),
            (Message::Paxos { parts, .. }, Err(Refusal::StaleBallot)) => {
                // None of them changes anything.
                let (rejections, _) = self.answers(from, parts);
                self.reply(from, rejections, effects);
            }
            _ => {}
        }
        checked
    }

    /// Phase 2a of an initial ballot. *TLA+*: `Phase2b`, once the bundle is written.
    fn vote(&mut self, from: NodeId, vote: Vote, manager: NodeId, effects: &mut Vec<Effect>) {
        self.manager = manager;
        let learning = self.cluster.learning();
        let Some(instance) = self.instance_mut(from) else { return };
        if instance.paxos.accepted().is_some() {
            // Again: somebody has not heard the answer.
            match learning {
                Learning::Leader => self.send_bundle(manager, effects),
                Learning::Everyone => self.send_bundle(from, effects),
            }
            return;
        }
        instance.gathered = Some(vote);
        let complete =
            self.instances.iter().all(|instance| instance.gathered.is_some() || instance.paxos.accepted().is_some());
        if complete || vote == Vote::Aborted {
            self.flush(effects);
        }
    }

    /// Phases 1a and 2a of higher ballots, for several instances. *TLA+*: `Phase1b` and `Phase2b`.
    fn requests(&mut self, from: NodeId, parts: Vec<Part>, effects: &mut Vec<Effect>) {
        let unfinished = self.is_gathering();
        self.accept_gathered();
        let (replies, changed) = self.answers(from, parts);
        if changed || unfinished {
            effects.push(Effect::Persist(Record::Acceptor(self.record())));
        }
        if unfinished {
            self.tell(effects);
        }
        self.reply(from, replies, effects);
    }

    /// Takes requests. Returns the answers, and whether any request changed anything.
    fn answers(&mut self, from: NodeId, parts: Vec<Part>) -> (Vec<Part>, bool) {
        let mut changed = false;
        let mut replies = Vec::with_capacity(parts.len());
        for Part { rm, message } in parts {
            let Some(instance) = self.instance_mut(rm) else { continue };
            if let Ok(answer) = instance.paxos.receive(from, message) {
                changed |= answer.changed;
                replies.push(Part { rm, message: answer.reply });
            }
        }
        (replies, changed)
    }

    fn reply(&self, to: NodeId, parts: Vec<Part>, effects: &mut Vec<Effect>) {
        if !parts.is_empty() {
            let message = Message::Paxos { transaction: self.transaction.clone(), parts };
            effects.push(Effect::Send { to, message });
        }
    }

    /// Writes the bundle, such as it is, and sends it; or, with nothing to write, asks what has become of the
    /// transaction.
    pub(crate) fn timeout(&mut self, effects: &mut Vec<Effect>) {
        if self.is_gathering() {
            self.flush(effects);
        } else {
            self.inquire(effects);
        }
    }

    /// Asks a transaction manager, another one each time.
    pub(crate) fn inquire(&mut self, effects: &mut Vec<Effect>) {
        let message = Message::Inquire { transaction: self.transaction.clone() };
        effects.push(Effect::Send { to: self.manager, message });
        self.manager = self.cluster.manager_after(self.manager);
        self.inquiries = self.inquiries.saturating_add(1);
    }

    fn flush(&mut self, effects: &mut Vec<Effect>) {
        self.accept_gathered();
        effects.push(Effect::Persist(Record::Acceptor(self.record())));
        self.tell(effects);
    }

    fn accept_gathered(&mut self) {
        for (rm, instance) in self.transaction.participants().iter().zip(&mut self.instances) {
            if let Some(vote) = instance.gathered.take() {
                let taken = instance.paxos.receive(*rm, initial(*rm, vote));
                debug_assert!(taken.is_ok_and(|answer| answer.changed), "a gathered vote was checked");
            }
        }
    }

    /// Sends the bundle to those who learn from it.
    fn tell(&self, effects: &mut Vec<Effect>) {
        match self.cluster.learning() {
            Learning::Leader => self.send_bundle(self.manager, effects),
            Learning::Everyone => {
                for rm in self.transaction.participants() {
                    self.send_bundle(*rm, effects);
                }
            }
        }
    }

    fn send_bundle(&self, to: NodeId, effects: &mut Vec<Effect>) {
        let instances = self.transaction.participants().iter().zip(&self.instances);
        let mut parts = Vec::with_capacity(self.instances.len());
        parts.extend(instances.filter_map(|(rm, instance)| {
            let (ballot, value) = *instance.paxos.accepted()?;
            Some(Part { rm: *rm, message: paxos::Message::Accepted { ballot, value } })
        }));
        let message = Message::Paxos { transaction: self.transaction.clone(), parts };
        effects.push(Effect::Send { to, message });
    }

    fn is_gathering(&self) -> bool {
        self.instances.iter().any(|instance| instance.gathered.is_some())
    }

    fn instance(&self, rm: NodeId) -> Option<&Instance> {
        self.instances.get(self.transaction.place(rm)?)
    }

    fn instance_mut(&mut self, rm: NodeId) -> Option<&mut Instance> {
        self.instances.get_mut(self.transaction.place(rm)?)
    }
}

impl Machine for Acceptor {
    type Input = AcceptorInput;
    type Record = Record;
    type Message = Message;
    type Decision = Decision;

    fn step_into(&mut self, input: AcceptorInput, effects: &mut Vec<Effect>) {
        match input {
            AcceptorInput::Receive { from, message } => {
                // Why it was refused is for `check` to say.
                let _ = self.receive(from, message, effects);
            }
            AcceptorInput::Timeout => self.timeout(effects),
        }
    }
}

impl From<paxos::Acceptor<Vote>> for Instance {
    fn from(paxos: paxos::Acceptor<Vote>) -> Self {
        Self { paxos, gathered: None }
    }
}

fn initial(rm: NodeId, vote: Vote) -> paxos::Message<Vote> {
    paxos::Message::Accept { ballot: Ballot::initial(rm), value: vote }
}
