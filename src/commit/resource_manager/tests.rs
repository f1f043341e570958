//! What no input from outside can bring about: a broken invariant fences.

#![allow(clippy::expect_used, reason = "a test may panic")]

use alloc::{vec, vec::Vec};

use super::{super::ClusterId, *};
use crate::{
    Quorums, Scope, TxId,
    commit::{Metrics, Time, peers::Peers},
};

const ABORTED: [End; 3] = [
    End::Aborted { vote: None },
    End::Aborted { vote: Some(Vote::Aborted) },
    End::Aborted { vote: Some(Vote::Prepared) },
];

fn phases() -> Vec<Phase> {
    let ends = || ABORTED.into_iter().chain([End::Committed]);
    let mut phases =
        vec![Phase::Working { asked: false }, Phase::Working { asked: true }, Phase::Declined, Phase::Prepared];
    phases.extend(ends().map(Phase::Settled));
    phases.extend(ends().map(Phase::Finished));
    phases
}

fn outcome(phase: Phase) -> Option<Outcome> {
    match phase {
        Phase::Working { .. } | Phase::Declined | Phase::Prepared => None,
        Phase::Settled(end) | Phase::Finished(end) => Some(end.outcome()),
    }
}

/// Applies `act` to `rm`. Returns the result, the fence, the number of effects, and the phase after it.
fn tried(
    mut rm: ResourceManager,
    resource: ResourceKind,
    act: impl FnOnce(&mut ResourceManager, &mut Context<'_>) -> Result<(), Refusal>,
) -> (Result<(), Refusal>, Option<Fence>, usize, Phase) {
    let all = [NodeId(1), NodeId(2), NodeId(3)];
    let quorums = Quorums::majority(all).expect("three acceptors");
    let cluster = Cluster::new(ClusterId([1; 16]), quorums, all).expect("a cluster");
    let transaction = Transaction::new(TxId { origin: NodeId(1), seq: 1 }, all, []).expect("three participants");
    let (mut scope, mut fence, mut metrics, mut effects) = (Scope::NOTHING, None, Metrics::default(), Vec::new());
    let mut cx = Context {
        cluster: &cluster,
        former: &alloc::collections::BTreeSet::new(),
        id: NodeId(1),
        resource,
        transaction: &transaction,
        scope: &mut scope,
        rounds: Scope::EVERYTHING,
        fence: &mut fence,
        local: None,
        peers: &mut Peers::new(&cluster),
        now: Time(0),
        metrics: &mut metrics,
        effects: &mut effects,
    };
    let result = act(&mut rm, &mut cx);
    (result, fence, effects.len(), rm.phase)
}

fn in_phase(phase: Phase, meta: Option<Meta>) -> ResourceManager {
    ResourceManager { phase, meta, began: true, ..ResourceManager::new(NodeId(1)) }
}

#[test]
fn no_way_of_phases_takes_back_a_vote_or_an_outcome_and_any_other_step_fences() {
    for (before, next) in phases().iter().flat_map(|before| phases().into_iter().map(|next| (*before, next))) {
        for resource in [ResourceKind::VotesHere, ResourceKind::VotesElsewhere] {
            let vote = |phase| in_phase(phase, None).vote();
            let kept = vote(before).is_none_or(|given| vote(next) == Some(given))
                && outcome(before).is_none_or(|known| outcome(next) == Some(known));
            let (result, fence, effects, after) = tried(in_phase(before, None), resource, |rm, cx| rm.go_on(cx, next));
            if before.may_become(next, resource) {
                assert!(kept, "{before:?} to {next:?}");
                let votes_to_abort = vote(before).is_none() && vote(next) == Some(Vote::Aborted);
                assert!(resource == ResourceKind::VotesHere || !votes_to_abort, "{before:?} to {next:?}");
                assert_eq!((result, fence, effects, after), (Ok(()), None, 0, next));
            } else {
                let broken = (Err(Refusal::Broken), Some(Fence::ResourceManagerWentBack), 0, before);
                assert_eq!((result, fence, effects, after), broken, "to {next:?}");
            }
        }
    }
}

#[test]
fn a_resource_manager_that_lost_what_its_transaction_is_about_fences_instead_of_beginning_it_with_nothing() {
    let lost = in_phase(Phase::Prepared, None);
    let (_, fence, effects, _) = tried(lost, ResourceKind::VotesHere, |rm, cx| {
        rm.send_begin(cx);
        Ok(())
    });
    assert_eq!((fence, effects), (Some(Fence::MetaLost), 0));
}

#[test]
fn what_is_committed_without_its_content_is_handed_to_a_resource_that_has_it_and_fences_before_any_other() {
    let hand = |resource| {
        let committed = in_phase(Phase::Settled(End::Committed), None);
        let (_, fence, effects, _) = tried(committed, resource, |rm, cx| {
            rm.hand_over(cx, Outcome::Committed);
            Ok(())
        });
        (fence, effects)
    };
    assert_eq!(hand(ResourceKind::VotesHere), (Some(Fence::MetaLost), 0));
    assert_eq!(hand(ResourceKind::VotesElsewhere), (None, 1));
}
