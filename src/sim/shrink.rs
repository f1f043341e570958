//! Fewer and simpler events that break the same property.

use super::{Actor, Event, Run, Setup, replay};
use crate::NodeId;

/// Leaves out events of a failed run, simplifies others, and lets fewer nodes stay dead, for as long as the same property
/// breaks.
pub fn shrink<A: Actor>(failed: &Run) -> Run {
    let mut best = failed.clone();
    revive::<A>(&mut best);
    loop {
        let before = best.events.clone();
        leave_out::<A>(&mut best);
        simplify::<A>(&mut best);
        if best.events == before {
            return best;
        }
    }
}

/// Lets nodes come back with the others.
fn revive<A: Actor>(best: &mut Run) {
    for node in best.setup.stay_dead.clone() {
        let mut setup = best.setup.clone();
        setup.stay_dead.retain(|dead| *dead != node);
        improve::<A>(best, setup, best.events.clone());
    }
}

/// Leaves out events: first many at a time, then one by one.
fn leave_out<A: Actor>(best: &mut Run) {
    let mut size = best.events.len().div_ceil(2);
    while size > 0 {
        let (mut start, mut progress) = (0, false);
        while start < best.events.len() {
            let end = (start + size).min(best.events.len());
            let fewer = best.events[..start].iter().chain(&best.events[end..]).cloned().collect();
            if improve::<A>(best, best.setup.clone(), fewer) {
                progress = true;
            } else {
                start = end;
            }
        }
        if !(progress && size == 1) {
            size /= 2;
        }
    }
}

/// Puts simpler events in the place of others.
fn simplify<A: Actor>(best: &mut Run) {
    for place in 0..best.events.len() {
        while simpler(&best.events[place]).into_iter().any(|event| {
            let mut events = best.events.clone();
            events[place] = event;
            improve::<A>(best, best.setup.clone(), events)
        }) {}
    }
}

/// Whether `events` break the same property as `best`, which they replace then.
fn improve<A: Actor>(best: &mut Run, setup: Setup, events: Vec<Event>) -> bool {
    let run = replay::<A>(&setup, &events);
    let property = |run: &Run| run.result.as_ref().err().map(|violation| violation.property);
    let same = property(&run).is_some() && property(&run) == property(best);
    if same {
        *best = run;
    }
    same
}

/// Events of the same kind that are a little simpler.
fn simpler(event: &Event) -> Vec<Event> {
    let mut event = event.clone();
    match &mut event {
        Event::Begin { at, participants } => {
            let at = *at;
            return fewer(participants).map(|participants| Event::Begin { at, participants }).collect();
        }
        Event::BeginAs { at, participants, own } => {
            let (at, own) = (*at, *own);
            let few = fewer(participants).map(|participants| Event::BeginAs { at, participants, own });
            let plain = Event::Begin { at, participants: participants.clone() };
            return few.chain([plain]).collect();
        }
        Event::StealName { at, origin, participants, back } => {
            let (at, origin, back) = (*at, *origin, *back);
            let few = fewer(participants);
            return few.map(|participants| Event::StealName { at, origin, participants, back }).collect();
        }
        Event::Cut { from, to, both_ways } => {
            let both_ways = *both_ways;
            let froms = fewer(from).map(|from| Event::Cut { from, to: to.clone(), both_ways });
            return froms.chain(fewer(to).map(|to| Event::Cut { from: from.clone(), to, both_ways })).collect();
        }
        Event::Again { index: number, .. }
        | Event::Vote { index: number, .. }
        | Event::Finish { index: number, .. }
        | Event::LoseVote { index: number, .. }
        | Event::Find { index: number, .. }
        | Event::Hide { index: number, .. }
        | Event::Inquire { index: number, .. }
        | Event::Lie { index: number, .. }
        | Event::Deliver { index: number, .. }
        | Event::Duplicate { index: number, .. }
        | Event::Late { index: number, .. }
        | Event::Lose { index: number, .. }
        | Event::Fail { keep: number, .. }
        | Event::Crash { keep: number, .. }
            if *number > 0 =>
        {
            *number = 0;
        }
        _ => return Vec::new(),
    }
    vec![event]
}

/// `nodes` without one of them, as long as one is left.
fn fewer(nodes: &[NodeId]) -> impl Iterator<Item = Vec<NodeId>> + '_ {
    let without = |place| nodes.iter().enumerate().filter(move |(at, _)| *at != place).map(|(_, node)| *node).collect();
    (0..nodes.len()).filter(|_| nodes.len() > 1).map(without)
}
