//! Where some transactions may be hurt: what must hold of them all the same, and who is spared.

use super::{
    super::{
        Hurt, names_never_split::NamesNeverSplit, retired_is_final::RetiredIsFinal,
        second_votes_are_listed::SecondVotesAreListed,
    },
    *,
};

/// Another transaction of the same name.
fn namesake() -> Transaction {
    Transaction::new(TX, [R1], meta()).unwrap()
}

#[test]
fn one_transaction_of_a_name_that_ends_both_ways_or_with_the_votes_of_another_breaks_that_names_never_split() {
    let commits = |transaction| Decision::Commit { transaction, meta: meta() };
    let aborts = |transaction| Decision::Abort { transaction, meta: None };
    let mut watch = Watch(NamesNeverSplit::default());
    [R1, R2].into_iter().for_each(|rm| watch.votes(rm, PREPARED));
    watch.decides(R1, commits(transaction())).unwrap();
    watch.decides(R1, aborts(namesake())).unwrap();
    watch.takes(R2, Input::Resolve { tx: TX, outcome: Outcome::Aborted }, &[]).unwrap();
    watch.decides(R2, aborts(transaction())).unwrap();
    watch.sends(M1, about(What::Outcome(Outcome::Committed))).unwrap();
    watch.sends(M1, about(What::Outcome(Outcome::Aborted))).unwrap_err();
    watch.decides(R1, aborts(transaction())).unwrap_err();

    let mut watch = Watch(NamesNeverSplit::default());
    [R1, R2].into_iter().for_each(|rm| watch.votes(rm, PREPARED));
    watch.decides(R1, commits(namesake())).unwrap_err();
}

#[test]
fn a_second_vote_that_is_taken_or_not_listed_breaks_that_second_votes_are_listed() {
    let vote = |vote| receive(R1, about(What::Vote { vote, manager: M1 }));
    let mut watch = Watch(SecondVotesAreListed::default());
    watch.takes(A1, vote(PREPARED), &[]).unwrap();
    watch.takes(A1, vote(PREPARED), &[]).unwrap();
    watch.takes(A2, vote(ABORTED), &[]).unwrap();
    watch.takes(A1, vote(ABORTED), &[]).unwrap_err();
    watch.restarts(A1);
    watch.takes(A1, vote(ABORTED), &[]).unwrap();

    let cluster = Cluster::new(ClusterId([0; 16]), Quorums::majority([A1]).unwrap(), [M1]).unwrap();
    let mut before = Node::create(Config::new(cluster, A1, 1)).0;
    before.step(vote(PREPARED));
    let mut after = before.clone();
    let (input, refusal) = (vote(ABORTED), Refusal::SecondValue);
    assert_eq!(after.step_into(input.clone(), &mut Vec::new()), Err(refusal));
    let refused = |after| Observation::Refused { at: A1, input: &input, refusal, before: &before, after };
    watch.0.observe(&refused(&after)).unwrap();
    watch.0.observe(&refused(&before)).unwrap_err();
}

#[test]
fn only_what_is_prepared_under_a_name_that_may_be_used_twice_goes_on_after_a_handover_has_retired_that() {
    let odd = Some(Hurt::Names);
    let membership = cluster().membership();
    let record = Record::Epoch {
        number: 1,
        membership: membership.into(),
        former: [].into(),
        committed: [].into_iter().collect(),
    };
    let handed_over = [Effect::Persist(Record::Retired(TxRange::only(TX))), Effect::Persist(record)];
    for (hurt, is_prepared, effects, may_go_on) in [
        (odd, true, &handed_over[..], true),
        (odd, false, &handed_over[..], false),
        (odd, true, &handed_over[..1], false),
        (None, true, &handed_over[..], false),
    ] {
        let mut watch = Watch(RetiredIsFinal::of(hurt));
        if is_prepared {
            watch.votes(R1, PREPARED);
        }
        watch.takes(R1, Input::Tick(Time(0)), effects).unwrap();
        assert_eq!(
            watch.yields(R1, Effect::Decide(abort(TX))).is_ok(),
            may_go_on,
            "{hurt:?} {is_prepared} {effects:?}"
        );
    }
}

#[test]
fn only_what_may_be_hurt_is_spared() {
    let hurt = Some(super::super::Hurt::Names);
    let even = TxId { origin: M1, seq: 2 };
    let told = |property: &mut Box<dyn Property>, decision| {
        property.observe(&Observation::Decided { at: R1, decision: &decision })
    };
    let mut spared = super::super::spared::by(hurt, super::super::agreement::Agreement::default());
    for (tx, second) in [(TX, true), (even, false)] {
        told(&mut spared, commit(tx)).unwrap();
        assert_eq!(told(&mut spared, abort(tx)).is_ok(), second);
    }
    let mut strict = super::super::spared::by(None, super::super::agreement::Agreement::default());
    told(&mut strict, commit(TX)).unwrap();
    told(&mut strict, abort(TX)).unwrap_err();
}
