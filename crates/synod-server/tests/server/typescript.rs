//! The front door in TypeScript, over a cluster of processes.

use std::{path::Path, process::Command};

use crate::{seats::Seats, shop::Shop};

/// To make it run: `npm ci` in `clients/typescript`, whose script `prepare` compiles it.
#[ignore = "needs packages of Node"]
#[test]
fn two_databases_commit_together_from_typescript_and_go_on_when_a_member_is_killed() {
    let shop = Shop::open();
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/typescript");
    let mut node = Command::new("node");
    node.current_dir(client).args(["--test", "build/tests/input.test.js", "build/tests/transfers.test.js"]);
    node.env("SYNOD_CLIENT", shop.machines.cluster().join("client-1000"));
    node.env("SYNOD_ACCOUNTS", &shop.urls[0]).env("SYNOD_ORDERS", &shop.urls[1]);
    node.env("SYNOD_MEMBER", shop.processes[0].pid().as_raw_nonzero().to_string());
    let status = node.status().unwrap();
    assert!(status.success(), "{status}");
    shop.assert_nothing_is_prepared();
}

/// To make it run, do what the tests in Python need, too.
#[ignore = "needs packages of Node and of Python"]
#[test]
fn a_seat_of_a_store_is_sold_and_paid_for_or_neither_from_typescript() {
    let seats = Seats::open();
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/typescript");
    let mut node = Command::new("node");
    node.current_dir(client).args(["--test", "build/tests/seats.test.js"]);
    node.env("SYNOD_CLIENT", seats.folder.path().join("synod-data/client-1000"));
    node.env("SYNOD_ACCOUNTS", &seats.url).env("SYNOD_SEATS", &seats.address);
    let status = node.status().unwrap();
    assert!(status.success(), "{status}");
    seats.settle("1,3", "40");
}
