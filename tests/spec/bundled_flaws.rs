//! Processes of Paxos Commit that are wrong in one way each. The checks must find every one of them out.

use synod::{
    Ballot, Effect,
    commit::{Acceptor, Decision, Learning, Message, Outcome, Part, Record, Vote, Wait},
    paxos,
};

use super::{
    bundled::{Kind, LEADER},
    layout::Size,
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
fn right(process: &Process, input: &Input) -> (Process, Vec<synod::commit::Effect>) {
    let mut after = process.clone();
    let effects = after.step(input);
    (after, effects)
}

fn answers_unwritten(_: &Processes, process: &Process, input: &Input) -> Step {
    let Input::Receive(rm, Message::Vote { transaction, vote, manager }) = input else { return None };
    let (after, mut effects) = right(process, input);
    if effects.is_empty() && matches!(&after, Process::Acceptor(_, machine) if machine.wait() == Wait::Flush) {
        let message = paxos::Message::Accepted { ballot: Ballot::initial(*rm), value: *vote };
        let parts = vec![Part { rm: *rm, message }];
        effects
            .push(Effect::Send { to: *manager, message: Message::Paxos { transaction: transaction.clone(), parts } });
    }
    Some((after, effects))
}

fn promises_first(processes: &Processes, process: &Process, input: &Input) -> Step {
    let (Process::Acceptor(acc, machine), Input::Receive(_, Message::Paxos { .. })) = (process, input) else {
        return None;
    };
    if machine.wait() != Wait::Flush {
        return None;
    }
    let forgetful = Acceptor::restore(processes.cluster.clone(), machine.record()).expect("it wrote that");
    let (after, mut effects) = right(&Process::Acceptor(*acc, forgetful), input);
    let (_, flushed) = right(process, &Input::Flush);
    effects.extend(flushed.into_iter().filter(|effect| matches!(effect, Effect::Send { .. })));
    Some((after, effects))
}

fn writes_one(processes: &Processes, process: &Process, input: &Input) -> Step {
    let Process::Acceptor(acc, machine) = process else { return None };
    let (Process::Acceptor(_, after), mut effects) = right(process, input) else { return None };
    let mut record = machine.record();
    record.instances[0] = after.record().instances[0];
    if let Some(Effect::Persist(written)) = effects.first_mut() {
        *written = Record::Acceptor(record.clone());
    }
    let after = Acceptor::restore(processes.cluster.clone(), record).expect("it could have written that");
    Some((Process::Acceptor(*acc, after), effects))
}

fn commits_on_one(processes: &Processes, process: &Process, input: &Input) -> Step {
    let (Process::Manager(..), Input::Receive(_, Message::Paxos { parts, .. })) = (process, input) else { return None };
    let prepared = |part: &Part| matches!(part.message, paxos::Message::Accepted { value: Vote::Prepared, .. });
    let (after, mut effects) = right(process, input);
    if parts.iter().all(prepared) {
        let tx = processes.transaction.id();
        effects.push(Effect::Decide(Decision::Decided { tx, outcome: Outcome::Committed }));
    }
    Some((after, effects))
}

fn aborts(_: &Processes, process: &Process, input: &Input) -> Step {
    let Process::Manager(..) = process else { return None };
    let (after, mut effects) = right(process, input);
    for effect in &mut effects {
        if let Effect::Send { message: Message::Paxos { parts, .. }, .. } = effect {
            for part in parts {
                if let paxos::Message::Accept { value, .. } = &mut part.message {
                    *value = Vote::Aborted;
                }
            }
        }
    }
    Some((after, effects))
}

fn recovers_again(processes: &Processes, process: &Process, input: &Input) -> Step {
    let (Process::Manager(bal, _), Input::Recover) = (process, input) else { return None };
    Some(right(&processes.manager(*bal), input))
}

fn votes_again(processes: &Processes, process: &Process, input: &Input) -> Step {
    let (Process::ResourceManager(rm, _), Input::Vote(_)) = (process, input) else { return None };
    Some(right(&processes.resource_manager(*rm), input))
}

fn commits_early(processes: &Processes, process: &Process, input: &Input) -> Step {
    let (Process::ResourceManager(..), Input::Receive(_, Message::Paxos { .. })) = (process, input) else {
        return None;
    };
    let (transaction, outcome) = (processes.transaction.clone(), Outcome::Committed);
    let told = Message::Outcome { transaction, outcome };
    Some(right(process, &Input::Receive(processes.cluster.first_manager(), told)))
}
