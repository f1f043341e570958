//! What processes record, stepped again and drawn.

use std::{
    fs,
    path::{Path, PathBuf},
};

use synod::{
    NodeId, Quorums,
    commit::{Cluster, ClusterId, Config, Input, Meta, Participants, Time},
    perform::{Driver, Handlers, NoResource, memory::MemoryStorage, record},
};

use crate::{
    databases::{DATABASE, postgres},
    support::{Ports, Process, Said, synod, until},
};

/// Commits a transaction over all databases of `synod dev`.
fn commit(folder: &Path) {
    let said = synod(folder, &["try"]);
    assert_eq!((said.code, said.first_word()), (0, "committed"), "{said:?}");
}

fn summary(said: &Said) -> serde_json::Value {
    let last = said.out.lines().last().unwrap_or_default();
    let summary: serde_json::Value = serde_json::from_str(last).unwrap_or_else(|_| panic!("{said:?}"));
    summary["summary"].clone()
}

#[test]
fn a_cluster_that_was_recorded_does_the_same_again_though_it_was_killed_and_a_transaction_is_drawn() {
    let Some(servers) = postgres() else { return };
    let (folder, ports) = (tempfile::tempdir().unwrap(), Ports::new());
    let (path, port, http) = (folder.path(), ports.at(0).to_string(), ports.address(0));
    let [first, second] =
        [("11", &servers[0]), ("12", &servers[1])].map(|(node, server)| format!("{node}={}", server.url(DATABASE)));
    let args = ["dev", "--port", &port, "--record", "--database", &first, "--database", &second];
    let mut dev = Process::start(path, &args, &http, &[]);
    dev.ready();
    commit(path);
    // What it does is written a moment later.
    let recorded = || summary(&synod(path, &["--json", "replay", "synod-data/recordings/n1-00000001.steps"]));
    until("that it is recorded", || recorded()["steps"].as_u64().is_some_and(|steps| steps >= 3));
    dev.kill();
    let mut dev = Process::start(path, &["dev", "--port", &port, "--record"], &http, &[]);
    dev.ready();
    commit(path);
    dev.terminate();
    let all = synod(path, &["--json", "replay", "synod-data/recordings", "--all"]).done();
    let (_, decided) = all.rsplit_once("Decided { tx: TxId { origin: NodeId(").unwrap_or_else(|| panic!("{all}"));
    let mut numbers = decided.split(|c: char| !c.is_ascii_digit()).filter(|number| !number.is_empty());
    let tx = format!("n{}#{}", numbers.next().unwrap(), numbers.next().unwrap());

    // Five nodes, in two lives each.
    let said = synod(path, &["--json", "replay", "synod-data/recordings"]);
    let all = summary(&said);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!((&all["nodes"], &all["files"], &all["differ"]), (&5.into(), &10.into(), &0.into()), "{all}");
    assert!(all["can_compare"] == true && all["same"].as_u64().unwrap() > 50, "{all}");
    println!("{all}");

    let shown = synod(path, &["replay", "synod-data/recordings", "--tx", &tx, "--state"]).done();
    for word in ["Vote ", "Prepared", "Committed", "The same effects as when they were recorded", &tx] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    let one = synod(path, &["replay", "synod-data/recordings/n1-00000001.steps", "--all", "--stop-at", "3"]).done();
    assert_eq!(one.lines().filter(|line| line.contains(" n1 ")).count(), 3, "{one}");

    let drawn = synod(path, &["draw", "synod-data/recordings", "--tx", &tx, "--output", "tx.html"]).done();
    let page = fs::read_to_string(path.join("tx.html")).unwrap();
    assert!(page.contains(&tx) && page.contains("Outcome") && page.contains("n12"), "{drawn}");
    assert!(drawn.contains("drawn in tx.html") && !drawn.contains("not all"), "{drawn}");
    let some = synod(path, &["draw", "synod-data/recordings", "--most", "10"]).done();
    assert!(some.contains("That is not all"), "{some}");
}

/// Files of a step each, of one life of a node.
fn record(folder: &Path) -> Vec<PathBuf> {
    let me = NodeId(1);
    let cluster = Cluster::new(ClusterId(*b"files of a step."), Quorums::majority([me]).unwrap(), [me]).unwrap();
    let mut handlers = Handlers { storage: MemoryStorage::new(), transport: Vec::new(), resource: NoResource };
    let mut driver = Driver::create(Config::new(cluster, me, 7), &mut handlers).unwrap();
    let options = record::Options::default().with_segment_bytes(1).with_segments(100);
    driver.record(record::Recorder::open(folder, options).unwrap());
    let mut now = 0;
    while record::files(folder).unwrap().len() < 5 {
        now += 1;
        driver.push(Input::Tick(Time(now))).unwrap();
        let participants = Participants::new([me]).unwrap();
        driver.push(Input::Begin { participants, meta: Meta::from(b"a test") }).unwrap();
        driver.flush(&mut handlers).unwrap();
    }
    drop(driver);
    record::files(folder).unwrap()
}

#[test]
fn files_that_continue_each_other_are_said_to_and_neither_a_stop_nor_a_cut_is_taken_for_another_state() {
    let folder = tempfile::tempdir().unwrap();
    let (path, recordings) = (folder.path(), folder.path().join("recordings"));
    let files = record(&recordings);
    let all = summary(&synod(path, &["--json", "replay", "recordings"]));
    assert_eq!((&all["continued"], &all["discontinued"]), (&(files.len() - 1).into(), &0.into()), "{all}");
    let stopped = synod(path, &["--json", "replay", "recordings", "--stop-at", "1"]);
    assert_eq!((stopped.code, &summary(&stopped)["discontinued"]), (0, &0.into()), "{stopped:?}");

    let whole = fs::read(&files[1]).unwrap();
    fs::write(&files[1], &whole[..whole.len() - 1]).unwrap();
    let cut = synod(path, &["--json", "replay", "recordings"]);
    let all = summary(&cut);
    assert!(cut.code == 0 && all["torn_bytes"].as_u64().unwrap() > 0, "{cut:?}");
    assert_eq!((&all["continued"], &all["discontinued"]), (&(files.len() - 2).into(), &0.into()), "{all}");
}

#[test]
fn what_cannot_be_replayed_is_named_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("n1-00000001.steps"), "no recording").unwrap();
    fs::create_dir(path.join("empty")).unwrap();
    for (named, says) in [
        ("n1-00000001.steps", "cannot be replayed"),
        ("absent.steps", "cannot be read"),
        ("empty", "there is no recording in empty"),
    ] {
        for command in ["replay", "draw"] {
            let said = synod(path, &[command, named]);
            assert!(said.code == 3 && said.err.contains(says) && said.err.contains("record.folder"), "{said:?}");
        }
    }
    let said = synod(path, &["draw", ".", "--since", "yesterday"]);
    assert!(said.code == 2 && said.err.contains("2026-11-29T18:00:00Z"), "{said:?}");
}
