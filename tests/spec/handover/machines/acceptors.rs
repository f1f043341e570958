//! Acceptors of the epoch that ends: what happens to each, and what it remembers and says.

use synod::{
    Ballot, Effect, Machine,
    commit::{self, Entry, EpochMessage, Input, Message, Places, Record, TxRange, Vote, Votes, What},
    paxos::AcceptorRecord,
};

use super::{
    EPOCH, Flaw, Machines, Step,
    nodes::{flush, round_ballot},
};
use crate::{
    handover::state::{Acceptor, Ending, Report, State, VOTERS},
    mapping::{acceptor_node, manager_node, rm_node},
    parts::record,
};

/// By voter: the highest ballot that an acceptor accepted, and the vote.
pub(super) type Held = [Option<(u8, Vote)>; VOTERS];

/// What an old acceptor remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Memory {
    pub(super) joined: bool,
    pub(super) retired: bool,
    pub(super) promised: [u8; VOTERS],
    pub(super) held: Held,
    pub(super) round: u8,
    /// The highest round whose ending it accepted, and that ending.
    pub(super) endorsed: Option<(usize, Ending)>,
}

/// What happens to an old acceptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Event {
    Vote(usize, Vote),
    Promise(usize),
    Accept(usize, usize, Vote),
    PromiseRound(usize),
    AcceptEnding(usize, Ending),
    Retire,
    Join,
}

/// What an acceptor said with its promise of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Said {
    Retired,
    Ballots(Held),
    Ending(usize, Ending),
}

impl Machines<'_> {
    /// What may happen to an old acceptor.
    pub(super) fn events(&self, state: &State, acceptor: usize) -> Vec<Event> {
        let extent = self.handover.extent;
        let mut events = vec![Event::Join];
        for voter in 0..extent.voters {
            events.extend(state.vote[voter].map(|vote| Event::Vote(voter, vote)));
            let proposed = |ballot| Some(Event::Accept(voter, ballot, state.proposal[voter][ballot]?));
            events.extend((1..=extent.top_ballot).filter_map(proposed));
        }
        events.extend((1..=extent.top_ballot).map(Event::Promise));
        for round in self.handover.rounds() {
            events.push(Event::PromiseRound(round));
            events.extend(state.ending[round].map(|ending| Event::AcceptEnding(round, ending)));
        }
        if self.handover.finished(state) && state.old[acceptor].joined {
            events.push(Event::Retire);
        }
        events
    }

    pub(super) fn take(&mut self, state: &State, acceptor: usize, event: Event, next: &mut Vec<State>) -> Step<()> {
        let before = self.memory(state, acceptor);
        if before.joined && event == Event::Join {
            return Ok(());
        }
        let key = (acceptor, before, event);
        if !self.acceptors.contains_key(&key) {
            let step = self.run(acceptor, before, event);
            self.acceptors.insert(key, step);
        }
        let (memory, said) = self.acceptors[&key].clone()?;
        let mut after = *state;
        let old = &mut after.old[acceptor];
        (old.joined, old.retired, old.promised, old.round) =
            (memory.joined, memory.retired, memory.promised, memory.round);
        for (accepted, held) in old.accepted.iter_mut().zip(memory.held) {
            *accepted = held.map_or(*accepted, |(ballot, _)| accepted.with(ballot.into()));
        }
        if let Some((round, _)) = memory.endorsed {
            old.endorsed = old.endorsed.with(round);
        }
        if let (Event::PromiseRound(round), Some(said)) = (event, said) {
            match said {
                Said::Retired => old.report[round] = Report::Retired,
                Said::Ballots(held) => old.report[round] = Report::Ballots(held.map(|held| Some(held?.0))),
                // It says what it has accepted in a lower round, and that is all that matters. In this one: nothing new.
                Said::Ending(at, _) if at < round => old.report[round] = self.handover.report(&state.old[acceptor]),
                Said::Ending(..) => {}
            }
        }
        next.push(after);
        Ok(())
    }

    pub(super) fn memory(&self, state: &State, acceptor: usize) -> Memory {
        let Acceptor { promised, accepted, round, endorsed, retired, joined, .. } = state.old[acceptor];
        let mut held = Held::default();
        for (voter, held) in held.iter_mut().enumerate() {
            let highest = accepted[voter].highest();
            *held = highest.and_then(|ballot| Some((ballot as u8, state.value_at(voter, ballot)?)));
        }
        let endorsed = endorsed.highest().and_then(|round| Some((round, state.ending[round]?)));
        Memory { joined, retired, promised, held, round, endorsed }
    }

    /// One real step of an old acceptor.
    pub(super) fn run(&mut self, acceptor: usize, before: Memory, event: Event) -> Step<(Memory, Option<Said>)> {
        let first = manager_node(0);
        let about = |what| Message::about(&self.transaction, what);
        let of_epoch = |what| Message::Epoch { number: Some(EPOCH), what: Box::new(what) };
        let (from, message) = match event {
            Event::Vote(voter, vote) => (rm_node(voter), about(What::Vote { vote, manager: first })),
            Event::Promise(ballot) => {
                let instances = Places::first(self.handover.extent.voters);
                (first, about(What::Phase1a { ballot: self.ballot(0, ballot), instances }))
            }
            Event::Accept(voter, ballot, vote) => {
                let votes = Votes::from_iter([(voter, vote)]);
                (first, about(What::Phase2a { ballot: self.ballot(voter, ballot), votes }))
            }
            Event::PromiseRound(round) => {
                (manager_node(round), of_epoch(EpochMessage::Prepare { ballot: round_ballot(round) }))
            }
            Event::AcceptEnding(round, ending) => {
                let (message, _) = self.proposals.get(&(round, ending)).ok_or("nobody proposed that ending")?;
                (manager_node(round), message.clone())
            }
            Event::Retire => (first, Message::retired(TxRange::only(self.transaction.id()))),
            Event::Join => (first, self.told_by_a_member(acceptor_node(acceptor))?),
        };
        let mut node = self.restore(acceptor_node(acceptor), self.records(before)?)?;
        let mut effects = node.step(Input::Receive { from, message });
        if matches!(event, Event::Vote(..)) && before.round == 0 {
            // It may wait for the votes of others.
            effects.extend(flush(&mut node));
        }
        let mut after = before;
        for effect in &effects {
            if let Effect::Persist(record) = effect {
                self.learn(record, &mut after)?;
            }
        }
        let said = match event {
            Event::PromiseRound(round) => self.said(acceptor, round, &effects)?,
            _ => None,
        };
        Ok((after, said))
    }

    /// The records of an old acceptor that remembers this.
    pub(super) fn records(&self, memory: Memory) -> Step<Vec<Record>> {
        let Memory { joined, retired, promised, held, round, endorsed } = memory;
        let mut records = Vec::new();
        if joined {
            records.push(self.epoch_record());
        }
        let extent = self.handover.extent;
        let instance = |place: usize| {
            let (promised, held) = match place < extent.voters {
                true => (promised[place], held[place]),
                false => (0, Some((0, Vote::Prepared))),
            };
            let accepted = held.map(|(ballot, vote)| (self.ballot(place, ballot.into()), vote));
            AcceptorRecord { promised: Some(self.ballot(place, promised.into())), accepted }
        };
        let is_blank = extent.settled == 0 && promised == [0; VOTERS] && held == Held::default();
        if retired && self.flaw != Some(Flaw::Retired) {
            records.push(Record::Retired(TxRange::only(self.transaction.id())));
        } else if joined && !is_blank && self.flaw != Some(Flaw::Votes) {
            let instances = (0..extent.participants()).map(instance);
            records.push(Record::Acceptor(record(&self.transaction, instances)));
        }
        if round > 0 && self.flaw != Some(Flaw::Freeze) {
            let accepted =
                endorsed.map(|(round, ending)| Ok::<_, String>((round_ballot(round), self.value(round, ending)?)));
            let state =
                AcceptorRecord { promised: Some(round_ballot(round as usize - 1)), accepted: accepted.transpose()? };
            records.push(Record::Handover { epoch: EPOCH, state: state.into() });
        }
        Ok(records)
    }

    /// What an acceptor remembers once it has written this.
    pub(super) fn learn(&self, record: &Record, memory: &mut Memory) -> Step<()> {
        let extent = self.handover.extent;
        match record {
            Record::Acceptor(record) => {
                for voter in 0..extent.voters {
                    let instance = record.instance(voter).ok_or("an instance is missing")?;
                    let number = |ballot: Ballot| self.number(voter, ballot);
                    memory.promised[voter] = instance.promised.map_or(Ok(0), number)?;
                    let held = instance.accepted.map(|(ballot, vote)| Ok::<_, String>((number(ballot)?, vote)));
                    memory.held[voter] = held.transpose()?;
                }
            }
            Record::Handover { epoch: EPOCH, state } => {
                let round = |ballot: Ballot| {
                    let found = self.handover.rounds().find(|round| round_ballot(*round) == ballot);
                    found.ok_or(format!("{ballot} is nobody's round"))
                };
                let promised = state.promised.ok_or("a handover without a promise")?;
                memory.round = round(promised)? as u8 + 1;
                let endorsed = state.accepted.as_ref();
                let endorsed = endorsed.map(|(at, ending)| {
                    Ok::<_, String>((round(*at)?, self.ending(&Vec::from(ending.committed.clone()), &ending.retired)?))
                });
                memory.endorsed = endorsed.transpose()?;
            }
            Record::Retired(range) if range.contains(self.transaction.id()) => memory.retired = true,
            Record::Epoch { number: EPOCH, .. } => memory.joined = true,
            Record::Erased(_) => {}
            other => return Err(format!("an acceptor writes {other:?}")),
        }
        Ok(())
    }

    /// What an acceptor has said with its promise of a round, if it has.
    pub(super) fn said(&mut self, acceptor: usize, round: usize, effects: &[commit::Effect]) -> Step<Option<Said>> {
        let promise = effects.iter().find_map(|effect| match effect {
            Effect::Send { to, message: message @ Message::Epoch { what, .. } } if *to == manager_node(round) => {
                match &**what {
                    EpochMessage::Promise { ballot, accepted, page } => Some((message, *ballot, accepted, page)),
                    _ => None,
                }
            }
            _ => None,
        });
        let Some((message, ballot, accepted, page)) = promise else { return Ok(None) };
        if ballot != round_ballot(round) {
            return Err(format!("a promise of {ballot} for round {round}"));
        }
        let tx = self.transaction.id();
        let said = match accepted {
            Some((at, _)) => {
                let at = self.handover.rounds().find(|round| round_ballot(*round) == *at).ok_or("nobody's round")?;
                Said::Ending(at, self.ending_of(page)?)
            }
            None => {
                let mut said = Said::Ballots(Held::default());
                for entry in &page.entries {
                    said = match entry {
                        Entry::Retired(range) if range.contains(tx) => Said::Retired,
                        Entry::Ready(ready) if *ready == self.transaction.fingerprint() => {
                            let mut held = Held::default();
                            held[..self.handover.extent.voters].fill(Some((0, Vote::Prepared)));
                            Said::Ballots(held)
                        }
                        Entry::Part(part) if part.transaction == self.transaction.fingerprint() => {
                            let mut held = Held::default();
                            for (voter, instance) in part.instances.iter().enumerate().take(self.handover.extent.voters)
                            {
                                let number = |ballot| self.number(voter, ballot);
                                held[voter] = instance
                                    .map(|(ballot, vote)| Ok::<_, String>((number(ballot)?, vote)))
                                    .transpose()?;
                            }
                            Said::Ballots(held)
                        }
                        other => return Err(format!("an acceptor reports {other:?}")),
                    };
                }
                said
            }
        };
        self.promises.insert((acceptor, round, said), message.clone());
        Ok(Some(said))
    }
}
