//! The real machines of single-decree Paxos in the environment of the specification.
//!
//! One acceptor per instance and acceptor, one proposer per instance and ballot, one learner per instance. Any message
//! that was ever sent may be delivered at any time, any number of times. What proposers and learners gather is not part
//! of a state: a copy of the proposer (or a new learner) is fed the messages of one minimal majority as one step. Each
//! state is taken apart into real machines, which then make the step; nothing of the specification's actions is used.

use synod::{
    Ballot, Effect, Machine,
    commit::Vote,
    paxos::{Acceptor, AcceptorRecord, Input, Learner, Message, Proposer, ProposerRecord},
};

use super::{
    layout::{Rm, State, VOTES},
    mapping::{Broadcast, Mapping, acceptor_node, manager_node, rm_node},
    specification::Specification,
};

type Record = AcceptorRecord<Vote>;

/// What a wrong acceptor does with a request, where it differs from the real one: its state afterwards, and its reply.
pub(crate) type Flaw = fn(&Record, &Message<Vote>) -> Option<(Record, Message<Vote>)>;

pub(crate) struct Machines<'a> {
    spec: &'a Specification,
    mapping: Mapping,
    /// For each instance, the proposers that have asked for promises of ballots 1, 2, ..., and how they asked.
    started: Vec<Vec<(Proposer<Vote>, Message<Vote>)>>,
    flaw: Option<Flaw>,
}

impl<'a> Machines<'a> {
    pub(crate) fn new(spec: &'a Specification, flaw: Option<Flaw>) -> Self {
        let size = spec.layout.size;
        let ballots = (1..size.ballots).map(|bal| Ballot::new(bal as u64, manager_node(bal))).collect();
        let mapping = Mapping::new(spec.layout.clone(), ballots);
        let started = |rm| (1..size.ballots).map(|bal| started(&mapping, rm, bal)).collect();
        let started = (0..size.rms).map(started).collect();
        Self { spec, mapping, started, flaw }
    }

    pub(crate) fn initial<const W: usize>(&self) -> Result<State<W>, String> {
        let mut state = self.spec.initial();
        for (rm, acc) in self.acceptors() {
            let new = Acceptor::new(Some(rm_node(rm)));
            state = self.mapping.layout.with_cell(state, rm, acc, self.mapping.cell(rm, new.record())?);
        }
        Ok(state)
    }

    fn acceptors(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let size = self.spec.layout.size;
        (0..size.rms).flat_map(move |rm| (0..size.acceptors).map(move |acc| (rm, acc)))
    }

    /// Appends what any one step of any machine leads to.
    pub(crate) fn successors<const W: usize>(&self, state: &State<W>, next: &mut Vec<State<W>>) -> Result<(), String> {
        for rm in 0..self.spec.layout.size.rms {
            self.resource_manager(state, rm, next)?;
            for bal in 1..self.spec.layout.size.ballots {
                self.prepare(state, rm, bal, next)?;
                self.propose(state, rm, bal, next)?;
            }
        }
        for (rm, acc) in self.acceptors() {
            for message in self.mapping.requests(state, rm) {
                next.push(self.deliver(state, rm, acc, message)?);
            }
        }
        self.decide(state, next)
    }

    /// The owner of an instance proposes its vote at its initial ballot; and whoever is told of an outcome takes it.
    fn resource_manager<const W: usize>(
        &self,
        state: &State<W>,
        rm: usize,
        next: &mut Vec<State<W>>,
    ) -> Result<(), String> {
        let layout = &self.mapping.layout;
        if layout.rm(state, rm) == Rm::Working {
            for (to, vote) in [(Rm::Prepared, Vote::Prepared), (Rm::Aborted, Vote::Aborted)] {
                let mut owner = Proposer::new(self.mapping.proposer(rm, rm_node(rm)));
                let effects = owner.step(Input::Propose(vote));
                let Some(Broadcast { record: Some(record), message }) = self.mapping.broadcast(&effects)? else {
                    return Err("an owner did not write and send its vote".into());
                };
                if record.initial != Some(vote) {
                    return Err("an owner did not write what it sent".into());
                }
                next.push(layout.with_rm(*state, rm, to).with(self.mapping.request(rm, &message)?));
            }
        }
        for (message, to) in [(layout.commit, Rm::Committed), (layout.abort, Rm::Aborted)] {
            if state.has(message) {
                next.push(layout.with_rm(*state, rm, to));
            }
        }
        Ok(())
    }

    /// The proposer of a ballot asks for promises.
    fn prepare<const W: usize>(
        &self,
        state: &State<W>,
        rm: usize,
        bal: usize,
        next: &mut Vec<State<W>>,
    ) -> Result<(), String> {
        let (_, message) = &self.started[rm][bal - 1];
        next.push(state.with(self.mapping.request(rm, message)?));
        Ok(())
    }

    /// The proposer of a ballot, which has not proposed yet, hears the promises of one majority.
    fn propose<const W: usize>(
        &self,
        state: &State<W>,
        rm: usize,
        bal: usize,
        next: &mut Vec<State<W>>,
    ) -> Result<(), String> {
        let layout = &self.mapping.layout;
        let proposed = VOTES.iter().any(|vote| state.has(layout.two_a(rm, bal, *vote)));
        if proposed || !state.has(layout.one_a(rm, bal)) {
            return Ok(());
        }
        for majority in &self.spec.majorities {
            let (proposer, _) = &self.started[rm][bal - 1];
            self.hear(state, rm, bal, (proposer, majority), next)?;
        }
        Ok(())
    }

    /// The proposer hears what these acceptors have promised, in order.
    fn hear<const W: usize>(
        &self,
        state: &State<W>,
        rm: usize,
        bal: usize,
        (proposer, acceptors): (&Proposer<Vote>, &[usize]),
        next: &mut Vec<State<W>>,
    ) -> Result<(), String> {
        let Some((acc, others)) = acceptors.split_first() else { return Ok(()) };
        for message in self.mapping.promises(state, rm, *acc, bal) {
            let mut proposer = proposer.clone();
            let effects = proposer.step(Input::Receive { from: acceptor_node(*acc), message });
            match (self.mapping.broadcast(&effects)?, others) {
                (None, [_, ..]) => self.hear(state, rm, bal, (&proposer, others), next)?,
                (Some(Broadcast { record: None, message }), []) => {
                    next.push(state.with(self.mapping.request(rm, &message)?))
                }
                _ => return Err("a proposer did not propose exactly when a majority had promised".into()),
            }
        }
        Ok(())
    }

    /// A request reaches an acceptor.
    fn deliver<const W: usize>(
        &self,
        state: &State<W>,
        rm: usize,
        acc: usize,
        message: Message<Vote>,
    ) -> Result<State<W>, String> {
        let layout = &self.mapping.layout;
        let before = self.mapping.record(rm, layout.cell(state, rm, acc));
        let flawed = self.flaw.and_then(|flaw| flaw(&before, &message));
        let (after, reply) = match flawed {
            Some((after, reply)) => (after, Some(reply)),
            None => answer(before, message)?,
        };
        let state = layout.with_cell(*state, rm, acc, self.mapping.cell(rm, &after)?);
        let bit = reply.map_or(Ok(None), |reply| self.mapping.reply(rm, acc, &reply))?;
        Ok(bit.map_or(state, |bit| state.with(bit)))
    }

    /// Whoever hears of a majority of acceptances in one ballot knows what an instance chose.
    fn decide<const W: usize>(&self, state: &State<W>, next: &mut Vec<State<W>>) -> Result<(), String> {
        let mut learned = Vec::with_capacity(self.spec.layout.size.rms);
        for rm in 0..self.spec.layout.size.rms {
            learned.push(learn(self.spec, &self.mapping, state, rm)?);
        }
        if learned.iter().all(|votes| votes.contains(&Vote::Prepared)) {
            next.push(state.with(self.mapping.layout.commit));
        }
        if learned.iter().any(|votes| votes.contains(&Vote::Aborted)) {
            next.push(state.with(self.mapping.layout.abort));
        }
        Ok(())
    }
}

/// The votes that new learners decide on, each fed by one majority.
pub(crate) fn learn<const W: usize>(
    spec: &Specification,
    mapping: &Mapping,
    state: &State<W>,
    rm: usize,
) -> Result<Vec<Vote>, String> {
    let mut learned = Vec::new();
    for bal in 0..spec.layout.size.ballots {
        for value in VOTES {
            let sent = |acc: &usize| state.has(spec.layout.two_b(rm, *acc, bal, value));
            for majority in spec.majorities.iter().filter(|majority| majority.iter().all(sent)) {
                let mut learner = Learner::new(mapping.acceptors.clone());
                let message = Message::Accepted { ballot: mapping.ballot(rm, bal), value };
                let inputs = majority.iter().map(|acc| Input::Receive { from: acceptor_node(*acc), message });
                let effects: Vec<_> = inputs.flat_map(|input| learner.step(input)).collect();
                match effects.as_slice() {
                    [Effect::Decide(vote)] => learned.push(*vote),
                    other => return Err(format!("a learner that heard a majority did {other:?}")),
                }
            }
        }
    }
    Ok(learned)
}

/// What a real acceptor makes of a request: what it knows afterwards, and its reply.
pub(crate) fn answer(before: Record, message: Message<Vote>) -> Result<(Record, Option<Message<Vote>>), String> {
    let mut acceptor = Acceptor::restore(before).map_err(|error| format!("{before:?}: {error}"))?;
    let from = message.ballot().node;
    let effects = acceptor.step(Input::Receive { from, message });
    let (written, reply) = match effects.as_slice() {
        [] => (before, None),
        [Effect::Send { to, message }] if *to == from => (before, Some(*message)),
        [Effect::Persist(record), Effect::Send { to, message }] if *to == from => (*record, Some(*message)),
        other => return Err(format!("an acceptor did {other:?}")),
    };
    if written != *acceptor.record() {
        return Err("an acceptor knows what it did not write".into());
    }
    Ok((written, reply))
}

/// The proposer whose ballot this is, when it has asked for promises, and what it asked.
fn started(mapping: &Mapping, rm: usize, bal: usize) -> (Proposer<Vote>, Message<Vote>) {
    let ballot = mapping.ballot(rm, bal);
    let before = ProposerRecord { round: ballot.round - 1, initial: None };
    let mut proposer = Proposer::restore(mapping.proposer(rm, ballot.node), before).expect("it used no initial ballot");
    let effects = proposer.step(Input::Propose(Vote::Aborted));
    let asked = mapping.broadcast(&effects).expect("it tells every acceptor one thing").expect("it asks");
    assert_eq!(asked.record, Some(ProposerRecord { round: ballot.round, initial: None }), "it writes its round first");
    (proposer, asked.message)
}
