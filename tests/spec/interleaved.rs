//! The same machines, and nothing projected away while they run: proposers and learners take one message at a time, in
//! every order, rejections and late ones among them. For small worlds.

use std::rc::Rc;

use synod::{
    Ballot, Effect, EffectOf, Machine,
    commit::Vote,
    paxos::{Input, Learner, Message, Proposer, ProposerRecord},
};

use super::{
    layout::{Rm, State, VOTES},
    machines::answer,
    mapping::{Broadcast, Mapping, acceptor_node, manager_node},
    pool::{Places, Pool, places},
    specification::Specification,
};

/// A state of the specification, and what it does not have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World<const W: usize> {
    pub(crate) spec: State<W>,
    /// The rejections that were sent, by instance, acceptor, refused and promised ballot.
    rejections: u64,
    /// For each instance the proposers of its ballots, the owner first.
    proposers: Places,
    learners: Places,
}

type Effects = Rc<[EffectOf<Proposer<Vote>>]>;

pub(crate) struct Interleaved<'a> {
    spec: &'a Specification,
    mapping: Mapping,
    proposers: Pool<Proposer<Vote>, Input<Vote>, Effects>,
    learners: Pool<Learner<Vote>, Input<Vote>, ()>,
}

impl<'a> Interleaved<'a> {
    pub(crate) fn new(spec: &'a Specification) -> Self {
        let ballots = (1..spec.layout.size.ballots).map(|bal| Ballot::new(bal as u64, manager_node(bal))).collect();
        let mapping = Mapping::new(spec.layout.clone(), ballots);
        Self { spec, mapping, proposers: Pool::new(), learners: Pool::new() }
    }

    pub(crate) fn initial<const W: usize>(&mut self) -> World<W> {
        let size = self.spec.layout.size;
        let mut proposers = Vec::new();
        for (rm, bal) in (0..size.rms).flat_map(|rm| (0..size.ballots).map(move |bal| (rm, bal))) {
            let ballot = self.mapping.ballot(rm, bal);
            let before = ProposerRecord { round: ballot.round.saturating_sub(1), initial: None };
            let proposer = Proposer::restore(self.mapping.proposer(rm, ballot.node), before);
            proposers.push(self.proposers.number(proposer.expect("it used no initial ballot")));
        }
        let learner = self.learners.number(Learner::new(self.mapping.acceptors.clone()));
        World {
            spec: self.spec.initial(),
            rejections: 0,
            proposers: places(proposers),
            learners: places(vec![learner; size.rms]),
        }
    }

    /// How many states of proposers and of learners were met.
    pub(crate) fn inner_states(&self) -> (usize, usize) {
        (self.proposers.len(), self.learners.len())
    }

    /// Whoever decided was right to.
    pub(crate) fn check<const W: usize>(&self, world: &World<W>) -> Result<(), String> {
        for rm in 0..self.spec.layout.size.rms {
            for vote in self.chosen(world, rm) {
                if self.spec.witnesses(&world.spec, rm, vote) == 0 {
                    return Err(format!("{vote:?} was decided in instance {rm} and is not chosen"));
                }
            }
        }
        Ok(())
    }

    /// What those who know about an instance say.
    fn chosen<const W: usize>(&self, world: &World<W>, rm: usize) -> impl Iterator<Item = Vote> + use<'_, W> {
        let ballots = self.spec.layout.size.ballots;
        let proposers: Vec<u32> = world.proposers[rm * ballots..(rm + 1) * ballots].into();
        let learner = self.learners.get(world.learners[rm]).chosen().copied();
        proposers.into_iter().filter_map(|number| self.proposers.get(number).chosen().copied()).chain(learner)
    }

    pub(crate) fn successors<const W: usize>(
        &mut self,
        world: &World<W>,
        next: &mut Vec<World<W>>,
    ) -> Result<(), String> {
        let size = self.spec.layout.size;
        for rm in 0..size.rms {
            for bal in 0..size.ballots {
                let votes: &[Vote] = if bal == 0 { &VOTES } else { &[Vote::Aborted] };
                if bal > 0 || self.mapping.layout.rm(&world.spec, rm) == Rm::Working {
                    for vote in votes {
                        self.proposer(world, rm, bal, Input::Propose(*vote), next)?;
                    }
                }
            }
            for acc in 0..size.acceptors {
                for request in self.mapping.requests(&world.spec, rm) {
                    self.acceptor(world, rm, acc, request, next)?;
                }
                for message in self.replies(world, rm, acc) {
                    let input = Input::Receive { from: acceptor_node(acc), message };
                    for bal in 0..size.ballots {
                        self.proposer(world, rm, bal, input, next)?;
                    }
                    self.learner(world, rm, input, next);
                }
            }
        }
        self.outcome(world, next);
        Ok(())
    }

    fn proposer<const W: usize>(
        &mut self,
        world: &World<W>,
        rm: usize,
        bal: usize,
        input: Input<Vote>,
        next: &mut Vec<World<W>>,
    ) -> Result<(), String> {
        let place = rm * self.spec.layout.size.ballots + bal;
        let (number, effects) =
            self.proposers.step(world.proposers[place], input, |proposer, input| proposer.step(input).into());
        let mut after = world.clone();
        after.proposers[place] = number;
        if after == *world && effects.is_empty() {
            return Ok(());
        }
        if !matches!(*effects, [Effect::Decide(_)])
            && let Some(Broadcast { record, message }) = self.mapping.broadcast(&effects)?
        {
            after.spec = after.spec.with(self.mapping.request(rm, &message)?);
            after.spec = match record.and_then(|record| record.initial) {
                Some(Vote::Prepared) => self.mapping.layout.with_rm(after.spec, rm, Rm::Prepared),
                Some(Vote::Aborted) => self.mapping.layout.with_rm(after.spec, rm, Rm::Aborted),
                None => after.spec,
            };
        }
        next.push(after);
        Ok(())
    }

    fn acceptor<const W: usize>(
        &self,
        world: &World<W>,
        rm: usize,
        acc: usize,
        request: Message<Vote>,
        next: &mut Vec<World<W>>,
    ) -> Result<(), String> {
        let mut after = world.clone();
        let layout = &self.mapping.layout;
        let (record, reply) = answer(self.mapping.record(rm, layout.cell(&world.spec, rm, acc)), request)?;
        after.spec = layout.with_cell(after.spec, rm, acc, self.mapping.cell(rm, &record)?);
        if let Some(Message::Reject { ballot, promised }) = reply {
            let refused = self.mapping.number(rm, ballot)?;
            after.rejections |= 1 << self.rejection(rm, acc, refused, self.mapping.number(rm, promised)?);
        } else if let Some(reply) = reply
            && let Some(bit) = self.mapping.reply(rm, acc, &reply)?
        {
            after.spec = after.spec.with(bit);
        }
        next.push(after);
        Ok(())
    }

    fn learner<const W: usize>(&mut self, world: &World<W>, rm: usize, input: Input<Vote>, next: &mut Vec<World<W>>) {
        let (number, ()) = self.learners.step(world.learners[rm], input, |learner, input| drop(learner.step(input)));
        let mut after = world.clone();
        after.learners[rm] = number;
        if after != *world {
            next.push(after);
        }
    }

    /// Who knows enough sends the outcome, and who is told of one takes it.
    fn outcome<const W: usize>(&self, world: &World<W>, next: &mut Vec<World<W>>) {
        let layout = &self.mapping.layout;
        let rms = 0..self.spec.layout.size.rms;
        let mut to = |spec| next.push(World { spec, ..world.clone() });
        if rms.clone().all(|rm| self.chosen(world, rm).any(|vote| vote == Vote::Prepared)) {
            to(world.spec.with(layout.commit));
        }
        if rms.clone().any(|rm| self.chosen(world, rm).any(|vote| vote == Vote::Aborted)) {
            to(world.spec.with(layout.abort));
        }
        for rm in rms {
            for (message, state) in [(layout.commit, Rm::Committed), (layout.abort, Rm::Aborted)] {
                if world.spec.has(message) {
                    to(layout.with_rm(world.spec, rm, state));
                }
            }
        }
    }

    /// All that an acceptor said about an instance.
    fn replies<const W: usize>(&self, world: &World<W>, rm: usize, acc: usize) -> Vec<Message<Vote>> {
        let mut replies = self.mapping.replies(&world.spec, rm, acc);
        let ballots = self.spec.layout.size.ballots;
        for (refused, promised) in (0..ballots).flat_map(|bal| (bal + 1..ballots).map(move |above| (bal, above))) {
            if world.rejections >> self.rejection(rm, acc, refused, promised) & 1 == 1 {
                let [ballot, promised] = [refused, promised].map(|bal| self.mapping.ballot(rm, bal));
                replies.push(Message::Reject { ballot, promised });
            }
        }
        replies
    }

    fn rejection(&self, rm: usize, acc: usize, refused: usize, promised: usize) -> usize {
        let size = self.spec.layout.size;
        let bit = ((rm * size.acceptors + acc) * size.ballots + refused) * size.ballots + promised;
        assert!(bit < 64, "the world is too large to be explored without projection");
        bit
    }
}
