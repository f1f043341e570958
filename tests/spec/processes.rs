//! The machines of Paxos Commit as processes, and what each of their steps is in the specification.
//!
//! | specification | here |
//! |---|---|
//! | `rmState[rm]` | [`ResourceManager::state`] |
//! | `aState[rm][acc]` | the instance of `rm` in the acceptor's record |
//! | 2a in ballot 0 | `Vote` |
//! | 1a, 2a above, 1b, 2b | `Phase1a`, `Phase2a`, `Phase1b`, `Phase2b`, in each of their instances |
//! | *Commit*, *Abort* | the decision of a transaction manager; or of a resource manager that learns by itself |
//! | nothing | gathered votes, rejections, `Begin`, `Prepare`, `Inquire`, and what was heard so far |
//!
//! Nobody says that it has finished, so nothing is retired. A resource manager whose votes are durable elsewhere may crash
//! and forget everything: there `rmState[rm]` is what its database says.

use synod::{
    Ballot, Effect, EffectSink, Machine, NodeId, Refusal, TxId,
    commit::{
        self, AcceptorRecord, Cluster, ClusterId, ClusterSpec, Decision, Learning, Message, Meta, Outcome, Record,
        ResourceManagerState, Transaction, Vote, What,
        roles::{
            Acceptor, AcceptorInput, ResourceManager, ResourceManagerInput, TransactionManager,
            TransactionManagerInput, Wait,
        },
    },
};

use super::{
    elsewhere,
    layout::{Cell, Layout, Rm, State},
    mapping::{Mapping, acceptor_node, manager_node, rm_node},
    parts::{has_parts, parts, together},
};

#[derive(Clone, Debug)]
pub(crate) enum Process {
    ResourceManager(usize, ResourceManager),
    Acceptor(usize, Acceptor),
    /// A resource manager whose votes are durable in its database, and what that database says.
    Elsewhere(usize, ResourceManager, Rm),
    /// That of a ballot; of none, if it never asks for promises.
    Manager(usize, TransactionManager),
}

/// What happens to a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Vote(Vote),
    /// An acceptor has waited long enough for further votes.
    Flush,
    /// A transaction manager asks for promises, in its ballot.
    Recover,
    /// A resource manager is asked for its vote by a transaction manager that then forgets all.
    Ask,
    Begin,
    Inquire,
    /// The resource has carried the outcome out.
    Finish,
    Receive(NodeId, Message),
    /// The database prepares, and its resource manager does not hear of it.
    PrepareUnheard,
    /// The database tells its resource manager what it finds prepared.
    Find,
    /// A resource manager whose votes are durable in its database forgets everything.
    Crash,
}

const PREPARED: Input = Input::Vote(Vote::Prepared);
const ABORTED: Input = Input::Vote(Vote::Aborted);

/// What the transaction is about.
const META: [u8; 4] = *b"spec";

/// What a wrong process does, where it differs from the real one.
pub(crate) type Flaw = fn(&Processes, &Process, &Input) -> Option<(Process, Vec<commit::Effect>)>;

type Sends = Vec<(NodeId, Message)>;

/// What a step is in the specification: what it sends, and what becomes of `rmState` or of a column of `aState`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meaning {
    pub(crate) sent: Vec<usize>,
    pub(crate) rm: Option<(usize, Rm)>,
    pub(crate) cells: Vec<(usize, usize, Cell)>,
}

/// What all processes know.
pub(crate) struct Processes {
    pub(crate) mapping: Mapping,
    pub(crate) cluster: Cluster,
    pub(crate) transaction: Transaction,
    flaw: Option<Flaw>,
}

impl Processes {
    pub(crate) fn new(layout: Layout, learning: Learning, flaw: Option<Flaw>) -> Self {
        let size = layout.size;
        let ballots = (1..size.ballots).map(|bal| Ballot::new(bal as u64, manager_node(bal))).collect();
        let mapping = Mapping::new(layout, ballots);
        let managers = (1..size.ballots.max(2)).map(manager_node);
        let spec = ClusterSpec::new(ClusterId(*b"of the spec only"), mapping.acceptors.clone(), managers);
        let cluster = spec.with_learning(learning).build().expect("there is a transaction manager");
        let id = TxId { origin: manager_node(1), seq: 1 };
        let transaction = Transaction::new(id, (0..size.rms).map(rm_node), META).expect("names are distinct");
        Self { mapping, cluster, transaction, flaw }
    }

    /// All of them, at first. There is a transaction manager for each ballot above the initial one, and at least one.
    pub(crate) fn all(&self, resource_manager: fn(&Self, usize) -> Process) -> Vec<Process> {
        let size = self.mapping.layout.size;
        let rms = (0..size.rms).map(|rm| resource_manager(self, rm));
        let acceptors = (0..size.acceptors).map(|acc| self.acceptor(acc));
        rms.chain(acceptors).chain((1..size.ballots.max(2)).map(|bal| self.manager(bal))).collect()
    }

    /// A resource manager that has heard nothing. It cannot vote before somebody asks it to.
    pub(crate) fn unasked_resource_manager(&self, rm: usize) -> Process {
        let machine = ResourceManager::new(self.cluster.clone(), rm_node(rm), self.transaction.clone());
        Process::ResourceManager(rm, machine.expect("it takes part"))
    }

    /// A resource manager that was asked for its vote, which the specification's may always give.
    pub(crate) fn resource_manager(&self, rm: usize) -> Process {
        let mut process = self.unasked_resource_manager(rm);
        let (sends, meaning) = self.step(&mut process, &Input::Ask).expect("it may be asked");
        assert!(sends.is_empty() && meaning.is_nothing(rm), "to be asked means nothing");
        process
    }

    pub(crate) fn acceptor(&self, acc: usize) -> Process {
        Process::Acceptor(acc, Acceptor::new(self.cluster.clone(), self.transaction.clone()))
    }

    pub(crate) fn manager(&self, bal: usize) -> Process {
        let machine = TransactionManager::new(self.cluster.clone(), manager_node(bal), self.transaction.clone());
        Process::Manager(bal, machine)
    }

    /// What happens to a resource manager, in its own words.
    pub(crate) fn resource_manager_input(&self, input: Input) -> ResourceManagerInput {
        match input {
            Input::Vote(vote) => ResourceManagerInput::Vote(vote),
            Input::Ask => ResourceManagerInput::Receive {
                from: self.cluster.managers()[0],
                message: Message::about(&self.transaction, What::prepare(Meta::from(META))),
            },
            Input::Begin => ResourceManagerInput::Begin(Meta::from(META)),
            Input::Inquire => ResourceManagerInput::Inquire,
            Input::Finish => ResourceManagerInput::Finished,
            Input::Find => ResourceManagerInput::Prepared(Meta::from(META)),
            Input::Receive(from, message) => ResourceManagerInput::Receive { from, message },
            Input::Flush | Input::Recover | Input::PrepareUnheard | Input::Crash => {
                unreachable!("not for a resource manager")
            }
        }
    }

    /// Takes a step. Returns what it sends, and what it means.
    pub(crate) fn step(&self, process: &mut Process, input: &Input) -> Result<(Sends, Meaning), String> {
        let before = process.clone();
        let effects = match self.flaw.and_then(|flaw| flaw(self, process, input)) {
            Some((after, effects)) => {
                *process = after;
                effects
            }
            None => self.right_step(process, input)?,
        };
        let meaning = self.meaning(&before, process, &effects)?;
        let sends = effects.into_iter().filter_map(|effect| match effect {
            Effect::Send { to, message } => Some((to, message)),
            Effect::Persist(_) | Effect::Decide(_) => None,
        });
        Ok((sends.collect(), meaning))
    }

    /// What the real process does.
    fn right_step(&self, process: &mut Process, input: &Input) -> Result<Vec<commit::Effect>, String> {
        let before = format!("{process:?}");
        let mut effects = Vec::new();
        match process.step_into(input, self, &mut effects) {
            Ok(()) => Ok(effects),
            // With a flaw about, that is no wonder, and the flaw must show in what is said and written.
            Err(Refusal::Broken) if self.flaw.is_none() => {
                Err("a process is silent, for an invariant is broken".into())
            }
            Err(refusal) => {
                let is_rejection = |effect: &commit::Effect| {
                    matches!(effect, Effect::Send { message: Message::About { what: What::Reject { .. }, .. }, .. })
                };
                if format!("{process:?}") != before || !effects.iter().all(is_rejection) {
                    return Err(format!(
                        "a process refuses {input:?} ({refusal}), and yet it changes or does {effects:?}"
                    ));
                }
                Ok(effects)
            }
        }
    }

    fn meaning(&self, before: &Process, after: &Process, effects: &[commit::Effect]) -> Result<Meaning, String> {
        let mut meaning = Meaning::default();
        let written = after.check_written(before, effects)?;
        match after {
            Process::ResourceManager(rm, machine) => meaning.rm = Some((*rm, rm_state(machine))),
            Process::Elsewhere(rm, _, state) => {
                meaning.rm = Some((*rm, *state));
                // A vote that a crash cuts off is one that is never delivered.
                if *state == Rm::Prepared {
                    meaning.sent.push(self.mapping.layout.two_a(*rm, 0, Vote::Prepared));
                }
            }
            Process::Acceptor(acc, machine) if written => {
                meaning.cells = self.cells(*acc, &machine.record())?;
            }
            Process::Acceptor(..) | Process::Manager(..) => {}
        }
        for effect in effects {
            match effect {
                Effect::Send { message, .. } => self.sent(after, message, &mut meaning.sent)?,
                Effect::Decide(decision) => meaning.sent.extend(self.decided(before, after, decision)),
                Effect::Persist(_) => {}
            }
        }
        Ok(meaning)
    }

    /// What an acceptor's record is.
    pub(crate) fn cells(&self, acc: usize, record: &AcceptorRecord) -> Result<Vec<(usize, usize, Cell)>, String> {
        let instance = |rm| record.instance(rm).expect("it is one of the transaction's");
        let cell = |rm| Ok((rm, acc, self.mapping.cell(rm, &instance(rm))?));
        (0..self.mapping.layout.size.rms).map(cell).collect()
    }

    /// Adds what a message is.
    pub(crate) fn sent(&self, process: &Process, message: &Message, sent: &mut Vec<usize>) -> Result<(), String> {
        let layout = &self.mapping.layout;
        let Message::About { transaction, what } = message else { return Err(format!("a process says {message:?}")) };
        if *transaction != self.transaction {
            return Err(format!("a process speaks of {transaction:?}"));
        }
        match (process, what) {
            (Process::ResourceManager(rm, _) | Process::Elsewhere(rm, ..), What::Vote { vote, .. }) => {
                sent.push(layout.two_a(*rm, 0, *vote));
            }
            (Process::Manager(..), What::Outcome(outcome)) => sent.push(self.outcome(*outcome)),
            (Process::Manager(..) | Process::Acceptor(..), what) if has_parts(what) => {
                let parts = parts(&self.transaction, what);
                let in_order = parts.is_sorted_by(|left, right| left.rm < right.rm);
                if parts.is_empty() || !in_order || together(&self.transaction, &parts) != *what {
                    return Err(format!("a process says what has no right form: {what:?}"));
                }
                for part in parts {
                    match process {
                        Process::Acceptor(acc, _) => sent.extend(self.mapping.reply(part.rm, *acc, &part.message)?),
                        _ => sent.push(self.mapping.request(part.rm, &part.message)?),
                    }
                }
            }
            (Process::Elsewhere(..), What::Inquire | What::Decline) => {}
            (Process::ResourceManager(..) | Process::Elsewhere(..), What::Begin { meta })
            | (Process::Manager(..), What::Prepare { meta, .. }) => {
                if !self.transaction.is_about(meta) {
                    return Err(format!("a process says that the transaction is about {meta:?}"));
                }
            }
            (Process::ResourceManager(..), What::Inquire) => {}
            (_, other) => return Err(format!("a process says {other:?}")),
        }
        Ok(())
    }

    /// The outcome, if it was decided here.
    pub(crate) fn decided(&self, before: &Process, after: &Process, decision: &Decision) -> Option<usize> {
        match (before, after, decision) {
            // It was told, or has decided to abort itself.
            (Process::ResourceManager(..) | Process::Elsewhere(..), ..)
                if self.cluster.learning() == Learning::Leader =>
            {
                None
            }
            (Process::ResourceManager(_, before), Process::ResourceManager(_, after), _)
                if before.record().vote != after.record().vote =>
            {
                None
            }
            // It hands over again what it knew.
            (Process::ResourceManager(_, before), Process::ResourceManager(_, after), _)
                if before.outcome().is_some() && before.outcome() == after.outcome() =>
            {
                None
            }
            (.., Decision::Commit { .. }) => Some(self.outcome(Outcome::Committed)),
            (.., Decision::Abort { .. }) => Some(self.outcome(Outcome::Aborted)),
            (.., Decision::Decided { outcome, .. }) => Some(self.outcome(*outcome)),
            (
                ..,
                Decision::Vote { .. }
                | Decision::Completed { .. }
                | Decision::Begun(_)
                | Decision::Named(_)
                | Decision::Epoch { .. }
                | Decision::Changed { .. }
                | Decision::Forget(_),
            ) => None,
        }
    }

    pub(crate) fn outcome(&self, outcome: Outcome) -> usize {
        match outcome {
            Outcome::Committed => self.mapping.layout.commit,
            Outcome::Aborted => self.mapping.layout.abort,
        }
    }

    /// The most steps of the specification that one step of this process may be: one for each instance, one more for each
    /// if gathered votes are written first, and *Decide* with what comes of it.
    pub(crate) fn most_steps(&self, process: &Process) -> usize {
        let rms = self.mapping.layout.size.rms;
        match process {
            Process::ResourceManager(..) | Process::Elsewhere(..) if self.cluster.learning() == Learning::Everyone => 2,
            Process::ResourceManager(..) | Process::Elsewhere(..) => 1,
            Process::Acceptor(..) => 2 * rms,
            Process::Manager(..) => rms + 1,
        }
    }
}

impl Meaning {
    /// Whether a resource manager has said nothing, and is still working.
    fn is_nothing(&self, rm: usize) -> bool {
        self.sent.is_empty() && self.cells.is_empty() && self.rm == Some((rm, Rm::Working))
    }

    pub(crate) fn apply<const W: usize>(&self, layout: &Layout, mut state: State<W>) -> State<W> {
        for (rm, acc, cell) in &self.cells {
            state = layout.with_cell(state, *rm, *acc, *cell);
        }
        if let Some((rm, to)) = self.rm {
            state = layout.with_rm(state, rm, to);
        }
        self.sent.iter().fold(state, |state, bit| state.with(*bit))
    }
}

impl Process {
    pub(crate) fn node(&self) -> NodeId {
        match self {
            Self::ResourceManager(rm, _) | Self::Elsewhere(rm, ..) => rm_node(*rm),
            Self::Acceptor(acc, _) => acceptor_node(*acc),
            Self::Manager(bal, _) => manager_node(*bal),
        }
    }

    /// What it may do unasked, in a world of so many ballots; with `chatter` also what means nothing by itself.
    pub(crate) fn own_inputs(&self, ballots: usize, chatter: bool) -> impl Iterator<Item = Input> + use<> {
        let inputs: &[Input] = match self {
            Self::Elsewhere(..) => &elsewhere::OWN[..if chatter { elsewhere::OWN.len() } else { elsewhere::SILENT }],
            Self::ResourceManager(..) if chatter => &[PREPARED, ABORTED, Input::Ask, Input::Begin, Input::Inquire],
            Self::ResourceManager(..) => &[PREPARED, ABORTED],
            Self::Acceptor(_, machine) if machine.wait() == Wait::Flush => &[Input::Flush],
            Self::Acceptor(..) => &[],
            Self::Manager(..) if chatter => &[Input::Inquire, Input::Recover, Input::Begin],
            // With an outcome, it says that again.
            Self::Manager(..) => &[Input::Inquire, Input::Recover],
        };
        let may_recover = matches!(self, Self::Manager(bal, _) if *bal < ballots);
        inputs.iter().filter(move |input| may_recover || **input != Input::Recover).cloned()
    }

    /// The real machine's step.
    pub(crate) fn step(&mut self, input: &Input, processes: &Processes) -> Vec<commit::Effect> {
        let mut effects = Vec::new();
        // Whether it was refused shows in the effects.
        let _ = self.step_into(input, processes, &mut effects);
        effects
    }

    pub(crate) fn step_into(
        &mut self,
        input: &Input,
        processes: &Processes,
        effects: &mut impl EffectSink<Record, Message, Decision>,
    ) -> Result<(), Refusal> {
        match (self, input.clone()) {
            (Self::ResourceManager(_, machine), input) => {
                machine.step_into(processes.resource_manager_input(input), effects)
            }
            (Self::Elsewhere(rm, machine, state), input) => {
                elsewhere::step_into((*rm, machine, state), input, processes, effects)
            }
            (Self::Acceptor(_, machine), Input::Flush) => machine.step_into(AcceptorInput::Timeout, effects),
            (Self::Acceptor(_, machine), Input::Receive(from, message)) => {
                machine.step_into(AcceptorInput::Receive { from, message }, effects)
            }
            (Self::Acceptor(..), _) => unreachable!("not for an acceptor"),
            (Self::Manager(bal, machine), input) => {
                let input = match input {
                    Input::Recover => TransactionManagerInput::Recover { round: *bal as u64 },
                    Input::Begin => TransactionManagerInput::Begin(Meta::from(META)),
                    Input::Inquire => TransactionManagerInput::Inquire,
                    Input::Receive(from, message) => TransactionManagerInput::Receive { from, message },
                    _ => unreachable!("not for a transaction manager"),
                };
                machine.step_into(input, effects)
            }
        }
    }

    /// Whether a record was written: once, first, and all that changed.
    fn check_written(&self, before: &Self, effects: &[commit::Effect]) -> Result<bool, String> {
        if let Self::Elsewhere(..) = self {
            // Nothing that it says or does rests on what it writes.
            return Ok(false);
        }
        let records = effects.iter().filter(|effect| matches!(effect, Effect::Persist(_))).count();
        let written = match effects.first() {
            Some(Effect::Persist(record)) if records == 1 => Some(record.clone()),
            _ if records == 0 => None,
            _ => return Err("a process did something before it wrote, or wrote twice".into()),
        };
        if written.clone().or(before.record()) != self.record() {
            return Err("a process knows what it did not write".into());
        }
        Ok(written.is_some())
    }

    /// All that it must not forget. A resource manager has nothing of that before it votes or is told how it ends.
    pub(crate) fn record(&self) -> Option<Record> {
        match self {
            Self::ResourceManager(_, machine) => {
                machine.has_record().then(|| Record::ResourceManager(machine.record()))
            }
            Self::Acceptor(_, machine) => Some(Record::Acceptor(machine.record())),
            Self::Elsewhere(..) | Self::Manager(..) => None,
        }
    }
}

fn rm_state(machine: &ResourceManager) -> Rm {
    match machine.state() {
        ResourceManagerState::Working => Rm::Working,
        ResourceManagerState::Prepared => Rm::Prepared,
        ResourceManagerState::Committed => Rm::Committed,
        ResourceManagerState::Aborted => Rm::Aborted,
    }
}

/// All that a network which takes bundles apart may make of a message; the whole of it comes first.
pub(crate) fn pieces(message: Message) -> Vec<Message> {
    let Message::About { transaction, what } = &message else { return vec![message] };
    let parts = parts(transaction, what);
    if parts.is_empty() {
        return vec![message];
    }
    let all = (1u32 << parts.len()) - 1;
    let piece = |some: u32| {
        let parts = parts.iter().enumerate().filter(|(place, _)| some >> place & 1 == 1).map(|(_, part)| *part);
        Message::about(transaction, together(transaction, &parts.collect::<Vec<_>>()))
    };
    (1..=all).rev().map(piece).collect()
}
