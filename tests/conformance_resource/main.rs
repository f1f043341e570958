//! The conformance suite of resources: sound ones of each kind pass it, and each check finds the fault that it is there for.

mod elsewhere;
mod here;

use std::{collections::BTreeSet, fmt::Debug};

use synod::{
    NodeId, TxId,
    commit::{Meta, Promised, Transaction},
    perform::conformance::{Report, Verdict},
};

/// Work number `number` of the resources in memory.
fn work(number: u64) -> Promised {
    let (id, meta) = (TxId { origin: NodeId(1), seq: number }, Meta::from(format!("number {number}")));
    Promised::new(Transaction::new(id, [NodeId(1), NodeId(2)], meta.clone()).unwrap(), meta)
}

/// A sound resource passes every check. Of the faults each is found first by the check that it is planted for, and for every
/// check there is at least one that no other check finds.
fn each_check_has_its_fault<F: Copy + Debug>(sound: &Report, faults: &[(F, &str)], run: impl Fn(F) -> Report) {
    sound.assert();
    let mut alone = BTreeSet::new();
    for (fault, name) in faults {
        let report = run(*fault);
        let failed: Vec<_> = report.failures().map(|check| check.name).collect();
        assert_eq!(failed.first(), Some(name), "{fault:?}: {report}");
        alone.extend((failed.len() == 1).then_some(*name));
    }
    for check in sound.checks() {
        assert_eq!(check.verdict, Verdict::Passed, "{}", check.name);
        assert!(alone.contains(check.name), "no fault is found by this check alone: {}", check.name);
    }
}
