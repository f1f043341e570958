//! One node's part in a handover, message by message: as a proposer, as an acceptor, and as a manager that is asked to wait.

use std::collections::BTreeSet;

use synod::{
    Ballot, Effect, Machine, NodeId, Quorums, Refusal,
    commit::{
        self, Entry, EpochMessage, Input, Limits, Membership, Node, Outcome, Page, Part, Record, Time, TxRange, Vote,
    },
};

use super::support::{
    ACCEPTORS, RMS, STRANGER, TIMEOUTS, TMS, cluster, config, node, refuse, say, spec, transaction, tx, verdict,
};

/// A node that comes later.
const NEWCOMER: NodeId = NodeId(14);

/// What `from` says of epoch 0.
fn hear(from: NodeId, what: EpochMessage) -> Input {
    say::from(from, say::of_epoch(0, what))
}

fn ready(from: NodeId) -> Input {
    hear(from, EpochMessage::Ready)
}

fn prepare(ballot: Ballot) -> Input {
    hear(ballot.node, EpochMessage::Prepare { ballot })
}

/// The membership that is wanted: a newcomer takes the place of an acceptor.
fn next() -> Membership {
    cluster().membership().replace(ACCEPTORS[2], NEWCOMER)
}

/// A transaction manager to which an operator says whom he wants.
fn changing(membership: Membership) -> (Node, Vec<commit::Effect>) {
    let mut tm = node(TMS[0]);
    tm.step(Input::Tick(Time(0)));
    let effects = tm.step(Input::Change(membership.into()));
    (tm, effects)
}

/// How long `node` waits for what comes next, at `now`.
fn wait(node: &Node, now: u64) -> u64 {
    node.deadline().expect("it waits").0 - now
}

/// What happens when that wait is over, and when that is.
fn time_out(node: &mut Node) -> (u64, Vec<(NodeId, EpochMessage)>) {
    let due = node.deadline().expect("it waits");
    (due.0, say::epochs(&node.step(Input::Tick(due))))
}

/// As long as this wait is at the first time and, for each time that it is over, twice as long.
fn repeated(times: u32) -> std::ops::RangeInclusive<u64> {
    let wait = TIMEOUTS.repeat << times;
    wait..=wait + wait / 2
}

/// All of `entries`, one on each page.
fn pages(entries: impl IntoIterator<Item = Entry>) -> Vec<Page> {
    let Page { digest, total, entries, .. } = Page::alone(entries);
    let page = |(first, entry)| Page { digest, total, first, entries: [entry].into() };
    (0..).zip(entries.into_vec()).map(page).collect()
}

fn committed_and_over() -> [Entry; 3] {
    let over = |seq| Entry::Retired(TxRange::only(tx(seq)));
    [Entry::Committed(transaction(1).fingerprint()), over(3), over(5)]
}

#[test]
fn a_change_waits_for_a_quorum_of_either_phase_and_for_a_manager() {
    let quorums = |prepare, accept| Quorums::flexible(ACCEPTORS, prepare, accept).unwrap();
    let asks_to_hold = |effects: &[commit::Effect]| say::epochs(effects).contains(&(TMS[1], EpochMessage::Hold));
    for (prepare, accept) in [(3, 1), (1, 3)] {
        let (mut tm, _) = changing(Membership::new(quorums(prepare, accept), TMS));
        for acceptor in &ACCEPTORS[..2] {
            assert!(!asks_to_hold(&tm.step(ready(*acceptor))), "{prepare} and {accept} are a quorum");
        }
        assert!(asks_to_hold(&tm.step(ready(ACCEPTORS[2]))));
    }
    let (mut tm, _) = changing(cluster().membership().replace(TMS[0], NEWCOMER));
    for acceptor in ACCEPTORS {
        assert!(!asks_to_hold(&tm.step(ready(acceptor))), "there is no manager");
    }
    assert!(asks_to_hold(&tm.step(ready(NEWCOMER))));
}

#[test]
fn a_proposer_repeats_itself_more_and_more_seldom_and_begins_anew_with_whatever_comes_next() {
    let invited = |to: &[NodeId], membership: Membership| {
        let invite = EpochMessage::Invite(membership.into());
        to.iter().map(|to| (*to, invite.clone())).collect::<Vec<_>>()
    };
    let (mut tm, effects) = changing(cluster().membership().replace(ACCEPTORS[1], NEWCOMER));
    let wanted = cluster().membership().replace(ACCEPTORS[1], NEWCOMER);
    let all = [ACCEPTORS[0], ACCEPTORS[2], NEWCOMER, TMS[1]];
    assert_eq!(say::epochs(&effects), invited(&all, wanted.clone()));
    let mut now = 0;
    for times in 0..4 {
        assert!(repeated(times).contains(&wait(&tm, now)), "{times}: {}", wait(&tm, now));
        let said;
        (now, said) = time_out(&mut tm);
        assert_eq!(said, invited(&all, wanted.clone()));
    }
    // The operator wants something else.
    tm.step(Input::Change(next().into()));
    for times in 0..3 {
        assert!(repeated(times).contains(&wait(&tm, now)), "{times}: {}", wait(&tm, now));
        tm.step(ready(ACCEPTORS[0]));
        let said;
        (now, said) = time_out(&mut tm);
        assert_eq!(said, invited(&[ACCEPTORS[1], NEWCOMER, TMS[1]], next()), "who has answered is left alone");
    }
    // All are there, so that managers are asked to begin nothing new for a moment.
    let effects = tm.step(ready(ACCEPTORS[1]));
    assert_eq!(say::epochs(&effects), [(TMS[1], EpochMessage::Hold)]);
    assert!((TIMEOUTS.flush..=TIMEOUTS.flush + TIMEOUTS.flush / 2).contains(&wait(&tm, now)));
    tm.step(hear(TMS[1], EpochMessage::Drained));
    assert_eq!(wait(&tm, now), 0, "nothing is undecided, so it need not wait");
    // Phase 1.
    let ballot = Ballot::new(1, TMS[0]);
    let said;
    (now, said) = time_out(&mut tm);
    let all = |what: EpochMessage, to: &[NodeId]| to.iter().map(|to| (*to, what.clone())).collect::<Vec<_>>();
    assert_eq!(said, all(EpochMessage::Prepare { ballot }, &ACCEPTORS));
    for times in 0..2 {
        assert!(repeated(times).contains(&wait(&tm, now)), "{times}: {}", wait(&tm, now));
        let said;
        (now, said) = time_out(&mut tm);
        assert_eq!(said, all(EpochMessage::Prepare { ballot }, &ACCEPTORS));
    }
    let retired = pages([1, 3].map(|seq| Entry::Retired(TxRange::only(tx(seq)))));
    let promise = |page: &Page| EpochMessage::Promise { ballot, accepted: None, page: page.clone() };
    let effects = tm.step(hear(ACCEPTORS[1], promise(&retired[0])));
    let more = EpochMessage::More { digest: retired[0].digest, next: 1 };
    assert_eq!(say::epochs(&effects), [(ACCEPTORS[1], more)]);
    assert!(repeated(0).contains(&wait(&tm, now)), "it waits for the next page");
    assert_eq!(say::epochs(&tm.step(hear(ACCEPTORS[1], promise(&retired[1])))), []);
    let said;
    (now, said) = time_out(&mut tm);
    assert_eq!(said, all(EpochMessage::Prepare { ballot }, &[ACCEPTORS[0], ACCEPTORS[2]]));
    // Phase 2.
    let effects = tm.step(hear(ACCEPTORS[0], promise(&Page::alone([]))));
    let ending = Page::alone(retired.iter().flat_map(|page| page.entries.to_vec()));
    let accept = EpochMessage::Accept { ballot, membership: next().into(), page: ending };
    assert_eq!(say::epochs(&effects), all(accept.clone(), &ACCEPTORS));
    assert!(repeated(0).contains(&wait(&tm, now)));
    tm.step(hear(ACCEPTORS[2], EpochMessage::Accepted { ballot }));
    assert_eq!(time_out(&mut tm).1, all(accept, &ACCEPTORS[..2]));
}

#[test]
fn a_wait_is_stretched_by_anything_up_to_half_of_itself() {
    let mut quiet = node(TMS[0]);
    let waits: BTreeSet<u64> = (0..256)
        .map(|now| {
            quiet.step(Input::Tick(Time(now)));
            let mut tm = quiet.clone();
            tm.step(Input::Change(next().into()));
            wait(&tm, now)
        })
        .collect();
    assert_eq!(waits, repeated(0).collect());
}

#[test]
fn nothing_begins_where_an_acceptor_is_frozen_or_known_to_be_or_a_proposer_has_asked_for_that() {
    let ballot = Ballot::new(1, TMS[0]);
    let quiet = node(ACCEPTORS[0]);
    assert!(!quiet.holds_begins() && !quiet.epoch().unwrap().is_changing);
    let mut frozen = node(ACCEPTORS[0]);
    frozen.step(prepare(ballot));
    let mut told = node(TMS[1]);
    told.step(hear(ACCEPTORS[0], EpochMessage::Frozen { promised: ballot }));
    for node in [frozen, told] {
        assert!(node.holds_begins() && node.epoch().unwrap().is_changing);
    }
    let mut asked = node(TMS[1]);
    asked.step(Input::Tick(Time(7)));
    asked.step(hear(TMS[0], EpochMessage::Hold));
    let end = 7 + 2 * TIMEOUTS.flush;
    for (now, holds) in [(7, true), (end - 1, true), (end, false)] {
        asked.step(Input::Tick(Time(now)));
        assert_eq!((asked.holds_begins(), asked.epoch().unwrap().is_changing), (holds, holds), "at {now}");
        let verdict = verdict(&asked, &say::begins(&transaction(1)));
        assert_eq!(verdict, if holds { Err(Refusal::Changing) } else { Ok(()) }, "at {now}");
    }
}

#[test]
fn a_manager_says_that_nothing_is_undecided_once_that_is_so_though_much_may_be_unfinished() {
    let mut tm = node(TMS[1]);
    let drained = [(TMS[0], EpochMessage::Drained)];
    assert_eq!(say::epochs(&tm.step(hear(TMS[0], EpochMessage::Hold))), drained);
    let mut tm = node(TMS[1]);
    for seq in 1..=3 {
        tm.step(say::begins(&transaction(seq)));
    }
    let committed = |seq| say::from(TMS[0], say::outcome(&transaction(seq), Outcome::Committed));
    tm.step(committed(1));
    assert_eq!(say::epochs(&tm.step(hear(TMS[0], EpochMessage::Hold))), []);
    assert_eq!(say::epochs(&tm.step(committed(2))), []);
    assert_eq!(say::epochs(&tm.step(committed(3))), drained);
    assert_eq!(tm.metrics().open, 3);
    assert_eq!(say::epochs(&tm.step(hear(TMS[0], EpochMessage::Hold))), drained);
}

#[test]
fn an_acceptor_reports_what_it_has_when_it_is_frozen_and_the_same_as_long_as_the_ballot_is() {
    let mut acceptor = node(ACCEPTORS[0]);
    let vote = |seq, rm, vote| say::from(rm, say::vote(&transaction(seq), vote, TMS[0]));
    RMS.iter().for_each(|rm| drop(acceptor.step(vote(1, *rm, Vote::Prepared))));
    // This one is only gathered yet.
    acceptor.step(vote(2, RMS[0], Vote::Prepared));
    acceptor.step(say::from(TMS[0], say::retired(tx(3))));
    acceptor.step(vote(4, RMS[1], Vote::Aborted));
    let (low, high) = (Ballot::new(1, TMS[0]), Ballot::new(2, TMS[1]));
    let effects = acceptor.step(prepare(low));
    let accepted = |rm, vote| Some((Ballot::initial(rm), vote));
    let part = |seq: u64, instances: [_; 3]| {
        Entry::Part(Part { transaction: transaction(seq).fingerprint(), instances: instances.into() })
    };
    let held = [
        Entry::Ready(transaction(1).fingerprint()),
        part(2, [accepted(RMS[0], Vote::Prepared), None, None]),
        part(4, [None, accepted(RMS[1], Vote::Aborted), None]),
    ];
    let over = |first, last| Entry::Retired(TxRange::new(tx(first).origin, first, last).unwrap());
    let promise = |ballot: Ballot, over| {
        let page = Page::alone(held.clone().into_iter().chain([over]));
        [(ballot.node, EpochMessage::Promise { ballot, accepted: None, page })]
    };
    assert_eq!(say::epochs(&effects), promise(low, over(3, 3)));
    assert_eq!(acceptor.snapshot().iter().filter(|record| matches!(record, Record::Acceptor(_))).count(), 3);
    // Something else turns out to be over.
    acceptor.step(say::from(TMS[0], say::retired_to(tx(5), 9)));
    assert_eq!(say::epochs(&acceptor.step(prepare(low))), promise(low, over(3, 3)), "it may be on its way");
    let Page { digest, .. } = Page::alone(held.clone().into_iter().chain([over(3, 3)]));
    assert_eq!(
        say::epochs(&acceptor.step(hear(TMS[0], EpochMessage::More { digest, next: 0 }))),
        promise(low, over(3, 3))
    );
    let page = Page::alone(held.clone().into_iter().chain([over(3, 3), over(5, 9)]));
    let promise = EpochMessage::Promise { ballot: high, accepted: None, page };
    assert_eq!(say::epochs(&acceptor.step(prepare(high))), [(TMS[1], promise)]);
}

#[test]
fn an_acceptor_that_is_asked_again_at_the_same_ballot_meets_no_other_proposer() {
    let mut acceptor = node(ACCEPTORS[0]);
    acceptor.step(Input::Tick(Time(0)));
    for _ in 0..5 {
        acceptor.step(prepare(Ballot::new(1, TMS[0])));
        let wait = wait(&acceptor, 0);
        assert!((TIMEOUTS.recover..=TIMEOUTS.recover * 3 / 2).contains(&wait), "{wait}");
    }
}

#[test]
fn an_ending_is_accepted_at_any_ballot_that_is_not_below_the_promise_page_by_page() {
    let [low, promised, high] = [Ballot::new(1, TMS[1]), Ballot::new(2, TMS[1]), Ballot::new(3, TMS[0])];
    let ending = pages(committed_and_over());
    let accept = |ballot: Ballot, page: usize| {
        let page = ending[page].clone();
        hear(ballot.node, EpochMessage::Accept { ballot, membership: next().into(), page })
    };
    let more = |ballot: Ballot, next| [(ballot.node, EpochMessage::More { digest: ending[0].digest, next })];
    let accepted = |ballot: Ballot| [(ballot.node, EpochMessage::Accepted { ballot })];
    let reject = |ballot, promised| [(TMS[1], EpochMessage::Reject { ballot, promised })];
    for at in [promised, high] {
        let mut acceptor = node(ACCEPTORS[0]);
        acceptor.step(prepare(promised));
        let said = say::epochs(&refuse(&mut acceptor, accept(low, 0), Refusal::StaleBallot));
        assert_eq!(said, reject(low, promised));
        assert_eq!(say::epochs(&acceptor.step(accept(at, 0))), more(at, 1));
        assert_eq!(say::epochs(&acceptor.step(accept(at, 1))), more(at, 2));
        let effects = acceptor.step(accept(at, 2));
        assert_eq!(say::epochs(&effects), accepted(at));
        let record = effects.iter().find_map(|effect| match effect {
            Effect::Persist(Record::Handover { epoch: 0, state }) => Some(state),
            _ => None,
        });
        let (ballot, ending) = record.expect("it is durable").accepted.clone().unwrap();
        assert_eq!((ballot, &ending.membership), (at, &next()));
        // What it has accepted is what it reports now, in pages as before.
        let higher = Ballot::new(4, TMS[1]);
        let accepted = Some((at, next().into()));
        let promise = EpochMessage::Promise { ballot: higher, accepted, page: Page::alone(committed_and_over()) };
        assert_eq!(say::epochs(&acceptor.step(prepare(higher))), [(TMS[1], promise)]);
    }
    // One proposer stops, and another one goes on with the same.
    let mut acceptor = node(ACCEPTORS[0]);
    acceptor.step(prepare(promised));
    assert_eq!(say::epochs(&acceptor.step(accept(promised, 0))), more(promised, 1));
    assert_eq!(say::epochs(&acceptor.step(accept(high, 0))), more(high, 1));
    assert_eq!(say::epochs(&acceptor.step(accept(high, 1))), more(high, 2));
    assert_eq!(say::epochs(&acceptor.step(accept(high, 2))), accepted(high));
    let said = say::epochs(&refuse(&mut acceptor, accept(promised, 1), Refusal::StaleBallot));
    assert_eq!(said, reject(promised, high));
}

/// A transaction manager at whose ballot 1 an epoch has ended, and what it says then. It has met these, and acceptors have
/// reported `reports`.
fn ended(
    limits: Limits,
    met: &[NodeId],
    wanted: Membership,
    reports: [Page; 2],
) -> (Node, Vec<(NodeId, EpochMessage)>) {
    let mut tm = Node::create(config(&spec().with_limits(limits).build().unwrap(), TMS[0])).0;
    met.iter().for_each(|met| drop(tm.step(Input::Met { node: *met, birth: 1, epoch: None })));
    tm.step(Input::Tick(Time(0)));
    tm.step(Input::Change(wanted.into()));
    [NEWCOMER, ACCEPTORS[0], ACCEPTORS[1]].into_iter().for_each(|from| drop(tm.step(ready(from))));
    time_out(&mut tm);
    let ballot = Ballot::new(1, TMS[0]);
    for (acceptor, page) in ACCEPTORS.into_iter().zip(reports) {
        tm.step(hear(acceptor, EpochMessage::Promise { ballot, accepted: None, page }));
    }
    tm.step(hear(ACCEPTORS[1], EpochMessage::Accepted { ballot }));
    assert_eq!(tm.epoch().map(|epoch| epoch.number), Some(0));
    let effects = tm.step(hear(ACCEPTORS[2], EpochMessage::Accepted { ballot }));
    assert_eq!(tm.epoch().map(|epoch| epoch.number), Some(1));
    (tm, say::epochs(&effects))
}

#[test]
fn what_acceptors_report_is_in_the_ending_and_in_what_everybody_is_told_of_the_next_epoch() {
    let [one, over, more] = committed_and_over();
    let reports = [
        Page::alone([Entry::Ready(transaction(1).fingerprint()), over.clone()]),
        Page::alone([Entry::Ready(transaction(3).fingerprint()), more.clone()]),
    ];
    let (tm, said) = ended(Limits::default(), &[], next(), reports);
    let page = Page::alone([one, over, more]);
    let former: Vec<_> = cluster().membership().members().into_iter().collect();
    let told = EpochMessage::Told { membership: next().into(), former: former.into(), page };
    let members = [ACCEPTORS[0], ACCEPTORS[1], ACCEPTORS[2], NEWCOMER, TMS[1]];
    assert_eq!(said, members.map(|member| (member, told.clone())));
    assert!(tm.status(tx(3)).is_retired() && tm.status(tx(5)).is_retired());
    let effects = tm.clone().step(say::begins(&transaction(1)));
    let decided = commit::Decision::Decided { tx: tx(1), outcome: Outcome::Committed };
    assert!(effects.contains(&Effect::Decide(decided)));
}

#[test]
fn whoever_is_at_work_is_told_of_the_next_epoch_at_once_unless_they_are_many_or_it_is_long() {
    let members = [ACCEPTORS[0], ACCEPTORS[1], ACCEPTORS[2], NEWCOMER, TMS[1]];
    let wanted = || next().with_departed(RMS[2]);
    let nothing = || [Page::alone([]), Page::alone([])];
    let kinds = |said: Vec<(NodeId, EpochMessage)>| -> Vec<(NodeId, bool)> {
        let is_told = |what| match what {
            EpochMessage::Told { .. } => true,
            EpochMessage::Newer => false,
            _ => panic!("{what:?}"),
        };
        said.into_iter().map(|(to, what)| (to, is_told(what))).collect()
    };
    let expected = |others: &[NodeId], is_short: bool| -> Vec<(NodeId, bool)> {
        let told = members.map(|member| (member, true));
        let others = others.iter().flat_map(|node| [(*node, true), (*node, false)]);
        told.into_iter().chain(others.filter(|(_, is_told)| is_short || !is_told)).collect()
    };
    // Members, and those that are written off, are not told twice, nor at all.
    let met = [RMS[0], RMS[1], RMS[2], ACCEPTORS[0], ACCEPTORS[2], NEWCOMER, TMS[1], STRANGER];
    for (limits, is_short) in [(Limits::default(), true), (Limits::default().with_page(8), false)] {
        let (_, said) = ended(limits, &met, wanted(), nothing());
        assert_eq!(kinds(said), expected(&[RMS[0], RMS[1], STRANGER], is_short));
    }
    for (many, is_short) in [(64, true), (65, false)] {
        let met: Vec<NodeId> = (1_000..1_000 + many).map(NodeId).collect();
        let (_, said) = ended(Limits::default(), &met, wanted(), nothing());
        assert_eq!(kinds(said), expected(&met, is_short), "{many}");
    }
}

#[test]
fn a_restored_manager_and_whoever_was_a_member_tell_all_members_of_their_epoch_until_these_have_noted_it() {
    const MANAGER: NodeId = NodeId(24);
    let membership = next().replace(TMS[1], MANAGER);
    let restored = |at, number| {
        let cluster = cluster().with_membership(membership.clone()).unwrap();
        let [identity, _] = super::support::founding(&cluster, at);
        let former = if number == 0 {
            [].into()
        } else {
            super::support::cluster().membership().members().into_iter().collect()
        };
        let membership = membership.clone().into();
        let epoch = Record::Epoch { number, membership, former, committed: Vec::new().into() };
        Node::restore(config(&cluster, at), [identity, epoch]).unwrap()
    };
    for (at, number, tells) in [
        (TMS[0], 1, true),
        (MANAGER, 1, true),
        (ACCEPTORS[0], 1, true),
        (ACCEPTORS[2], 1, true),
        (NEWCOMER, 1, false),
        (RMS[0], 1, false),
        (TMS[0], 0, false),
        (MANAGER, 0, false),
    ] {
        let mut node = restored(at, number);
        node.step(Input::Tick(Time(0)));
        if !tells {
            assert_eq!(node.deadline(), None, "{at} in {number}");
            continue;
        }
        let told = |noted: &[NodeId]| {
            let members = membership.members().into_iter().filter(|member| *member != at && !noted.contains(member));
            members.map(|member| (member, EpochMessage::Newer)).collect::<Vec<_>>()
        };
        assert_eq!(time_out(&mut node).1, told(&[]), "{at}");
        node.step(say::from(ACCEPTORS[1], say::of_epoch(1, EpochMessage::Noted)));
        assert_eq!(time_out(&mut node).1, told(&[ACCEPTORS[1]]), "{at}");
    }
}
