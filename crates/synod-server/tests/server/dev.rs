//! `synod dev`: a whole cluster at once.

use std::time::Duration;

use crate::support::{Ports, Process, ask, get, synod};

#[test]
fn a_newcomer_gets_a_whole_cluster_by_one_command_and_every_question_is_answered() {
    let (folder, ports) = (tempfile::tempdir().unwrap(), Ports::new());
    let (path, port, http) = (folder.path(), ports.at(0).to_string(), ports.address(0));
    let mut dev = Process::start(path, &["dev", "--port", &port], &http, &[]);
    let greeting = dev.lines_until("tx.commit()");
    for pasted in ["Client::new(", "client-1000.pem", "Synod::new(client)", "synod dev --database 11="] {
        assert!(greeting.contains(pasted), "{greeting}");
    }
    dev.ready();

    let said = synod(path, &["status"]);
    assert_eq!((said.code, said.first_word()), (0, "ready"), "{}", said.out);
    assert_eq!(said.out.matches("member").count(), 3 + 1, "{}", said.out);
    assert_eq!(synod(path, &["in-doubt"]).first_word(), "none");
    assert_eq!(synod(path, &["open"]).first_word(), "none");
    assert!(synod(path, &["members"]).done().starts_with("epoch 0"));
    let unknown = synod(path, &["status", "n1#5"]);
    assert_eq!((unknown.code, unknown.first_word()), (7, "unknown"), "{}", unknown.out);
    for question in [&["status"][..], &["in-doubt"], &["open"], &["members"], &["status", "n1#5"]] {
        let said = synod(path, &[question, &["--json"]].concat());
        let _: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    }
    let explained = synod(path, &["run", "--explain", "synod-data/node.toml"]).done();
    for setting in [
        "cluster.id",
        "cluster.members",
        "http.listen",
        "log.format",
        "limits.connections",
        "tls.folder",
        "traces.endpoint",
    ] {
        assert!(explained.contains(setting), "{explained}");
    }

    assert_eq!(get(&http, "/healthz"), Some((200, "ok\n".into())));
    let (status, page) = get(&http, "/").unwrap();
    assert!(status == 200 && page.contains("<dd>ready</dd>") && page.contains("Nothing is open"), "{page}");

    let second = synod(path, &["dev", "--port", &ports.at(16).to_string()]);
    assert!(second.code == 8 && second.err.contains("runs in synod-data already"), "{second:?}");

    let (took, code) = dev.terminate();
    assert!(took < Duration::from_secs(2) && code == 0, "{took:?} {code} {}", dev.log());

    // It goes on from its records.
    let mut again = Process::start(path, &["dev", "--port", &port, "--json"], &http, &[]);
    let ready: serde_json::Value = serde_json::from_str(&again.lines_until("\n")).unwrap();
    assert_eq!(ready["http"].as_str(), Some(&*format!("http://{http}")), "{ready}");
    assert!(ready["milliseconds"].as_u64().is_some_and(|took| took < 10_000), "{ready}");
    again.ready();
    again.kill();
    let mut killed = Process::start(path, &["dev", "--port", &port], &http, &[]);
    killed.ready();
}

#[test]
fn nothing_is_changed_without_the_token_and_a_name_of_elsewhere_reads_nothing() {
    let (folder, ports) = (tempfile::tempdir().unwrap(), Ports::new());
    let (port, http) = (ports.at(0).to_string(), ports.address(0));
    let mut dev = Process::start(folder.path(), &["dev", "--port", &port], &http, &[]);
    dev.ready();
    let token = std::fs::read_to_string(folder.path().join("synod-data/token")).unwrap();
    let mode = std::fs::metadata(folder.path().join("synod-data/token")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o600);

    let post = |token: Option<&str>| {
        let header = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let body = r#"{"node":12}"#;
        let request = format!(
            "POST /api/members/depart HTTP/1.1\r\nHost: {http}\r\n{header}Content-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        ask(&http, &request).unwrap()
    };
    for token in [None, Some("wrong"), Some("")] {
        let (status, said) = post(token);
        assert!(status == 403 && said.contains("token") && said.contains("remedy"), "{status} {said}");
    }
    let elsewhere = "GET /api/status HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    assert_eq!(ask(&http, elsewhere).unwrap().0, 403);
    // A change by GET there is not.
    assert_eq!(get(&http, "/api/members/depart").unwrap().0, 405);
    let (status, said) = post(Some(token.trim()));
    assert_eq!(status, 200, "{said}");
}
