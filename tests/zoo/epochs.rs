//! Faults of handovers. Those that only a specification can plant are in `docs/spec/` and `tests/spec/handover/`.

use synod::{
    NodeId, Refusal,
    commit::{
        AcceptorRecord, Config, Effect, Entry, EpochMessage, Fingerprints, Input, Message, Node, Page, Record,
        Transaction, Vote, Votes, What,
    },
};

use crate::canary::Fault;

fn of_epoch(input: &Input) -> Option<(NodeId, Option<u64>, &EpochMessage)> {
    match input {
        Input::Receive { from, message: Message::Epoch { number, what } } => Some((*from, *number, what)),
        _ => None,
    }
}

fn says(from: NodeId, number: Option<u64>, what: EpochMessage) -> Input {
    Input::Receive { from, message: Message::Epoch { number, what: Box::new(what) } }
}

/// The acceptors of the epoch that `node` is in, except `from`.
fn others(node: &Node, from: NodeId) -> Vec<NodeId> {
    node.config().cluster.acceptors().nodes().filter(|acceptor| *acceptor != from).collect()
}

fn blank() -> Page {
    Page { digest: 0, total: 0, first: 0, entries: [].into() }
}

fn page(what: &mut EpochMessage) -> Option<&mut Page> {
    match what {
        EpochMessage::Promise { page, .. } | EpochMessage::Accept { page, .. } | EpochMessage::Told { page, .. } => {
            Some(page)
        }
        _ => None,
    }
}

/// The same input with another page, if it has one.
fn with_page(input: &Input, change: impl FnOnce(&mut Page)) -> Option<Input> {
    let (from, number, what) = of_epoch(input)?;
    let mut what = what.clone();
    change(page(&mut what)?);
    Some(says(from, number, what))
}

/// The first page is taken for all of them.
#[derive(Clone, Default)]
pub(crate) struct FirstPageIsAll;

impl Fault for FirstPageIsAll {
    fn input(&mut self, _node: &Node, input: Input) -> Vec<Input> {
        let all = |page: &mut Page| {
            if page.first == 0 && (page.entries.len() as u64) < page.total {
                *page = Page::alone(page.entries.to_vec());
            }
        };
        vec![with_page(&input, all).unwrap_or(input)]
    }
}

/// A page that comes instead of the next one is taken for it, whatever it is part of.
#[derive(Clone, Default)]
pub(crate) struct PagesMixed {
    entries: Vec<Entry>,
}

impl Fault for PagesMixed {
    fn input(&mut self, _node: &Node, input: Input) -> Vec<Input> {
        let entries = &mut self.entries;
        let mixed = with_page(&input, |page| {
            let first = usize::try_from(page.first).unwrap_or(usize::MAX);
            let next = first + page.entries.len();
            entries.resize(entries.len().max(next), Entry::Peer { node: NodeId(0), birth: 0 });
            entries[first..next].clone_from_slice(&page.entries);
            if page.first > 0 && next as u64 == page.total {
                *page = Page::alone(entries[..next].to_vec());
            }
        });
        vec![mixed.unwrap_or(input)]
    }
}

/// A restart forgets that the acceptor is frozen.
#[derive(Clone, Default)]
pub(crate) struct FreezeForgotten;

impl Fault for FreezeForgotten {
    fn records(_config: &Config, mut records: Vec<Record>) -> Option<Vec<Record>> {
        records.retain(|record| !matches!(record, Record::Handover { .. }));
        Some(records)
    }
}

/// A frozen acceptor takes votes.
#[derive(Clone, Default)]
pub(crate) struct FrozenTakesVotes;

impl Fault for FrozenTakesVotes {
    fn effects(&mut self, _node: &Node, input: &Input, effects: Vec<Effect>) -> Vec<Effect> {
        let is_frozen = effects.iter().any(|effect| {
            let Effect::Send { message: Message::Epoch { what, .. }, .. } = effect else { return false };
            matches!(**what, EpochMessage::Frozen { .. })
        });
        match input {
            Input::Receive { from, message: Message::About { transaction, what: What::Vote { vote, manager } } }
                if is_frozen =>
            {
                accepts(transaction, *from, *vote, *manager)
            }
            _ => effects,
        }
    }

    fn verdict(&self, input: &Input, verdict: Result<(), Refusal>) -> Result<(), Refusal> {
        let is_vote = matches!(input, Input::Receive { message: Message::About { what: What::Vote { .. }, .. }, .. });
        if is_vote && verdict == Err(Refusal::Changing) { Ok(()) } else { verdict }
    }
}

/// What follows when nothing but this vote is accepted.
fn accepts(transaction: &Transaction, from: NodeId, vote: Vote, manager: NodeId) -> Vec<Effect> {
    let place = transaction.participants().iter().position(|rm| *rm == from);
    let votes: Votes = place.map(|place| (place, vote)).into_iter().collect();
    let record = AcceptorRecord { transaction: transaction.clone(), votes: votes.clone(), higher: [].into() };
    let bundle = Message::about(transaction, What::Phase2b { votes, higher: [].into() });
    vec![Effect::Persist(Record::Acceptor(record)), Effect::Send { to: manager, message: bundle }]
}

/// One report counts for all.
#[derive(Clone, Default)]
pub(crate) struct OneReportIsEnough;

impl Fault for OneReportIsEnough {
    fn input(&mut self, node: &Node, input: Input) -> Vec<Input> {
        let Some((from, number, what @ EpochMessage::Promise { .. })) = of_epoch(&input) else { return vec![input] };
        let same = others(node, from).into_iter().map(|from| says(from, number, what.clone())).collect::<Vec<_>>();
        [vec![input.clone()], same].concat()
    }
}

/// An ending is acted on as soon as it is proposed.
#[derive(Clone, Default)]
pub(crate) struct ProposalTakenForChoice;

impl Fault for ProposalTakenForChoice {
    fn input(&mut self, node: &Node, input: Input) -> Vec<Input> {
        let Some((from, number, EpochMessage::Promise { ballot, .. })) = of_epoch(&input) else { return vec![input] };
        let accepted = EpochMessage::Accepted { ballot: *ballot };
        let all = others(node, from).into_iter().chain([from]).map(|from| says(from, number, accepted.clone()));
        [vec![input.clone()], all.collect()].concat()
    }
}

/// An ending that an acceptor has accepted is not looked at.
#[derive(Clone, Default)]
pub(crate) struct AcceptedEndingIgnored;

impl Fault for AcceptedEndingIgnored {
    fn input(&mut self, _node: &Node, input: Input) -> Vec<Input> {
        match of_epoch(&input) {
            Some((from, number, EpochMessage::Promise { ballot, accepted: Some(_), .. })) => {
                vec![says(from, number, EpochMessage::Promise { ballot: *ballot, accepted: None, page: blank() })]
            }
            _ => vec![input],
        }
    }
}

/// An acceptor reports nothing of what it has accepted.
#[derive(Clone, Default)]
pub(crate) struct ReportsNothing;

impl Fault for ReportsNothing {
    fn effects(&mut self, _node: &Node, _input: &Input, mut effects: Vec<Effect>) -> Vec<Effect> {
        for effect in &mut effects {
            if let Effect::Send { message: Message::Epoch { what, .. }, .. } = effect
                && let EpochMessage::Promise { accepted: None, page, .. } = &mut **what
            {
                *page = blank();
            }
        }
        effects
    }
}

/// What is committed of the epochs before is not written with the next one.
#[derive(Clone, Default)]
pub(crate) struct CommittedForgotten;

impl Fault for CommittedForgotten {
    fn effects(&mut self, _node: &Node, _input: &Input, mut effects: Vec<Effect>) -> Vec<Effect> {
        for effect in &mut effects {
            if let Effect::Persist(Record::Epoch { committed, .. }) = effect {
                *committed = Fingerprints::default();
            }
        }
        effects
    }
}

/// Nobody but the node that an operator has asked proposes the end of an epoch.
#[derive(Clone, Default)]
pub(crate) struct NobodyRenews {
    was_asked: bool,
}

impl Fault for NobodyRenews {
    fn effects(&mut self, _node: &Node, input: &Input, mut effects: Vec<Effect>) -> Vec<Effect> {
        self.was_asked |= matches!(input, Input::Change(_));
        let begins = |effect: &Effect| match effect {
            Effect::Send { message: Message::Epoch { what, .. }, .. } => {
                matches!(**what, EpochMessage::Prepare { .. })
            }
            _ => false,
        };
        effects.retain(|effect| self.was_asked || !begins(effect));
        effects
    }
}

/// Whoever is invited says that it is there, also to a node that it does not believe.
#[derive(Clone, Default)]
pub(crate) struct AnybodyIsReady;

impl AnybodyIsReady {
    fn too_early(node: NodeId, input: &Input) -> Option<(NodeId, Option<u64>)> {
        let (from, number, EpochMessage::Invite(membership)) = of_epoch(input)? else { return None };
        membership.is_member(node).then_some((from, number))
    }
}

impl Fault for AnybodyIsReady {
    fn effects(&mut self, node: &Node, input: &Input, effects: Vec<Effect>) -> Vec<Effect> {
        match Self::too_early(node.config().id, input) {
            Some((to, number)) if node.tag().map(|tag| tag.number) < number => {
                let ready = Message::Epoch { number, what: Box::new(EpochMessage::Ready) };
                vec![Effect::Send { to, message: ready }]
            }
            _ => effects,
        }
    }

    fn verdict(&self, input: &Input, verdict: Result<(), Refusal>) -> Result<(), Refusal> {
        let is_invited = matches!(of_epoch(input), Some((.., EpochMessage::Invite(_))));
        let is_early = matches!(verdict, Err(Refusal::NewerEpoch | Refusal::InvitedByStranger));
        if is_invited && is_early { Ok(()) } else { verdict }
    }
}

/// Whoever is behind is told nothing.
#[derive(Clone, Default)]
pub(crate) struct NobodyIsTold;

impl Fault for NobodyIsTold {
    fn effects(&mut self, _node: &Node, _input: &Input, mut effects: Vec<Effect>) -> Vec<Effect> {
        effects.retain(|effect| match effect {
            Effect::Send { message: Message::Epoch { what, .. }, .. } => !matches!(**what, EpochMessage::Told { .. }),
            _ => true,
        });
        effects
    }
}
