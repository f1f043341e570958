//! The bug zoo: nodes that are broken on purpose, each by a fault that shipped somewhere, and the simulator must find
//! every one. A canary is a fault around a real node; if it survives, a property is too weak or the schedule too tame.
//!
//! `cargo test --test zoo -- --nocapture` lists them: the row of the table of published faults, the seed that found the
//! canary, how many events that took, and the property that was broken. What is left of some of these runs after shrinking is
//! kept in `tests/events`.

mod ballots;
mod cage;
mod canary;
#[path = "../support/cores.rs"]
mod cores;
mod disks;
mod elsewhere;
mod ends;
mod epochs;
mod scopes;
#[path = "../story/mod.rs"]
mod story;

use std::{any, fs, panic};

use synod::{
    commit::Node,
    sim::{self, Actor, Run, Schedule, Setup, Violation},
};

use self::{
    cage::{Caged, Keeper},
    canary::{Canary, Fault},
    scopes::{Haste, Hasty},
    story::Story,
};

/// A fault, and how soon it must be found.
struct Exhibit {
    /// Its row in the table of published faults; 0 for one of the Go package that this one succeeds.
    row: u8,
    /// What is wrong.
    what: &'static str,
    /// How many seeds may pass before it is found.
    within: u64,
    /// The property that it must be found by, where another one may see it first.
    by: Option<&'static str>,
    /// Where it is looked for.
    schedule: fn(u64) -> (Setup, Schedule),
    keeper: Keeper,
    /// The name of the fault in the code.
    name: &'static str,
}

/// How a canary was found.
struct Catch {
    seed: u64,
    run: Run,
    violation: Violation,
}

/// What no fault around a node can show, because the types rule it out or it is another layer's; and the test of it.
const ELSEWHERE: [(u8, &str, &str, &str); 4] = [
    (10, include_str!("../codec/refused.rs"), "codec", "no_ballot_loses_its_round_or_its_node"),
    (
        11,
        include_str!("../published_bugs.rs"),
        "published_bugs",
        "one_write_is_under_way_at_a_time_so_that_none_can_be_acknowledged_out_of_order",
    ),
    (18, include_str!("../outbox.rs"), "outbox", "a_failed_write_fences_the_outbox_for_good"),
    (
        19,
        include_str!("../codec_alloc.rs"),
        "codec_alloc",
        "a_hostile_length_is_refused_before_anything_is_allocated_for_it",
    ),
];

/// A fault of what goes into a node, comes out of it or is on its disk.
fn exhibit<F: Fault + 'static>(row: u8, within: u64, what: &'static str) -> Exhibit {
    exhibit_of::<Canary<F>>(any::type_name::<F>(), row, within, what)
}

/// A fault of what effects wait for.
fn hasty<H: Haste + Default>(row: u8, within: u64, what: &'static str) -> Exhibit {
    exhibit_of::<Hasty<H>>(any::type_name::<H>(), row, within, what)
}

fn exhibit_of<A: Actor + 'static>(name: &'static str, row: u8, within: u64, what: &'static str) -> Exhibit {
    let name = name.rsplit("::").next().unwrap_or(name);
    Exhibit { row, what, within, by: None, schedule: Schedule::new, keeper: Keeper::of::<A>(), name }
}

impl Exhibit {
    fn by(self, property: &'static str) -> Self {
        Self { by: Some(property), ..self }
    }

    /// In the worlds where members are replaced.
    fn where_members_change(self) -> Self {
        Self { schedule: Schedule::changing, ..self }
    }

    /// In the worlds where storages are damaged.
    fn where_storages_are_damaged(self) -> Self {
        Self { schedule: Schedule::damaging, ..self }
    }

    /// In the worlds where a participant hurts others.
    fn where_it_hurts(self) -> Self {
        Self { schedule: Schedule::hurt, ..self }
    }

    /// The first seed whose world breaks a property.
    fn hunt(&self) -> Option<Catch> {
        let look = |seed| {
            let run = sim::run_schedule::<Caged>((self.schedule)(seed));
            let violation = run.result.clone().err()?;
            let is_wanted = self.by.is_none_or(|property| property == violation.property);
            is_wanted.then_some(Catch { seed, run, violation })
        };
        self.keeper.while_on_duty(|| (0..self.within).find_map(look))
    }

    fn replay(&self, story: &Story) -> Result<(), Violation> {
        self.keeper.while_on_duty(|| sim::replay::<Caged>(&story.setup, &story.events).result)
    }
}

#[rustfmt::skip]
fn zoo() -> Vec<Exhibit> {
    vec![
        exhibit::<ends::OneManagerForAll>(0, 100, "a dead transaction manager is turned to for ever"),
        exhibit::<disks::SendsOvertakeWrites>(1, 10, "sends leave before the writes ahead of them"),
        exhibit::<disks::VotesUnwritten>(1, 10, "votes are never written"),
        hasty::<scopes::NamesToldEarly>(1, 100, "a caller is told a name before its number is reserved"),
        hasty::<scopes::NamesSentEarly>(1, 100, "others are told a name before its number is reserved"),
        hasty::<scopes::NamesHandedOverEarly>(1, 100, "a resource is told a name before its number is reserved"),
        hasty::<scopes::RetirementSentEarly>(1, 100, "others hear what is over before that is written"),
        hasty::<scopes::RetirementNotedEarly>(1, 100, "it is noted what is over before that is written"),
        hasty::<scopes::VotesSentEarly>(1, 100, "a vote leaves before it is written"),
        hasty::<scopes::BallotsSentEarly>(1, 100, "a ballot leaves before its round is reserved"),
        hasty::<scopes::PromisesSentEarly>(1, 100, "a promise leaves before it is written"),
        hasty::<scopes::AcceptancesSentEarly>(1, 100, "an acceptance leaves before it is written"),
        hasty::<scopes::FinishesSentEarly>(1, 100, "that an outcome is carried out is said before it is written"),
        hasty::<scopes::OutcomesToldEarly>(1, 100, "an outcome is told before the vote behind it is written"),
        hasty::<scopes::GatheringCountsAsDurable>(1, 100, "the batch that gathers is taken for durable"),
        exhibit::<disks::PromisesDropped>(2, 100, "an acceptor that has promised drops the promise"),
        exhibit::<ballots::AcceptPromisesNothing>(2, 1_000, "Accept does not raise the promise"),
        exhibit::<ballots::StalePromisesCount>(3, 100, "a promise of an older ballot counts"),
        exhibit::<disks::RoundsForgotten>(4, 100, "a restart forgets the rounds that were used"),
        exhibit::<disks::NumbersForgotten>(4, 100, "a restart forgets the numbers that were handed out"),
        exhibit::<disks::NumbersForgottenUnseen>(4, 1_000, "a restart forgets numbers that nothing else shows")
            .by("names are given once"),
        exhibit::<disks::ReservationsGoBack>(4, 100, "a reservation goes back to the one before it"),
        exhibit::<ballots::VotersCountTwice>(5, 100, "an acceptor's answer counts for another one, too"),
        exhibit::<ballots::AcceptedBallotsIgnored>(6, 5_000, "of the votes that promises tell of, the first one wins"),
        exhibit::<ballots::RejectionsCount>(7, 100, "a rejection counts as a grant"),
        exhibit::<ballots::UnpreparedRefused>(8, 100, "an Accept above the promise is refused"),
        exhibit::<ballots::RoundZeroRefused>(8, 100, "a vote is refused for want of a Prepare"),
        exhibit::<ballots::ProposerStalls>(9, 100, "a proposer that lost does not try again"),
        exhibit::<ends::InquiriesIgnored>(9, 1_000, "inquiries are not heard"),
        exhibit::<ballots::BallotsLoseTheirNode>(10, 100, "ballots lose their node on the way"),
        exhibit::<ballots::AcceptedBallotsLoseTheirNode>(10, 10_000, "accepted ballots lose their node on the way"),
        exhibit::<disks::WritesConfirmedEarly>(11, 100, "a write is confirmed by the one before it"),
        exhibit::<ends::OtherTransactionsCount>(12, 100, "an answer about one transaction counts for another"),
        exhibit::<ends::NamesakesCount>(12, 1_000, "a message about one transaction counts for another of its name")
            .where_it_hurts().by("names never split"),
        exhibit::<ends::OneVoteSpeaksForAll>(12, 100, "a vote of one instance counts for all"),
        exhibit::<disks::RetirementForgotten>(13, 100, "a restart forgets what is over"),
        exhibit::<disks::ErasedEarly>(13, 100, "what is over is erased before it is written that it is"),
        exhibit::<ends::RangesOneTooLong>(13, 100, "a range of what is over is one too long"),
        exhibit::<ballots::AcceptancesIgnored>(14, 100, "recovery aborts whatever was accepted"),
        exhibit::<ends::CommitsToldEarly>(15, 100, "a client is told before a quorum has accepted"),
        exhibit::<disks::PreparedRolledBack>(16, 100, "a restart aborts what is prepared"),
        exhibit::<disks::CommitsTakenForAborts>(16, 100, "a restart takes commits for aborts"),
        exhibit::<ends::OutcomesInverted>(16, 100, "what is told of outcomes is taken for the opposite"),
        exhibit::<ends::HistoryInverted>(16, 100, "a restart takes what has ended for the opposite"),
        exhibit::<ends::DoubtEndsInAbort>(16, 100, "doubt ends in a guess"),
        exhibit::<disks::BlankDiskVotes>(17, 100, "a node with a blank disk starts as a new one"),
        exhibit::<disks::AcceptancesForgotten>(17, 100, "a node whose disk lost acceptances goes on"),
        exhibit::<disks::DamageUnnoticed>(17, 100, "a node whose storage went back to an older state goes on").where_storages_are_damaged(),
        exhibit::<ends::SurprisesPanic>(18, 100, "an unexpected answer panics"),
        exhibit::<ends::OneWordDecides>(21, 1_000, "one participant's word is taken for the outcome").by("agreement"),
        exhibit::<ends::LateVotesIgnored>(22, 1_000, "a vote that comes too late is dropped").by("no orphan"),
        exhibit::<ends::OrphansKept>(22, 1_000, "a restored resource keeps what nobody was promised").by("no orphan"),
        exhibit::<ends::PromisesDroppedAtStart>(22, 100, "a restored resource drops what was promised"),
        exhibit::<ends::GhostsWaitedFor>(23, 1_000, "a participant that does not exist is waited for").by("liveness"),
        exhibit::<elsewhere::VotesToAbort>(16, 1_000, "a vote that is durable elsewhere is forgotten, then one to abort is given"),
        exhibit::<elsewhere::BindingRolledBack>(16, 100, "a restored resource rolls back what is binding in itself")
            .by("a promise is kept"),
        exhibit::<elsewhere::FindsIgnored>(22, 1_000, "what a resource finds prepared in itself is ignored"),
        exhibit::<elsewhere::FindsAborted>(16, 100, "what a resource finds prepared is aborted as if nobody relied on it"),
        exhibit::<ends::NothingRetires>(20, 100, "nothing is ever retired"),
        exhibit::<ends::NothingAcknowledged>(20, 100, "retirement is never acknowledged"),
        exhibit::<disks::NothingErased>(20, 100, "what is over is never erased"),
        exhibit::<epochs::FreezeForgotten>(0, 100, "a restart forgets that an acceptor is frozen").where_members_change(),
        exhibit::<epochs::FrozenTakesVotes>(0, 50, "a frozen acceptor takes votes").where_members_change(),
        exhibit::<epochs::OneReportIsEnough>(0, 2_000, "one report counts for all").where_members_change().by("nothing that committed is forgotten"),
        exhibit::<epochs::ProposalTakenForChoice>(0, 50, "a proposed ending is acted on").where_members_change(),
        exhibit::<epochs::AcceptedEndingIgnored>(0, 500, "an accepted ending is not looked at").where_members_change(),
        exhibit::<epochs::ReportsNothing>(0, 200, "an acceptor reports nothing").where_members_change(),
        exhibit::<epochs::CommittedForgotten>(0, 50, "what is committed is not written with the next epoch").where_members_change(),
        exhibit::<epochs::NobodyRenews>(0, 2_000, "nobody ends what a dead proposer began").where_members_change(),
        exhibit::<epochs::FirstPageIsAll>(0, 200, "the first page is taken for all").where_members_change(),
        exhibit::<epochs::PagesMixed>(0, 2_000, "pages of different things are mixed").where_members_change(),
        exhibit::<epochs::AnybodyIsReady>(0, 50, "whoever is invited is there, whomever it believes").where_members_change(),
        exhibit::<epochs::NobodyIsTold>(0, 50, "who is behind is told nothing").where_members_change(),
    ]
}

#[test]
fn the_simulator_finds_every_canary() {
    // One of them panics.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let zoo = zoo();
    let catches = hunt_all(&zoo);
    panic::set_hook(hook);

    println!("row  seed  events  {:42}  canary", "property");
    let mut survivors = Vec::new();
    for (exhibit, catch) in zoo.iter().zip(&catches) {
        let Exhibit { row, what, within, .. } = exhibit;
        match catch {
            Some(Catch { seed, run, violation }) => {
                println!("{row:3}  {seed:4}  {:6}  {:42}  {what}", run.events.len(), violation.property);
            }
            None => survivors.push(format!("row {row}: {what}: not found in {within} seeds")),
        }
    }
    for (row, _, file, test) in ELSEWHERE {
        println!("{row:3}  cargo test --test {file} {test}");
    }
    assert!(survivors.is_empty(), "{survivors:#?}");
}

/// Every canary's catch, on all cores.
fn hunt_all(zoo: &[Exhibit]) -> Vec<Option<Catch>> {
    cores::each(zoo.len() as u64, |place| zoo[place as usize].hunt())
}

/// Events of failures of the library's own, and of no canary.
const OWN: [&str; 3] = ["ResolvedWithItsManager", "RoomTakenByTheDead", "SleeperHearsTooLate"];

#[test]
fn the_events_that_were_kept_find_their_canary() {
    let zoo = zoo();
    for (file, story) in story::all() {
        let name = file.file_stem().and_then(|name| name.to_str()).unwrap();
        if !OWN.contains(&name) {
            let exhibit = zoo.iter().find(|exhibit| exhibit.name == name);
            let exhibit = exhibit.unwrap_or_else(|| panic!("{name} is no canary"));
            let found =
                exhibit.replay(&story).expect_err(&format!("{name} survives what is about it: {}", story.about));
            assert!(
                story.about.contains(&format!("{:?}", found.property)),
                "{name} breaks {found}, not: {}",
                story.about
            );
        }
    }
}

#[test]
#[ignore = "it writes the files that other tests read: for when the schedule or the shape of events has changed"]
fn the_events_of_every_canary_are_written() {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let zoo = zoo();
    let catches = hunt_all(&zoo);
    let shrunk = |(exhibit, catch): (&Exhibit, Option<Catch>)| {
        let failed = catch?.run;
        Some(exhibit.keeper.while_on_duty(|| sim::shrink::<Caged>(&failed)))
    };
    let shrunk: Vec<_> = zoo.iter().zip(catches).map(shrunk).collect();
    panic::set_hook(hook);
    for (Exhibit { name, what, .. }, small) in zoo.iter().zip(shrunk) {
        let Some(Run { setup, events, result: Err(violation), .. }) = small else { continue };
        let file = format!("tests/events/{name}.json");
        // What a healed world comes to by itself need not be kept.
        if sim::replay::<Node>(&setup, &events).stats.begun < 2 {
            println!("{name} needs no events");
            drop(fs::remove_file(file));
            continue;
        }
        let about = format!("What is left of a run that found a broken node ({what}), by \"{}\".", violation.property);
        let (about, setup) = (serde_json::to_string(&about).unwrap(), serde_json::to_string(&setup).unwrap());
        let events: Vec<String> = events.iter().map(|event| serde_json::to_string(event).unwrap()).collect();
        let events = events.join(",\n");
        fs::write(file, format!("{{\n\"about\": {about},\n\"setup\": {setup},\n\"events\": [\n{events}\n]\n}}\n"))
            .unwrap();
    }
}

#[test]
fn of_those_that_stay_dead_shrinking_leaves_only_whom_the_failure_needs() {
    let is_sick = |run: &Run| run.result.is_err() && run.setup.stay_dead.len() > 1;
    let small = Keeper::of::<Canary<ends::OneManagerForAll>>().while_on_duty(|| {
        let failed = (0..1_000).map(sim::run_seed::<Caged>).find(is_sick);
        sim::shrink::<Caged>(&failed.unwrap())
    });
    assert_eq!(small.setup.stay_dead, [small.setup.cluster.managers()[0]]);
    assert!(small.result.is_err());
}

#[test]
fn every_row_has_a_canary_or_a_test_elsewhere() {
    let zoo = zoo();
    for row in 1..=23 {
        let elsewhere = ELSEWHERE.iter().any(|other| other.0 == row);
        assert!(elsewhere || zoo.iter().any(|exhibit| exhibit.row == row), "row {row}");
    }
    for (_, source, file, test) in ELSEWHERE {
        assert!(source.contains(&format!("fn {test}(")), "{file} has no test {test}");
    }
}
