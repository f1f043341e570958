//! What a person can do wrong: each is told what it is about, why, and what to do, and ends with the code of its kind.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
};

use synod_servers as servers;

use crate::support::{Machines, Process, Said, synod};

/// The exit codes, as `synod exit-codes` lists them.
const USAGE: i32 = 2;
const CONFIGURATION: i32 = 3;
const UNREACHABLE: i32 = 4;
const REFUSED: i32 = 5;
const UNKNOWN: i32 = 7;
const MACHINE: i32 = 8;
const DATABASE: i32 = 9;

/// A mistake, with what must be said of it: the thing, the cause, the remedy.
#[track_caller]
fn expect(mistake: &str, said: &Said, code: i32, words: [&str; 3]) {
    println!("-- {mistake}: {}\n{}", said.code, said.err);
    assert_eq!(said.code, code, "{mistake}: {}{}", said.out, said.err);
    for word in words {
        assert!(said.err.contains(word), "{mistake}: {word:?} is not in {}", said.err);
    }
    // What clap says has its own form.
    assert!(said.err.contains("remedy:") || said.err.starts_with("error:"), "{mistake}: {}", said.err);
    assert!(!said.err.contains("panicked"), "{mistake}: {}", said.err);
}

/// What is said of a collector that traces cannot be sent to.
const COLLECTOR: [&str; 3] = if cfg!(feature = "opentelemetry") {
    ["traces.endpoint", "http://host:port", "OTLP over gRPC"]
} else {
    ["traces.endpoint", "without the feature opentelemetry", "--features opentelemetry"]
};

/// The folder of node 1 of a cluster, to be spoilt and put right again.
struct Spoilt {
    machines: Machines,
    text: String,
}

impl Spoilt {
    fn new() -> Self {
        let machines = Machines::new(&[]);
        let text = fs::read_to_string(machines.file(1)).unwrap();
        Self { machines, text }
    }

    fn root(&self) -> &Path {
        self.machines.root.path()
    }

    fn folder(&self) -> PathBuf {
        self.machines.folder(1)
    }

    /// What is said of the file with `from` replaced by `to`.
    fn with(&self, from: &str, to: &str) -> Said {
        assert!(self.text.contains(from), "{from:?} is not in {}", self.text);
        fs::write(self.machines.file(1), self.text.replacen(from, to, 1)).unwrap();
        let said = self.run();
        fs::write(self.machines.file(1), &self.text).unwrap();
        said
    }

    fn run(&self) -> Said {
        self.machines.synod(1, &["run", "node.toml"])
    }

    /// What is said while the file of this name in the folder holds something else.
    fn with_file(&self, name: &str, holds: &[u8]) -> Said {
        let path = self.folder().join(name);
        let before = fs::read(&path).unwrap();
        fs::write(&path, holds).unwrap();
        let said = self.run();
        fs::write(&path, before).unwrap();
        said
    }
}

#[test]
fn what_is_wrong_with_the_command_line_is_said() {
    let empty = tempfile::tempdir().unwrap();
    let said = |args: &[&str]| synod(empty.path(), args);
    let usage = [
        ("an unknown flag", &["status", "--frobnicate"][..], ["--frobnicate", "unexpected", "--help"]),
        ("an unknown command", &["frobnicate"], ["frobnicate", "unrecognized", "--help"]),
        ("no transaction", &["status", "n1"], ["n1", "#", "like n1#5"]),
        ("a number that is too large", &["inquire", "n1#99999999999999999999"], ["n1#9999", "64 bits", "like n1#5"]),
        ("no outcome", &["resolve", "n1#5", "perhaps"], ["perhaps", "commit", "abort"]),
        ("nobody is named", &["status"], ["no process is named", "synod-data/node.toml", "synod dev"]),
        ("no address", &["status", "--node", "elsewhere"], ["elsewhere", "no address", "http://127.0.0.1:7400"]),
        ("no members", &["init"], ["--member", "required", "--help"]),
        ("a member without a port", &["init", "--member", "a.example"], ["a.example", "port", "a.example:7401"]),
        ("two members", &["init", "--member", "a:1", "--member", "b:1"], ["2 members", "survives", "three or five"]),
        (
            "members at one address",
            &["init", "--member", "a:1", "--member", "a:1", "--member", "b:1"],
            ["node 2", "address a:1", "a port of its own"],
        ),
        (
            "a database with a member's number",
            &["init", "--member", "a:1", "--database", "1@a:2=postgres://u@h/d"],
            ["database 1", "number of a member", "such as 11"],
        ),
        (
            "a database of another kind",
            &["init", "--member", "a:1", "--database", "11@a:2=oracle://u@h/d"],
            ["oracle", "URL", "postgres://"],
        ),
        (
            "a database without a number",
            &["dev", "--database", "postgres://u@h/d"],
            ["postgres://u@h/d", "number", "11="],
        ),
        ("a database with a low number", &["dev", "--database", "1=postgres://u@h/d"], ["1=", "taken", "from 11"]),
    ];
    for (mistake, args, words) in usage {
        expect(mistake, &said(args), USAGE, words);
    }
    assert!(!empty.path().join("synod-cluster").exists(), "nothing is left behind");

    let missing = said(&["certs", "node", "1"]);
    expect("no authority", &missing, CONFIGURATION, ["synod-cluster/authority.pem", "No such file", "--cluster"]);
    let missing = said(&["run", "nowhere.toml"]);
    expect("no file", &missing, CONFIGURATION, ["nowhere.toml", "No such file", "synod init"]);
    let nobody = said(&["status", "--node", "http://127.0.0.1:1"]);
    expect("nobody is there", &nobody, UNREACHABLE, ["127.0.0.1:1", "refused", "synod dev"]);
    fs::write(empty.path().join("file"), "").unwrap();
    let file = said(&["init", "file/cluster", "--member", "a:1"]);
    expect("a folder within a file", &file, MACHINE, ["file/cluster", "Not a directory", "another folder"]);

    let json = said(&["run", "nowhere.toml", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json.err).unwrap();
    assert_eq!((json["exit"].as_str(), json["code"].as_i64()), (Some("configuration"), Some(3)), "{json}");
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    let spoilt = Spoilt::new();
    let (listen, http) = (spoilt.machines.ports.address(1), spoilt.machines.http(1));
    let node = format!("id = 1\nlisten = \"{listen}\"");
    let mistakes: Vec<(&str, &str, String, [&str; 3])> = vec![
        ("no TOML", "[cluster]", "[cluster".into(), ["node.toml", "line 3", "--explain"]),
        (
            "an unknown key",
            "[http]\n",
            "[http]\nlisten_on = 1\n".into(),
            ["listen_on", "expected one of `listen`, `token_file`, `read_token_file`", "--explain"],
        ),
        (
            "a share above one",
            "[http]",
            "[traces]\nratio = 2.0\n[http]".into(),
            ["traces.ratio", "from 0 to 1", "one in a hundred"],
        ),
        ("a collector over https", "[http]", "[traces]\nendpoint = \"https://a:4317\"\n[http]".into(), COLLECTOR),
        ("a missing key", "listen = ", "# ".into(), ["node.toml", "missing field `listen`", "--explain"]),
        ("a value of another type", "id = 1\n", "id = \"one\"\n".into(), ["node.toml", "expected u64", "--explain"]),
        ("no cluster", "id = \"", "id = \"x".into(), ["cluster.id", "32 hexadecimal digits", "synod init"]),
        ("an unknown member", "\n1 = ", "\none = ".into(), ["cluster.members", "\"one\"", "a.example:7401"]),
        ("a member without a port", &listen, "a.example".into(), ["cluster.members.1", "host:port", "a.example:7401"]),
        (
            "a name to listen on",
            &node,
            "id = 1\nlisten = \"a.example:1\"".into(),
            ["node.listen of node 1", "IP address", "0.0.0.0"],
        ),
        (
            "a node that is there twice",
            "[http]",
            format!("[[node]]\n{node}\n[http]"),
            ["node.id = 1", "twice", "of its own"],
        ),
        (
            "a node that is nothing",
            "id = 1\n",
            "id = 7\n".into(),
            ["node.id = 7", "nothing in this cluster", "join = true"],
        ),
        (
            "a member with a database",
            &node,
            format!("{node}\ndatabase = \"postgres://u@h/d\""),
            ["node.id = 1", "a member with a database", "a second [[node]]"],
        ),
        (
            "another database",
            &node,
            format!("{node}\ndatabase = \"oracle://u@h/d\""),
            ["node 1", "unknown kind", "postgres://"],
        ),
        (
            "no file with the database",
            &node,
            format!("{node}\ndatabase_file = \"url\""),
            ["/url", "No such file", "the URL"],
        ),
        ("an unknown filter", "[http]", "[log]\nfilter = \"a=b=c\"\n[http]".into(), ["log.filter", "a=b=c", "debug"]),
        (
            "an unknown format",
            "[http]",
            "[log]\nformat = \"xml\"\n[http]".into(),
            ["xml", "`text` or `json`", "--explain"],
        ),
        (
            "no connections",
            "[http]",
            "[limits]\nconnections = 0\n[http]".into(),
            ["limits.connections", "at least 1", "leave it out"],
        ),
        ("no HTTP address", &http, "here".into(), ["http.listen", "\"here\"", "0.0.0.0"]),
        (
            "an address of elsewhere",
            &http,
            "192.0.2.1:7400".into(),
            ["192.0.2.1:7400", "http.listen", "an address of this machine"],
        ),
    ];
    for (mistake, from, to, words) in &mistakes {
        let code = if *mistake == "an address of elsewhere" { MACHINE } else { CONFIGURATION };
        expect(mistake, &spoilt.with(from, to), code, *words);
    }
    // Whoever is to mend a file is told what there is, though that file is of no use.
    fs::write(spoilt.machines.file(1), "[cluster").unwrap();
    let said = spoilt.machines.synod(1, &["run", "--explain"]);
    fs::write(spoilt.machines.file(1), &spoilt.text).unwrap();
    assert!(said.out.contains("http.token_file") && said.out.contains("0.0.0.0:7411"), "{said:?}");
    expect("a file that is to be mended", &said, CONFIGURATION, ["node.toml", "in line 1", "--explain"]);
    fs::write(spoilt.folder().join("token"), "short").unwrap();
    expect("a short token", &spoilt.run(), CONFIGURATION, ["/token", "16 characters", "a new token"]);
    fs::remove_file(spoilt.folder().join("token")).unwrap();
    expect(
        "no databases",
        &synod(&spoilt.folder(), &["try", "node.toml"]),
        CONFIGURATION,
        ["no database", "node.toml", "--database"],
    );
    let again = synod(spoilt.root(), &["init", "cluster", "--member", "a:1"]);
    expect("a cluster that is there", &again, REFUSED, ["cluster", "already", "another folder"]);
    let dev = synod(spoilt.root(), &["dev", "--folder", "cluster"]);
    expect("a cluster for machines", &dev, REFUSED, ["cluster is not of `synod dev`", "for machines", "--folder"]);
    let renewed = synod(spoilt.root(), &["certs", "renew", ".", "--cluster", "cluster"]);
    expect("nothing to renew", &renewed, CONFIGURATION, ["no certificate", "in .", "node-1.pem"]);
}

#[test]
fn what_is_wrong_with_a_certificate_is_said() {
    let (spoilt, other) = (Spoilt::new(), Machines::new(&[]));
    let (folder, root) = (spoilt.folder(), spoilt.root());
    let read = |path: PathBuf| fs::read(path).unwrap();
    let missing = folder.join("node-1.pem");
    let before = read(missing.clone());
    fs::remove_file(&missing).unwrap();
    expect("no certificate", &spoilt.run(), CONFIGURATION, ["node-1.pem", "No such file", "synod certs node 1"]);
    fs::write(&missing, &before).unwrap();
    let said = spoilt.with_file("node-1.pem", b"no certificate");
    expect("what is no certificate", &said, CONFIGURATION, ["node-1.pem", "cannot be read", "synod certs node 1"]);
    let said = spoilt.with_file("node-1.pem", &read(spoilt.machines.folder(2).join("node-2.pem")));
    expect("another's certificate", &said, CONFIGURATION, ["node-1.pem", "", "remedy"]);
    let said = spoilt.with_file("node-1.key", &read(spoilt.machines.folder(2).join("node-2.key")));
    expect("another's key", &said, CONFIGURATION, ["node-1.pem", "key", "node-1.key"]);
    // A certificate with its key, and the authority: of another node, and of another cluster.
    let swap = |from: &Path, name: &str| {
        for (own, its) in [
            ("node-1.pem", format!("{name}.pem")),
            ("node-1.key", format!("{name}.key")),
            ("authority.pem", "authority.pem".into()),
        ] {
            fs::copy(from.join(its), folder.join(own)).unwrap();
        }
    };
    swap(&spoilt.machines.folder(2), "node-2");
    expect("another node", &spoilt.run(), CONFIGURATION, ["is for node-2", "not for node-1", "synod certs node 1"]);
    swap(&other.folder(1), "node-1");
    expect("another cluster", &spoilt.run(), CONFIGURATION, ["is for node-1", "another cluster", "cluster.id"]);
    let expired = ["certs", "node", "1", "--cluster", "cluster", "--folder", "cluster/node-1", "--days", "-1"];
    synod(root, &expired).done();
    expect("an expired certificate", &spoilt.run(), CONFIGURATION, ["node-1.pem", "valid from", "synod certs renew"]);
    synod(root, &["certs", "renew", "cluster/node-1", "--cluster", "cluster"]).done();
    assert_eq!(spoilt.machines.synod(1, &["run", "--check"]).code, 0);
}

#[test]
fn what_is_wrong_with_the_machine_or_with_what_it_has_stored_is_said() {
    let spoilt = Spoilt::new();
    let (listen, http) = (spoilt.machines.ports.address(1), spoilt.machines.http(1));
    for (mistake, address, key) in
        [("the port of a node", &listen, "node.listen of node 1"), ("the port of HTTP", &http, "http.listen")]
    {
        let taken = TcpListener::bind(address).unwrap();
        expect(mistake, &spoilt.run(), MACHINE, [key, "in use", "choose another port"]);
        drop(taken);
    }
    fs::write(spoilt.folder().join("file"), "").unwrap();
    let said = spoilt.with("[cluster]", "data = \"file/data\"\n[cluster]");
    expect("a folder that cannot be", &said, MACHINE, ["file/data", "Not a directory", "another folder"]);
    let few = format!("ulimit -n 300; exec {} run node.toml", env!("CARGO_BIN_EXE_synod"));
    let few = std::process::Command::new("sh").args(["-c", &few]).current_dir(spoilt.folder()).output().unwrap();
    let few =
        Said { code: few.status.code().unwrap(), out: String::new(), err: String::from_utf8(few.stderr).unwrap() };
    expect("few files", &few, CONFIGURATION, ["node 1", "open files", "ulimit -n"]);

    // A process of node 2 is given a copy of node 1's records.
    let mut processes: Vec<Process> = (1..=3).map(|number| spoilt.machines.start(number)).collect();
    processes.iter_mut().for_each(Process::ready);
    processes.clear();
    let data = spoilt.folder().join("data");
    copy(&data.join("node-1"), &data.join("node-2"));
    let second = spoilt.machines.folder(2);
    let text = fs::read_to_string(second.join("node.toml")).unwrap();
    fs::write(second.join("other.toml"), text.replacen("[cluster]", &format!("data = {data:?}\n[cluster]"), 1))
        .unwrap();
    let said = synod(&second, &["run", "other.toml"]);
    expect("another node's records", &said, MACHINE, ["node 2", "belongs to n", "the folder of its own records"]);

    // Node 3 is started a second time, with other ports.
    let mut processes: Vec<Process> = (1..=3).map(|number| spoilt.machines.start(number)).collect();
    processes.iter_mut().for_each(Process::ready);
    let third = spoilt.machines.folder(3);
    let text = fs::read_to_string(third.join("node.toml")).unwrap();
    let (members, nodes) = text.split_once("[[node]]").unwrap();
    let nodes = nodes.replace(&spoilt.machines.ports.address(3), &spoilt.machines.ports.address(9));
    let nodes = nodes.replace(&spoilt.machines.http(3), &spoilt.machines.http(9));
    fs::write(third.join("again.toml"), format!("{members}[[node]]{nodes}")).unwrap();
    let said = synod(&third, &["run", "again.toml"]);
    expect("a node that runs twice", &said, MACHINE, ["node 3", "in use by another process", "end the other process"]);

    processes.clear();
    fs::remove_dir_all(data.join("node-1")).unwrap();
    expect("records that are gone", &spoilt.run(), MACHINE, ["node 1", "are gone", "synod replace"]);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to)
        } else {
            fs::copy(entry.path(), to).map(drop).unwrap()
        }
    }
}

#[test]
fn what_is_refused_or_not_known_by_a_process_that_runs_is_said() {
    let spoilt = Spoilt::new();
    let mut processes: Vec<Process> = (1..=3).map(|number| spoilt.machines.start(number)).collect();
    processes.iter_mut().for_each(Process::ready);
    let url = format!("http://{}", spoilt.machines.http(1));
    let root = spoilt.root();
    let said = synod(root, &["depart", "12", "--yes", "--node", &url]);
    expect("no token", &said, REFUSED, ["needs the token", "it changes something", "--token-file"]);
    fs::write(root.join("token"), "0123456789abcdef0123").unwrap();
    let said = synod(root, &["depart", "12", "--yes", "--node", &url, "--token-file", "token"]);
    expect("a wrong token", &said, REFUSED, ["token is wrong", "of this very process", "node-1/token"]);
    let said = synod(root, &["depart", "12", "--yes", "--node", &url, "--token-file", "nowhere"]);
    expect("no file with the token", &said, CONFIGURATION, ["nowhere", "No such file", "--token-file"]);
    let said = spoilt.machines.synod(1, &["inquire", "n1#5"]);
    expect("an unknown transaction", &said, UNKNOWN, ["n1#5", "not open at any node", "synod status"]);
    let said = spoilt.machines.synod(1, &["status", "n1#5"]);
    assert_eq!((said.code, said.first_word()), (UNKNOWN, "unknown"));
    let said = spoilt.machines.synod(1, &["depart", "2", "--yes"]);
    expect("a member that departs", &said, REFUSED, ["node 2", "is a member", "synod replace"]);
    let address = spoilt.machines.ports.address(4);
    let said = spoilt.machines.synod(1, &["replace", "7", "--with", "4", "--address", &address]);
    expect("one who is no member", &said, REFUSED, ["node 7", "is no member", "synod members"]);
    let said = spoilt.machines.synod(1, &["replace", "2", "--with", "3", "--address", &address]);
    expect("one who is a member already", &said, REFUSED, ["node 3", "is a member already", "synod join"]);
    let said = crate::support::synod_typing(&spoilt.folder(), &["depart", "12"], "11\n");
    expect("what is not confirmed", &said, REFUSED, ["nothing was done", "not confirmed", "\"12\""]);
    drop(processes);
    let said = spoilt.machines.synod(1, &["status"]);
    expect("a process that is gone", &said, UNREACHABLE, ["http.listen in node.toml", "refused", "systemctl status"]);
}

#[test]
fn what_is_wrong_with_a_database_is_said() {
    if servers::Postgres::installed().is_none() {
        eprintln!("left out: no PostgreSQL is installed");
        return;
    }
    let server = servers::Postgres::start(servers::Options::default()).unwrap();
    server.create_database("shop").unwrap();
    server.sql("shop", "CREATE ROLE clerk LOGIN PASSWORD 'right'").unwrap();
    let admits = server.folder().join("data/pg_hba.conf");
    let text = fs::read_to_string(&admits).unwrap();
    fs::write(&admits, format!("host all clerk 127.0.0.1/32 scram-sha-256\n{text}")).unwrap();
    server.sql("shop", "SELECT pg_reload_conf()").unwrap();
    let url = server.url("shop");
    let machines = Machines::new(&[url.clone(), url.clone()]);
    let text = fs::read_to_string(machines.file(11)).unwrap();
    let with = |to: &str| {
        fs::write(machines.file(11), text.replace(&url, to)).unwrap();
        let said = machines.synod(11, &["run"]);
        fs::write(machines.file(11), &text).unwrap();
        said
    };
    let said = with(&url.replace("synod@", "clerk:wrong@"));
    expect("a wrong password", &said, DATABASE, ["clerk:***@", "password authentication failed", "node.database"]);
    assert!(!said.err.contains("wrong@"), "a password is said to nobody");
    let said = with(&url.replace("synod@", "nobody@"));
    expect("an unknown role", &said, DATABASE, ["nobody@", "\"nobody\" does not exist", "node.database"]);
    let said = with(&server.url("nowhere"));
    expect("an unknown database", &said, DATABASE, ["nowhere", "does not exist", "create the database"]);
    let said = with("postgres://synod@127.0.0.1:port/shop");
    expect("a malformed URL", &said, DATABASE, ["node 11", "malformed", "postgres://user:password@host"]);
    let said = with("mysql://synod@127.0.0.1:3306");
    expect("no database is named", &said, DATABASE, ["node 11", "database", "create the database"]);

    let unprepared =
        servers::Postgres::start(servers::Options::default().set("max_prepared_transactions", "0")).unwrap();
    let said = with(&unprepared.url("postgres"));
    expect(
        "a server that prepares nothing",
        &said,
        DATABASE,
        ["node 11", "max_prepared_transactions is 0", "restart the server"],
    );

    // It is the database of node 11 from its first start on.
    let mut agent = machines.start(11);
    crate::support::until("that it stands beside it", || agent.log().contains("serving"));
    agent.kill();
    let said = machines.synod(12, &["run"]);
    expect(
        "a database under two numbers",
        &said,
        DATABASE,
        ["node 12", "stands for participant 11", "DELETE FROM synod.identity"],
    );
}
