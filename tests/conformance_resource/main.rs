//! The conformance suite of resources: sound ones of each kind pass it, and each check finds the fault that it is there for.

mod elsewhere;
mod here;

use std::fmt::Debug;

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

/// Every check passes a sound resource, and is the first to find at least one fault.
fn each_check_has_its_fault<F: Copy + Debug>(sound: &Report, faults: &[(F, &str)], run: impl Fn(F) -> Report) {
    sound.assert();
    for check in sound.checks() {
        assert_eq!(check.verdict, Verdict::Passed, "{}", check.name);
        assert!(faults.iter().any(|(_, name)| *name == check.name), "no fault for: {}", check.name);
    }
    for (fault, name) in faults {
        let report = run(*fault);
        let first = report.failures().next().map(|check| check.name);
        assert_eq!(first, Some(*name), "{fault:?}: {report}");
    }
}
