//! Processes of Paxos Commit that are wrong in one way each. The checks must find every one of them out.

use synod::{
    Effect, NodeId,
    commit::{
        Decision, Learning, Message, Outcome, Places, Record, Vote, Votes, What,
        roles::{Acceptor, Wait},
    },
    paxos,
};

use super::{
    bundled::{Kind, LEADER},
    layout::Size,
    parts::{Part, has_parts, parts, record},
    processes::{Flaw, Input, Process, Processes},
    size,
};

type Step = Option<(Process, Vec<synod::commit::Effect>)>;

/// A world in which each shows, without the flaw.
pub(crate) const FLAWS: [(&str, Flaw, Size, Learning); 8] = [
    ("an acceptor that answers for votes which it only gathered", answers_unwritten, size(2, 1, 2), Learning::Leader),
    ("an acceptor that promises before it writes what it gathered", promises_first, size(2, 1, 2), Learning::Leader),
    ("an acceptor that writes one promise of a bundle", writes_one, size(2, 1, 2), Learning::Leader),
    ("a transaction manager that commits on one vote", commits_on_one, size(2, 1, 2), Learning::Leader),
    ("a transaction manager that aborts whatever it was promised", aborts, size(1, 1, 2), Learning::Leader),
    ("a transaction manager that uses a round twice", recovers_again, size(1, 3, 2), Learning::Leader),
    ("a resource manager that votes twice", votes_again, size(1, 1, 2), Learning::Leader),
    ("a resource manager that commits on one acceptor's word", commits_early, size(1, 3, 2), Learning::Everyone),
];

pub(crate) fn kind(flaw: Flaw, learning: Learning) -> Kind {
    Kind { flaw: Some(flaw), learning, ..LEADER }
}

/// What the real process does.
fn right(processes: &Processes, process: &Process, input: &Input) -> (Process, Vec<synod::commit::Effect>) {
    let mut after = process.clone();
    let effects = after.step(input, processes);
    (after, effects)
}

/// The message that comes, and from whom.
fn received(input: &Input) -> Option<(NodeId, &What)> {
    match input {
        Input::Receive(from, Message::About { what, .. }) => Some((*from, what)),
        _ => None,
    }
}

fn answers_unwritten(processes: &Processes, process: &Process, input: &Input) -> Step {
    let (rm, What::Vote { vote, manager }) = received(input)? else { return None };
    let (after, mut effects) = right(processes, process, input);
    if effects.is_empty() && matches!(&after, Process::Acceptor(_, machine) if machine.wait() == Wait::Flush) {
        let place = processes.transaction.participants().iter().position(|participant| *participant == rm)?;
        let what = What::Phase2b { votes: Votes::from_iter([(place, *vote)]), higher: Box::default() };
        effects.push(Effect::Send { to: *manager, message: Message::about(&processes.transaction, what) });
    }
    Some((after, effects))
}

fn promises_first(processes: &Processes, process: &Process, input: &Input) -> Step {
    let (Process::Acceptor(acc, machine), (_, what)) = (process, received(input)?) else { return None };
    if !has_parts(what) || machine.wait() != Wait::Flush {
        return None;
    }
    let forgetful = Acceptor::restore(processes.cluster.clone(), machine.record()).expect("it wrote that");
    let (after, mut effects) = right(processes, &Process::Acceptor(*acc, forgetful), input);
    let (_, flushed) = right(processes, process, &Input::Flush);
    effects.extend(flushed.into_iter().filter(|effect| matches!(effect, Effect::Send { .. })));
    Some((after, effects))
}

fn writes_one(processes: &Processes, process: &Process, input: &Input) -> Step {
    let Process::Acceptor(acc, machine) = process else { return None };
    let (Process::Acceptor(_, after), mut effects) = right(processes, process, input) else { return None };
    let (before, after) = (machine.record(), after.record());
    let places = 0..processes.transaction.participants().len();
    let written = places.filter_map(|place| if place == 0 { &after } else { &before }.instance(place));
    let record = record(&processes.transaction, written);
    if let Some(Effect::Persist(written)) = effects.first_mut() {
        *written = Record::Acceptor(record.clone());
    }
    let after = Acceptor::restore(processes.cluster.clone(), record).expect("it could have written that");
    Some((Process::Acceptor(*acc, after), effects))
}

fn commits_on_one(processes: &Processes, process: &Process, input: &Input) -> Step {
    let (Process::Manager(..), (_, what)) = (process, received(input)?) else { return None };
    let prepared = |part: &Part| matches!(part.message, paxos::Message::Accepted { value: Vote::Prepared, .. });
    let (after, mut effects) = right(processes, process, input);
    if has_parts(what) && parts(&processes.transaction, what).iter().all(prepared) {
        let tx = processes.transaction.id();
        effects.push(Effect::Decide(Decision::Decided { tx, outcome: Outcome::Committed }));
    }
    Some((after, effects))
}

fn aborts(processes: &Processes, process: &Process, input: &Input) -> Step {
    let Process::Manager(..) = process else { return None };
    let (after, mut effects) = right(processes, process, input);
    for effect in &mut effects {
        if let Effect::Send { message: Message::About { what: What::Phase2a { votes, .. }, .. }, .. } = effect {
            *votes = Votes::new(votes.cast().clone(), Places::default()).expect("nobody is prepared");
        }
    }
    Some((after, effects))
}

fn recovers_again(processes: &Processes, process: &Process, input: &Input) -> Step {
    let (Process::Manager(bal, _), Input::Recover) = (process, input) else { return None };
    Some(right(processes, &processes.manager(*bal), input))
}

fn votes_again(processes: &Processes, process: &Process, input: &Input) -> Step {
    let (Process::ResourceManager(rm, _), Input::Vote(_)) = (process, input) else { return None };
    Some(right(processes, &processes.resource_manager(*rm), input))
}

fn commits_early(processes: &Processes, process: &Process, input: &Input) -> Step {
    let (Process::ResourceManager(..), (_, What::Phase2b { .. })) = (process, received(input)?) else { return None };
    let told = Message::about(&processes.transaction, What::Outcome(Outcome::Committed));
    Some(right(processes, process, &Input::Receive(processes.cluster.managers()[0], told)))
}
