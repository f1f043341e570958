//! What a node shows of itself to whoever asks.

use synod::{
    Machine, NodeId,
    commit::{Input, Node, Outcome, Status},
};

use super::{
    completed,
    support::{RMS, TMS, node, say, transaction, tx},
};

#[test]
fn how_a_transaction_ended_is_shown_from_when_it_is_known_until_it_is_forgotten() {
    for outcome in [Outcome::Committed, Outcome::Aborted] {
        let mut tm = node(TMS[0]);
        let shown = |node: &Node| node.status(tx(1)).outcome();
        assert_eq!((tm.status(tx(1)), shown(&tm)), (Status::Unknown, None));
        tm.step(say::begins(&transaction(1)));
        assert_eq!(shown(&tm), None);
        tm.step(say::from(TMS[1], say::outcome(&transaction(1), outcome)));
        assert!(!tm.status(tx(1)).is_retired());
        assert_eq!(shown(&tm), Some(outcome));
        let over = completed(outcome).0;
        assert!(over.status(tx(1)).is_retired());
        assert_eq!(shown(&over), Some(outcome));
    }
    let mut rm = node(RMS[0]);
    rm.step(say::from(TMS[0], say::retired(tx(1))));
    assert_eq!((rm.status(tx(1)).is_retired(), rm.status(tx(1)).outcome()), (true, None), "it keeps no history");
}

#[test]
fn participants_that_a_manager_has_never_met_are_strangers_to_it_once_it_has_met_anyone() {
    let named = [RMS[0], TMS[0], RMS[1], RMS[2]];
    let strangers = |node: &Node| node.strangers(&named).collect::<Vec<NodeId>>();
    for (at, some) in [(TMS[0], &[RMS[1], RMS[2]][..]), (RMS[2], &[])] {
        let mut node = node(at);
        assert_eq!(strangers(&node), []);
        node.step(Input::Met { node: RMS[0], birth: 1, epoch: None });
        assert_eq!(strangers(&node), some, "of {at}");
    }
}
