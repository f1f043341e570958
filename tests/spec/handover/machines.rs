//! Real nodes in the environment of `docs/spec/Handover.tla`, step by step.
//!
//! Each state is taken apart into the records that its nodes would have; a node is restored from them, takes one message that
//! was sent some time, and what it writes is the next state. So every step has a restart before it, and repeated requests are
//! answered again: the world is one with `repeats`.
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

mod acceptors;
mod nodes;

use synod::{
    Effect, Machine, NodeId, Quorums, TxId,
    commit::{
        self, Cluster, ClusterId, ClusterSpec, EpochMessage, Input, Membership, Message, Meta, Node, Outcome, Record,
        Transaction, Vote, What,
    },
    paxos::{self, Proposer, ProposerConfig, ProposerRecord},
};

use self::{
    acceptors::{Event, Held, Memory, Said},
    nodes::{new_node, round_ballot, sent},
};
use super::{
    state::{Acceptor, BALLOTS, Ending, Extent, OLD, Report, Set, State, Status, VOTERS},
    world::Handover,
};
use crate::{
    mapping::{acceptor_node, manager_node, rm_node},
    parts::{Part, together},
    pool::Map,
};

/// The epoch that ends.
const EPOCH: u64 = 1;

const META: [u8; 4] = *b"spec";

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
}
