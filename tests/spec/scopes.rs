//! Persist before send, by scope: each message leaves as soon as what it rests on is durable, and does not wait for
//! other records. For small worlds.
//!
//! A site is a resource manager and an acceptor with one disk. Each takes steps in memory; their records wait in one
//! queue and become durable one by one, and a message leaves once its scope is durable, even ahead of records that
//! were there before it. A crash may come at any time: memory is lost, with all records and messages that wait. (Each
//! record has a batch of its own. That is the hardest case: from a larger batch, messages only leave later, and a crash
//! leaves no other records than here.)
//!
//! Only what is durable is the specification's state. So an outcome is a resource manager's state once it is written
//! that it is carried out; before that the resource may be told several times. Every step must be one of the
//! specification, or a sequence, and each message must be backed by the disk when it leaves. That a resource manager
//! has finished is said, and nobody hears it, for the specification has no such message.

use std::{collections::HashSet, rc::Rc};

use synod::{
    Effect, EffectSink, NodeId, Refusal, Scope, Urgency,
    commit::{
        Decision, Learning, Message, Outcome, Record, ResourceManagerRecord, Vote, What,
        roles::{Acceptor, ResourceManager},
    },
};

use super::{
    bundled::{Messages, Soup},
    explore::explore,
    in_words,
    layout::{Rm, Size, State},
    pool::{Places, Pool, places},
    processes::{Input, Meaning, Process, Processes},
    show, size,
    specification::Specification,
    trace,
};

const REPLAY: &str = "cargo test --release --test spec -- --include-ignored --nocapture scopes::";

/// How a site lets messages leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Driver {
    /// Once their scope is durable.
    Right,
    /// At once.
    Heedless,
    /// When one more record would have to be durable.
    OneEarly,
    /// Once their scope is durable, but at once if they say that a resource manager has finished.
    EarlyFinish,
}

/// The drivers of messages from resource managers, and from acceptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Drivers {
    rms: Driver,
    acceptors: Driver,
}

const RIGHT: Drivers = Drivers { rms: Driver::Right, acceptors: Driver::Right };

/// A world: its size, who learns, how many records of a site may wait, and what lets messages leave.
#[derive(Clone, Copy, Debug)]
struct Kind {
    size: Size,
    learning: Learning,
    waiting: usize,
    drivers: Drivers,
}

/// A resource manager, an acceptor or both, with one disk; or a transaction manager, which has none and never crashes.
#[derive(Clone, Debug)]
struct Site {
    roles: Vec<Process>,
    /// What is durable of each role.
    disk: Vec<Option<Record>>,
    /// The records that are not durable yet, each with its role. The first has the number `written + 1`.
    unwritten: Vec<(usize, Record)>,
    /// How many records became durable since the site came up.
    written: u64,
    waiting: Vec<Waiting>,
}

/// What may leave once `after` is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Waiting {
    role: usize,
    after: Scope,
    what: Leaving,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Leaving {
    Send(NodeId, Message),
    /// What the decision is in the specification, and the outcome that a resource is told.
    Decide(Option<usize>, Option<Outcome>),
}

/// Takes effects, and keeps the scope of each.
struct Scoped {
    /// The number of the last record.
    last: u64,
    effects: Vec<(Scope, Effect<Record, Message, Decision>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Event {
    /// The input of this number among those of this role itself.
    Own(usize, usize),
    /// The message of this number comes to this role.
    Receive(usize, usize),
    /// The first record that waits becomes durable.
    Write,
    Crash,
}

/// What happens outside of a site in one of its steps.
#[derive(Clone, Debug, Default)]
struct Happened {
    sent: Soup,
    meaning: Meaning,
    /// What resources are told, and whether only the own vote of their resource manager lets them be.
    told: Vec<(Outcome, bool)>,
    /// How many messages need not wait for all records before them.
    early: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World<const W: usize> {
    spec: State<W>,
    /// Sites, then transaction managers.
    sites: Places,
    sent: Soup,
}

struct Scopes<'a> {
    spec: &'a Specification,
    kind: Kind,
    processes: Processes,
    states: Pool<Site, Event, Result<Rc<Happened>, String>>,
    messages: Messages,
    /// The most steps of the specification that one step was.
    longest: usize,
    /// How many messages, in steps of sites that differ, need not wait for all records before them.
    early: usize,
}

impl EffectSink<Record, Message, Decision> for Scoped {
    fn persist(&mut self, record: Record, _: Urgency) -> Scope {
        self.last += 1;
        let scope = Scope::batch(self.last);
        self.effects.push((scope, Effect::Persist(record)));
        scope
    }

    fn send(&mut self, to: NodeId, message: Message, after: Scope) {
        self.effects.push((after, Effect::Send { to, message }));
    }

    fn decide(&mut self, decision: Decision, after: Scope) {
        self.effects.push((after, Effect::Decide(decision)));
    }
}

impl Waiting {
    fn is_finished(&self) -> bool {
        matches!(&self.what, Leaving::Send(_, Message::About { what: What::Finished(_), .. }))
    }
}

impl Drivers {
    /// Whether each message is held against the disk. Where many ignore their scope, the specification must show it.
    fn are_checked(self) -> bool {
        [self.rms, self.acceptors].iter().all(|driver| matches!(driver, Driver::Right | Driver::EarlyFinish))
    }
}

impl Site {
    fn new(roles: Vec<Process>) -> Self {
        let disk = roles.iter().map(|_| None).collect();
        Self { roles, disk, unwritten: Vec::new(), written: 0, waiting: Vec::new() }
    }

    fn is_manager(&self) -> bool {
        matches!(self.roles[..], [Process::Manager(..)])
    }

    /// The number of the last record, durable or not.
    fn last(&self) -> u64 {
        self.written + self.unwritten.len() as u64
    }

    /// What a role may do unasked.
    fn own_inputs(&self, role: usize, ballots: usize) -> Vec<Input> {
        let process = &self.roles[role];
        let is_rm = matches!(process, Process::ResourceManager(..));
        let inputs = process.own_inputs(ballots, is_rm).filter(|input| *input != Input::Begin);
        inputs.chain(is_rm.then_some(Input::Finish)).collect()
    }

    /// A role takes an input in memory. What it does waits; the same waits once, for it may be repeated anyway. Returns
    /// how many messages need not wait for all records before them.
    fn take(&mut self, role: usize, input: &Input, processes: &Processes) -> Result<usize, String> {
        let mut sink = Scoped { last: self.last(), effects: Vec::new() };
        let before = self.roles[role].clone();
        if self.roles[role].step_into(input, processes, &mut sink) == Err(Refusal::Broken) {
            return Err("a role is silent, for an invariant is broken".into());
        }
        let mut early = 0;
        for (after, effect) in sink.effects {
            let after = after.min(Scope::batch(self.last()));
            let what = match effect {
                Effect::Persist(record) => {
                    self.unwritten.push((role, record));
                    continue;
                }
                Effect::Send { to, message } => {
                    early += usize::from(!self.unwritten.is_empty() && after < Scope::batch(self.last()));
                    Leaving::Send(to, message)
                }
                Effect::Decide(decision) => {
                    let told = match (&self.roles[role], &decision) {
                        (Process::ResourceManager(..), Decision::Commit { .. }) => Some(Outcome::Committed),
                        (Process::ResourceManager(..), Decision::Abort { .. }) => Some(Outcome::Aborted),
                        _ => None,
                    };
                    Leaving::Decide(processes.decided(&before, &self.roles[role], &decision), told)
                }
            };
            let waiting = Waiting { role, after, what };
            if !self.waiting.contains(&waiting) {
                self.waiting.push(waiting);
            }
        }
        self.waiting.sort_by_cached_key(|waiting| format!("{waiting:?}"));
        Ok(early)
    }

    fn write(&mut self) -> Option<usize> {
        let (role, record) = (!self.unwritten.is_empty()).then(|| self.unwritten.remove(0))?;
        self.disk[role] = Some(record);
        self.written += 1;
        Some(role)
    }

    fn crash(&mut self, processes: &Processes) -> Result<(), String> {
        for (role, disk) in self.roles.iter_mut().zip(&self.disk) {
            let cluster = processes.cluster.clone();
            *role = match (&*role, disk) {
                (Process::ResourceManager(rm, _), None) => processes.unasked_resource_manager(*rm),
                (Process::Acceptor(acc, _), None) => processes.acceptor(*acc),
                (Process::ResourceManager(rm, _), Some(Record::ResourceManager(record))) => {
                    let machine = ResourceManager::restore(cluster, role.node(), record.clone());
                    Process::ResourceManager(*rm, machine.map_err(|error| error.to_string())?)
                }
                (Process::Acceptor(acc, _), Some(Record::Acceptor(record))) => {
                    let machine = Acceptor::restore(cluster, record.clone());
                    Process::Acceptor(*acc, machine.map_err(|error| error.to_string())?)
                }
                (_, record) => return Err(format!("a role wrote {record:?}")),
            };
        }
        (self.written, self.unwritten, self.waiting) = (0, Vec::new(), Vec::new());
        Ok(())
    }

    /// What may leave now.
    fn leaving(&mut self, drivers: Drivers) -> Vec<Waiting> {
        let (leaving, waiting) = std::mem::take(&mut self.waiting).into_iter().partition(|waiting| {
            let driver = match (&self.roles[waiting.role], &waiting.what) {
                (Process::ResourceManager(..), _) => drivers.rms,
                (Process::Acceptor(..), _) => drivers.acceptors,
                (Process::Elsewhere(..) | Process::Manager(..), _) => Driver::Right,
            };
            match driver {
                Driver::Right => waiting.after <= Scope::batch(self.written),
                Driver::Heedless => true,
                Driver::OneEarly => waiting.after <= Scope::batch(self.written + 1),
                Driver::EarlyFinish => waiting.after <= Scope::batch(self.written) || waiting.is_finished(),
            }
        });
        self.waiting = waiting;
        leaving
    }

    /// What the disk of a resource manager says.
    fn rm_record(&self, role: usize) -> Option<&ResourceManagerRecord> {
        match &self.disk[role] {
            Some(Record::ResourceManager(record)) => Some(record),
            _ => None,
        }
    }

    fn own_vote(&self, role: usize) -> Option<Vote> {
        self.rm_record(role).and_then(|record| record.vote)
    }

    /// What is durable of a role, in the specification.
    fn durable(&self, role: usize, processes: &Processes, meaning: &mut Meaning) -> Result<(), String> {
        match (&self.roles[role], &self.disk[role]) {
            (Process::ResourceManager(rm, _), Some(Record::ResourceManager(record))) => {
                let state = match (record.vote, record.finished) {
                    (_, Some(Outcome::Committed)) => Rm::Committed,
                    (_, Some(Outcome::Aborted)) | (Some(Vote::Aborted), None) => Rm::Aborted,
                    (Some(Vote::Prepared), None) => Rm::Prepared,
                    (None, None) => return Err("a resource manager wrote that it knows nothing".into()),
                };
                meaning.rm = Some((*rm, state));
            }
            (Process::Acceptor(acc, _), Some(Record::Acceptor(record))) => {
                meaning.cells = processes.cells(*acc, record)?;
            }
            (process, record) => return Err(format!("{process:?} wrote {record:?}")),
        }
        Ok(())
    }

    /// An error if the disk does not back what a role says.
    fn check_backed(&self, role: usize, message: &Message) -> Result<(), String> {
        let Message::About { what, .. } = message else { return Ok(()) };
        let backed = match what {
            What::Vote { vote, .. } => self.own_vote(role) == Some(*vote),
            What::Begin { .. } => self.own_vote(role).is_some(),
            What::Finished(outcome) => self.rm_record(role).is_some_and(|record| record.finished == Some(*outcome)),
            What::Phase1b { ballot, promises } => promises.instances.iter().all(|place| match &self.disk[role] {
                Some(Record::Acceptor(record)) => {
                    record.instance(place).is_some_and(|instance| instance.promised >= Some(*ballot))
                }
                _ => false,
            }),
            What::Phase2b { .. } => self.disk[role].is_some(),
            _ => true,
        };
        if backed { Ok(()) } else { Err(format!("no record backs {what:?}")) }
    }
}

impl<'a> Scopes<'a> {
    fn new(spec: &'a Specification, kind: Kind) -> Self {
        let processes = Processes::new(spec.layout.clone(), kind.learning, None);
        Self { spec, kind, processes, states: Pool::new(), messages: Messages::default(), longest: 1, early: 0 }
    }

    fn initial<const W: usize>(&mut self) -> World<W> {
        let Size { rms, acceptors, ballots } = self.kind.size;
        let processes = &self.processes;
        let site = |place: usize| {
            let rm = (place < rms).then(|| processes.unasked_resource_manager(place));
            let acceptor = (place < acceptors).then(|| processes.acceptor(place));
            rm.into_iter().chain(acceptor).collect::<Vec<_>>()
        };
        let managers = (1..ballots.max(2)).map(|bal| vec![processes.manager(bal)]);
        let sites: Vec<_> = (0..rms.max(acceptors)).map(site).chain(managers).map(Site::new).collect();
        let sites = places(sites.into_iter().map(|site| self.states.number(site)));
        World { spec: self.spec.initial(), sites, sent: Soup::default() }
    }

    fn successors<const W: usize>(&mut self, world: &World<W>, next: &mut Vec<World<W>>) -> Result<(), String> {
        let Size { rms, acceptors, ballots } = self.kind.size;
        for place in 0..rms.max(acceptors) + (ballots - 1).max(1) {
            let site = self.states.get(world.sites[place]).clone();
            let is_full = site.unwritten.len() >= self.kind.waiting;
            for (role, process) in site.roles.iter().enumerate().filter(|_| !is_full) {
                for (number, input) in site.own_inputs(role, ballots).into_iter().enumerate() {
                    self.step(world, place, (Event::Own(role, number), Some(input)), next)?;
                }
                let mine = self.messages.to.get(&process.node()).copied().unwrap_or_default();
                for number in world.sent.and(mine).numbers() {
                    self.step(world, place, (Event::Receive(role, number), None), next)?;
                }
            }
            if !site.is_manager() {
                self.step(world, place, (Event::Write, None), next)?;
                self.step(world, place, (Event::Crash, None), next)?;
            }
        }
        Ok(())
    }

    fn step<const W: usize>(
        &mut self,
        world: &World<W>,
        place: usize,
        (event, own): (Event, Option<Input>),
        next: &mut Vec<World<W>>,
    ) -> Result<(), String> {
        let Self { processes, messages, states, kind, early, .. } = self;
        let (number, happened) = states.step(world.sites[place], event, |site, event| {
            let happened = happen(site, event, own, *kind, processes, messages)?;
            *early += happened.early;
            Ok(Rc::new(happened))
        });
        let happened = happened?;
        let mut after = world.clone();
        after.sites[place] = number;
        after.sent = after.sent.or(happened.sent);
        after.spec = happened.meaning.apply(&self.spec.layout, after.spec);
        for (outcome, by_own_vote) in &happened.told {
            if !by_own_vote && !after.spec.has(self.processes.outcome(*outcome)) {
                return Err(format!("a resource is told {outcome:?}, which is not decided"));
            }
        }
        if after.spec != world.spec {
            let most = 2 * self.kind.size.rms + 2;
            let Some(steps) = self.spec.distance(&world.spec, &after.spec, most) else {
                let to = self.spec.layout.describe(&after.spec);
                return Err(format!("the specification has no {most} steps that lead to{to}"));
            };
            self.longest = self.longest.max(steps);
        }
        if after != *world {
            next.push(after);
        }
        Ok(())
    }
}

/// What a step of a site does outside of it.
fn happen(
    site: &mut Site,
    event: Event,
    own: Option<Input>,
    kind: Kind,
    processes: &Processes,
    messages: &mut Messages,
) -> Result<Happened, String> {
    let mut happened = Happened::default();
    match event {
        Event::Own(role, _) => happened.early = site.take(role, &own.expect("it is given"), processes)?,
        Event::Receive(role, number) => happened.early = site.take(role, &messages.input(number), processes)?,
        Event::Write => {
            if let Some(role) = site.write() {
                site.durable(role, processes, &mut happened.meaning)?;
            }
        }
        Event::Crash => site.crash(processes)?,
    }
    for Waiting { role, what, .. } in site.leaving(kind.drivers) {
        match what {
            Leaving::Send(to, message) => {
                if kind.drivers.are_checked() {
                    site.check_backed(role, &message)?;
                }
                let Message::About { what, .. } = &message else { return Err(format!("a role says {message:?}")) };
                if matches!(what, What::Finished(_)) {
                    continue;
                }
                processes.sent(&site.roles[role], &message, &mut happened.meaning.sent)?;
                happened.sent.insert(messages.number(site.roles[role].node(), to, message));
            }
            Leaving::Decide(bit, told) => {
                happened.meaning.sent.extend(bit);
                let by_own_vote = site.own_vote(role) == Some(Vote::Aborted);
                happened.told.extend(told.map(|told| (told, by_own_vote && told == Outcome::Aborted)));
            }
        }
    }
    Ok(happened)
}

/// Explores a world. What there is to say about it, how many states of the specification it reaches, and how many messages
/// may leave early; or why it fails, and the way there.
fn run<const W: usize>(size: Size, kind: Kind) -> Result<(String, usize, usize), (String, String)> {
    let spec = Specification::new(size);
    let mut machines = Scopes::new(&spec, kind);
    let initial = machines.initial::<W>();
    let explored = explore(initial, |world, next| {
        spec.check(&world.spec)?;
        machines.successors(world, next)
    });
    match explored {
        Ok(explored) => {
            let projected: HashSet<State<W>> = explored.states.iter().map(|world| world.spec).collect();
            let (sites, messages) = (machines.states.len(), machines.messages.all.len());
            let (longest, early) = (machines.longest, machines.early);
            let summary = format!(
                "{size}; {:?}; {} unwritten; with crashes, and messages leave by scope\n{}, {sites} states of sites, {messages} messages; projected, {} states; a step is at most {longest} of the specification's; {early} messages may leave ahead of records",
                kind.learning,
                kind.waiting,
                show("worlds", &explored),
                projected.len(),
            );
            Ok((summary, projected.len(), early))
        }
        Err(failure) => Err((failure.reason.clone(), trace(&failure, &spec.layout, |world| world.spec))),
    }
}

fn survive(size: Size, learning: Learning, waiting: usize) -> usize {
    match in_words!(size, run, Kind { size, learning, waiting, drivers: RIGHT }) {
        Ok((summary, projected, early)) => {
            println!("{summary}");
            assert!(early > 0, "all messages wait for all records, so scopes make no difference");
            projected
        }
        Err((reason, trace)) => panic!("{trace}{reason}\nreplay: {REPLAY}"),
    }
}

#[test]
fn what_leaves_once_its_scope_is_durable_is_backed_by_the_disk() {
    // Where a transaction manager learns, that is all of the specification.
    assert_eq!(survive(size(1, 1, 2), Learning::Leader, 2), 45);
    assert_eq!(survive(size(1, 1, 2), Learning::Leader, 4), 45);
    assert_eq!(survive(size(1, 2, 2), Learning::Leader, 2), 119);
    assert_eq!(survive(size(1, 1, 2), Learning::Everyone, 4), 41);
    assert_eq!(survive(size(1, 2, 2), Learning::Everyone, 2), 111);
}

#[test]
#[ignore = "half a minute in release"]
fn what_leaves_by_scope_in_larger_worlds_is_backed_by_the_disks() {
    assert_eq!(survive(size(1, 1, 3), Learning::Leader, 3), 245);
    assert_eq!(survive(size(2, 1, 2), Learning::Leader, 4), 373);
    assert_eq!(survive(size(1, 3, 2), Learning::Leader, 2), 1_461);
    assert_eq!(survive(size(1, 1, 3), Learning::Everyone, 3), 229);
    assert_eq!(survive(size(2, 1, 2), Learning::Everyone, 4), 265);
}

#[test]
fn a_driver_that_lets_messages_ignore_their_scope_is_found_out() {
    for driver in [Driver::Heedless, Driver::OneEarly] {
        for drivers in [Drivers { rms: driver, ..RIGHT }, Drivers { acceptors: driver, ..RIGHT }] {
            find_out(drivers, "the specification has no 4 steps");
        }
    }
    find_out(Drivers { rms: Driver::EarlyFinish, ..RIGHT }, "no record backs Finished");
}

fn find_out(drivers: Drivers, why: &str) {
    let size = size(1, 1, 2);
    match in_words!(size, run, Kind { size, learning: Learning::Leader, waiting: 2, drivers }) {
        Ok(_) => panic!("{drivers:?} is not found out"),
        Err((reason, trace)) => {
            let first = reason.lines().next().unwrap_or_default();
            println!("  {drivers:?}: {} states on, {first}", trace.matches("step ").count());
            assert!(reason.starts_with(why), "{drivers:?} fails for another reason: {reason}");
        }
    }
}
