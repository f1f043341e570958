//! The operators' console without a browser: who may ask, what is said, how large and how fast it is.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use serde_json::Value;
use synod::perform::{
    NoResource, Start,
    memory::MemoryStorage,
    tokio::{self as driver, Options as Bounds},
};
use synod::{NodeId, Quorums, commit};
use synod_grpc::{Client, Options, Peers, Security, Tls};
use tokio::runtime::Runtime;

use crate::{
    stage::Stage,
    support::{Machines, Ports, Process, ask, get, synod, until},
};

fn json(http: &str, path: &str) -> Value {
    let (status, text) = get(http, path).unwrap();
    assert_eq!(status, 200, "{path}: {text}");
    serde_json::from_str(&text).unwrap()
}

/// The whole answer to a request, head and body.
fn whole(http: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(http).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn a_reader_only_reads_a_browser_is_asked_for_the_token_and_every_answer_is_kept_from_harm() {
    let (folder, ports) = (tempfile::tempdir().unwrap(), Ports::new());
    let (port, http) = (ports.at(0).to_string(), ports.address(0));
    let mut dev = Process::start(folder.path(), &["dev", "--port", &port], &http, &[]);
    dev.ready();
    let token = |name: &str| {
        let path = folder.path().join("synod-data").join(name);
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        std::fs::read_to_string(path).unwrap().trim().to_owned()
    };
    let (operator, reader) = (token("token"), token("read_token"));
    assert_ne!(operator, reader);
    let send = |method: &str, path: &str, host: &str, token: &str, more: &str| {
        let token = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{token}{more}Connection: close\r\n");
        ask(&http, &format!("{head}Content-Type: application/json\r\nContent-Length: 11\r\n\r\n{{\"node\":12}}"))
            .unwrap()
    };

    // From elsewhere everything needs a token; that of readers will do for what only reads.
    let elsewhere = "console.example";
    for path in ["/", "/api/status", "/api/cluster", "/api/waiting", "/api/databases", "/api/history", "/metrics"] {
        assert_eq!(send("GET", path, elsewhere, "", "").0, 403, "{path}");
        assert_eq!(send("GET", path, elsewhere, "wrong", "").0, 403, "{path}");
        assert_eq!(send("GET", path, elsewhere, &reader, "").0, 200, "{path}");
        assert_eq!(send("GET", path, elsewhere, &operator, "").0, 200, "{path}");
        assert_eq!(send("GET", path, &http, "", "").0, 200, "{path}");
    }
    let roles = [("", &*http, "reader"), (&*reader, elsewhere, "reader"), (&*operator, elsewhere, "operator")];
    for (token, host, role) in roles {
        assert_eq!(
            send("GET", "/api/role", host, token, "").1,
            format!("{{\"role\":\"{role}\",\"by_certificate\":false}}")
        );
    }
    let (status, said) = send("POST", "/api/members/depart", &http, &reader, "");
    assert!(status == 403 && said.contains("this token only reads"), "{said}");
    let (status, page) = send("GET", "/", elsewhere, "", "Accept: text/html\r\n");
    assert!(status == 403 && page.contains("<h1>Sign in</h1>"), "{page}");
    let cluster = json(&http, "/api/status")["cluster"].as_str().unwrap().to_owned();
    assert!(!page.contains(&cluster[..8]), "it says what it must not: {page}");

    // GET changes nothing, even for an operator.
    let acts = ["members/depart", "members/replace", "transactions/n1-1/inquire", "transactions/n1-1/resolve"]
        .map(|act| format!("/api/{act}"));
    for act in acts {
        assert_eq!(send("GET", &act, &http, &operator, "").0, 405, "{act}");
    }
    assert_eq!(json(&http, "/api/members")["departed"].to_string(), "[]");

    for path in ["/", "/history", "/transactions/n1-1", "/api/status", "/console.js", "/console.css", "/nothing"] {
        let answer = whole(&http, &format!("GET {path} HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n\r\n"));
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        for wanted in [
            "cache-control: no-store",
            "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self';",
            "x-content-type-options: nosniff",
            "x-frame-options: DENY",
        ] {
            assert!(head.contains(wanted), "{path}: {head}");
        }
        if body.starts_with("<!doctype") {
            // What the policy forbids is not there, and nothing is loaded from elsewhere.
            for bad in [" style=", "<style", " onclick", "<script>", "http:", "https:"] {
                assert!(!body.contains(bad), "{path}: {bad}");
            }
        }
    }
    let explained = synod(folder.path(), &["run", "--explain", "synod-data/node.toml"]).done();
    assert!(explained.contains("http.read_token_file"), "{explained}");
}

#[test]
fn a_client_that_is_slow_or_says_too_much_is_let_go_and_holds_up_nobody() {
    let (folder, ports) = (tempfile::tempdir().unwrap(), Ports::new());
    let (port, http) = (ports.at(0).to_string(), ports.address(0));
    let mut dev = Process::start(folder.path(), &["dev", "--port", &port], &http, &[]);
    dev.ready();
    let token = std::fs::read_to_string(folder.path().join("synod-data/token")).unwrap();
    let head = format!(
        "POST /api/members/depart HTTP/1.1\r\nHost: {http}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n",
        token.trim()
    );
    let large = format!("{head}Content-Length: 100000\r\n\r\n{}", " ".repeat(100_000));
    assert!(whole(&http, &large).starts_with("HTTP/1.1 413"));

    // More than there is room for, of which none says all it should.
    let start = Instant::now();
    let half =
        ["GET / HTTP/1.1\r\nHost: ".to_owned(), String::new(), format!("{head}Content-Length: 11\r\n\r\n{{\"no")];
    let mut slow: Vec<TcpStream> = (0..150)
        .map(|at| {
            let mut stream = TcpStream::connect(&http).unwrap();
            stream.write_all(half[at % half.len()].as_bytes()).unwrap();
            stream
        })
        .collect();
    assert_eq!(get(&http, "/healthz"), Some((200, "ok\n".into())));
    for stream in &mut slow {
        let mut said = String::new();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let ended = stream.read_to_string(&mut said);
        assert!(ended.is_ok(), "{ended:?} after {:?}: {said}", start.elapsed());
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{said}");
    }
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    assert_eq!(json(&http, "/api/members")["departed"].to_string(), "[]");
}

#[test]
fn what_waits_is_explained_everywhere_alike_and_joined_with_what_the_databases_list() {
    let Some(mut stage) = Stage::new() else { return };
    let http = stage.machines.http(1);
    let tx = stage.leave_in_doubt();
    // As the page, and every command, says it.
    let mut why = String::new();
    until("that it is explained", || {
        let waiting = json(&http, "/api/waiting");
        let row = waiting["transactions"].as_array().unwrap().iter().find(|row| row["tx"] == tx).cloned();
        why = row.as_ref().map_or(String::new(), |row| row["why"].as_str().unwrap().to_owned());
        let is_listed =
            row.is_some_and(|row| row["listed_at"] == serde_json::json!([11]) && row["state"] == "in doubt");
        is_listed
            && why.contains("n12, which has not answered for")
            && why.contains("missing are n2, which has not answered")
    });
    assert!(why.starts_with("prepared at <img src=x onerror=alert(1)>&\"' (n11) for "), "{why}");
    println!("{why}");
    let name = tx.replace('#', "-");
    let page = get(&http, "/").unwrap().1;
    assert!(page.contains(&format!("<a class=tx href=\"/transactions/{name}\">{tx}</a>")), "{page}");
    assert!(page.contains("prepared at &lt;img src=x onerror=alert(1)&gt;&amp;&quot;&#39; (n11) for"), "{page}");
    assert!(!page.contains("<img"), "{page}");
    let story = get(&http, &format!("/transactions/{name}")).unwrap().1;
    assert!(
        story.contains("undecided") && story.contains("which has not answered for") && !story.contains("<img"),
        "{story}"
    );

    for args in [&["status", &*tx][..], &["open"], &["in-doubt"]] {
        let said = stage.machines.synod(1, args);
        // Columns are cut to the width of a terminal. There is no terminal here.
        assert!(said.out.contains("prepared at <img") && said.out.contains("has not answered for"), "{said:?}");
    }
    let open = json(&http, "/api/open")["transactions"][0]["why"].to_string();
    assert!(open.contains("waits for the vote of n12"), "{open}");

    let databases = json(&http, "/api/databases");
    let branch = &databases["databases"][0]["branches"][0];
    assert_eq!((branch["tx"].as_str(), branch["knows"].as_str()), (Some(&*tx), Some("open")), "{databases}");
    assert!(branch["age_seconds"].as_f64().is_some_and(|age| age > 0.0 && age < 600.0), "{databases}");
    // Somebody else's, of a name that tries to break out.
    stage.prepare_foreign("'><script>alert(2)</script>");
    until("that the foreign one is listed", || {
        json(&http, "/api/databases").to_string().contains("\"knows\":\"foreign\"")
    });
    let page = get(&http, "/databases").unwrap().1;
    assert!(page.contains("not synod\u{2019}s") && !page.contains("<script>alert"), "{page}");

    // Once the members are back it ends, and the history has it.
    stage.bring_all_back();
    until("that it is over", || json(&http, "/api/history").to_string().contains(&tx));
    let outcome = json(&http, "/api/history")["outcomes"][0].clone();
    assert!(matches!(outcome["outcome"].as_str(), Some("committed" | "aborted")), "{outcome}");
    assert!(get(&http, "/history").unwrap().1.contains(&tx));
}

/// A participant with a node of its own in this process, which every member has met; then it is gone.
async fn come_and_go(machines: &Machines, number: u64) {
    let root = machines.root.path();
    synod(root, &["certs", "node", &number.to_string(), "--cluster", "cluster"]).done();
    let file = |name: &str| machines.cluster().join(format!("node-{number}")).join(name);
    let tls = Tls::from_files(
        file("authority.pem"),
        file(&format!("node-{number}.pem")),
        file(&format!("node-{number}.key")),
    )
    .unwrap();
    let members: Vec<NodeId> = (1..=3).map(NodeId).collect();
    let quorums = Quorums::majority(members.iter().copied()).unwrap();
    let contacts = members.iter().map(|node| {
        let address = machines.ports.address(u16::try_from(node.0).unwrap());
        (*node, format!("https://{address}").into_bytes())
    });
    let spec =
        commit::ClusterSpec::new(tls.identity().cluster, quorums, members.clone()).with_contacts(contacts.collect());
    let config = commit::Config::new(spec.build().unwrap(), NodeId(number), number);
    let peers = Peers::new(&config, Security::Tls(tls), Options::default()).unwrap();
    let bounds = Bounds::default();
    let spawned = driver::spawn(config, Start::Create, MemoryStorage::new(), peers.clone(), NoResource, bounds).await;
    let (handle, _task) = spawned.unwrap();
    while !members.iter().all(|member| peers.stats(*member).is_some_and(|stats| stats.connected)) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    handle.shutdown().await.unwrap();
    peers.shutdown().await;
}

fn client(machines: &Machines) -> Client {
    let file = |name: &str| machines.cluster().join("client-1000").join(name);
    let tls = Tls::from_files(file("authority.pem"), file("client-1000.pem"), file("client-1000.key")).unwrap();
    let (cluster, security) = (tls.identity().cluster, Security::Tls(tls));
    Client::new(cluster, NodeId(1), &machines.ports.address(1), &security, &Options::default()).unwrap()
}

/// Transactions of three participants that have come once, and gone: each is aborted, and stays open until they say that
/// they know.
#[test]
fn with_ten_thousand_open_transactions_the_first_page_is_small_and_served_at_once() {
    const OPEN: usize = 10_000;
    let (machines, runtime) = (Machines::new(&[]), Runtime::new().unwrap());
    let mut processes: Vec<Process> = (1..=3).map(|number| machines.start(number)).collect();
    processes.iter_mut().for_each(Process::ready);
    let http = machines.http(1);
    let open = || json(&http, "/api/waiting?limit=1")["open"].as_u64().unwrap() as usize;
    runtime.block_on(async {
        for number in 13..=15 {
            come_and_go(&machines, number).await;
        }
        let (client, mut begun) = (client(&machines), 0);
        let start = Instant::now();
        while begun < OPEN {
            let mut calls = tokio::task::JoinSet::new();
            for at in begun..(begun + 100).min(OPEN) {
                let (client, participant) = (client.clone(), NodeId(13 + at as u64 % 3));
                calls.spawn(async move { client.begin([participant], "").await });
            }
            while let Some(call) = calls.join_next().await {
                match call.unwrap() {
                    Ok(_) => begun += 1,
                    // It has much to recover from at this moment.
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
            assert!(start.elapsed() < Duration::from_secs(240), "only {begun} begun");
        }
    });
    let found = open();
    assert!(found >= OPEN, "only {found} are open");

    let mut times = Vec::new();
    let mut size = 0;
    for _ in 0..11 {
        let start = Instant::now();
        let (status, page) = get(&http, "/").unwrap();
        times.push(start.elapsed());
        size = page.len();
        assert_eq!((status, page.matches("<tr data-key=\"n1#").count()), (200, 200));
        assert!(
            page.contains(&format!("\u{2026} and {},{:03} more.", (found - 200) / 1_000, (found - 200) % 1_000)),
            "{found}"
        );
    }
    times.sort();
    println!("with {found} open: {size} bytes; served in {:?} (median of 11; worst {:?})", times[5], times[10]);
    assert!(size < 1_000_000, "{size} bytes");
}
