//! What must hold of votes, of what is chosen, and of what anyone is told.

use super::*;

#[test]
fn two_outcomes_of_one_transaction_break_agreement() {
    let mut watch = Watch(super::super::agreement::Agreement::default());
    watch.decides(R1, commit(TX)).unwrap();
    watch.decides(M1, decided(Outcome::Committed)).unwrap();
    watch.decides(R1, abort(OTHER)).unwrap();
    watch.decides(R2, abort(TX)).unwrap_err();
}

#[test]
fn a_vote_that_nobody_gave_breaks_validity() {
    let mut watch = Watch(super::super::validity::Validity::default());
    let vote = |vote| about(What::Vote { vote, manager: M1 });
    watch.votes(R1, PREPARED);
    watch.sends(R1, vote(PREPARED)).unwrap();
    watch.sends(A1, say(paxos::Message::Accepted { ballot: Ballot::initial(R1), value: PREPARED })).unwrap();
    watch.sends(M1, say(paxos::Message::Accept { ballot: Ballot::new(1, M1), value: ABORTED })).unwrap();
    watch.sends(R2, vote(PREPARED)).unwrap_err();

    let mut watch = Watch(super::super::validity::Validity::default());
    watch.sends(A1, say(paxos::Message::Accepted { ballot: Ballot::initial(R1), value: PREPARED })).unwrap_err();
}

#[test]
fn a_commit_without_the_vote_of_all_is_seen() {
    let mut watch = Watch(super::super::commit_needs_all::CommitNeedsAll::default());
    watch.begun().votes(R1, PREPARED);
    watch.decides(R1, abort(TX)).unwrap();
    watch.decides(R1, commit(TX)).unwrap_err();
    watch.votes(R2, PREPARED);
    watch.decides(R1, commit(TX)).unwrap();
}

#[test]
fn an_abort_that_nobody_voted_or_proposed_is_seen() {
    let abort = abort(TX);
    let mut watch = Watch(super::super::abort_has_a_reason::AbortHasAReason::default());
    watch.votes(R1, PREPARED);
    watch.decides(R1, abort.clone()).unwrap_err();
    watch.votes(R2, ABORTED);
    watch.decides(R1, abort.clone()).unwrap();

    let mut watch = Watch(super::super::abort_has_a_reason::AbortHasAReason::default());
    let proposal = paxos::Message::Accept { ballot: Ballot::new(1, M1), value: ABORTED };
    watch.yields(M1, send(A1, say(proposal))).unwrap();
    watch.decides(R1, abort).unwrap();
}

#[test]
fn an_outcome_or_a_vote_that_changes_is_seen() {
    let mut watch = Watch(super::super::outcome_stable::OutcomeStable::default());
    watch.writes(R1, rm(Some(PREPARED), None)).unwrap();
    watch.decides(R1, commit(TX)).unwrap();
    watch.restarts(R1);
    watch.decides(R1, commit(TX)).unwrap();
    watch.writes(R1, rm(Some(PREPARED), Some(Outcome::Committed))).unwrap();
    watch.decides(R1, abort(TX)).unwrap_err();
    watch.writes(R1, rm(Some(PREPARED), Some(Outcome::Aborted))).unwrap_err();
    watch.writes(R1, rm(Some(ABORTED), None)).unwrap_err();
}

#[test]
fn content_that_no_client_gave_is_seen() {
    let new = || Watch(super::super::content_is_the_clients::ContentIsTheClients::default());
    let other = || Transaction::new(TX, [R1, R2], [8]).unwrap();
    let tellings = |transaction: Transaction, meta: Meta| {
        [
            Decision::Vote { transaction: transaction.clone(), meta: meta.clone() },
            Decision::Commit { transaction: transaction.clone(), meta: meta.clone() },
            Decision::Abort { transaction, meta: Some(meta) },
        ]
    };
    for (good, bad) in tellings(transaction(), meta()).into_iter().zip(tellings(other(), Meta::from([8]))) {
        new().decides(R1, good.clone()).unwrap_err();
        new().begun().decides(R1, good).unwrap();
        assert!(new().begun().decides(R1, bad.clone()).is_err(), "{bad:?}");
    }
    for bad in tellings(transaction(), Meta::from([8])) {
        assert!(new().begun().decides(R1, bad.clone()).is_err(), "{bad:?}");
    }
    new().begun().decides(R1, abort(TX)).unwrap();
    // A client that names its transaction says as much.
    let mut watch = new();
    let begin = || Input::BeginAs { transaction: named(OTHER), meta: meta() };
    watch.refuses(M1, begin(), Refusal::TooManyOpen, &[]).unwrap();
    watch.decides(R1, commit(OTHER)).unwrap_err();
    watch.takes(M1, begin(), &[]).unwrap();
    watch.decides(R1, commit(OTHER)).unwrap();
}

#[test]
fn a_decision_of_what_is_not_chosen_is_seen_and_a_second_choice_too() {
    let new = || Watch(super::super::decided_is_chosen::DecidedIsChosen::new(&cluster()));
    let both = [Some(PREPARED); 2];

    let mut watch = new();
    watch.begun().writes(A1, accepted(both)).unwrap();
    watch.decides(M1, decided(Outcome::Committed)).unwrap_err();
    watch.writes(A1, accepted(both)).unwrap();
    watch.decides(M1, decided(Outcome::Committed)).unwrap_err();
    watch.writes(A2, accepted([Some(PREPARED), None])).unwrap();
    watch.decides(M1, decided(Outcome::Committed)).unwrap_err();
    watch.writes(A3, accepted([None, Some(PREPARED)])).unwrap();
    watch.decides(M1, decided(Outcome::Committed)).unwrap();
    watch.decides(R1, abort(TX)).unwrap_err();
    watch.remembers(M1, Outcome::Committed).unwrap();
    watch.remembers(M1, Outcome::Aborted).unwrap_err();

    let mut watch = new();
    watch.begun().decides(R1, abort(TX)).unwrap_err();
    watch.writes(R1, rm(Some(ABORTED), None)).unwrap();
    watch.decides(R1, abort(TX)).unwrap();

    // Two quorums of two ballots, with two values.
    let (zero, one) = (Ballot::initial(R1), Ballot::new(1, M1));
    let mut watch = new();
    watch.writes(A1, acceptor(zero, Some((zero, PREPARED)))).unwrap();
    watch.writes(A2, acceptor(zero, Some((zero, PREPARED)))).unwrap();
    watch.writes(A2, acceptor(one, Some((one, ABORTED)))).unwrap();
    watch.writes(A3, acceptor(one, Some((one, ABORTED)))).unwrap_err();
}

#[test]
fn a_retired_transaction_that_is_revived_is_seen() {
    let retired = Effect::Persist(Record::Retired(TxRange::only(TX)));
    let told = || send(M1, Message::retired(TxRange::only(TX)));
    let revivals = [
        Effect::Persist(acceptor(Ballot::new(1, M1), None)),
        Effect::Persist(rm(Some(PREPARED), None)),
        Effect::Decide(Decision::Vote { transaction: transaction(), meta: meta() }),
        Effect::Decide(commit(TX)),
        Effect::Decide(decided(Outcome::Committed)),
        Effect::Decide(Decision::Begun(TX)),
        send(M1, about(What::Inquire)),
    ];
    for revival in revivals {
        let mut watch = Watch(super::super::retired_is_final::RetiredIsFinal::default());
        watch.yields(A1, revival.clone()).unwrap();
        watch.yields(A1, retired.clone()).unwrap();
        watch.yields(A1, told()).unwrap();
        assert!(watch.yields(A1, revival.clone()).is_err(), "{revival:?}");
        // What was not written before a crash may be forgotten; what was, may not.
        watch.restarts(A1);
        watch.yields(A1, revival.clone()).unwrap();
        watch.writes(A1, Record::Retired(TxRange::only(TX))).unwrap();
        watch.restarts(A1);
        assert!(watch.yields(A1, revival.clone()).is_err(), "{revival:?}");
    }
}

#[test]
fn a_client_that_was_told_what_is_not_so_is_seen() {
    let finished = |outcome| rm(Some(PREPARED), Some(outcome));
    let completed = Decision::Completed { tx: TX, outcome: Outcome::Committed };
    let new = || Watch(super::super::clients_view::ClientsView::default());

    let mut watch = new();
    // Who takes a step exists, and is waited for.
    [R1, R2].iter().for_each(|rm| watch.yields(*rm, send(M1, about(What::Inquire))).unwrap());
    watch.begun().decides(M1, decided(Outcome::Committed)).unwrap();
    watch.decides(M2, decided(Outcome::Aborted)).unwrap_err();
    watch.writes(R1, finished(Outcome::Committed)).unwrap();
    watch.decides(M1, completed.clone()).unwrap_err();
    watch.0.finish().unwrap_err();
    watch.writes(R2, finished(Outcome::Committed)).unwrap();
    watch.decides(M1, completed).unwrap();
    watch.0.finish().unwrap();
    watch.writes(R2, finished(Outcome::Aborted)).unwrap_err();

    let mut watch = new();
    watch.writes(R1, rm(Some(PREPARED), None)).unwrap();
    watch.0.finish().unwrap_err();
}

#[test]
fn whom_a_damaged_storage_keeps_away_is_spared_at_the_end_and_nobody_before_or_beside_it() {
    let decided = Decision::Decided { tx: TX, outcome: Outcome::Committed };
    let damaged = |at| Observation::Damaged { at };
    let new = || {
        let mut watch = Watch(super::super::clients_view::ClientsView::default());
        [R1, R2].iter().for_each(|rm| watch.yields(*rm, send(M1, about(What::Inquire))).unwrap());
        watch.begun().decides(M1, decided.clone()).unwrap();
        [R1, R2].iter().for_each(|rm| watch.writes(*rm, super::rm(Some(PREPARED), None)).unwrap());
        watch.writes(R1, super::rm(Some(PREPARED), Some(Outcome::Committed))).unwrap();
        watch
    };
    let mut watch = new();
    watch.0.observe(&damaged(R1)).unwrap();
    watch.0.finish().unwrap_err();
    let mut watch = new();
    watch.0.observe(&damaged(R2)).unwrap();
    watch.decides(M1, Decision::Completed { tx: TX, outcome: Outcome::Committed }).unwrap_err();
    watch.0.finish().unwrap();

    // What it holds, holds it.
    for (at, is_spared) in [(R1, true), (R2, false)] {
        let mut watch = Watch(super::super::resources_keep_promises::ResourcesKeepPromises::default());
        watch.0.observe(&Observation::Held { at: R1, tx: TX }).unwrap();
        watch.0.observe(&damaged(at)).unwrap();
        assert_eq!(watch.0.finish().is_ok(), is_spared);
        // Others keep the records of what it takes part in.
        let mut watch = Watch(super::super::nothing_is_left::NothingIsLeft::default());
        watch.writes(A1, accepted([Some(PREPARED), None])).unwrap();
        watch.0.finish().unwrap_err();
        watch.0.observe(&damaged(if is_spared { R1 } else { A2 })).unwrap();
        assert_eq!(watch.0.finish().is_ok(), is_spared);
    }
}

#[test]
fn a_resource_that_commits_what_it_does_not_hold_or_holds_what_is_over_is_seen() {
    let watch = || Watch(super::super::resources_keep_promises::ResourcesKeepPromises::default());
    let held = Observation::Held { at: R1, tx: TX };
    let let_go = Observation::LetGo { at: R1, tx: TX };
    let decision = Decision::Commit { transaction: transaction(), meta: meta() };
    let commits = Observation::Decided { at: R1, decision: &decision };

    let mut sound = watch();
    for seen in [&held, &commits, &commits, &let_go, &commits] {
        sound.0.observe(seen).unwrap();
    }
    sound.0.finish().unwrap();
    watch().0.observe(&commits).unwrap_err();
    let mut dropped = watch();
    dropped.0.observe(&held).unwrap();
    dropped.0.observe(&let_go).unwrap();
    dropped.0.observe(&commits).unwrap_err();
    let mut orphan = watch();
    orphan.0.observe(&held).unwrap();
    orphan.0.finish().unwrap_err();
    // A liar may be left with it.
    orphan.0.observe(&Observation::Lied { at: R1, tx: TX }).unwrap();
    orphan.0.finish().unwrap();
}
