//! What is not over: open, or in doubt at a database.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use synod::{
    NodeId, Phase, TxId,
    commit::{InDoubt, OpenTransaction, ResourceManagerState, Status, Transaction},
};
use tokio::time::timeout;

use super::{
    kept::Last,
    listed,
    look::{PATIENCE, ask_others, numbers, seconds, word},
    view,
    why::{Around, Case},
};
use crate::run::Process;

/// Of how many open transactions of a node the sentences are made for what is in doubt.
const MOST: usize = 100_000;

type Cases = BTreeMap<TxId, Case>;

impl Case {
    fn of<'a>(cases: &'a mut Cases, transaction: &Transaction) -> &'a mut Self {
        cases.entry(transaction.id()).or_default()
    }

    fn add(&mut self, transaction: &Transaction, age: u64) {
        if self.participants.is_empty() {
            self.participants = numbers(transaction.participants());
        }
        self.age = self.age.max(seconds(age));
    }

    /// What a node of this process says.
    pub(super) fn add_open(&mut self, at: NodeId, each: &OpenTransaction) {
        self.add(&each.transaction, each.age);
        self.add_state(at, each.state, each.outcome.is_some(), Some(seconds(each.age)));
        let waits: BTreeSet<u64> = numbers(&each.waits_for).into_iter().collect();
        match (self.outcome, each.outcome.map(word)) {
            // It says who has not voted, and the outcome is known.
            (Some(_), None) => {}
            (None, Some(outcome)) => (self.outcome, self.waits_for) = (Some(outcome), waits),
            // The one that waits for fewer knows more.
            _ if !waits.is_empty() && (self.waits_for.is_empty() || waits.len() < self.waits_for.len()) => {
                self.waits_for = waits;
            }
            _ => {}
        }
        if let Some(fence) = each.fence {
            self.trouble = Some(format!("node {} is silent about it, because an invariant broke: {fence:?}", at.0));
        }
    }

    /// What another node says.
    pub(super) fn add_status(&mut self, at: NodeId, status: Status) {
        if let Status::Open { state, outcome } = status {
            self.add_state(at, state, outcome.is_some(), None);
        }
    }

    fn add_state(&mut self, at: NodeId, state: Option<ResourceManagerState>, is_decided: bool, age: Option<f64>) {
        match state {
            Some(ResourceManagerState::Prepared) if !is_decided => drop(self.prepared.insert(at.0, age)),
            Some(ResourceManagerState::Working) => drop(self.working.insert(at.0)),
            _ => {}
        }
    }

    fn add_doubt(&mut self, doubt: &view::Doubt) {
        if self.participants.is_empty() {
            self.participants.clone_from(&doubt.participants);
        }
        self.age = self.age.max(doubt.age_seconds);
        self.prepared.insert(doubt.at, Some(doubt.age_seconds));
    }
}

/// What is around all transactions.
pub(super) async fn around(process: &Process) -> Around {
    let mut around = Around::default();
    for slot in process.slots() {
        if let Some(name) = slot.name() {
            around.names.insert(slot.id().0, name);
        }
        if let Some(away) = slot.away_for() {
            around.away.insert(slot.id().0, away.as_secs_f64());
        }
    }
    let mut nodes: BTreeSet<NodeId> = process.config().addresses().map(|(node, _)| node).collect();
    if let Ok(Some(epoch)) = timeout(PATIENCE, process.epoch()).await {
        let members = epoch.membership.members();
        around.members = numbers(&members);
        let acceptors = &epoch.membership.acceptors;
        let is_there = |node: &NodeId| process.is_here(*node) || process.silence(*node).is_none();
        let voices = acceptors.members(acceptors.nodes().filter(is_there));
        around.is_stuck = !acceptors.is_quorum(Phase::Prepare, voices) || !acceptors.is_quorum(Phase::Accept, voices);
        nodes.extend(members);
    }
    let silent = nodes.into_iter().filter(|node| !process.is_here(*node));
    around.silent = silent.filter_map(|node| Some((node.0, process.silence(node)?.as_secs_f64()))).collect();
    around
}

/// What the nodes of this process have open: at most `limit` of each, the oldest first.
async fn open_here(process: &Process, limit: usize, cases: &mut Cases) -> Vec<(NodeId, OpenTransaction)> {
    let mut all = Vec::new();
    for handle in process.handles() {
        let Ok(Ok(listed)) = timeout(PATIENCE, handle.open(limit)).await else { continue };
        for each in listed {
            Case::of(cases, &each.transaction).add_open(handle.node(), &each);
            all.push((handle.node(), each));
        }
        let Ok(Ok(violations)) = timeout(PATIENCE, handle.violations()).await else { continue };
        for each in violations {
            let case = Case::of(cases, &each.transaction);
            case.add(&each.transaction, 0);
            case.trouble = Some(each.reason.to_string());
        }
    }
    all
}

pub(super) async fn open(process: &Process, limit: usize) -> view::Open {
    let mut cases = Cases::new();
    let (all, around) = (open_here(process, limit, &mut cases).await, around(process).await);
    let transactions = all.into_iter().map(|(at, each)| view::OpenTransaction {
        tx: each.transaction.id().to_string(),
        at: at.0,
        participants: numbers(each.transaction.participants()),
        outcome: each.outcome.map(|outcome| word(outcome).to_owned()),
        age_seconds: seconds(each.age),
        waits_for: numbers(&each.waits_for),
        why: cases.get(&each.transaction.id()).map(|case| case.why(&around)).unwrap_or_default(),
        fence: each.fence.map(|fence| format!("{fence:?}")),
    });
    let mut transactions: Vec<_> = transactions.collect();
    transactions.sort_by(|one, other| other.age_seconds.total_cmp(&one.age_seconds));
    transactions.truncate(limit);
    view::Open { transactions }
}

fn doubts(at: NodeId, listed: Vec<InDoubt>) -> impl Iterator<Item = view::Doubt> {
    listed.into_iter().map(move |each| view::Doubt {
        tx: each.transaction.id().to_string(),
        at: at.0,
        participants: numbers(each.transaction.participants()),
        age_seconds: seconds(each.age),
        why: String::new(),
    })
}

/// What is in doubt at the agents of this process.
async fn in_doubt_here(process: &Process) -> view::InDoubt {
    let (mut transactions, mut silent) = (Vec::new(), Vec::new());
    for handle in process.handles() {
        if let Ok(Ok(listed)) = timeout(PATIENCE, handle.in_doubt()).await {
            transactions.extend(doubts(handle.node(), listed));
        }
    }
    for slot in process.slots().iter().filter(|slot| slot.handle().is_none()) {
        let why = slot.away().unwrap_or_else(|| "it has not started".into());
        silent.push(view::Silent { node: slot.id().0, address: slot.config.listen.to_string(), why });
    }
    view::InDoubt { transactions, silent }
}

/// What is in doubt at the agents of other processes.
async fn in_doubt_elsewhere(process: &Process) -> view::InDoubt {
    // Only agents have what can be in doubt.
    let is_agent = |node: &NodeId| process.config().agents.contains_key(node);
    let others = process.others().await.into_iter().filter(|(node, _)| is_agent(node)).collect();
    let (answers, silent) = ask_others(process, others, |client| async move { client.in_doubt().await }).await;
    let transactions = answers.into_iter().flat_map(|(node, listed)| doubts(node, listed)).collect();
    view::InDoubt { transactions, silent }
}

pub(super) async fn in_doubt(process: &Process) -> view::InDoubt {
    let mut all = in_doubt_here(process).await;
    let elsewhere = in_doubt_elsewhere(process).await;
    all.transactions.extend(elsewhere.transactions);
    all.silent.splice(0..0, elsewhere.silent);
    if !all.transactions.is_empty() {
        let mut cases = Cases::new();
        open_here(process, MOST, &mut cases).await;
        all.transactions.iter().for_each(|doubt| add_doubt(&mut cases, doubt));
        let around = around(process).await;
        for doubt in &mut all.transactions {
            let case = doubt.tx.parse().ok().and_then(|tx: TxId| cases.get(&tx));
            doubt.why = case.map(|case| case.why(&around)).unwrap_or_default();
        }
    }
    all.transactions.sort_by(|one, other| other.age_seconds.total_cmp(&one.age_seconds));
    all
}

fn add_doubt(cases: &mut Cases, doubt: &view::Doubt) {
    if let Ok(tx) = doubt.tx.parse() {
        cases.entry(tx).or_default().add_doubt(doubt);
    }
}

/// All that is not over, as one list for people. It takes no longer when others do not answer: then it has what they
/// answered last.
pub(crate) async fn waiting(process: &Arc<Process>, limit: usize) -> view::Waiting {
    let mut cases = Cases::new();
    let mut open = 0;
    for handle in process.handles() {
        if let Ok(Ok(metrics)) = timeout(PATIENCE, handle.metrics()).await {
            open = open.max(metrics.open);
        }
    }
    // The oldest of one node may not be among the oldest of another.
    open_here(process, limit.saturating_mul(2), &mut cases).await;
    let here = in_doubt_here(process).await;
    let asked = Arc::clone(process);
    let elsewhere =
        Last::get(process, |process| &process.kept.elsewhere, async move { in_doubt_elsewhere(&asked).await });
    let elsewhere = elsewhere.await;
    let doubts = here.transactions.iter().chain(elsewhere.iter().flat_map(|elsewhere| &elsewhere.transactions));
    doubts.for_each(|doubt| add_doubt(&mut cases, doubt));

    let in_doubt = |case: &Case| case.outcome.is_none() && !case.prepared.is_empty();
    let (mut doubtful, mut oldest) = (0, 0.0_f64);
    for case in cases.values().filter(|case| in_doubt(case)) {
        doubtful += 1;
        oldest = case.prepared.values().flatten().fold(oldest, |oldest, age| oldest.max(*age));
    }
    open = open.max(cases.len());
    let mut cases: Vec<(TxId, Case)> = cases.into_iter().collect();
    let rank = |case: &Case| (case.trouble.is_none(), !in_doubt(case));
    cases.sort_by(|(one_tx, one), (other_tx, other)| {
        rank(one).cmp(&rank(other)).then(other.age.total_cmp(&one.age)).then(one_tx.cmp(other_tx))
    });
    cases.truncate(limit);
    let (around, databases) = (around(process).await, listed::databases_lately(process).await);
    let listed = databases.as_deref().map(listed::by_transaction).unwrap_or_default();
    let transactions: Vec<view::Waits> = cases
        .into_iter()
        .map(|(tx, case)| view::Waits {
            tx: tx.to_string(),
            state: case.state().into(),
            age_seconds: case.age,
            why: case.why(&around),
            in_doubt_at: if case.outcome.is_none() { case.prepared.keys().copied().collect() } else { Vec::new() },
            listed_at: listed.get(&*tx.to_string()).cloned().unwrap_or_default(),
            participants: case.participants,
        })
        .collect();
    view::Waiting {
        more: open.saturating_sub(transactions.len()),
        transactions,
        in_doubt: doubtful,
        oldest_in_doubt_seconds: oldest,
        open,
        silent: elsewhere
            .map(|elsewhere| elsewhere.silent.clone())
            .unwrap_or_default()
            .into_iter()
            .chain(here.silent)
            .collect(),
    }
}
