//! Two database servers, agents beside them, and applications.

use std::{
    os::unix::fs::{MetadataExt, PermissionsExt},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use synod::{NodeId, commit::Outcome};
use synod_client::Synod;
use synod_grpc::{Client, Options, Security, Tls};
use synod_postgres::Postgres;
use synod_servers as servers;
use tokio::runtime::Runtime;

use crate::support::{Machines, Ports, Process, get, synod, synod_typing, until};

pub(crate) const DATABASE: &str = "shop";

/// Two servers with an account each; nothing, where no PostgreSQL is installed.
pub(crate) fn postgres() -> Option<[servers::Postgres; 2]> {
    if servers::Postgres::installed().is_none() {
        eprintln!("left out: no PostgreSQL is installed");
        return None;
    }
    Some([(), ()].map(|()| {
        let server = servers::Postgres::start(servers::Options::default()).unwrap();
        server.create_database(DATABASE).unwrap();
        let accounts =
            "CREATE TABLE account (name text PRIMARY KEY, balance bigint); INSERT INTO account VALUES ('ann', 1000)";
        server.sql(DATABASE, accounts).unwrap();
        server
    }))
}

fn urls(servers: &[servers::Postgres]) -> Vec<String> {
    servers.iter().map(|server| server.url(DATABASE)).collect()
}

/// The front door of an application, by the certificate that `init` made.
fn front_door(machines: &Machines) -> Synod {
    let folder = machines.cluster().join("client-1000");
    let [authority, certificate, key] =
        ["authority.pem", "client-1000.pem", "client-1000.key"].map(|name| folder.join(name));
    let tls = Tls::from_files(authority, certificate, key).unwrap();
    let cluster = tls.identity().cluster;
    let (security, options) = (Security::Tls(tls), Options::default());
    let client = Client::new(cluster, NodeId(1), &machines.ports.address(1), &security, &options).unwrap();
    let client = (2..=3)
        .fold(client, |client, node| client.with_node(NodeId(node.into()), &machines.ports.address(node)).unwrap());
    Synod::new(client)
}

/// Moves one from the first account to the second.
async fn transfer(synod: &Synod, databases: &[Postgres; 2]) -> Result<Outcome, Box<dyn std::error::Error>> {
    let mut tx = synod.transaction();
    for (database, amount) in databases.iter().zip([-1_i64, 1]) {
        let change = "UPDATE account SET balance = balance + $1 WHERE name = 'ann'";
        tx.on(database).await?.execute(change, &[&amount]).await?;
    }
    Ok(tx.commit().await?)
}

async fn connect(urls: &[String]) -> [Postgres; 2] {
    let mut open = Vec::new();
    for (url, number) in urls.iter().zip(11..) {
        open.push(Postgres::connect(url, NodeId(number)).await.unwrap());
    }
    open.try_into().ok().unwrap()
}

fn balances(servers: &[servers::Postgres; 2]) -> [i64; 2] {
    servers
        .each_ref()
        .map(|server| server.sql(DATABASE, "SELECT balance FROM account").unwrap().trim().parse().unwrap())
}

fn prepared(server: &servers::Postgres) -> usize {
    server.sql(DATABASE, "SELECT count(*) FROM pg_prepared_xacts").unwrap().trim().parse().unwrap()
}

/// Three members and two agents, all ready.
fn started(machines: &Machines) -> Vec<Process> {
    let mut processes: Vec<Process> = [1, 2, 3, 11, 12].map(|number| machines.start(number)).into();
    processes.iter_mut().for_each(Process::ready);
    processes
}

#[test]
fn two_databases_commit_together_though_an_agent_is_killed_in_between_and_nothing_is_resolved_by_hand() {
    let Some(servers) = postgres() else { return };
    let (urls, runtime) = (urls(&servers), Runtime::new().unwrap());
    let machines = Machines::new(&urls);
    let mut processes = started(&machines);
    let synod = runtime.block_on(async { front_door(&machines) });
    let databases = runtime.block_on(connect(&urls));
    assert_eq!(runtime.block_on(transfer(&synod, &databases)).unwrap(), Outcome::Committed);
    assert_eq!(balances(&servers), [999, 1001]);

    // With an agent killed nobody votes for its database: what is prepared there waits, and other agents ask.
    processes[4].kill();
    let waiting = runtime.spawn({
        let (synod, databases) = (synod.clone(), databases.clone());
        async move { transfer(&synod, &databases).await.map_err(|error| error.to_string()) }
    });
    until("that it is prepared", || prepared(&servers[1]) == 1);
    let mut agent = machines.start(12);
    agent.ready();
    let outcome = runtime.block_on(waiting).unwrap().unwrap();
    until("that nothing is prepared", || servers.iter().all(|server| prepared(server) == 0));
    let moved = if outcome == Outcome::Committed { 2 } else { 1 };
    assert_eq!(balances(&servers), [1000 - moved, 1000 + moved]);

    // An application that dies when it has prepared leaves that to the agents.
    runtime.block_on(async {
        let mut tx = synod.transaction();
        for database in &databases {
            tx.on(database).await.unwrap().execute("UPDATE account SET balance = 0", &[]).await.unwrap();
        }
    });
    assert_eq!(runtime.block_on(transfer(&synod, &databases)).unwrap(), Outcome::Committed);
    assert_eq!(machines.synod(11, &["in-doubt"]).first_word(), "none");
    assert_eq!(balances(&servers).iter().sum::<i64>(), 2000);
}

#[test]
fn an_agent_that_never_comes_back_is_written_off_and_what_waited_for_it_ends_everywhere_else() {
    let Some(servers) = postgres() else { return };
    let (urls, runtime) = (urls(&servers), Runtime::new().unwrap());
    let machines = Machines::new(&urls);
    let mut processes = started(&machines);
    let (synod, databases) = runtime.block_on(async { (front_door(&machines), connect(&urls).await) });
    assert_eq!(runtime.block_on(transfer(&synod, &databases)).unwrap(), Outcome::Committed);
    until("that nothing is open", || machines.synod(1, &["open"]).first_word() == "none");

    processes[4].kill();
    assert!(!matches!(runtime.block_on(transfer(&synod, &databases)), Ok(Outcome::Committed)));
    let waits = || {
        let said = machines.synod(1, &["open"]).out;
        said.contains("waits until it is carried out at n12").then_some(said)
    };
    until("that it waits for the dead one", || waits().is_some());
    machines.synod(1, &["depart", "12", "--yes"]).done();
    for member in [1, 2, 3] {
        until("that nothing is open", || machines.synod(member, &["open"]).first_word() == "none");
    }
    assert_eq!(machines.synod(11, &["in-doubt"]).first_word(), "none");
    until("that nothing is prepared where somebody looks after it", || prepared(&servers[0]) == 0);
    assert_eq!(balances(&servers)[0], 999);
    // It is refused for good, and what it asks about is prepared there still: that is for people to end.
    let agent = machines.start(12);
    until("that it is told why it is refused", || agent.log().contains("was written off for good: end its process"));
    until("that it is counted", || {
        [1, 2, 3].iter().any(|member| {
            let (_, text) = get(&machines.http(*member), "/metrics").unwrap();
            let mut refused = text.lines().filter(|line| line.starts_with("synod_grpc_faults_total{"));
            refused.any(|line| line.contains("fault=\"departed\"") && !line.ends_with(" 0"))
        })
    });
}

#[test]
fn under_load_a_member_that_is_asked_to_end_does_so_in_two_seconds_and_nothing_prepared_is_aborted() {
    let Some(servers) = postgres() else { return };
    let (urls, runtime) = (urls(&servers), Runtime::new().unwrap());
    let machines = Machines::new(&urls);
    let mut processes = started(&machines);
    let (synod, databases) = runtime.block_on(async { (front_door(&machines), connect(&urls).await) });
    let (ends, committed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let is_without_agent = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (synod, databases) = (synod.clone(), databases.clone());
            let (ends, committed) = (Arc::clone(&ends), Arc::clone(&committed));
            let is_without_agent = Arc::clone(&is_without_agent);
            runtime.spawn(async move {
                while !ends.load(Ordering::SeqCst) {
                    // It is prepared in both before it is begun: whatever both agents can vote for commits.
                    match transfer(&synod, &databases).await.map_err(|error| error.to_string()) {
                        Ok(Outcome::Committed) => committed.fetch_add(1, Ordering::SeqCst),
                        Ok(Outcome::Aborted) if is_without_agent.load(Ordering::SeqCst) => continue,
                        other => panic!("{other:?}"),
                    };
                }
            })
        })
        .collect();
    let more = |count| {
        let wanted = committed.load(Ordering::SeqCst) + count;
        until("that more is committed", || {
            committed.load(Ordering::SeqCst) >= wanted || load.iter().any(|task| task.is_finished())
        });
    };
    more(20);
    for member in [0, 1] {
        let (took, code) = processes[member].terminate();
        assert!(took < Duration::from_secs(2) && code == 0, "{took:?} {code} {}", processes[member].log());
        more(20);
        processes[member] = machines.start(member as u16 + 1);
        processes[member].ready();
        more(20);
    }
    // An agent, too; while it is away its database has no vote.
    is_without_agent.store(true, Ordering::SeqCst);
    let (took, code) = processes[3].terminate();
    assert!(took < Duration::from_secs(2) && code == 0, "{took:?} {code} {}", processes[3].log());
    processes[3] = machines.start(11);
    processes[3].ready();
    more(20);
    ends.store(true, Ordering::SeqCst);
    for task in load {
        runtime.block_on(task).unwrap();
    }
    let moved = committed.load(Ordering::SeqCst) as i64;
    until("that all is carried out", || servers.iter().all(|server| prepared(server) == 0));
    assert_eq!(balances(&servers), [1000 - moved, 1000 + moved]);
}

#[test]
fn a_database_that_is_away_is_waited_for_and_what_is_in_doubt_there_is_listed_with_its_age() {
    let Some(mut servers) = postgres() else { return };
    let urls = urls(&servers);
    let machines = Machines::new(&urls);
    servers[1].kill().unwrap();
    let mut processes: Vec<Process> = [1, 2, 3, 11, 12].map(|number| machines.start(number)).into();
    processes[..4].iter_mut().for_each(Process::ready);
    until("that it is said", || {
        get(&machines.http(12), "/readyz")
            .is_some_and(|(code, body)| code == 503 && body.contains("the database of node 12 is away"))
    });
    let said = machines.synod(12, &["status"]);
    assert!(said.out.starts_with("not ready: the database of node 12 is away"), "{said:?}");
    assert!(
        get(&machines.http(12), "/metrics")
            .unwrap()
            .1
            .lines()
            .any(|line| line.starts_with("synod_database_away") && line.ends_with(" 1"))
    );
    // Whoever asks what is in doubt is told who could not be asked.
    let said = machines.synod(1, &["in-doubt"]);
    assert!(said.code == 4 && said.out.contains("Node 12 at"), "{said:?}");
    servers[1].start_again().unwrap();
    processes[4].ready();

    // Two of three members gone: what is prepared is in doubt, and stays so.
    let runtime = Runtime::new().unwrap();
    let (synod, databases) = runtime.block_on(async { (front_door(&machines), connect(&urls).await) });
    assert_eq!(runtime.block_on(transfer(&synod, &databases)).unwrap(), Outcome::Committed);
    let first = machines.synod(1, &["open", "--json"]);
    assert_eq!(first.code, 0, "{first:?}");
    processes[1].kill();
    processes[2].kill();
    let waiting = runtime.spawn({
        let (synod, databases) = (synod.clone(), databases.clone());
        async move { transfer(&synod, &databases).await.map_err(|error| error.to_string()) }
    });
    let mut listed = serde_json::Value::Null;
    until("that something is in doubt", || {
        listed = serde_json::from_str(&machines.synod(11, &["in-doubt", "--json"]).out).unwrap();
        listed["transactions"].as_array().is_some_and(|listed| !listed.is_empty())
    });
    let doubt = &listed["transactions"][0];
    assert_eq!(doubt["participants"].to_string(), "[11,12]", "{listed}");
    let tx = doubt["tx"].as_str().unwrap();
    let said = machines.synod(11, &["status", tx]);
    assert_eq!((said.code, said.first_word()), (6, "undecided"), "{said:?}");
    // Not without being asked twice, and not with the wrong word.
    for typed in ["", "n9#9\n", &format!("{tx}\n"), &format!("{tx}\nabort\n")] {
        let said = synod_typing(&machines.folder(11), &["resolve", tx, "commit"], typed);
        assert!(said.code == 5 && said.err.contains("nothing was done"), "{said:?}");
    }
    processes[1] = machines.start(2);
    let outcome = runtime.block_on(waiting).unwrap().unwrap();
    let said = machines.synod(11, &["status", tx]);
    let answer = if outcome == Outcome::Committed { (0, "committed") } else { (1, "aborted") };
    assert_eq!((said.code, said.first_word()), answer, "{said:?}");
    let said = synod_typing(&machines.folder(11), &["resolve", tx, "commit"], &format!("{tx}\ncommit\n"));
    assert!(said.code == 5 && said.err.contains("not in doubt at a database of this process"), "{said:?}");
    let sum = |servers: &[servers::Postgres; 2]| balances(servers).iter().sum::<i64>();
    until("that all is carried out", || servers.iter().all(|server| prepared(server) == 0) && sum(&servers) == 2000);
}

#[test]
fn when_a_majority_is_lost_for_good_an_operator_ends_what_is_in_doubt_in_each_database() {
    let Some(servers) = postgres() else { return };
    let (urls, runtime) = (urls(&servers), Runtime::new().unwrap());
    let machines = Machines::new(&urls);
    let mut processes = started(&machines);
    let (synod, databases) = runtime.block_on(async { (front_door(&machines), connect(&urls).await) });
    // It has a name when the members are lost.
    assert_eq!(runtime.block_on(transfer(&synod, &databases)).unwrap(), Outcome::Committed);
    processes[1].kill();
    processes[2].kill();
    let _waiting = runtime.spawn(async move { transfer(&synod, &databases).await.map_err(|error| error.to_string()) });
    let in_doubt = |number| -> serde_json::Value {
        let said = machines.synod(number, &["in-doubt", "--json"]);
        serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}"))
    };
    until("that it is in doubt in both", || in_doubt(11)["transactions"].as_array().unwrap().len() == 2);
    let tx = in_doubt(11)["transactions"][0]["tx"].as_str().unwrap().to_owned();
    assert!(machines.synod(11, &["inquire", &tx]).done().starts_with("asked node 11"));
    let listed = machines.synod(11, &["open"]).done();
    assert!(listed.starts_with("1 open here") && listed.contains("11, 12"), "{listed}");

    let words = format!("{tx}\nabort\n");
    for number in [11, 12] {
        let said = synod_typing(&machines.folder(number), &["resolve", &tx, "abort"], &words).done();
        assert!(said.starts_with(&format!("{tx} is ended by your word at node {number}")), "{said}");
    }
    until("that nothing is prepared", || servers.iter().all(|server| prepared(server) == 0));
    assert_eq!(balances(&servers), [999, 1001]);
    assert!(processes[3].log().contains("resolved by an operator"));
}

/// Whatever becomes of it, the branch in the first database is rolled back by hand while nobody can decide. Its transaction, if
/// it commits.
fn loses_a_branch(
    machines: &Machines,
    processes: &mut [Process],
    servers: &[servers::Postgres; 2],
    runtime: &Runtime,
) -> Option<String> {
    let (synod, databases) = runtime.block_on(async { (front_door(machines), connect(&urls(servers)).await) });
    // It has a name when the members are lost.
    assert_eq!(runtime.block_on(transfer(&synod, &databases)).unwrap(), Outcome::Committed);
    processes[1].kill();
    processes[2].kill();
    let waiting = runtime.spawn(async move { transfer(&synod, &databases).await.map_err(|error| error.to_string()) });
    let mut listed = serde_json::Value::Null;
    until("that it is in doubt in both", || {
        listed = serde_json::from_str(&machines.synod(11, &["in-doubt", "--json"]).out).unwrap();
        listed["transactions"].as_array().is_some_and(|listed| listed.len() == 2)
    });
    let mine = "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()";
    let gid = servers[0].sql(DATABASE, mine).unwrap();
    servers[0].sql(DATABASE, &format!("ROLLBACK PREPARED '{gid}'")).unwrap();
    for number in [2_u16, 3] {
        processes[usize::from(number) - 1] = machines.start(number);
    }
    let outcome = runtime.block_on(waiting).unwrap().unwrap();
    (outcome == Outcome::Committed).then(|| listed["transactions"][0]["tx"].as_str().unwrap().to_owned())
}

#[test]
fn what_an_alarm_is_about_is_put_right_by_hand_and_finished_ends_it() {
    let Some(servers) = postgres() else { return };
    let (urls, runtime) = (urls(&servers), Runtime::new().unwrap());
    let machines = Machines::new(&urls);
    let mut processes = started(&machines);
    let lost = (0..5).find_map(|_| loses_a_branch(&machines, &mut processes, &servers, &runtime));
    let tx = lost.expect("one of five commits");
    until("that there is an alarm", || machines.synod(11, &["status"]).out.contains("has lost a prepared branch"));
    let said = synod_typing(&machines.folder(12), &["finished", &tx], &format!("{tx}\n"));
    assert!(said.code == 5 && said.err.contains("no database of this process has an alarm"), "{said:?}");
    let said = synod_typing(&machines.folder(11), &["finished", &tx], "no\n");
    assert!(said.code == 5 && said.err.contains("nothing was done"), "{said:?}");
    // What the branch would have done.
    servers[0].sql(DATABASE, "UPDATE account SET balance = balance - 1").unwrap();
    let said = synod_typing(&machines.folder(11), &["finished", &tx], &format!("{tx}\n")).done();
    assert!(said.starts_with(&format!("{tx} is over at node 11")), "{said}");
    until("that the alarm goes", || !machines.synod(11, &["status"]).out.contains("has lost a prepared branch"));
    assert_eq!(balances(&servers).iter().sum::<i64>(), 2000);
    assert!(processes.iter().any(|process| process.log().contains("taken for done by an operator's word")));
}

#[test]
fn from_nothing_to_a_committed_transaction_over_two_kinds_of_database_it_takes_two_commands() {
    let Some([postgres, _]) = postgres() else { return };
    let Some(maria) = maria() else { return };
    let (folder, ports) = (tempfile::tempdir().unwrap(), Ports::new());
    let (path, port, http) = (folder.path(), ports.at(0).to_string(), ports.address(0));
    let (first, second) = (format!("11={}", postgres.url(DATABASE)), format!("12={}", maria.url(DATABASE)));
    let args = ["dev", "--port", &port, "--database", &first, "--database", &second];
    let mut dev = Process::start(path, &args, &http, &[]);
    dev.lines_until("synod try");
    let said = synod(path, &["try"]);
    assert_eq!((said.code, said.first_word()), (0, "committed"), "{said:?}");
    for rows in [
        postgres.sql(DATABASE, "SELECT count(*) FROM synod_try"),
        maria.sql(DATABASE, "SELECT count(*) FROM synod_try"),
    ] {
        assert_eq!(rows.unwrap().trim(), "1");
    }
    // It knows its databases from then on.
    let start = Instant::now();
    let (took, code) = dev.terminate();
    assert!(took < Duration::from_secs(2) && code == 0, "{took:?} {:?} {}", start.elapsed(), dev.log());
    let mut again = Process::start(path, &["dev", "--port", &port], &http, &[]);
    again.ready();
    assert_eq!(synod(path, &["try"]).first_word(), "committed");
}

#[test]
fn a_database_that_dies_while_nothing_is_to_be_done_is_said_to_be_away_until_it_is_back() {
    let Some([mut first, second]) = postgres() else { return };
    let (folder, ports) = (tempfile::tempdir().unwrap(), Ports::new());
    let (path, port, http) = (folder.path(), ports.at(0).to_string(), ports.address(0));
    let (one, two) = (format!("11={}", first.url(DATABASE)), format!("12={}", second.url(DATABASE)));
    let args = ["dev", "--port", &port, "--database", &one, "--database", &two];
    let mut dev = Process::start(path, &args, &http, &[]);
    dev.ready();
    let metric = |value: u8| {
        let (_, metrics) = get(&http, "/metrics").unwrap();
        let line = metrics.lines().find(|line| line.starts_with("synod_database_away") && line.contains("\"11\""));
        line.is_some_and(|line| line.ends_with(&format!(" {value}")))
    };
    assert!(metric(0));
    first.kill().unwrap();
    until("that the database is away", || metric(1));
    let (status, why) = get(&http, "/readyz").unwrap();
    assert!(status == 503 && why.contains("the database of node 11 is away"), "{why}");
    let said = synod(path, &["status"]);
    assert!(said.first_word() == "not" && said.out.contains("away"), "{}", said.out);
    first.start_again().unwrap();
    until("that it is back", || metric(0));
    dev.ready();
    assert_eq!(synod(path, &["try"]).first_word(), "committed");
}

fn maria() -> Option<servers::Maria> {
    if servers::Maria::installed().is_none() {
        eprintln!("left out: no MariaDB is installed");
        return None;
    }
    let server = servers::Maria::start(servers::Options::default()).unwrap();
    server.create_database(DATABASE).unwrap();
    Some(server)
}

#[test]
fn the_way_to_a_database_is_tls_where_its_authority_is_named_and_nothing_else_is_admitted() {
    let Some([server, _other]) = postgres() else { return };
    let machines = Machines::new(&[server.url(DATABASE)]);
    // A certificate of the server's own, which is its authority, too.
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
    let data = server.folder().join("data");
    let owner = std::fs::metadata(&data).unwrap();
    for (name, text) in [("server.crt", certificate.pem()), ("server.key", key.serialize_pem())] {
        std::fs::write(data.join(name), text).unwrap();
        std::fs::set_permissions(data.join(name), PermissionsExt::from_mode(0o600)).unwrap();
        std::os::unix::fs::chown(data.join(name), Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    std::fs::write(machines.folder(11).join("ca.pem"), certificate.pem()).unwrap();
    let admits = data.join("pg_hba.conf");
    let text = std::fs::read_to_string(&admits).unwrap();
    server.sql(DATABASE, "CREATE ROLE clerk SUPERUSER LOGIN; ALTER SYSTEM SET ssl = on").unwrap();
    std::fs::write(&admits, format!("hostnossl all clerk 127.0.0.1/32 reject\n{text}")).unwrap();
    server.sql(DATABASE, "SELECT pg_reload_conf()").unwrap();

    let url = server.url(DATABASE);
    let file = std::fs::read_to_string(machines.file(11)).unwrap();
    let with = |tls: &str, more: &str| {
        let clerk = url.replace("synod@", "clerk@");
        std::fs::write(machines.file(11), file.replace(&format!("{url}\""), &format!("{clerk}{tls}\"{more}"))).unwrap();
    };
    with("?sslmode=disable", "");
    let said = machines.synod(11, &["run"]);
    assert!(said.code == 9 && said.err.contains("pg_hba.conf"), "{said:?}");
    with("?sslmode=require", "\ndatabase_ca = \"nowhere.pem\"");
    let said = machines.synod(11, &["run"]);
    assert!(said.code == 3 && said.err.contains("nowhere.pem, which is node.database_ca of node 11"), "{said:?}");
    with("?sslmode=require", "\ndatabase_ca = \"ca.pem\"");
    let agent = machines.start(11);
    until("that it stands beside its database", || agent.log().contains("serving"));
    let encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'clerk'";
    assert_eq!(server.sql(DATABASE, encrypted).unwrap().trim(), "t");
}
