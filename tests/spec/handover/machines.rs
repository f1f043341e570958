//! Real nodes in the environment of `docs/spec/Handover.tla`, step by step.
//!
//! Each state is taken apart into the records that its nodes would have; a node is restored from them, takes one message that
//! was sent some time, and what it writes is the next state. So every step has a restart before it, and repeated requests are
//! answered anew: the world is one with `repeats`.
//!
//! | specification | here |
//! |---|---|
//! | `status`, `vote` | the resource manager's record, and what the node decides |
//! | `promised`, `accepted` | the acceptor's record, and for ballots that are overtaken the one before |
//! | *Propose* | a `paxos::Proposer`, fed with the promises of a quorum |
//! | `round`, `endorsed` | the record of the handover |
//! | `report` | the pages that come with the promise. With an ending that it has accepted a node says that instead; nobody needs the report then, and it is the specification's |
//! | `ending` | what a proposer asks acceptors to accept when a quorum has promised |
//! | *LearnNew*, *Obey* | the proposer hears of a quorum that accepted, begins the next epoch, and tells a newcomer or a participant; *Obey* also by the outcome that a transaction manager says |
//! | `oldGone` | the same proposer has heard from so many that it says `may_leave` |
//! | *Join* | a newcomer is told of the epoch by a member |
//!
//! The votes of settled participants are at every acceptor that has joined. That all have finished is said by the environment.

use synod::{
    Ballot, Effect, Machine, NodeId, Quorums, TxId,
    commit::{
        self, Cluster, ClusterId, ClusterSpec, Config, Ending as RealEnding, Entry, EpochMessage, Input, Membership,
        Message, Meta, Node, Outcome, Page, Places, Record, ResourceManagerRecord, ResourceManagerState, Transaction,
        TxRange, Vote, Votes, What,
    },
    paxos::{self, AcceptorRecord, Proposer, ProposerConfig, ProposerRecord},
};

use super::{
    state::{Acceptor, BALLOTS, Ending, Extent, OLD, Report, Set, State, Status, VOTERS},
    world::Handover,
};
use crate::{
    mapping::{acceptor_node, manager_node, rm_node},
    parts::{Part, record, together},
    pool::Map,
};

/// The epoch that ends.
const EPOCH: u64 = 1;

const META: [u8; 4] = *b"spec";

/// By voter: the highest ballot that an acceptor accepted, and the vote.
type Held = [Option<(u8, Vote)>; VOTERS];

/// What an old acceptor remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Memory {
    joined: bool,
    retired: bool,
    promised: [u8; VOTERS],
    held: Held,
    round: u8,
    /// The highest round whose ending it accepted, and that ending.
    endorsed: Option<(usize, Ending)>,
}

/// What happens to an old acceptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Event {
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
enum Said {
    Retired,
    Ballots(Held),
    Ending(usize, Ending),
}

/// What a quorum has chosen, and who has told the proposer so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Choice {
    round: usize,
    ending: Ending,
    quorum: Set,
}

/// A node that was wrong says so in words.
type Step<T> = Result<T, String>;

/// What an acceptor remembers after an event, and what it said with its promise of a round.
type Taken = Step<(Memory, Option<Said>)>;

/// The ballots that each old acceptor has accepted, by voter; and by voter and ballot what was voted there.
type Acceptances = ([[Set; VOTERS]; OLD], [[Option<Vote>; BALLOTS]; VOTERS]);

/// What a wrong storage loses of an old acceptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    Freeze,
    Votes,
    Retired,
}

pub(super) struct Machines<'a> {
    handover: &'a Handover,
    flaw: Option<Flaw>,
    cluster: Cluster,
    next: Membership,
    transaction: Transaction,
    /// The proposers of rounds, when they have asked for promises.
    started: Vec<Node>,
    /// What an old acceptor makes of an event, and what it promises if it does.
    acceptors: Map<(usize, Memory, Event), Taken>,
    /// What was promised, as messages.
    promises: Map<(usize, usize, Said), Message>,
    /// What is asked of acceptors in the second phase of a round, and the proposer that asks.
    proposals: Map<(usize, Ending), (Message, Node)>,
    /// The proposer that has heard what is chosen.
    chosen: Map<Choice, Node>,
    /// Whether a node can be told of the next epoch, and what becomes of a participant.
    told: Map<(Choice, NodeId, Status), Step<Status>>,
    may_leave: Map<(Choice, Set), bool>,
    outcomes: Map<Acceptances, Option<Outcome>>,
    obeys: Map<(usize, Status, Outcome), Step<Status>>,
}

impl<'a> Machines<'a> {
    /// Whether there are real nodes for such a world.
    pub(super) fn can_be(extent: &Extent) -> bool {
        extent.repeats && extent.top_round > 0 && extent.new > 0 && extent.newest == 0 && extent.fault.is_none()
    }

    pub(super) fn new(handover: &'a Handover, flaw: Option<Flaw>) -> Self {
        let extent = handover.extent;
        assert!(Self::can_be(&extent), "no world for real nodes: {extent:?}");
        let old = (0..extent.old).map(acceptor_node);
        let acceptors = match extent.flexible {
            false => Quorums::majority(old),
            true => Quorums::flexible(old, extent.old, 1),
        };
        let managers = || handover.rounds().map(manager_node);
        let spec = ClusterSpec::new(ClusterId(*b"of the handover!"), acceptors.expect("old acceptors"), managers());
        let cluster = spec.build().expect("a cluster");
        let new = Quorums::majority((0..extent.new).map(new_node)).expect("new acceptors");
        let next = Membership::new(new, managers());
        let id = TxId { origin: manager_node(0), seq: 1 };
        let transaction = Transaction::new(id, (0..extent.participants()).map(rm_node), META).expect("a transaction");
        let mut machines = Self {
            handover,
            flaw,
            cluster,
            next,
            transaction: transaction.in_epoch(EPOCH),
            started: Vec::new(),
            acceptors: Map::default(),
            promises: Map::default(),
            proposals: Map::default(),
            chosen: Map::default(),
            told: Map::default(),
            may_leave: Map::default(),
            outcomes: Map::default(),
            obeys: Map::default(),
        };
        machines.started = handover.rounds().map(|round| machines.start(round)).collect();
        machines
    }

    /// Appends what any step of any node leads to.
    pub(super) fn successors(&mut self, state: &State, next: &mut Vec<State>) -> Step<()> {
        let extent = self.handover.extent;
        for voter in 0..extent.voters {
            self.vote(state, voter, next)?;
            for ballot in 1..=extent.top_ballot {
                self.propose(state, voter, ballot, next)?;
            }
        }
        if !state.old_gone {
            for acceptor in (0..extent.old).filter(|acceptor| !self.handover.dead[0].has(*acceptor)) {
                for event in self.events(state, acceptor) {
                    self.take(state, acceptor, event, next)?;
                }
            }
        }
        for round in self.handover.rounds() {
            self.propose_ending(state, round, next)?;
        }
        let choices = self.choices(state)?;
        for acceptor in (0..extent.new).filter(|acceptor| !self.handover.dead[1].has(*acceptor)) {
            for choice in &choices {
                self.tell(*choice, new_node(acceptor), Status::Working)?;
                next.push(State { new_knows: state.new_knows.with(acceptor), ..*state });
            }
        }
        if choices.iter().any(|choice| self.may_leave(*choice, state.new_knows)) {
            next.push(State { old_gone: true, ..*state });
        }
        for participant in 0..extent.participants() {
            self.obey(state, participant, &choices, next)?;
        }
        Ok(())
    }

    /// What may happen to an old acceptor.
    fn events(&self, state: &State, acceptor: usize) -> Vec<Event> {
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

    fn take(&mut self, state: &State, acceptor: usize, event: Event, next: &mut Vec<State>) -> Step<()> {
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

    fn memory(&self, state: &State, acceptor: usize) -> Memory {
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
    fn run(&mut self, acceptor: usize, before: Memory, event: Event) -> Step<(Memory, Option<Said>)> {
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
    fn records(&self, memory: Memory) -> Step<Vec<Record>> {
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
    fn learn(&self, record: &Record, memory: &mut Memory) -> Step<()> {
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
                    Ok::<_, String>((round(*at)?, self.ending(&ending.committed, &ending.retired)?))
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
    fn said(&mut self, acceptor: usize, round: usize, effects: &[commit::Effect]) -> Step<Option<Said>> {
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
                        Entry::Ready(range) if range.contains(tx) => {
                            let mut held = Held::default();
                            held[..self.handover.extent.voters].fill(Some((0, Vote::Prepared)));
                            Said::Ballots(held)
                        }
                        Entry::Part(part) if part.tx == tx => {
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

    /// The proposer of a round hears the promises of a quorum.
    fn propose_ending(&mut self, state: &State, round: usize, next: &mut Vec<State>) -> Step<()> {
        if state.ending[round].is_some() {
            return Ok(());
        }
        let told = self.handover.old_where(|acceptor| state.old[acceptor].report[round] != Report::Nothing);
        for quorum in self.handover.read_quorums.clone().into_iter().filter(|quorum| quorum.within(told)) {
            let mut node = self.started[round].clone();
            let mut proposed = Vec::new();
            for acceptor in quorum.iter() {
                let Acceptor { endorsed, report, .. } = state.old[acceptor];
                let lower = Set(endorsed.0 & Set::below(round).0).highest();
                let said = match (lower, report[round]) {
                    (Some(at), _) => Said::Ending(at, state.ending[at].ok_or("an ending that nobody proposed")?),
                    (None, Report::Ballots(ballots)) => {
                        let mut held = Held::default();
                        for voter in 0..self.handover.extent.voters {
                            held[voter] =
                                ballots[voter].and_then(|ballot| Some((ballot, state.value_at(voter, ballot.into())?)));
                        }
                        Said::Ballots(held)
                    }
                    (None, _) => Said::Retired,
                };
                let message = self.promises.get(&(acceptor, round, said));
                let message =
                    message.ok_or_else(|| format!("acceptor {acceptor} never said {said:?} in round {round}"))?;
                let from = acceptor_node(acceptor);
                proposed.extend(node.step(Input::Receive { from, message: message.clone() }));
            }
            let (message, ending) = self.proposal(&proposed)?;
            next.push(*state);
            next.last_mut().expect("it was pushed").ending[round] = Some(ending);
            self.proposals.entry((round, ending)).or_insert((message, node));
        }
        Ok(())
    }

    /// The one thing that a proposer asks of acceptors in its second phase.
    fn proposal(&self, effects: &[commit::Effect]) -> Step<(Message, Ending)> {
        let mut asked = effects.iter().filter_map(|effect| match effect {
            Effect::Send { message: message @ Message::Epoch { what, .. }, .. } => match &**what {
                EpochMessage::Accept { page, membership, .. } => Some((message, page, membership)),
                _ => None,
            },
            _ => None,
        });
        let (message, page, membership) = asked.next().ok_or("a quorum has promised, and nothing is proposed")?;
        if asked.any(|(other, ..)| other != message) {
            return Err("a proposer asks for two endings".into());
        }
        if **membership != self.next {
            return Err("a proposer asks for other members".into());
        }
        Ok((message.clone(), self.ending_of(page)?))
    }

    /// All that is chosen, and by whom.
    fn choices(&mut self, state: &State) -> Step<Vec<Choice>> {
        let mut choices = Vec::new();
        for round in self.handover.rounds() {
            let Some(ending) = state.ending[round] else { continue };
            let by = self.handover.old_where(|acceptor| state.old[acceptor].endorsed.has(round));
            for quorum in self.handover.write_quorums.iter().filter(|quorum| quorum.within(by)) {
                choices.push(Choice { round, ending, quorum: *quorum });
            }
        }
        for choice in &choices {
            if self.chosen.contains_key(choice) {
                continue;
            }
            let (_, node) =
                self.proposals.get(&(choice.round, choice.ending)).ok_or("nobody proposed what is chosen")?;
            let mut node = node.clone();
            for acceptor in choice.quorum.iter() {
                let what = Box::new(EpochMessage::Accepted { ballot: round_ballot(choice.round) });
                let message = Message::Epoch { number: Some(EPOCH), what };
                drop(node.step(Input::Receive { from: acceptor_node(acceptor), message }));
            }
            let epoch = node.epoch().map(|epoch| (epoch.number, epoch.membership));
            if epoch != Some((EPOCH + 1, self.next.clone())) {
                return Err(format!("a quorum has accepted, and its proposer is in {epoch:?}"));
            }
            self.chosen.insert(*choice, node);
        }
        Ok(choices)
    }

    /// The proposer tells a node of the next epoch; a participant, in this state, then knows how the transaction ends.
    fn tell(&mut self, choice: Choice, to: NodeId, status: Status) -> Step<Status> {
        let key = (choice, to, status);
        if !self.told.contains_key(&key) {
            let step = self.run_told(choice, to, status);
            self.told.insert(key, step);
        }
        self.told[&key].clone()
    }

    fn run_told(&self, choice: Choice, to: NodeId, status: Status) -> Step<Status> {
        let from = manager_node(choice.round);
        let is_new = self.next.acceptors.contains(to);
        let mut node = if is_new { self.newcomer(to) } else { self.participant(to, status)? };
        let mut teller = self.chosen[&choice].clone();
        let wants = Message::Epoch { number: (!is_new).then_some(EPOCH), what: Box::new(EpochMessage::Wanted) };
        let told = teller.step(Input::Receive { from: to, message: wants });
        let told = sent(&told, to).ok_or("who asks a proposer for the next epoch is told nothing")?;
        let effects = node.step(Input::Receive { from, message: told.clone() });
        let number = node.epoch().map(|epoch| epoch.number);
        if number != Some(EPOCH + 1) {
            return Err(format!("a node that was told of the next epoch is in {number:?}"));
        }
        if is_new { Ok(status) } else { self.status(&node, &effects, status) }
    }

    fn may_leave(&mut self, choice: Choice, knows: Set) -> bool {
        let (chosen, may_leave) = (&self.chosen, &mut self.may_leave);
        *may_leave.entry((choice, knows)).or_insert_with(|| {
            let mut node = chosen[&choice].clone();
            for acceptor in knows.iter() {
                let message = Message::Epoch { number: Some(EPOCH + 1), what: Box::new(EpochMessage::Noted) };
                drop(node.step(Input::Receive { from: new_node(acceptor), message }));
            }
            node.epoch().is_some_and(|epoch| epoch.may_leave)
        })
    }

    /// A participant votes.
    fn vote(&mut self, state: &State, voter: usize, next: &mut Vec<State>) -> Step<()> {
        if state.status[voter] != Status::Working {
            return Ok(());
        }
        for vote in [Vote::Prepared, Vote::Aborted] {
            let mut node = self.participant(rm_node(voter), Status::Working)?;
            let effects = node.step(Input::Vote { transaction: self.transaction.clone(), vote });
            let written = effects.iter().find_map(|effect| match effect {
                Effect::Persist(Record::ResourceManager(record)) => record.vote,
                _ => None,
            });
            if written != Some(vote) {
                return Err(format!("a participant votes {vote:?} and writes {written:?}"));
            }
            let mut after = *state;
            after.vote[voter] = written;
            after.status[voter] = match vote {
                Vote::Prepared => Status::Prepared,
                Vote::Aborted => Status::Aborted,
            };
            next.push(after);
        }
        Ok(())
    }

    /// A participant hears how the transaction ends: from a transaction manager that has heard of all acceptances, or with the
    /// next epoch.
    fn obey(&mut self, state: &State, participant: usize, choices: &[Choice], next: &mut Vec<State>) -> Step<()> {
        let status = state.status[participant];
        if status.has_finished() {
            return Ok(());
        }
        let mut becomes = |after: Status| {
            next.push(*state);
            next.last_mut().expect("it was pushed").status[participant] = after;
        };
        if let Some(outcome) = self.outcome(state)? {
            let key = (participant, status, outcome);
            if !self.obeys.contains_key(&key) {
                let step = self.run_obey(participant, status, outcome);
                self.obeys.insert(key, step);
            }
            becomes(self.obeys[&key].clone()?);
        }
        for choice in choices.iter().filter(|choice| choice.ending != Ending::Retired) {
            becomes(self.tell(*choice, rm_node(participant), status)?);
        }
        Ok(())
    }

    fn run_obey(&self, participant: usize, status: Status, outcome: Outcome) -> Step<Status> {
        let mut node = self.participant(rm_node(participant), status)?;
        let message = Message::about(&self.transaction, What::Outcome(outcome));
        let effects = node.step(Input::Receive { from: manager_node(0), message });
        self.status(&node, &effects, status)
    }

    /// What a transaction manager says that has heard of all acceptances.
    fn outcome(&mut self, state: &State) -> Step<Option<Outcome>> {
        let extent = self.handover.extent;
        let accepted = state.old.map(|old| old.accepted);
        let mut values = [[None; BALLOTS]; VOTERS];
        for voter in 0..extent.voters {
            for (ballot, value) in values[voter].iter_mut().enumerate().take(extent.top_ballot + 1) {
                let is_held = accepted.iter().any(|accepted| accepted[voter].has(ballot));
                *value = state.value_at(voter, ballot).filter(|_| is_held);
            }
        }
        if let Some(outcome) = self.outcomes.get(&(accepted, values)) {
            return Ok(*outcome);
        }
        let mut node = self.restore(manager_node(0), vec![self.epoch_record(), Record::Sequence { reserved: 64 }])?;
        let mut effects = node.step(Input::BeginAs { transaction: self.transaction.clone(), meta: Meta::from(META) });
        for (acceptor, accepted) in accepted.iter().enumerate().take(extent.old) {
            let settled = (extent.voters..extent.participants()).map(|rm| (rm, 0, Vote::Prepared));
            let voters = (0..extent.voters).flat_map(|rm| {
                let held = accepted[rm];
                held.iter().filter_map(move |ballot| Some((rm, ballot, values[rm][ballot]?)))
            });
            for (rm, ballot, value) in settled.chain(voters.collect::<Vec<_>>()) {
                let message = paxos::Message::Accepted { ballot: self.ballot(rm, ballot), value };
                let what = together(&self.transaction, &[Part { rm, message }]);
                let message = Message::about(&self.transaction, what);
                effects.extend(node.step(Input::Receive { from: acceptor_node(acceptor), message }));
            }
        }
        let mut said = effects.iter().filter_map(|effect| match effect {
            Effect::Send { message: Message::About { what: What::Outcome(outcome), .. }, .. } => Some(*outcome),
            _ => None,
        });
        let outcome = said.next();
        if said.any(|other| Some(other) != outcome) {
            return Err("a transaction manager says two outcomes".into());
        }
        self.outcomes.insert((accepted, values), outcome);
        Ok(outcome)
    }

    /// The proposer of a ballot of an instance hears the promises of a quorum. Whoever has promised more has, in some run with
    /// the same state, first promised that.
    fn propose(&self, state: &State, voter: usize, ballot: usize, next: &mut Vec<State>) -> Step<()> {
        if state.proposal[voter][ballot].is_some() {
            return Ok(());
        }
        let promised = |acceptor: usize| usize::from(state.old[acceptor].promised[voter]) >= ballot;
        let promised = self.handover.old_where(promised);
        for quorum in self.handover.read_quorums.iter().filter(|quorum| quorum.within(promised)) {
            let at = self.ballot(voter, ballot);
            let config = ProposerConfig::new(at.node, self.cluster.acceptors().clone(), [at.node]);
            let before = ProposerRecord { round: at.round - 1, initial: None };
            let mut proposer = Proposer::restore(config.with_owner(rm_node(voter)), before).expect("it used no ballot");
            let mut effects = proposer.step(paxos::Input::Propose(Vote::Aborted));
            for acceptor in quorum.iter() {
                let below = Set(state.old[acceptor].remembers(voter).0 & Set::below(ballot).0);
                let held =
                    below.highest().and_then(|held| Some((self.ballot(voter, held), state.value_at(voter, held)?)));
                let message = paxos::Message::Promise { ballot: at, accepted: held };
                effects.extend(proposer.step(paxos::Input::Receive { from: acceptor_node(acceptor), message }));
            }
            let proposed = effects.iter().find_map(|effect| match effect {
                Effect::Send { message: paxos::Message::Accept { value, .. }, .. } => Some(*value),
                _ => None,
            });
            next.push(*state);
            let value = proposed.ok_or("a quorum has promised, and its proposer proposes nothing")?;
            next.last_mut().expect("it was pushed").proposal[voter][ballot] = Some(value);
        }
        Ok(())
    }

    /// What a participant is once it has done this.
    fn status(&self, node: &Node, effects: &[commit::Effect], before: Status) -> Step<Status> {
        let done = effects.iter().find_map(|effect| match effect {
            Effect::Decide(commit::Decision::Commit { .. }) => Some(Status::Committed),
            Effect::Decide(commit::Decision::Abort { .. }) => Some(Status::Aborted),
            _ => None,
        });
        match (done, before) {
            (Some(done), _) => Ok(done),
            // In the next epoch it cannot vote any more.
            (None, Status::Working) if node.epoch().is_some_and(|epoch| epoch.number > EPOCH) => {
                let vote = Input::Vote { transaction: self.transaction.clone(), vote: Vote::Prepared };
                match node.clone().step_into(vote, &mut Vec::new()) {
                    Err(_) => Ok(Status::Aborted),
                    Ok(()) => Err("a participant votes in an epoch that is over".into()),
                }
            }
            (None, _) => match node.status(self.transaction.id()) {
                commit::Status::Open { state: Some(ResourceManagerState::Aborted), .. } => Ok(Status::Aborted),
                other => Err(format!("a participant that is told how the transaction ends is {other:?}")),
            },
        }
    }

    /// A participant. One that is working was asked for its vote.
    fn participant(&self, id: NodeId, status: Status) -> Step<Node> {
        let (transaction, meta) = (self.transaction.clone(), Meta::from(META));
        let mut records = vec![self.epoch_record()];
        if status == Status::Prepared {
            let (vote, meta) = (Some(Vote::Prepared), Some(meta.clone()));
            let record = ResourceManagerRecord { transaction, meta, vote, finished: None };
            records.push(Record::ResourceManager(record));
        }
        let mut node = self.restore(id, records)?;
        if status == Status::Working {
            let asked = Message::about(&self.transaction, What::prepare(meta));
            drop(node.step(Input::Receive { from: manager_node(0), message: asked }));
        }
        Ok(node)
    }

    /// The proposer of a round: operators want the next membership, all are there, and it has asked for promises.
    fn start(&self, round: usize) -> Node {
        let reserved = Record::Rounds { reserved: round as u64 + 1 };
        let mut node = self.restore(manager_node(round), vec![self.epoch_record(), reserved]).expect("a proposer");
        let mut effects = node.step(Input::Change(self.next.clone().into()));
        for acceptor in self.next.acceptors.nodes() {
            let message = Message::Epoch { number: Some(EPOCH), what: Box::new(EpochMessage::Ready) };
            effects.extend(node.step(Input::Receive { from: acceptor, message }));
        }
        effects.extend(flush(&mut node));
        let asks = |effect: &commit::Effect| {
            matches!(effect, Effect::Send { message: Message::Epoch { what, .. }, .. }
                if **what == EpochMessage::Prepare { ballot: round_ballot(round) })
        };
        assert!(effects.iter().any(asks), "the proposer of round {round} does {effects:?}");
        node
    }

    fn newcomer(&self, id: NodeId) -> Node {
        Node::join(Config::new(self.cluster.clone(), id, 7)).0
    }

    /// What a member tells a node that is in no epoch.
    fn told_by_a_member(&self, to: NodeId) -> Step<Message> {
        let mut member = self.restore(manager_node(0), vec![self.epoch_record()])?;
        let wants = Message::Epoch { number: None, what: Box::new(EpochMessage::Wanted) };
        let told = member.step(Input::Receive { from: to, message: wants });
        sent(&told, to).cloned().ok_or_else(|| "a newcomer that asks is told nothing".into())
    }

    fn restore(&self, id: NodeId, records: Vec<Record>) -> Step<Node> {
        let identity = Record::Identity { cluster: self.cluster.id(), node: id };
        let config = Config::new(self.cluster.clone(), id, 7);
        let mut node = Node::restore(config, [identity].into_iter().chain(records))
            .map_err(|error| format!("{id} cannot be restored: {error}"))?;
        drop(node.step(Input::Tick(commit::Time(0))));
        Ok(node)
    }

    fn epoch_record(&self) -> Record {
        let membership = self.cluster.membership().into();
        Record::Epoch { number: EPOCH, membership, former: [].into(), committed: Default::default() }
    }

    /// An ending, as a proposer says it.
    fn value(&self, round: usize, ending: Ending) -> Step<RealEnding> {
        let (message, _) = self.proposals.get(&(round, ending)).ok_or("nobody proposed what an acceptor accepted")?;
        let Message::Epoch { what, .. } = message else { return Err("no proposal".into()) };
        let EpochMessage::Accept { membership, page, .. } = &**what else { return Err("no proposal".into()) };
        let ranges = |is: fn(&Entry) -> Option<TxRange>| page.entries.iter().filter_map(is).collect();
        let committed = ranges(|entry| if let Entry::Committed(range) = entry { Some(*range) } else { None });
        let retired = ranges(|entry| if let Entry::Retired(range) = entry { Some(*range) } else { None });
        Ok(RealEnding { membership: (**membership).clone(), committed, retired })
    }

    fn ending_of(&self, page: &Page) -> Step<Ending> {
        let ranges = |is: fn(&Entry) -> Option<TxRange>| page.entries.iter().filter_map(is).collect::<Vec<_>>();
        let committed = ranges(|entry| if let Entry::Committed(range) = entry { Some(*range) } else { None });
        let retired = ranges(|entry| if let Entry::Retired(range) = entry { Some(*range) } else { None });
        self.ending(&committed, &retired)
    }

    /// What an ending says of the transaction.
    fn ending(&self, committed: &[TxRange], retired: &[TxRange]) -> Step<Ending> {
        let has = |ranges: &[TxRange]| ranges.iter().any(|range| range.contains(self.transaction.id()));
        match (has(committed), has(retired)) {
            (true, true) => Err("an ending says committed and retired".into()),
            (true, false) => Ok(Ending::Committed),
            (false, true) => Ok(Ending::Retired),
            (false, false) => Ok(Ending::Neither),
        }
    }

    fn ballot(&self, rm: usize, ballot: usize) -> Ballot {
        match ballot {
            0 => Ballot::initial(rm_node(rm)),
            above => Ballot::new(above as u64, manager_node(0)),
        }
    }

    fn number(&self, rm: usize, ballot: Ballot) -> Step<u8> {
        let found = (0..=self.handover.extent.top_ballot).find(|number| self.ballot(rm, *number) == ballot);
        found.map(|number| number as u8).ok_or_else(|| format!("{ballot} is nobody's ballot"))
    }
}

fn new_node(acceptor: usize) -> NodeId {
    NodeId(301 + acceptor as u64)
}

fn round_ballot(round: usize) -> Ballot {
    Ballot::new(round as u64 + 1, manager_node(round))
}

/// Lets a node wait for what it waits for, once.
fn flush(node: &mut Node) -> Vec<commit::Effect> {
    node.deadline().map(|deadline| node.step(Input::Tick(deadline))).unwrap_or_default()
}

/// What is told to `to`.
fn sent(effects: &[commit::Effect], to: NodeId) -> Option<&Message> {
    effects.iter().find_map(|effect| match effect {
        Effect::Send { to: told, message: message @ Message::Epoch { what, .. } } if *told == to => {
            matches!(**what, EpochMessage::Told { .. }).then_some(message)
        }
        _ => None,
    })
}
