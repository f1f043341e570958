//! Nodes as they are in a state: from what records each is restored, and what their words mean.

use synod::{
    Ballot, Effect, Machine, NodeId,
    commit::{
        self, Config, Ending as RealEnding, Entry, EpochMessage, Fingerprint, Input, Message, Meta, Node, Page, Record,
        ResourceManagerRecord, ResourceManagerState, TxRange, Vote, What,
    },
};

use super::{EPOCH, META, Machines, Step};
use crate::{
    handover::state::{Ending, Status},
    mapping::{manager_node, rm_node},
};

impl Machines<'_> {
    /// What a participant is once it has done this.
    pub(super) fn status(&self, node: &Node, effects: &[commit::Effect], before: Status) -> Step<Status> {
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
    pub(super) fn participant(&self, id: NodeId, status: Status) -> Step<Node> {
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
    pub(super) fn start(&self, round: usize) -> Node {
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

    pub(super) fn newcomer(&self, id: NodeId) -> Node {
        Node::join(Config::new(self.cluster.clone(), id, 7)).0
    }

    /// What a member tells a node that is in no epoch.
    pub(super) fn told_by_a_member(&self, to: NodeId) -> Step<Message> {
        let mut member = self.restore(manager_node(0), vec![self.epoch_record()])?;
        let wants = Message::Epoch { number: None, what: Box::new(EpochMessage::Wanted) };
        let told = member.step(Input::Receive { from: to, message: wants });
        sent(&told, to).cloned().ok_or_else(|| "a newcomer that asks is told nothing".into())
    }

    pub(super) fn restore(&self, id: NodeId, records: Vec<Record>) -> Step<Node> {
        let identity = Record::Identity { cluster: self.cluster.id(), node: id };
        let config = Config::new(self.cluster.clone(), id, 7);
        let mut node = Node::restore(config, [identity].into_iter().chain(records))
            .map_err(|error| format!("{id} cannot be restored: {error}"))?;
        drop(node.step(Input::Tick(commit::Time(0))));
        Ok(node)
    }

    pub(super) fn epoch_record(&self) -> Record {
        let membership = self.cluster.membership().into();
        Record::Epoch { number: EPOCH, membership, former: [].into(), committed: Default::default() }
    }

    /// An ending, as a proposer says it.
    pub(super) fn value(&self, round: usize, ending: Ending) -> Step<RealEnding> {
        let (message, _) = self.proposals.get(&(round, ending)).ok_or("nobody proposed what an acceptor accepted")?;
        let Message::Epoch { what, .. } = message else { return Err("no proposal".into()) };
        let EpochMessage::Accept { membership, page, .. } = &**what else { return Err("no proposal".into()) };
        let (committed, retired) = listed(page);
        let (committed, retired) = (committed.into(), retired.into());
        Ok(RealEnding { membership: (**membership).clone(), committed, retired })
    }

    pub(super) fn ending_of(&self, page: &Page) -> Step<Ending> {
        let (committed, retired) = listed(page);
        self.ending(&committed, &retired)
    }

    /// What an ending says of the transaction.
    pub(super) fn ending(&self, committed: &[Fingerprint], retired: &[TxRange]) -> Step<Ending> {
        let is_committed = committed.contains(&self.transaction.fingerprint());
        let is_retired = retired.iter().any(|range| range.contains(self.transaction.id()));
        match (is_committed, is_retired) {
            (true, true) => Err("an ending says committed and retired".into()),
            (true, false) => Ok(Ending::Committed),
            (false, true) => Ok(Ending::Retired),
            (false, false) => Ok(Ending::Neither),
        }
    }

    pub(super) fn ballot(&self, rm: usize, ballot: usize) -> Ballot {
        match ballot {
            0 => Ballot::initial(rm_node(rm)),
            above => Ballot::new(above as u64, manager_node(0)),
        }
    }

    pub(super) fn number(&self, rm: usize, ballot: Ballot) -> Step<u8> {
        let found = (0..=self.handover.extent.top_ballot).find(|number| self.ballot(rm, *number) == ballot);
        found.map(|number| number as u8).ok_or_else(|| format!("{ballot} is nobody's ballot"))
    }
}

pub(super) fn new_node(acceptor: usize) -> NodeId {
    NodeId(301 + acceptor as u64)
}

pub(super) fn round_ballot(round: usize) -> Ballot {
    Ballot::new(round as u64 + 1, manager_node(round))
}

/// Lets a node wait for what it waits for, once.
pub(super) fn flush(node: &mut Node) -> Vec<commit::Effect> {
    node.deadline().map(|deadline| node.step(Input::Tick(deadline))).unwrap_or_default()
}

/// What is told to `to`.
pub(super) fn sent(effects: &[commit::Effect], to: NodeId) -> Option<&Message> {
    effects.iter().find_map(|effect| match effect {
        Effect::Send { to: told, message: message @ Message::Epoch { what, .. } } if *told == to => {
            matches!(**what, EpochMessage::Told { .. }).then_some(message)
        }
        _ => None,
    })
}

/// The transactions that a page says are committed, and those that it says are over.
fn listed(page: &Page) -> (Vec<Fingerprint>, Vec<TxRange>) {
    let committed = |entry: &Entry| if let Entry::Committed(one) = entry { Some(*one) } else { None };
    let retired = |entry: &Entry| if let Entry::Retired(range) = entry { Some(*range) } else { None };
    (page.entries.iter().filter_map(committed).collect(), page.entries.iter().filter_map(retired).collect())
}
