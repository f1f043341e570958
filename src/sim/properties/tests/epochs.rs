//! What must hold of handovers, and of whoever comes after.

use super::{
    super::{
        a_frozen_epoch_ends::AFrozenEpochEnds, nothing_committed_is_forgotten::NothingCommittedIsForgotten,
        one_ending::OneEnding, own_epoch_only::OwnEpochOnly, persist_before_send::PersistBeforeSend,
        promise_monotone::PromiseMonotone, records_never_go_back::RecordsNeverGoBack,
    },
    *,
};
use crate::commit::{Ending, EpochMessage, Fingerprint, Fingerprints, Membership, Ranges};

/// Acceptors of epoch 1.
const A4: NodeId = NodeId(14);

fn one() -> Membership {
    cluster().membership().replace(A1, A4)
}

fn other() -> Membership {
    cluster().membership().replace(A2, A4)
}

fn epoch(number: u64, membership: Membership, committed: &[TxId]) -> Record {
    let former = if number == 0 { Vec::new() } else { vec![A1, A2, A3, M1, M2] };
    Record::Epoch {
        number,
        membership: membership.into(),
        former: former.into(),
        committed: committed.iter().map(|tx| Fingerprint { tx: *tx, digest: 0 }).collect(),
    }
}

fn handover(round: u64, accepted: Option<(u64, Membership)>) -> Record {
    let ballot = |round| Ballot::new(round, M1);
    let ending = |membership| Ending { membership, committed: Fingerprints::default(), retired: Ranges::default() };
    let accepted = accepted.map(|(round, membership)| (ballot(round), ending(membership)));
    Record::Handover { epoch: 0, state: Box::new(paxos::AcceptorRecord { promised: Some(ballot(round)), accepted }) }
}

#[test]
fn two_endings_of_an_epoch_or_an_epoch_that_none_leads_to_break_that_there_is_one_ending() {
    let new = || Watch(OneEnding::new(&cluster()));
    let mut watch = new();
    watch.writes(A1, handover(1, Some((1, one())))).unwrap();
    watch.writes(A1, handover(2, None)).unwrap();
    watch.writes(A2, handover(1, Some((1, one())))).unwrap();
    watch.writes(A2, epoch(1, one(), &[])).unwrap();
    watch.writes(A4, epoch(1, one(), &[])).unwrap();
    // What nobody else accepts is not chosen.
    watch.writes(A3, handover(3, Some((3, other())))).unwrap();
    watch.writes(A1, handover(3, Some((3, other())))).unwrap_err();

    let mut watch = new();
    watch.writes(A1, handover(1, Some((1, one())))).unwrap();
    watch.writes(A2, epoch(1, one(), &[])).unwrap_err();

    let mut watch = new();
    watch.writes(A1, handover(1, Some((1, one())))).unwrap();
    watch.writes(A2, handover(1, Some((1, other())))).unwrap_err();

    let mut watch = new();
    watch.writes(A1, handover(1, Some((1, one())))).unwrap();
    watch.writes(A2, handover(1, Some((1, one())))).unwrap();
    watch.writes(A2, epoch(1, one(), &[])).unwrap();
    watch.writes(A3, epoch(1, other(), &[])).unwrap_err();

    let mut watch = new();
    watch.writes(A1, epoch(0, cluster().membership(), &[])).unwrap();
    watch.writes(A2, epoch(0, one(), &[])).unwrap_err();
}

#[test]
fn an_acceptor_that_takes_part_in_another_epoch_or_while_it_is_frozen_breaks_that_it_acts_in_its_own_only() {
    let identity = Record::Identity { cluster: ClusterId([0; 16]), node: A1 };
    let (initial, high) = (Ballot::initial(R1), Ballot::new(1, M1));
    let voted = || acceptor(initial, Some((initial, PREPARED)));
    let new = || {
        let mut watch = Watch(OwnEpochOnly::default());
        watch.writes(A1, identity.clone()).unwrap();
        watch.writes(A1, epoch(0, cluster().membership(), &[])).unwrap();
        watch
    };
    let mut watch = new();
    watch.writes(A1, voted()).unwrap();
    watch.writes(A1, handover(1, None)).unwrap();
    watch.writes(A1, voted()).unwrap();
    watch.writes(A1, acceptor(high, Some((initial, PREPARED)))).unwrap_err();

    let mut watch = new();
    watch.writes(A1, handover(1, None)).unwrap();
    watch.writes(A1, voted()).unwrap_err();

    let mut watch = new();
    watch.writes(A1, epoch(1, one(), &[])).unwrap();
    watch.writes(A1, voted()).unwrap_err();
    let mut watch = new();
    watch.writes(A1, epoch(1, one(), &[])).unwrap();
    watch.writes(A1, handover(1, None)).unwrap_err();

    let mut watch = Watch(OwnEpochOnly::default());
    watch.writes(A1, identity).unwrap();
    watch.writes(A1, voted()).unwrap_err();
}

#[test]
fn a_node_that_does_not_know_what_committed_breaks_that_nothing_committed_is_forgotten() {
    let voted = || acceptor(Ballot::initial(R1), Some((Ballot::initial(R1), PREPARED)));
    let new = |decision| {
        let mut watch = Watch(NothingCommittedIsForgotten::default());
        watch.writes(A1, voted()).unwrap();
        watch.decides(M1, decision).unwrap();
        watch
    };
    let known = [TX];
    new(commit(TX)).writes(A2, epoch(1, one(), &known)).unwrap();
    new(commit(TX)).writes(A2, epoch(1, one(), &[])).unwrap_err();
    new(abort(TX)).writes(A2, epoch(1, one(), &[])).unwrap();
    new(abort(TX)).writes(A2, epoch(1, one(), &known)).unwrap_err();
    // It is over.
    let mut watch = new(commit(TX));
    watch.writes(A2, Record::Retired(TxRange::only(TX))).unwrap();
    watch.writes(A2, epoch(1, one(), &[])).unwrap();
    watch.writes(A2, epoch(2, one(), &[])).unwrap();
    // What anyone is told later is held against all that know.
    let mut watch = Watch(NothingCommittedIsForgotten::default());
    watch.writes(A1, voted()).unwrap();
    watch.writes(A2, epoch(1, one(), &[])).unwrap();
    watch.decides(M1, commit(TX)).unwrap_err();
}

#[test]
fn a_node_that_stays_in_an_epoch_which_it_has_helped_to_end_breaks_that_a_frozen_epoch_ends() {
    let new = || {
        let mut watch = Watch(AFrozenEpochEnds::default());
        watch.writes(A1, handover(1, None)).unwrap();
        watch
    };
    new().0.finish().unwrap_err();
    let mut watch = new();
    watch.writes(A1, epoch(1, one(), &[])).unwrap();
    watch.0.finish().unwrap();
    let mut watch = new();
    watch.0.observe(&Observation::Stopped { at: A1 }).unwrap();
    watch.0.finish().unwrap();
    watch.0.observe(&Observation::Started { at: A1 }).unwrap();
    watch.0.finish().unwrap_err();
}

#[test]
fn a_node_that_says_that_it_is_there_before_it_is_in_the_epoch_breaks_that_it_persists_before_it_sends() {
    let ready = |number| Message::Epoch { number: Some(number), what: Box::new(EpochMessage::Ready) };
    let mut watch = Watch(PersistBeforeSend::default());
    watch.sends(A4, ready(0)).unwrap_err();
    watch.writes(A4, epoch(0, cluster().membership(), &[])).unwrap();
    watch.sends(A4, ready(0)).unwrap();
    watch.sends(A4, ready(1)).unwrap_err();
}

#[test]
fn what_an_acceptor_has_of_a_later_transaction_of_the_same_name_is_no_step_back_but_of_the_same_epoch_it_is() {
    let initial = Ballot::initial(R1);
    let of_epoch = |epoch| AcceptorRecord {
        transaction: transaction().in_epoch(epoch),
        votes: if epoch == 0 { [(0, PREPARED)].into_iter().collect() } else { Votes::default() },
        higher: [].into(),
    };
    let first = || acceptor(initial, Some((initial, PREPARED)));
    for (later, is_new) in [(1, true), (0, false)] {
        let blank = || Record::Acceptor(AcceptorRecord { votes: Votes::default(), ..of_epoch(later) });
        let mut watch = Watch(RecordsNeverGoBack::default());
        watch.writes(A1, epoch(0, cluster().membership(), &[])).unwrap();
        watch.writes(A1, first()).unwrap();
        watch.writes(A1, epoch(1, one(), &[])).unwrap();
        watch.writes(A1, Record::Erased(Key::Acceptor(TX))).unwrap();
        assert_eq!(watch.writes(A1, blank()).is_ok(), is_new);
    }
    let promised = |epoch| {
        let state = paxos::AcceptorRecord { promised: Some(Ballot::new(1, M1)), accepted: None };
        let higher = [HigherInstance { rm: R1, state }].into();
        Record::Acceptor(AcceptorRecord { votes: Votes::default(), higher, ..of_epoch(epoch) })
    };
    let mut watch = Watch(PromiseMonotone::default());
    watch.writes(A1, first()).unwrap();
    watch.writes(A1, promised(1)).unwrap();
    watch.writes(A1, promised(0)).unwrap_err();
}
