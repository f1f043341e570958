//! Members on machines of their own: `init`, `run`, `certs`, `join`, `replace`, `depart`.

use std::{fs, time::Duration};

use rustix::process::Signal;

use crate::support::{Machines, Process, get, synod, until};

fn members(machines: &Machines, number: u16) -> serde_json::Value {
    let said = machines.synod(number, &["members", "--json"]);
    serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}"))
}

#[test]
fn a_member_is_killed_and_replaced_for_good_and_a_participant_is_written_off() {
    let machines = Machines::new(&[]);
    let mut processes: Vec<Process> = (1..=3).map(|number| machines.start(number)).collect();
    processes.iter_mut().for_each(Process::ready);

    processes[1].kill();
    processes[0].ready();
    until("that member 2 is missed", || machines.synod(1, &["status"]).done().contains("member 2 is not connected"));

    // Its number is not free any more, and that of a new one is.
    let root = machines.root.path();
    let taken = synod(root, &["join", "2", "--address", &machines.ports.address(4), "--cluster", "cluster"]);
    assert!(taken.code == 2 && taken.err.contains("such as 4"), "{taken:?}");
    synod(root, &["join", "4", "--address", &machines.ports.address(4), "--cluster", "cluster"]).done();
    machines.set_http(4);
    let mut fourth = machines.start(4);
    until("that the newcomer is there", || machines.synod(4, &["status"]).code == 0);

    let address = machines.ports.address(4);
    let said = machines.synod(1, &["replace", "2", "--with", "4", "--address", &address]).done();
    assert!(
        said.starts_with("done: node 4 is a member in the place of node 2") && said.contains("may be switched off"),
        "{said}"
    );
    fourth.ready();
    let now = members(&machines, 3);
    assert_eq!((now["epoch"].as_u64(), now["left"].to_string()), (Some(1), "[2]".into()), "{now}");

    // The next one hears of the members as they are.
    let (config, address) = (machines.file(1), machines.ports.address(5));
    let join = ["join", "5", "--address", &address, "--cluster", "cluster", "--config", config.to_str().unwrap()];
    synod(root, &join).done();
    for file in ["node-5/node.toml", "cluster.toml"] {
        let text = fs::read_to_string(machines.cluster().join(file)).unwrap();
        assert!(text.contains("\n4 = \"127.0.0.1:") && !text.contains("\n2 = "), "{text}");
    }
    let address = machines.ports.address(4);

    let former = machines.synod(1, &["replace", "3", "--with", "2", "--address", &address]);
    assert!(former.code == 5 && former.err.contains("never used"), "{former:?}");
    machines.synod(1, &["depart", "12", "--yes"]).done();
    assert_eq!(members(&machines, 1)["departed"].to_string(), "[12]");

    // All of them go on from their records, with files that name the members as they were.
    processes.remove(1);
    for process in processes.iter_mut().chain([&mut fourth]) {
        let (took, code) = process.terminate();
        assert!(took < Duration::from_secs(2) && code == 0, "{took:?} {code} {}", process.log());
    }
    let mut again: Vec<Process> = [1, 3, 4].map(|number| machines.start(number)).into();
    again.iter_mut().for_each(Process::ready);
    assert_eq!(members(&machines, 4)["epoch"].as_u64(), Some(2));
}

#[test]
fn a_newcomer_whose_file_names_nobody_who_is_left_is_named_and_comes_in_once_its_file_has_the_present_members() {
    let machines = Machines::new(&[]);
    let mut processes: Vec<Process> = (1..=3).map(|number| machines.start(number)).collect();
    processes.iter_mut().for_each(Process::ready);
    processes[1].kill();
    let (root, address) = (machines.root.path(), machines.ports.address(4));
    synod(root, &["join", "4", "--address", &address, "--cluster", "cluster"]).done();
    machines.set_http(4);
    // Of those that it knows, only the dead one is left.
    let present = fs::read_to_string(machines.file(4)).unwrap();
    let is_of_others = |line: &&str| line.starts_with("1 = \"127.0.0.1:") || line.starts_with("3 = \"127.0.0.1:");
    let old: Vec<&str> = present.lines().filter(|line| !is_of_others(line)).collect();
    assert_eq!(old.len() + 2, present.lines().count(), "{present}");
    fs::write(machines.file(4), old.join("\n")).unwrap();
    let mut fourth = machines.start(4);
    let replace = ["replace", "2", "--with", "4", "--address", &address];
    std::thread::scope(|scope| {
        let replaces = scope.spawn(|| machines.synod(1, &replace));
        until("that the newcomer is missed", || {
            let said = machines.synod(1, &["members"]).out;
            said.contains("Invited, and not there: 4. See that it runs") && said.contains("its file is too old")
        });
        assert_eq!(members(&machines, 1)["awaited"].to_string(), "[4]");
        fourth.terminate();
        fs::write(machines.file(4), &present).unwrap();
        fourth = machines.start(4);
        let said = replaces.join().unwrap().done();
        assert!(said.starts_with("done: node 4 is a member in the place of node 2"), "{said}");
    });
    fourth.ready();
    assert_eq!(members(&machines, 4)["awaited"].to_string(), "[]");
}

#[test]
fn a_member_that_has_lost_its_records_is_refused_by_the_others_under_its_old_number() {
    let machines = Machines::new(&[]);
    let mut processes: Vec<Process> = (1..=3).map(|number| machines.start(number)).collect();
    processes.iter_mut().for_each(Process::ready);
    // Whom it has not called yet has not met it, and cannot tell that it is another one.
    let has_called = |peer: u64| {
        let (_, text) = get(&machines.http(1), "/metrics").unwrap();
        let mut connected = text.lines().filter(|line| line.starts_with("synod_grpc_connected{"));
        connected.any(|line| line.contains(&format!("peer=\"{peer}\"")) && line.ends_with(" 1"))
    };
    until("that it has called both others", || has_called(2) && has_called(3));
    processes[0].kill();
    fs::remove_dir_all(machines.folder(1).join("data")).unwrap();
    processes[0] = machines.start(1);
    until("that it is refused", || {
        let (_, text) = get(&machines.http(2), "/metrics").unwrap();
        let mut refused = text.lines().filter(|line| line.contains("fault=\"other_birth\""));
        refused.any(|line| !line.ends_with(" 0"))
    });
    // A connection is there for a moment, until it is refused.
    until("that it is not ready", || get(&machines.http(1), "/readyz").is_some_and(|(status, _)| status == 503));
    let said = machines.synod(2, &["status"]).done();
    assert!(said.contains("Node 2 has refused a node that has lost its records"), "{said}");
    processes[1].ready();
}

#[test]
fn certificates_are_renewed_without_a_restart() {
    let machines = Machines::new(&[]);
    let mut processes: Vec<Process> = (1..=3).map(|number| machines.start(number)).collect();
    processes.iter_mut().for_each(Process::ready);
    let days = || {
        let (_, text) = get(&machines.http(1), "/metrics").unwrap();
        let line = text.lines().find(|line| line.starts_with("synod_grpc_certificate_days_left")).unwrap().to_owned();
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    assert!((364.0..=365.0).contains(&days()), "{}", days());
    let cluster = machines.cluster();
    let renew = ["certs", "renew", "cluster/node-1", "--cluster", "cluster", "--days", "700"];
    synod(cluster.parent().unwrap(), &renew).done();
    assert!(days() < 366.0, "nobody has told the process");
    processes[0].signal(Signal::HUP);
    until("that the certificate is in force", || days() > 699.0);

    // Another application gets a certificate of its own, of the same authority.
    let root = cluster.parent().unwrap();
    synod(root, &["certs", "client", "1001", "--cluster", "cluster"]).done();
    let authority = fs::read_to_string(cluster.join("client-1001/authority.pem")).unwrap();
    assert!(cluster.join("client-1001/client-1001.key").exists());
    assert!(synod(root, &["certs", "authority", "--cluster", "cluster"]).done().ends_with(&authority));

    // What cannot be used changes nothing.
    fs::write(machines.folder(1).join("node-1.key"), "no key").unwrap();
    processes[0].signal(Signal::HUP);
    until("that it is said", || processes[0].log().contains("the earlier ones stay in force"));
    assert!(days() > 699.0);
    processes[0].ready();
}

#[test]
fn systemd_is_told_when_all_is_ready_and_when_it_ends() {
    let machines = Machines::new(&[]);
    let path = machines.root.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(crate::support::LONG)).unwrap();
    let hear = || {
        let mut bytes = [0; 200];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    let env = [("NOTIFY_SOCKET", path.to_str().unwrap())];
    let mut process = Process::start(&machines.folder(1), &["run", "node.toml"], &machines.http(1), &env);
    assert_eq!(hear(), "READY=1");
    process.signal(Signal::HUP);
    assert!(hear().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(hear(), "READY=1");
    assert_eq!(process.terminate().1, 0);
    assert_eq!(hear(), "STOPPING=1");
}
