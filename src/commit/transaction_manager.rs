//! The transaction manager: finds out the outcome of one transaction, and sees it through.
//!
//! It asks for votes, learns what the instances chose, tells the resource managers, and waits until all of them have
//! finished. When it has waited too long it takes part itself, as the proposer of a higher ballot: with what was
//! accepted, or to abort where nothing was. Any transaction manager may do so at any time. It must never decide what
//! the acceptors have not chosen, nor call a transaction completed while a resource manager has not finished it.
//!
//! Invariants:
//! 1. its outcome is what the instances chose, or what a resource manager says that it has carried out;
//! 2. its outcome never changes;
//! 3. it uses a round once: its driver hands each one out after it is durably reserved.
//!
//! It writes nothing: a transaction manager that forgets learns again.

use alloc::{boxed::Box, vec::Vec};

use super::{
    Cluster, Decision, Effect, Learning, Message, Outcome, Part, Record, Transaction, Vote, Wait, message::hand_on,
};
use crate::{
    Ballot, EffectSink, Machine, NodeId, Refusal,
    paxos::{self, Attempt, Lesson},
};

/// How far above a ballot the round may be that rejects it. All transactions share a node's rounds: believing in one
/// that nobody can have reached would use them up.
const FARTHEST_ROUND: u64 = 1 << 32;

/// A transaction manager's part in one transaction. All of its state is volatile.
#[derive(Clone, Debug, PartialEq)]
pub struct TransactionManager {
    cluster: Cluster,
    id: NodeId,
    transaction: Transaction,
    /// One per participant, in their order.
    instances: Vec<Instance>,
    outcome: Option<Outcome>,
    completed: bool,
    /// Whether anything came in yet.
    heard: bool,
    /// Whether the transaction began here; otherwise this is to finish what another one began.
    began: bool,
    /// Whether it needs a round, to try a ballot of its own.
    pub(super) wants_round: bool,
    /// Whether it ever tried one.
    recovered: bool,
    /// The highest round that it used or that stood in its way.
    pub(super) highest_round: u64,
    /// How often the present wait was in vain.
    repetitions: u32,
}

#[derive(Clone, Debug, PartialEq)]
struct Instance {
    rm: NodeId,
    lesson: Lesson<Vote>,
    /// The ballot of its own that it is trying.
    attempt: Option<Box<Attempt<Vote>>>,
    /// Whether the resource manager has carried the outcome out.
    finished: bool,
}

/// What goes into a transaction manager.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum TransactionManagerInput {
    /// From a client: commit this transaction.
    Begin,
    /// From the caller: get to the outcome now.
    Inquire,
    /// From its driver: the round that [`TransactionManager::wants_round`] asked for.
    Recover {
        /// A round that this node has not used for this transaction, and never will again.
        round: u64,
    },
    /// A message has come.
    Receive {
        /// The node that sent it.
        from: NodeId,
        /// What it says.
        message: Message,
    },
    /// It has waited long enough for what [`TransactionManager::wait`] says.
    Timeout,
}

impl TransactionManager {
    /// The transaction manager of node `id`, which has never heard of `transaction`.
    pub fn new(cluster: Cluster, id: NodeId, transaction: Transaction) -> Self {
        let instance = |rm: &NodeId| Instance { rm: *rm, lesson: Lesson::default(), attempt: None, finished: false };
        let instances = transaction.participants().iter().map(instance).collect();
        Self {
            cluster,
            id,
            transaction,
            instances,
            outcome: None,
            completed: false,
            heard: false,
            began: false,
            wants_round: false,
            recovered: false,
            highest_round: 0,
            repetitions: 0,
        }
    }

    /// The transaction.
    pub fn transaction(&self) -> &Transaction {
        &self.transaction
    }

    /// The outcome, once it is known here.
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    /// Whether all resource managers have carried the outcome out.
    pub fn is_completed(&self) -> bool {
        self.completed
    }

    /// Asks for a round above the one given, to try a ballot of its own.
    pub fn wants_round(&self) -> Option<u64> {
        self.wants_round.then_some(self.highest_round)
    }

    /// What it waits for.
    pub fn wait(&self) -> Option<Wait> {
        match self.outcome {
            _ if self.completed => None,
            None => Some(Wait::Recover(self.repetitions)),
            Some(_) => Some(Wait::Repeat(self.repetitions)),
        }
    }

    /// Why a message about this transaction would be refused.
    fn check_message(&self, from: NodeId, message: &Message) -> Result<(), Refusal> {
        match message {
            Message::Begin { .. } | Message::Finished { .. } if !self.transaction.has(from) => {
                Err(Refusal::NotAParticipant)
            }
            Message::Inquire { .. } if !self.transaction.has(from) && !self.cluster.acceptors().contains(from) => {
                Err(Refusal::NotAParticipant)
            }
            Message::Outcome { .. } if !self.cluster.is_manager(from) => Err(Refusal::NotAManager),
            Message::Finished { outcome, .. } | Message::Outcome { outcome, .. } => match self.outcome {
                Some(known) if known != *outcome => Err(Refusal::ContradictoryOutcome),
                _ => Ok(()),
            },
            Message::Begin { .. } | Message::Inquire { .. } => Ok(()),
            _ => Err(Refusal::NotForThisRole),
        }
    }

    /// A client begins the transaction here, or says so again.
    pub(crate) fn begin(&mut self, effects: &mut Vec<Effect>) {
        (self.heard, self.began) = (true, true);
        match self.outcome {
            None => self.ask(None, effects),
            Some(outcome) => effects.push(Effect::Decide(self.decided(outcome))),
        }
    }

    /// Takes a message about this transaction, or says why not.
    pub(crate) fn receive(
        &mut self,
        from: NodeId,
        message: &Message,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        match message {
            Message::Paxos { parts, .. } => self.answers(from, parts, effects)?,
            _ => self.check_message(from, message)?,
        }
        let heard = core::mem::replace(&mut self.heard, true);
        self.began |= matches!(message, Message::Begin { .. });
        match message {
            Message::Begin { .. } if self.outcome.is_none() => self.ask(Some(from), effects),
            Message::Begin { .. } => self.tell(from, effects),
            // It knows nothing that it could wait for.
            Message::Inquire { .. } if self.outcome.is_none() => self.wants_round |= !heard,
            // An acceptor has no use for the outcome; it waits for the end.
            Message::Inquire { .. } if self.transaction.has(from) => self.tell(from, effects),
            Message::Outcome { outcome, .. } => self.settle(*outcome, effects),
            Message::Finished { outcome, .. } => self.finished(from, *outcome, effects),
            _ => {}
        }
        Ok(())
    }

    /// Asks for the votes that are not known yet. Whoever began has voted, or is about to.
    fn ask(&self, began: Option<NodeId>, effects: &mut Vec<Effect>) {
        let unknown = self.instances.iter().filter(|instance| instance.lesson.chosen().is_none());
        effects.extend(unknown.filter(|instance| Some(instance.rm) != began).map(|instance| {
            let message = Message::Prepare { transaction: self.transaction.clone() };
            Effect::Send { to: instance.rm, message }
        }));
    }

    /// Tries a ballot of its own in every instance that is undecided. *TLA+*: `Phase1a`, once per instance.
    pub(crate) fn recover(&mut self, round: u64, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        match self.outcome {
            Some(_) => return Err(Refusal::AlreadyDecided),
            None if round <= self.highest_round => return Err(Refusal::StaleBallot),
            None => {}
        }
        let ballot = Ballot::new(round, self.id);
        (self.wants_round, self.recovered, self.highest_round) = (false, true, round);
        let mut parts = Vec::with_capacity(self.instances.len());
        for instance in self.instances.iter_mut().filter(|instance| instance.lesson.chosen().is_none()) {
            instance.attempt = Some(Box::new(Attempt::prepare(ballot)));
            parts.push(Part { rm: instance.rm, message: paxos::Message::Prepare { ballot } });
        }
        self.send_acceptors(parts, effects);
        Ok(())
    }

    /// Acceptors answer. *TLA+*: `Phase2a`, once per instance; `Decide`.
    fn answers(&mut self, from: NodeId, parts: &[Part], effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        Part::check_bundle(parts, &self.transaction)?;
        let acceptors = self.cluster.acceptors();
        let acceptor = acceptors.voice(from).ok_or(Refusal::NotAnAcceptor)?;
        let mut proposals = Vec::new();
        let mut instances = self.instances.iter_mut();
        Part::any(parts, |&Part { rm, message }| {
            // Both are in order of participants.
            let instance = instances.find(|instance| instance.rm == rm).ok_or(Refusal::NotAParticipant)?;
            // An acceptance may be of any ballot; all else answers the ballot that is under way.
            match (message, &mut instance.attempt) {
                (paxos::Message::Accepted { ballot, value }, _) => {
                    instance.lesson.learn(acceptors, acceptor, ballot, value)?;
                }
                (paxos::Message::Promise { ballot, accepted }, Some(attempt)) => {
                    // Where nobody has accepted a vote, none can have been chosen, and aborting is safe.
                    let value = attempt.promise(acceptors, acceptor, ballot, accepted, Some(&Vote::Aborted))?;
                    let proposal = value.map(|value| paxos::Message::Accept { ballot, value });
                    proposals.extend(proposal.map(|message| Part { rm, message }));
                }
                (paxos::Message::Reject { ballot, promised }, attempt) => {
                    if !self.cluster.is_manager(promised.node) {
                        return Err(Refusal::NotAProposer);
                    }
                    if promised.round > ballot.round.saturating_add(FARTHEST_ROUND) {
                        return Err(Refusal::FarBallot);
                    }
                    attempt.as_ref().ok_or(Refusal::OtherBallot)?.check_rejection(ballot, promised)?;
                    self.highest_round = self.highest_round.max(promised.round);
                }
                (_, Some(_)) => return Err(Refusal::NotForThisRole),
                (_, None) => return Err(Refusal::OtherBallot),
            }
            Ok(())
        })?;
        if !proposals.is_empty() {
            self.send_acceptors(proposals, effects);
        }
        if self.outcome.is_none()
            && let Some(outcome) = Outcome::of(self.instances.iter().map(|instance| instance.lesson.chosen().copied()))
        {
            self.settle(outcome, effects);
        }
        Ok(())
    }

    /// A resource manager has carried the outcome out.
    fn finished(&mut self, from: NodeId, outcome: Outcome, effects: &mut Vec<Effect>) {
        if let Some(instance) = self.transaction.place(from).and_then(|place| self.instances.get_mut(place)) {
            instance.finished = true;
        }
        self.settle(outcome, effects);
        if !self.completed && self.instances.iter().all(|instance| instance.finished) {
            self.completed = true;
            // Once more: soon nobody knows any more.
            self.tell_managers(effects);
            effects.push(Effect::Decide(Decision::Completed { tx: self.transaction.id(), outcome }));
        }
    }

    /// The outcome is known. In Faster mode the resource managers learn it by themselves, unless it took a ballot of
    /// this transaction manager to get it.
    fn settle(&mut self, outcome: Outcome, effects: &mut Vec<Effect>) {
        if self.outcome.is_some() {
            return;
        }
        self.outcome = Some(outcome);
        self.wants_round = false;
        self.repetitions = 0;
        effects.push(Effect::Decide(self.decided(outcome)));
        if self.recovered || self.cluster.learning() == Learning::Leader {
            self.tell_unfinished(effects);
        }
        self.tell_managers(effects);
    }

    /// Tells the other transaction managers, if this one has taken over from one of them: somewhere a client may be
    /// waiting.
    fn tell_managers(&self, effects: &mut Vec<Effect>) {
        if self.recovered || !self.began {
            for manager in self.cluster.managers().iter().filter(|manager| **manager != self.id) {
                self.tell(*manager, effects);
            }
        }
    }

    pub(crate) fn timeout(&mut self, effects: &mut Vec<Effect>) {
        self.inquire(effects);
        self.repetitions = self.repetitions.saturating_add(1);
    }

    /// Without an outcome, goes and gets it; with one, says it again to those who have not finished.
    pub(crate) fn inquire(&mut self, effects: &mut Vec<Effect>) {
        self.heard = true;
        match self.outcome {
            None => self.wants_round = true,
            Some(_) => self.tell_unfinished(effects),
        }
    }

    fn tell_unfinished(&self, effects: &mut Vec<Effect>) {
        for instance in self.instances.iter().filter(|instance| !instance.finished) {
            self.tell(instance.rm, effects);
        }
    }

    fn tell(&self, to: NodeId, effects: &mut Vec<Effect>) {
        if let Some(outcome) = self.outcome {
            let message = Message::Outcome { transaction: self.transaction.clone(), outcome };
            effects.push(Effect::Send { to, message });
        }
    }

    fn send_acceptors(&self, parts: Vec<Part>, effects: &mut Vec<Effect>) {
        effects.extend(self.cluster.acceptors().nodes().map(|to| {
            let message = Message::Paxos { transaction: self.transaction.clone(), parts: parts.clone() };
            Effect::Send { to, message }
        }));
    }

    fn decided(&self, outcome: Outcome) -> Decision {
        Decision::Decided { tx: self.transaction.id(), outcome }
    }
}

impl Machine for TransactionManager {
    type Input = TransactionManagerInput;
    type Record = Record;
    type Message = Message;
    type Decision = Decision;

    fn step_into(
        &mut self,
        input: TransactionManagerInput,
        effects: &mut impl EffectSink<Record, Message, Decision>,
    ) -> Result<(), Refusal> {
        let mut list = Vec::new();
        let result = match input {
            TransactionManagerInput::Recover { round } => self.recover(round, &mut list),
            TransactionManagerInput::Receive { message, .. } if message.is_about_another(&self.transaction) => {
                Err(Refusal::OtherTransaction)
            }
            TransactionManagerInput::Receive { from, message } => self.receive(from, &message, &mut list),
            TransactionManagerInput::Begin => {
                self.begin(&mut list);
                Ok(())
            }
            TransactionManagerInput::Inquire => {
                self.inquire(&mut list);
                Ok(())
            }
            TransactionManagerInput::Timeout => {
                self.timeout(&mut list);
                Ok(())
            }
        };
        hand_on(list, effects);
        result
    }
}
