//! Transactions and what their callers hear of them.

use synod::{
    Refusal, TxId,
    commit::{Decision, GivenNames, Limits, Message, Outcome, Transaction, TransactionError, TxRange, Vote, What},
    perform::tokio::{Error, Handle, Options, Start},
};
use tokio::task::JoinHandle;

use crate::scene::{
    IDS, META, Member, Puppet, Wires, cluster, of, soon, three, three_of, timeless, transaction, until,
};

fn all(vote: Vote) -> [Puppet; 3] {
    [Puppet::voting(vote), Puppet::voting(vote), Puppet::voting(vote)]
}

#[tokio::test]
async fn a_transaction_that_all_can_commit_is_committed_known_and_forgotten_everywhere() {
    let nodes = three(all(Vote::Prepared)).await;
    let tx = soon(nodes[0].1.begin(IDS, "move 10")).await.unwrap();
    assert_eq!(tx.origin, IDS[0]);
    for (_, handle, _) in &nodes {
        assert_eq!(soon(handle.outcome(tx)).await.unwrap(), Outcome::Committed);
    }
    for (member, handle, _) in &nodes {
        until(async || handle.status(tx).await.unwrap().is_retired()).await;
        assert_eq!(handle.metrics().await.unwrap().open, 0);
        let asked = member.puppet.asked();
        assert!(matches!(&asked[0], Decision::Vote { meta, .. } if meta.bytes() == b"move 10"), "{asked:?}");
        let verdicts = member.puppet.verdicts(tx);
        assert!(!verdicts.is_empty() && verdicts.iter().all(|verdict| *verdict == Outcome::Committed), "{asked:?}");
        // It is over, and still remembered.
        assert_eq!(soon(handle.outcome(tx)).await.unwrap(), Outcome::Committed);
    }
    let completed = Decision::Completed { tx, outcome: Outcome::Committed };
    assert!(nodes[0].0.puppet.asked().contains(&completed));
}

#[tokio::test]
async fn the_last_outcomes_are_listed_the_latest_first_and_with_how_long_they_took_where_they_were_begun() {
    let nodes = three(all(Vote::Prepared)).await;
    let mut begun = Vec::new();
    for _ in 0..3 {
        let tx = soon(nodes[0].1.begin(IDS, META)).await.unwrap();
        for (_, handle, _) in &nodes {
            assert_eq!(soon(handle.outcome(tx)).await.unwrap(), Outcome::Committed);
        }
        begun.insert(0, tx);
    }
    for (at, (_, handle, _)) in nodes.iter().enumerate() {
        let recent = soon(handle.recent(2)).await.unwrap();
        assert_eq!(recent.iter().map(|each| each.tx).collect::<Vec<_>>(), begun[..2]);
        assert!(recent.iter().all(|each| each.outcome == Outcome::Committed && each.took.is_some() == (at == 0)));
        assert!(recent[0].ago <= recent[1].ago);
        assert_eq!(soon(handle.recent(100)).await.unwrap().len(), 3);
    }
}

#[tokio::test]
async fn who_waits_for_what_an_operator_gives_up_is_told_that_nothing_is_known_of_it() {
    let member = Member::new(&of([IDS[1]], [IDS[0]]), IDS[0], &Wires::default(), Puppet::voting(Vote::Prepared));
    let (handle, _task) = member.start(Start::Create).await;
    let transaction = transaction(1, &IDS[1..]);
    let tx = transaction.id();
    soon(handle.begin_as(transaction.clone(), META)).await.unwrap();
    let waiting = [handle.clone(), handle.clone()].map(|handle| tokio::spawn(async move { handle.outcome(tx).await }));
    let resolve = async || soon(handle.resolve(tx, Outcome::Aborted)).await;
    assert!(matches!(resolve().await, Err(Error::Refused(Refusal::UnknownTransaction))));
    assert!(handle.violations().await.unwrap().is_empty());
    // The acceptor knows another transaction by this name.
    assert!(handle.deliver(IDS[1], vec![Message::about(&transaction, What::OtherTransaction)]));
    until(async || handle.violations().await.unwrap().len() == 1).await;
    resolve().await.unwrap();
    for waiting in waiting {
        assert!(matches!(soon(waiting).await.unwrap(), Err(Error::Forgotten(forgotten)) if forgotten == tx));
    }
    assert!(handle.violations().await.unwrap().is_empty());
    assert_eq!(handle.metrics().await.unwrap().resolved, 1);
}

#[tokio::test]
async fn one_vote_to_abort_aborts_everywhere() {
    let [yes, _, also] = all(Vote::Prepared);
    let nodes = three([yes, Puppet::voting(Vote::Aborted), also]).await;
    let tx = soon(nodes[2].1.begin(IDS, "move 10")).await.unwrap();
    for (member, handle, _) in &nodes {
        assert_eq!(soon(handle.outcome(tx)).await.unwrap(), Outcome::Aborted);
        until(async || handle.status(tx).await.unwrap().is_retired()).await;
        assert!(!member.puppet.verdicts(tx).contains(&Outcome::Committed));
    }
}

#[tokio::test]
async fn a_transaction_named_by_its_client_goes_through_once_wherever_it_is_begun_again() {
    let nodes = three(all(Vote::Prepared)).await;
    let transaction = transaction(1, &IDS);
    for (_, handle, _) in &nodes {
        // The last one may come when it is all over.
        soon(handle.begin_as(transaction.clone(), META)).await.unwrap();
    }
    for (member, handle, _) in &nodes {
        assert_eq!(soon(handle.outcome(transaction.id())).await.unwrap(), Outcome::Committed);
        until(async || handle.status(transaction.id()).await.unwrap().is_retired()).await;
        let votes = member.puppet.asked().into_iter().filter(|asked| matches!(asked, Decision::Vote { .. }));
        assert_eq!(votes.count(), 1);
        handle.begin_as(transaction.clone(), META).await.unwrap();
        assert_eq!(soon(handle.outcome(transaction.id())).await.unwrap(), Outcome::Committed);
    }
}

#[tokio::test]
async fn names_that_a_manager_gives_away_are_good_at_every_manager() {
    let nodes = three(all(Vote::Prepared)).await;
    let [first, second] = [4, 2].map(|count| nodes[0].1.names(count));
    let (first, second) = (soon(first).await.unwrap(), soon(second).await.unwrap());
    let given = |first, last| GivenNames { names: TxRange::new(IDS[0], first, last).unwrap(), epoch: 0 };
    assert_eq!((first, second), (given(1, 4), given(5, 6)));
    for ((_, handle, _), seq) in nodes.iter().zip([4, 5, 6]) {
        let named = Transaction::new(TxId { origin: IDS[0], seq }, IDS, META).unwrap();
        soon(handle.begin_as(named.clone(), META)).await.unwrap();
        assert_eq!(soon(handle.outcome(named.id())).await.unwrap(), Outcome::Committed);
    }
    let refused = soon(nodes[0].1.names(0)).await;
    assert!(matches!(refused, Err(Error::Refused(Refusal::BadCount))), "{refused:?}");
}

#[tokio::test]
async fn what_makes_no_transaction_or_is_refused_takes_no_number() {
    let wires = Wires::default();
    // Node 2 takes part, and is no transaction manager.
    let member = Member::new(&of([IDS[0]], [IDS[0]]), IDS[1], &wires, Puppet::voting(Vote::Prepared));
    let (handle, _task) = member.start(Start::Create).await;
    let nobody = handle.begin([], "").await;
    assert!(matches!(nobody, Err(Error::NoTransaction(TransactionError::NoParticipants))), "{nobody:?}");
    let stranger = handle.begin([IDS[2]], "").await;
    assert!(matches!(stranger, Err(Error::Refused(Refusal::NotAManager))), "{stranger:?}");
    let long = handle.begin([IDS[1]], vec![0; (1 << 16) + 1]).await;
    assert!(matches!(long, Err(Error::Refused(Refusal::MetaTooLong))), "{long:?}");
    let first = handle.begin([IDS[1], IDS[2]], "").await.unwrap();
    assert_eq!(first, TxId { origin: IDS[1], seq: 1 });
    let inquired = handle.inquire(TxId { seq: 2, ..first }).await;
    assert!(matches!(inquired, Err(Error::Refused(Refusal::UnknownTransaction))), "{inquired:?}");
}

#[tokio::test]
async fn an_inquiry_aborts_what_a_participant_has_not_voted_on() {
    let silent = Puppet::waiting(Vote::Prepared);
    let mut member = Member::new(&of([IDS[0]], [IDS[0]]), IDS[0], &Wires::default(), silent);
    // No timer will do it.
    member.options = timeless();
    let (handle, _task) = member.start(Start::Create).await;
    let tx = soon(handle.begin([IDS[0]], "")).await.unwrap();
    soon(handle.inquire(tx)).await.unwrap();
    assert_eq!(soon(handle.outcome(tx)).await.unwrap(), Outcome::Aborted);
}

#[tokio::test]
async fn an_outcome_that_the_node_no_longer_remembers_is_forgotten() {
    let limits = Limits::default().with_history(0);
    let cluster = of([IDS[0]], [IDS[0]]).spec().clone().with_limits(limits).build().unwrap();
    let mut member = Member::new(&cluster, IDS[0], &Wires::default(), Puppet::voting(Vote::Prepared));
    member.options.outcomes = 1;
    let (handle, _task) = member.start(Start::Create).await;
    let first = soon(handle.begin([IDS[0]], "")).await.unwrap();
    until(async || handle.status(first).await.unwrap().is_retired()).await;
    assert_eq!(soon(handle.outcome(first)).await.unwrap(), Outcome::Committed);
    let second = soon(handle.begin([IDS[0]], "")).await.unwrap();
    until(async || handle.status(second).await.unwrap().is_retired()).await;
    let forgotten = soon(handle.outcome(first)).await;
    assert!(matches!(forgotten, Err(Error::Forgotten(tx)) if tx == first), "{forgotten:?}");
    assert_eq!(soon(handle.outcome(second)).await.unwrap(), Outcome::Committed);
}

#[tokio::test]
async fn how_a_transaction_ended_is_known_after_a_restart() {
    let member = Member::new(&of([IDS[0]], [IDS[0]]), IDS[0], &Wires::default(), Puppet::voting(Vote::Aborted));
    let (handle, _task) = member.start(Start::Create).await;
    let tx = soon(handle.begin([IDS[0]], "")).await.unwrap();
    until(async || handle.status(tx).await.unwrap().is_retired()).await;
    handle.shutdown().await.unwrap();
    let (handle, _task) = member.start(Start::Restore).await;
    assert_eq!(soon(handle.outcome(tx)).await.unwrap(), Outcome::Aborted);
}

#[tokio::test]
async fn who_waits_at_a_transaction_manager_that_only_hears_that_it_is_over_is_told_how_it_ended() {
    let nodes = three(all(Vote::Prepared)).await;
    // Node 3 takes no part, and is cut off while the others do it.
    let (member, handle, _) = &nodes[2];
    let transaction = transaction(1, &IDS[..2]);
    let tx = transaction.id();
    member.wires.unplug(IDS[2]);
    let waiting = tokio::spawn({
        let handle = handle.clone();
        async move { handle.outcome(tx).await }
    });
    soon(nodes[0].1.begin_as(transaction, META)).await.unwrap();
    assert_eq!(soon(nodes[0].1.outcome(tx)).await.unwrap(), Outcome::Committed);
    until(async || nodes[0].1.status(tx).await.unwrap().is_retired()).await;
    assert!(!waiting.is_finished());
    member.wires.plug(handle);
    assert_eq!(soon(waiting).await.unwrap().unwrap(), Outcome::Committed);
}

#[tokio::test]
async fn an_outcome_that_becomes_known_with_the_news_that_all_is_over_is_not_forgotten() {
    // Node 3 is a transaction manager that was not needed, and takes part.
    let cluster = of([IDS[0]], [IDS[0], IDS[2]]);
    let mut member = Member::new(&cluster, IDS[2], &Wires::default(), Puppet::voting(Vote::Prepared));
    member.options = timeless().with_outcomes(1);
    let (handle, _task) = member.start(Start::Create).await;
    let [first, second] = [1, 2].map(|seq| transaction(seq, &IDS[1..]));
    let tx = first.id();
    for (transaction, outcome) in [(first.clone(), Outcome::Committed), (second, Outcome::Aborted)] {
        handle.deliver(IDS[0], vec![Message::about(&transaction, What::prepare(META.into()))]);
        until(async || handle.in_doubt().await.unwrap().len() == 1).await;
        handle.deliver(IDS[0], vec![Message::about(&transaction, What::Outcome(outcome))]);
        // The second outcome is remembered in place of the first.
        assert_eq!(soon(handle.outcome(transaction.id())).await.unwrap(), outcome);
        until(async || handle.in_doubt().await.unwrap().is_empty()).await;
    }
    // It hears as a transaction manager of what it has finished as a participant, and then that it is over.
    handle.deliver(IDS[1], vec![Message::about(&first, What::Begin { meta: META.into() })]);
    until(async || handle.metrics().await.unwrap().decisions >= 4).await;
    member.disk.hold();
    handle.deliver(IDS[0], vec![Message::retired(TxRange::only(tx))]);
    until(async || handle.metrics().await.unwrap().open == 1).await;
    let asked = tokio::spawn(async move { handle.outcome(tx).await });
    until(async || member.disk.is_writing()).await;
    member.disk.release();
    assert_eq!(soon(asked).await.unwrap().unwrap(), Outcome::Committed);
}

#[tokio::test]
async fn who_waits_for_all_to_have_carried_it_out_hears_when_the_last_one_has() {
    let puppets = || [(); 3].map(|()| Puppet::waiting(Vote::Prepared));
    let nodes = three(puppets()).await;
    let tx = soon(nodes[0].1.begin(IDS, "")).await.unwrap();
    let waits = |place: usize| {
        let handle = nodes[place].1.clone();
        tokio::spawn(async move { handle.completed(tx).await })
    };
    // Some ask before the outcome is known, and some after that.
    let mut waiting: Vec<_> = (0..3).map(waits).collect();
    nodes.iter().for_each(|(member, ..)| member.puppet.let_vote(1));
    for (_, handle, _) in &nodes {
        assert_eq!(soon(handle.outcome(tx)).await.unwrap(), Outcome::Committed);
    }
    waiting.extend((0..3).map(waits));
    nodes[..2].iter().for_each(|(member, ..)| member.puppet.let_carry_out(1));
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
    nodes[2].0.puppet.let_carry_out(1);
    for waiting in waiting {
        assert_eq!(soon(waiting).await.unwrap().unwrap(), Outcome::Committed);
    }
    // Now that it is over, too.
    assert_eq!(soon(nodes[2].1.completed(tx)).await.unwrap(), Outcome::Committed);
}

#[tokio::test]
async fn an_outcome_is_kept_for_who_waits_until_it_is_carried_out_and_then_forgotten() {
    let puppets = [(); 3].map(|()| Puppet::waiting(Vote::Prepared));
    let forgetful = cluster().spec().clone().with_limits(Limits::default().with_history(0)).build().unwrap();
    let nodes = three_of(&forgetful, puppets, Options::default().with_outcomes(1)).await;
    let begin = async || soon(nodes[0].1.begin(IDS, "")).await.unwrap();
    let (first, second) = (begin().await, begin().await);
    // Node 3 learns that all have carried it out from the news that it is over.
    let handle = &nodes[2].1;
    let waiting = tokio::spawn({
        let handle = handle.clone();
        async move { handle.completed(first).await }
    });
    tokio::task::yield_now().await;
    handle.metrics().await.unwrap();
    for tx in [first, second] {
        nodes.iter().for_each(|(member, ..)| member.puppet.let_vote(1));
        // The second outcome is remembered in place of the first.
        assert_eq!(soon(handle.outcome(tx)).await.unwrap(), Outcome::Committed);
    }
    nodes.iter().for_each(|(member, ..)| member.puppet.let_carry_out(2));
    assert_eq!(soon(waiting).await.unwrap().unwrap(), Outcome::Committed);
    until(async || handle.metrics().await.unwrap().open == 0).await;
    let forgotten = soon(handle.completed(first)).await;
    assert!(matches!(forgotten, Err(Error::Forgotten(tx)) if tx == first), "{forgotten:?}");
}

/// Someone who waits for the outcome of a transaction that nobody begins.
fn wait(handle: &Handle, seq: u64) -> JoinHandle<Result<Outcome, Error>> {
    let handle = handle.clone();
    tokio::spawn(async move { handle.outcome(TxId { origin: IDS[0], seq }).await })
}

#[tokio::test]
async fn as_many_wait_as_the_options_allow_and_those_who_left_make_room() {
    let mut member = Member::new(&cluster(), IDS[0], &Wires::default(), Puppet::voting(Vote::Prepared));
    member.options.waiting = 2;
    let (handle, _task) = member.start(Start::Create).await;
    let wait = |seq| wait(&handle, seq);
    let waiting = [wait(1), wait(2)];
    // Requests are taken in order: when this is answered, those two are waiting.
    tokio::task::yield_now().await;
    handle.metrics().await.unwrap();
    let third = soon(wait(3)).await.unwrap();
    assert!(matches!(third, Err(Error::TooManyWaiting)), "{third:?}");
    waiting[0].abort();
    until(async || waiting[0].is_finished()).await;
    let fourth = wait(4);
    tokio::task::yield_now().await;
    handle.metrics().await.unwrap();
    assert!(!fourth.is_finished());
    soon(handle.shutdown()).await.unwrap();
    let [_, second] = waiting;
    for waiting in [second, fourth] {
        let heard = soon(waiting).await.unwrap();
        assert!(matches!(heard, Err(Error::Stopped)), "{heard:?}");
    }
}

/// Not at each call that finds no room, lest looking for it be all that the node does.
#[tokio::test]
async fn in_a_full_house_it_is_looked_now_and_then_who_has_left() {
    let mut member = Member::new(&cluster(), IDS[0], &Wires::default(), Puppet::voting(Vote::Prepared));
    member.options.waiting = 64;
    let (handle, _task) = member.start(Start::Create).await;
    let wait = |seq| wait(&handle, seq);
    let waiting: Vec<_> = (1..=64).map(&wait).collect();
    tokio::task::yield_now().await;
    handle.metrics().await.unwrap();
    assert!(matches!(soon(wait(65)).await.unwrap(), Err(Error::TooManyWaiting)));
    for each in waiting {
        each.abort();
        let _ = soon(each).await;
    }
    let mut refused = 0;
    loop {
        let next = wait(66);
        tokio::task::yield_now().await;
        handle.metrics().await.unwrap();
        if !next.is_finished() {
            break;
        }
        refused += 1;
        assert!(refused < 64, "nobody was found to have left");
    }
    assert_eq!(refused, 64 / 16);
    soon(handle.shutdown()).await.unwrap();
}
