//! What befalls whom, and when: all of it follows from a seed.

use std::time::Duration;

use crate::{cast::MANAGERS, random::Random};

/// How many applications there are at once.
pub(crate) const APPLICATIONS: u64 = 3;

/// From one event to the next in milliseconds, and how long somebody is away: servers, processes.
const SERVERS: Pace = Pace { pause: (2_000, 3_500), away: (0, 1_500) };
const PROCESSES: Pace = Pace { pause: (400, 1_000), away: (200, 2_500) };

/// Somebody who is back is left alone for so long, in milliseconds.
const REST: u64 = 1_500;

struct Pace {
    pause: (u64, u64),
    away: (u64, u64),
}

/// Who is hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Victim {
    /// The database server of a side, with all its processes.
    Server(u64),
    Manager(u64),
    Agent(u64),
    /// The application in one of the places. Whoever comes after it is another one.
    Application(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    /// SIGKILL.
    Kill,
    /// SIGSTOP, and SIGCONT later.
    Stop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) at: Duration,
    pub(crate) victim: Victim,
    pub(crate) harm: Harm,
    /// For how long.
    pub(crate) away: Duration,
}

/// What befalls them in so much time, in order. Of three managers, never two are away at once.
pub(crate) fn schedule(seed: u64, time: Duration) -> Vec<Event> {
    let mut random = Random(seed);
    let end = time.as_millis() as u64;
    let servers = (0..2).map(Victim::Server).collect();
    let mut events = draw(&mut random, end, servers, &SERVERS);
    let processes = (0..MANAGERS).map(Victim::Manager);
    let processes = processes.chain((0..2).map(Victim::Agent)).chain((0..APPLICATIONS).map(Victim::Application));
    events.extend(draw(&mut random, end, processes.collect(), &PROCESSES));
    events.sort_by_key(|event| event.at);
    events
}

fn draw(random: &mut Random, end: u64, all: Vec<Victim>, pace: &Pace) -> Vec<Event> {
    let ms = Duration::from_millis;
    let (mut events, mut at) = (Vec::<Event>::new(), 0);
    loop {
        at += random.between(pace.pause);
        if at >= end {
            return events;
        }
        let is_away = |event: &&Event| event.at + event.away + ms(REST) > ms(at);
        let away: Vec<Victim> = events.iter().filter(is_away).map(|event| event.victim).collect();
        let is_manager = |victim: &Victim| matches!(victim, Victim::Manager(_));
        let spares_managers = away.iter().any(is_manager);
        let is_spared = |victim: &Victim| away.contains(victim) || spares_managers && is_manager(victim);
        let victims: Vec<Victim> = all.iter().filter(|victim| !is_spared(victim)).copied().collect();
        // The same draws in any case.
        let (which, harm, away) = (random.below(1 << 32), random.below(5), random.between(pace.away));
        if !victims.is_empty() {
            let victim = victims[(which % victims.len() as u64) as usize];
            let is_stop = harm >= 3 && !matches!(victim, Victim::Server(_));
            let harm = if is_stop { Harm::Stop } else { Harm::Kill };
            events.push(Event { at: ms(at), victim, harm, away: ms(away) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_are_two_managers_away_and_servers_are_killed_thirty_times_in_two_minutes() {
        for seed in 0..200 {
            let events = schedule(seed, Duration::from_secs(120));
            assert_eq!(events, schedule(seed, Duration::from_secs(120)));
            let servers = events.iter().filter(|event| matches!(event.victim, Victim::Server(_)));
            assert!(servers.clone().count() >= 30, "{seed}");
            assert!(servers.clone().all(|event| event.harm == Harm::Kill));
            let managers: Vec<_> = events.iter().filter(|event| matches!(event.victim, Victim::Manager(_))).collect();
            assert!(managers.windows(2).all(|pair| pair[0].at + pair[0].away < pair[1].at), "{seed}");
        }
    }

    #[test]
    fn everybody_is_killed_in_some_schedule_and_every_process_stands_still_in_some() {
        let all: Vec<Event> = (0..20).flat_map(|seed| schedule(seed, Duration::from_secs(120))).collect();
        let hits = |victim, harm| all.iter().any(|event| (event.victim, event.harm) == (victim, harm));
        assert!((0..2).all(|side| hits(Victim::Server(side), Harm::Kill)));
        for harm in [Harm::Kill, Harm::Stop] {
            assert!((0..MANAGERS).all(|number| hits(Victim::Manager(number), harm)));
            assert!((0..2).all(|side| hits(Victim::Agent(side), harm)));
            assert!((0..APPLICATIONS).all(|place| hits(Victim::Application(place), harm)));
        }
    }
}
