//! The acceptor of a transaction: one [`paxos::Acceptor`] per participant, under one record.
//!
//! It gathers the votes of the initial ballots and accepts them all at once: one write, one bundled answer. Above
//! round 0 it is a plain acceptor, of several instances at a time. It must never take a vote of round 0 from anyone but
//! the resource manager whose vote it is, nor answer before the record is durable.
//!
//! Invariants, beside those of [`paxos::Acceptor`]:
//! 1. a gathered vote is not accepted yet: a crash may lose it, and nobody has been told;
//! 2. votes are gathered only while their instance is at its initial ballot.

use alloc::{boxed::Box, vec::Vec};

use super::{
    AcceptorRecord, Cluster, Decision, Effect, Learning, Message, Part, Record, Transaction, Vote, Wait,
    message::hand_on, short::Short,
};
use crate::{Ballot, EffectSink, Machine, NodeId, Refusal, RestoreError, paxos};

/// An acceptor's part in one transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Acceptor {
    cluster: Cluster,
    transaction: Transaction,
    /// One per participant, in their order.
    seats: Short<Seat, 8>,
    /// Durable: one per participant, in their order, if any ballot above an initial one was ever heard of. Those of
    /// seats that are [`Seat::Higher`] count.
    higher: Box<[paxos::AcceptorRecord<Vote>]>,
    /// Volatile: whom the bundle is for, as the latest vote says.
    manager: NodeId,
    /// Volatile: how often it has inquired.
    inquiries: u32,
}

/// The state of one instance. At its initial ballot little is to be said of it, for the ballot is its resource manager's.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
enum Seat {
    /// Nothing has come.
    #[default]
    Blank,
    /// Volatile: a vote of the initial ballot that is not accepted yet.
    Gathered(Vote),
    /// Durable: a vote of the initial ballot.
    Accepted(Vote),
    /// Durable: a higher ballot is promised.
    Higher,
}

const UNHEARD: paxos::AcceptorRecord<Vote> = paxos::AcceptorRecord { promised: None, accepted: None };

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
        let seats = Short::filled(transaction.participants().len());
        let manager = cluster.first_manager();
        Self { cluster, transaction, seats, higher: Box::default(), manager, inquiries: 0 }
    }

    /// The acceptor that wrote `record`. An error if none can have written it.
    pub fn restore(cluster: Cluster, record: AcceptorRecord) -> Result<Self, RestoreError> {
        let AcceptorRecord { transaction, instances } = record;
        if instances.len() != transaction.participants().len() {
            return Err(RestoreError::WrongInstances(transaction.id()));
        }
        let mut acceptor = Self::new(cluster, transaction.clone());
        for (place, (rm, record)) in transaction.participants().iter().zip(instances).enumerate() {
            let accepted = record.accepted.map(|(ballot, _)| ballot);
            let ballots = [Some(record.promised.ok_or(RestoreError::NotTheOwner)?), accepted];
            if ballots.into_iter().flatten().any(|ballot| ballot.is_initial() && ballot.node != *rm) {
                return Err(RestoreError::NotTheOwner);
            }
            acceptor.set(place, &paxos::Acceptor::restore(record)?);
        }
        Ok(acceptor)
    }

    /// The transaction.
    pub fn transaction(&self) -> &Transaction {
        &self.transaction
    }

    /// All that it must not forget.
    pub fn record(&self) -> AcceptorRecord {
        let instances = self.instances().map(|(place, rm)| self.instance(place, rm)).collect();
        AcceptorRecord { transaction: self.transaction.clone(), instances }
    }

    /// Whether it has anything that it must not forget.
    pub fn has_record(&self) -> bool {
        self.seats.iter().any(|seat| matches!(seat, Seat::Accepted(_) | Seat::Higher))
    }

    /// What it waits for.
    pub fn wait(&self) -> Wait {
        if self.is_gathering() { Wait::Flush } else { Wait::Inquire(self.inquiries) }
    }

    /// Why a message about this transaction would be refused.
    fn check_message(&self, from: NodeId, message: &Message) -> Result<(), Refusal> {
        match message {
            Message::Vote { vote, manager, .. } => self.check_vote(from, *vote, *manager).map(drop),
            Message::Paxos { parts, .. } => {
                if !self.cluster.is_manager(from) {
                    return Err(Refusal::NotAManager);
                }
                Part::check_bundle(parts, &self.transaction)?;
                Part::any(parts, |part| self.check_part(from, part))
            }
            _ => Err(Refusal::NotForThisRole),
        }
    }

    /// Why a vote would be refused; if it would not, the place of who votes, and its seat.
    fn check_vote(&self, from: NodeId, vote: Vote, manager: NodeId) -> Result<(usize, Seat), Refusal> {
        let place = self.transaction.place(from).ok_or(Refusal::NotAParticipant)?;
        let seat = self.seats.get(place).copied().ok_or(Refusal::NotAParticipant)?;
        if !self.cluster.is_manager(manager) {
            return Err(Refusal::NotAManager);
        }
        match seat {
            Seat::Gathered(gathered) if gathered != vote => Err(Refusal::SecondValue),
            // Nothing is promised but the initial ballot, and nothing is accepted: a paxos acceptor would take it.
            Seat::Blank | Seat::Gathered(_) => Ok((place, seat)),
            Seat::Accepted(_) | Seat::Higher => {
                let message = paxos::Message::Accept { ballot: Ballot::initial(from), value: vote };
                self.paxos(place, from).receive(from, message)?.verdict()?;
                Ok((place, seat))
            }
        }
    }

    fn check_part(&self, from: NodeId, part: &Part) -> Result<(), Refusal> {
        let place = self.requested(part)?;
        self.paxos(place, part.rm).receive(from, part.message)?.verdict()
    }

    /// The place of the instance that a part of a bundle is a request to. Votes of the initial ballot come as votes, from
    /// their owners.
    fn requested(&self, part: &Part) -> Result<usize, Refusal> {
        let place = self.transaction.place(part.rm).ok_or(Refusal::NotAParticipant)?;
        if part.message.ballot().is_initial() { Err(Refusal::NotYourBallot) } else { Ok(place) }
    }

    /// Takes a message about this transaction, or says why not. A bundle with a stale ballot is refused and answered.
    pub(crate) fn receive(
        &mut self,
        from: NodeId,
        message: &Message,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        if let Message::Vote { vote, manager, .. } = message {
            return self.vote(from, *vote, *manager, effects);
        }
        let checked = self.check_message(from, message);
        match (message, checked) {
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
    fn vote(&mut self, from: NodeId, vote: Vote, manager: NodeId, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        let (place, seat) = self.check_vote(from, vote, manager)?;
        self.manager = manager;
        if matches!(seat, Seat::Accepted(_)) {
            // Again: somebody has not heard the answer.
            match self.cluster.learning() {
                Learning::Leader => self.send_bundle(manager, effects),
                Learning::Everyone => self.send_bundle(from, effects),
            }
            return Ok(());
        }
        self.sit(place, Seat::Gathered(vote));
        if vote == Vote::Aborted || self.has_all_votes() {
            self.flush(effects);
        }
        Ok(())
    }

    /// Phases 1a and 2a of higher ballots, for several instances. *TLA+*: `Phase1b` and `Phase2b`.
    fn requests(&mut self, from: NodeId, parts: &[Part], effects: &mut Vec<Effect>) {
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
    fn answers(&mut self, from: NodeId, parts: &[Part]) -> (Vec<Part>, bool) {
        let mut changed = false;
        let mut replies = Vec::with_capacity(parts.len());
        for part in parts {
            let Ok(place) = self.requested(part) else { continue };
            let Part { rm, message } = *part;
            let mut paxos = self.paxos(place, rm);
            if let Ok(answer) = paxos.receive(from, message) {
                if answer.changed {
                    changed = true;
                    self.set(place, &paxos);
                }
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

    /// They were checked when they came, and no higher ballot was promised since: that would have accepted them.
    fn accept_gathered(&mut self) {
        for seat in self.seats.iter_mut() {
            if let Seat::Gathered(vote) = *seat {
                *seat = Seat::Accepted(vote);
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
        let mut parts = Vec::with_capacity(self.seats.len());
        parts.extend(self.instances().filter_map(|(place, rm)| {
            let (ballot, value) = self.instance(place, rm).accepted?;
            Some(Part { rm, message: paxos::Message::Accepted { ballot, value } })
        }));
        let message = Message::Paxos { transaction: self.transaction.clone(), parts };
        effects.push(Effect::Send { to, message });
    }

    fn is_gathering(&self) -> bool {
        self.seats.iter().any(|seat| matches!(seat, Seat::Gathered(_)))
    }

    /// Whether a vote is gathered or accepted in every instance.
    fn has_all_votes(&self) -> bool {
        self.seats.iter().enumerate().all(|(place, seat)| match seat {
            Seat::Blank => false,
            Seat::Gathered(_) | Seat::Accepted(_) => true,
            Seat::Higher => self.higher.get(place).is_some_and(|record| record.accepted.is_some()),
        })
    }

    /// Every instance: its place, and the resource manager whose vote it chooses.
    fn instances(&self) -> impl ExactSizeIterator<Item = (usize, NodeId)> {
        self.transaction.participants().iter().copied().enumerate()
    }

    /// What the paxos acceptor of an instance must not forget.
    fn instance(&self, place: usize, rm: NodeId) -> paxos::AcceptorRecord<Vote> {
        let initial = Ballot::initial(rm);
        let accepted = match self.seats.get(place) {
            Some(Seat::Higher) => return self.higher.get(place).copied().unwrap_or(UNHEARD),
            Some(Seat::Accepted(vote)) => Some((initial, *vote)),
            Some(Seat::Blank | Seat::Gathered(_)) | None => None,
        };
        paxos::AcceptorRecord { promised: Some(initial), accepted }
    }

    /// The paxos acceptor of an instance.
    fn paxos(&self, place: usize, rm: NodeId) -> paxos::Acceptor<Vote> {
        paxos::Acceptor::resume(self.instance(place, rm))
    }

    /// Takes over the state of the paxos acceptor of an instance.
    fn set(&mut self, place: usize, paxos: &paxos::Acceptor<Vote>) {
        let seat = match (paxos.promised(), paxos.accepted()) {
            (Some(promised), None) if promised.is_initial() => Seat::Blank,
            (Some(promised), Some((_, vote))) if promised.is_initial() => Seat::Accepted(*vote),
            _ => {
                if self.higher.is_empty() {
                    self.higher = alloc::vec![UNHEARD; self.seats.len()].into();
                }
                if let Some(record) = self.higher.get_mut(place) {
                    *record = *paxos.record();
                }
                Seat::Higher
            }
        };
        self.sit(place, seat);
    }

    fn sit(&mut self, place: usize, new: Seat) {
        if let Some(seat) = self.seats.get_mut(place) {
            *seat = new;
        }
    }
}

impl Machine for Acceptor {
    type Input = AcceptorInput;
    type Record = Record;
    type Message = Message;
    type Decision = Decision;

    /// Of a bundle, ballots that are too low are refused with [`paxos::Message::Reject`], all else in silence. A bundle is
    /// refused if all of it is.
    fn step_into(
        &mut self,
        input: AcceptorInput,
        effects: &mut impl EffectSink<Record, Message, Decision>,
    ) -> Result<(), Refusal> {
        let mut list = Vec::new();
        let result = match input {
            AcceptorInput::Receive { message, .. } if message.is_about_another(&self.transaction) => {
                Err(Refusal::OtherTransaction)
            }
            AcceptorInput::Receive { from, message } => self.receive(from, &message, &mut list),
            AcceptorInput::Timeout => {
                self.timeout(&mut list);
                Ok(())
            }
        };
        hand_on(list, effects);
        result
    }
}
