//! So many transactions recover at a time, and no more.

use synod::{
    Machine, Refusal,
    commit::{Input, Limits, Message, Node, Outcome, Time, Vote, What},
};

use super::support::{ACCEPTORS, RMS, TIMEOUTS, TMS, config, refuse, say, spec, spec_of, transaction, tx};

/// A transaction manager that recovers one transaction at a time, with three that wait for votes.
fn manager() -> Node {
    let cluster = spec().with_limits(Limits::default().with_recoveries(1)).build().unwrap();
    let mut tm = Node::create(config(&cluster, TMS[0])).0;
    for seq in 1..=3 {
        tm.step(Input::Tick(Time(seq)));
        tm.step(say::begins(&transaction(seq)));
    }
    tm
}

/// Lets time pass until all three have waited too long for votes.
fn wait(tm: &mut Node) -> Vec<synod::commit::Effect> {
    let mut effects = Vec::new();
    while let Some(due) = tm.deadline().filter(|due| due.0 <= 2 * TIMEOUTS.recover) {
        effects.extend(tm.step(Input::Tick(due)));
    }
    effects
}

/// The numbers of the transactions that begin to recover in these effects.
fn recovering(effects: &[synod::commit::Effect]) -> Vec<u64> {
    let ballot = |(_, message): (_, &Message)| match message {
        Message::About { transaction, what: What::Phase1a { .. } } => Some(transaction.id().seq),
        _ => None,
    };
    let mut all: Vec<u64> = say::sends(effects).into_iter().filter_map(ballot).collect();
    all.dedup();
    all
}

fn end(tm: &mut Node, seq: u64) -> Vec<synod::commit::Effect> {
    tm.step(say::from(TMS[1], say::outcome(&transaction(seq), Outcome::Aborted)))
}

#[test]
fn one_recovers_and_the_next_one_follows_when_its_outcome_is_known() {
    let mut tm = manager();
    let effects = wait(&mut tm);
    let [first] = recovering(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!(tm.metrics().waiting_to_recover, 2);
    let [second] = recovering(&end(&mut tm, first))[..] else { panic!("the next one's turn") };
    let [third] = recovering(&end(&mut tm, second))[..] else { panic!("the last one's turn") };
    assert_eq!((first + second + third, tm.metrics().waiting_to_recover), (6, 0));
    assert!(second < third, "the oldest first");
    assert_eq!(recovering(&end(&mut tm, third)), [0; 0]);
}

#[test]
fn one_that_is_blocked_by_its_name_gives_its_place_to_the_next_one() {
    let mut tm = manager();
    let [first] = recovering(&wait(&mut tm))[..] else { panic!("one at a time") };
    let blocked = Message::about(&transaction(first), What::OtherTransaction);
    assert_eq!(recovering(&tm.step(say::from(ACCEPTORS[0], blocked))).len(), 1);
    assert_eq!(tm.metrics().waiting_to_recover, 1);
}

#[test]
fn what_is_over_elsewhere_while_the_resource_here_is_prepared_takes_nobodys_turn() {
    let limits = Limits::default().with_recoveries(1);
    let cluster = spec_of(&ACCEPTORS, &[RMS[0], TMS[0]]).with_limits(limits).build().unwrap();
    let mut tm = Node::create(config(&cluster, RMS[0])).0;
    tm.step(Input::Tick(Time(1)));
    for seq in 1..=2 {
        tm.step(say::begins(&transaction(seq)));
        tm.step(Input::Vote { transaction: transaction(seq), vote: Vote::Prepared });
    }
    let [first] = recovering(&wait(&mut tm))[..] else { panic!("one at a time") };
    refuse(&mut tm, say::from(ACCEPTORS[0], say::retired(tx(first))), Refusal::RetiredUnfinished);
    // When the time of its attempt is over, the other one's begins, and it never comes back.
    let second = 3 - first;
    let mut tried = Vec::new();
    for _ in 0..30 {
        let due = tm.deadline().unwrap();
        tried.extend(recovering(&tm.step(Input::Tick(due))));
    }
    assert!(tried.len() > 1 && tried.iter().all(|seq| *seq == second), "{tried:?}");
}

#[test]
fn an_attempt_that_fails_gives_its_place_to_who_had_fewer() {
    let mut tm = manager();
    let mut order = recovering(&wait(&mut tm));
    while order.len() < 3 {
        let now = tm.deadline().unwrap().0;
        order.extend(recovering(&tm.step(Input::Tick(Time(now)))));
        assert!(now < 10 * TIMEOUTS.ceiling);
    }
    order.sort_unstable();
    assert_eq!(order, [1, 2, 3], "each had its turn before any had a second one");
}

#[test]
fn while_some_wait_for_their_turn_nothing_new_is_begun() {
    let mut tm = manager();
    let effects = wait(&mut tm);
    refuse(&mut tm, say::begins(&transaction(9)), Refusal::Overloaded);
    refuse(&mut tm, say::from(RMS[0], say::begin(&transaction(9))), Refusal::Overloaded);
    // What is begun already is begun again, and what is on its way to its end goes on.
    tm.step_into(say::begins(&transaction(1)), &mut Vec::new()).unwrap();
    tm.step_into(say::from(RMS[0], say::inquire(&transaction(8))), &mut Vec::new()).unwrap();
    let mut waits = recovering(&effects);
    while let Some(seq) = waits.pop() {
        waits.extend(recovering(&end(&mut tm, seq)));
    }
    tm.step_into(say::begins(&transaction(9)), &mut Vec::new()).unwrap();
}

#[test]
fn who_is_over_before_its_turn_gives_up_its_claim() {
    let mut tm = manager();
    let first = recovering(&wait(&mut tm))[0];
    for seq in (1..=3).filter(|seq| *seq != first) {
        tm.step(say::from(TMS[1], say::retired(tx(seq))));
    }
    assert_eq!(tm.metrics().waiting_to_recover, 0);
    tm.step(say::from(TMS[1], say::retired(tx(first))));
    tm.step(say::begins(&transaction(4)));
    let due = tm.deadline().unwrap();
    assert_eq!(recovering(&tm.step(Input::Tick(due))), [4], "the place is free again");
}
