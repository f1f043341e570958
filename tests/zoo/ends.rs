//! Faults of outcomes, of addresses and of what is over.

use std::collections::{BTreeMap, BTreeSet};

use synod::{
    Ballot, Refusal, TxId,
    commit::{
        Config, Decision, Effect, Input, Message, Node, Outcome, OutcomeBlock, Record, Transaction, TxRange, Vote, What,
    },
    paxos::Message::Accepted,
};

use crate::canary::{Fault, Part, are_answers, changed_input, judge, parts_of};

/// An answer about one transaction counts for another of the same participants, too.
#[derive(Clone, Default)]
pub(crate) struct OtherTransactionsCount {
    heard_of: BTreeMap<TxId, Transaction>,
}

impl Fault for OtherTransactionsCount {
    fn input(&mut self, node: &Node, input: Input) -> Vec<Input> {
        let Input::Receive { from, message } = &input else { return vec![input] };
        let Some(transaction) = message.transaction() else { return vec![input] };
        self.heard_of.insert(transaction.id(), transaction.clone());
        let Message::About { what, .. } = message else { return vec![input] };
        if !parts_of(message).is_some_and(|(_, parts)| are_answers(&parts)) {
            return vec![input];
        }
        let open = node.open_transactions().into_iter().filter_map(|tx| self.heard_of.get(&tx));
        let mut others =
            open.filter(|other| other.id() != transaction.id() && other.participants() == transaction.participants());
        let again =
            others.next().map(|other| Input::Receive { from: *from, message: Message::about(other, what.clone()) });
        [input].into_iter().chain(again).collect()
    }
}

/// A node takes a transaction of a name that it knows for the one that it knows by it.
#[derive(Clone, Default)]
pub(crate) struct NamesakesCount {
    spoken_of: BTreeMap<TxId, Transaction>,
}

impl Fault for NamesakesCount {
    fn input(&mut self, node: &Node, input: Input) -> Vec<Input> {
        let Input::Receive { from, message: Message::About { transaction, what } } = &input else { return vec![input] };
        let tx = transaction.id();
        let open = self.spoken_of.get(&tx).filter(|_| node.open_transactions().contains(&tx));
        open.map_or(vec![input.clone()], |open| {
            vec![Input::Receive { from: *from, message: Message::about(open, what.clone()) }]
        })
    }

    fn effects(&mut self, _node: &Node, _input: &Input, effects: Vec<Effect>) -> Vec<Effect> {
        for effect in &effects {
            if let Effect::Send { message: Message::About { transaction, .. }, .. } = effect {
                self.spoken_of.insert(transaction.id(), transaction.clone());
            }
        }
        effects
    }
}

/// The votes that an acceptor knows are taken for those of all resource managers.
#[derive(Clone, Default)]
pub(crate) struct OneVoteSpeaksForAll;

impl Fault for OneVoteSpeaksForAll {
    fn input(&mut self, _node: &Node, input: Input) -> Vec<Input> {
        changed_input(input, |_, transaction, parts| {
            if let Some(Part { message: Accepted { value, .. }, .. }) = parts.first().copied() {
                let missing = transaction.participants().iter().filter(|rm| parts.iter().all(|part| part.rm != **rm));
                let forged =
                    missing.map(|rm| Part { rm: *rm, message: Accepted { ballot: Ballot::initial(*rm), value } });
                let forged: Vec<Part> = forged.collect();
                parts.extend(forged);
            }
        })
    }
}

/// A client is told of a commit as soon as one acceptor has accepted all votes.
#[derive(Clone, Default)]
pub(crate) struct CommitsToldEarly;

impl Fault for CommitsToldEarly {
    fn effects(&mut self, node: &Node, input: &Input, mut effects: Vec<Effect>) -> Vec<Effect> {
        if let Input::Receive { message, .. } = input
            && let Some((transaction, parts)) = parts_of(message)
            && node.open_transactions().contains(&transaction.id())
        {
            let prepared = |part: &Part| matches!(part.message, Accepted { value: Vote::Prepared, .. });
            if parts.len() == transaction.participants().len() && parts.iter().all(prepared) {
                let (tx, outcome) = (transaction.id(), Outcome::Committed);
                effects.push(Effect::Decide(Decision::Decided { tx, outcome }));
            }
        }
        effects
    }
}

/// A resource manager that has been in doubt for long guesses.
#[derive(Clone, Default)]
pub(crate) struct DoubtEndsInAbort;

impl Fault for DoubtEndsInAbort {
    fn effects(&mut self, node: &Node, input: &Input, mut effects: Vec<Effect>) -> Vec<Effect> {
        if let Input::Tick(_) = input {
            let old = node.in_doubt().into_iter().filter(|doubt| doubt.age > 200);
            effects.extend(
                old.map(|doubt| Effect::Decide(Decision::Abort { transaction: doubt.transaction, meta: None })),
            );
        }
        effects
    }
}

/// Whoever waits turns to the first transaction manager for ever.
#[derive(Clone, Default)]
pub(crate) struct OneManagerForAll;

impl Fault for OneManagerForAll {
    fn effects(&mut self, node: &Node, _input: &Input, mut effects: Vec<Effect>) -> Vec<Effect> {
        let first = node.config().cluster.managers()[0];
        for effect in &mut effects {
            if let Effect::Send { to, message } = effect
                && let Message::About { what: What::Begin { .. } | What::Inquire | What::Finished(_), .. } = message
                && node.config().id != first
            {
                *to = first;
            }
        }
        effects
    }
}

/// What is not expected is not survived.
#[derive(Clone, Default)]
pub(crate) struct SurprisesPanic;

impl Fault for SurprisesPanic {
    fn effects(&mut self, node: &Node, input: &Input, effects: Vec<Effect>) -> Vec<Effect> {
        assert_ne!(judge(node, input), Err(Refusal::OtherBallot), "an answer that nobody asked for");
        effects
    }
}

/// A range of what is over is read as one longer than it is.
#[derive(Clone, Default)]
pub(crate) struct RangesOneTooLong;

impl Fault for RangesOneTooLong {
    fn input(&mut self, _node: &Node, mut input: Input) -> Vec<Input> {
        if let Input::Receive { message: Message::Retired { range, .. }, .. } = &mut input {
            let longer = TxRange::new(range.origin(), range.first().seq, range.last().seq + 1);
            *range = longer.unwrap_or(*range);
        }
        vec![input]
    }
}

/// What another transaction manager says of outcomes is taken for the opposite.
#[derive(Clone, Default)]
pub(crate) struct OutcomesInverted;

impl Fault for OutcomesInverted {
    fn input(&mut self, _node: &Node, mut input: Input) -> Vec<Input> {
        if let Input::Receive { message: Message::Retired { outcomes, .. }, .. } = &mut input {
            let inverted = outcomes.blocks().iter().filter_map(inverted);
            *outcomes = inverted.collect();
        }
        vec![input]
    }
}

/// A restart takes each outcome of its history for the opposite.
#[derive(Clone, Default)]
pub(crate) struct HistoryInverted;

impl Fault for HistoryInverted {
    fn records(_config: &Config, mut records: Vec<Record>) -> Option<Vec<Record>> {
        for record in &mut records {
            if let Record::History { outcomes, .. } = record {
                *outcomes = inverted(outcomes).unwrap_or(*outcomes);
            }
        }
        Some(records)
    }
}

fn inverted(block: &OutcomeBlock) -> Option<OutcomeBlock> {
    let (first, known) = (block.first(), block.known());
    OutcomeBlock::new(first.origin, first.seq / 64, known, known & !block.committed()).ok()
}

/// A fault that swallows messages.
macro_rules! swallows {
    ($(#[doc = $doc:literal] $name:ident: $pattern:pat,)+) => {
        $(
            #[doc = $doc]
            #[derive(Clone, Default)]
            pub(crate) struct $name;

            impl Fault for $name {
                fn input(&mut self, _node: &Node, input: Input) -> Vec<Input> {
                    match &input {
                        Input::Receive { message: $pattern, .. } => Vec::new(),
                        _ => vec![input],
                    }
                }
            }
        )+
    };
}

swallows! {
    /// Nobody listens when told that a transaction is over.
    NothingRetires: Message::Retired { .. },
    /// Nobody listens when acceptors say that they know what is over.
    NothingAcknowledged: Message::RetiredNoted { .. },
    /// Nobody listens to inquiries.
    InquiriesIgnored: Message::About { what: What::Inquire, .. },
}

/// What one participant says of its own end is taken for the outcome, as if a transaction manager had said it.
#[derive(Clone, Default)]
pub(crate) struct OneWordDecides;

impl Fault for OneWordDecides {
    fn input(&mut self, node: &Node, input: Input) -> Vec<Input> {
        let Input::Receive { message: Message::About { transaction, what: What::Finished(outcome) }, .. } = &input
        else {
            return vec![input];
        };
        let other = node.config().cluster.managers().iter().find(|manager| **manager != node.config().id);
        let told = other.map(|other| Input::Receive {
            from: *other,
            message: Message::about(transaction, What::Outcome(*outcome)),
        });
        told.into_iter().chain([input]).collect()
    }
}

/// A vote to commit that comes too late is dropped without a word.
#[derive(Clone, Default)]
pub(crate) struct LateVotesIgnored;

impl Fault for LateVotesIgnored {
    fn effects(&mut self, _node: &Node, input: &Input, mut effects: Vec<Effect>) -> Vec<Effect> {
        if let Input::Vote { vote: Vote::Prepared, .. } = input {
            effects.retain(|effect| !matches!(effect, Effect::Decide(Decision::Abort { .. })));
        }
        effects
    }
}

/// A resource keeps what nobody was promised.
#[derive(Clone, Default)]
pub(crate) struct OrphansKept;

impl Fault for OrphansKept {
    fn lets_go(_held: &BTreeSet<TxId>, _orphans: BTreeSet<TxId>) -> BTreeSet<TxId> {
        BTreeSet::new()
    }
}

/// A resource lets go of what is promised.
#[derive(Clone, Default)]
pub(crate) struct PromisesDroppedAtStart;

impl Fault for PromisesDroppedAtStart {
    fn lets_go(held: &BTreeSet<TxId>, _orphans: BTreeSet<TxId>) -> BTreeSet<TxId> {
        held.clone()
    }
}

/// A transaction manager does not notice whom it has met, and waits for who does not exist.
#[derive(Clone, Default)]
pub(crate) struct GhostsWaitedFor;

impl Fault for GhostsWaitedFor {
    fn input(&mut self, _node: &Node, input: Input) -> Vec<Input> {
        if matches!(input, Input::Met { .. }) { Vec::new() } else { vec![input] }
    }
}
