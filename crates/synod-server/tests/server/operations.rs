//! What operators have beside the program: alert rules, a dashboard, a unit, a Dockerfile.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use yaml_rust2::{Yaml, YamlLoader};

use crate::support::{Ports, Process, get, synod};

fn package() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn read(name: &str) -> String {
    fs::read_to_string(package().join(name)).unwrap()
}

/// The metrics that an expression names: words that begin with `synod_`, without what Prometheus adds to a histogram.
fn names(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let names = words.filter(|word| word.starts_with("synod_"));
    names.map(|name| name.trim_end_matches("_bucket").to_owned()).collect()
}

/// What `/metrics` of a process with members and a database says: each metric with its kind and its help.
fn metrics() -> (BTreeSet<String>, BTreeSet<String>) {
    let (folder, ports) = (tempfile::tempdir().unwrap(), Ports::new());
    let (port, http) = (ports.at(0).to_string(), ports.address(0));
    // Nobody listens there: the database is away.
    let database = format!("11=postgres://nobody@{}/nothing", ports.address(30));
    let args = ["dev", "--port", &port, "--database", &database, "--record"];
    let mut dev = Process::start(folder.path(), &args, &http, &[]);
    dev.lines_until("tx.commit()");
    // Certificates are counted by a task.
    let mut text = String::new();
    crate::support::until("all metrics", || {
        text = get(&http, "/metrics").unwrap().1;
        text.contains("synod_grpc_certificate_days_left") && text.contains("synod_recorded_inputs_total{")
    });
    let of = |prefix: &str| {
        let lines = text.lines().filter_map(|line| line.strip_prefix(prefix));
        lines.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect::<BTreeSet<_>>()
    };
    assert!(text.contains("synod_build_info{version="), "{text}");
    (of("# TYPE "), of("# HELP "))
}

#[test]
fn alert_rules_and_the_dashboard_name_metrics_that_exist_and_every_metric_has_its_help() {
    let (exist, explained) = metrics();
    assert_eq!(exist, explained, "each metric is explained");

    let rules = YamlLoader::load_from_str(&read("ops/alerts.yml")).unwrap();
    let rules: Vec<&Yaml> =
        rules[0]["groups"].as_vec().unwrap().iter().flat_map(|group| group["rules"].as_vec().unwrap()).collect();
    let mut alerts = BTreeSet::new();
    for rule in &rules {
        let name = rule["alert"].as_str().unwrap();
        let expression = rule["expr"].as_str().unwrap();
        assert!(!names(expression).is_empty(), "{name} is about nothing");
        assert!(names(expression).is_subset(&exist), "{name}: {:?}", names(expression).difference(&exist));
        for annotation in ["summary", "remedy"] {
            assert!(rule["annotations"][annotation].as_str().is_some_and(|text| text.len() > 10), "{name}");
        }
        assert!(matches!(rule["labels"]["severity"].as_str(), Some("page" | "ticket")), "{name}");
        assert!(alerts.insert(name), "{name} is there twice");
    }
    for wanted in [
        "SynodInDoubt",
        "SynodViolation",
        "SynodNodeUnreachable",
        "SynodNodeRefused",
        "SynodCertificate",
        "SynodWriteHangs",
        "SynodMembersDisagree",
        "SynodRecordingStopped",
    ] {
        assert!(alerts.contains(wanted), "{wanted}");
    }

    let dashboard: serde_json::Value = serde_json::from_str(&read("ops/dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() >= 8);
    for panel in panels {
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            let named = names(expression);
            // A transaction that began here is needed before the time of one is known.
            let named: BTreeSet<String> = named.into_iter().filter(|name| name != "synod_outcome_seconds").collect();
            assert!(named.is_subset(&exist), "{}: {:?}", panel["title"], named.difference(&exist));
        }
    }
}

/// Prometheus' own tool reads all expressions, and tries the alerts: `ops/alerts_test.yml` says when each fires, and when not.
#[test]
fn alerts_fire_when_they_should_and_prometheus_reads_every_expression() {
    let promtool =
        |args: &[&str]| std::process::Command::new("promtool").args(args).current_dir(package().join("ops")).output();
    let said = match promtool(&["test", "rules", "alerts_test.yml"]) {
        Ok(said) => said,
        Err(_) => return eprintln!("left out: no promtool is installed (Debian: prometheus)"),
    };
    assert!(
        said.status.success(),
        "{}{}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );
    let rules = YamlLoader::load_from_str(&read("ops/alerts.yml")).unwrap();
    let tests = read("ops/alerts_test.yml");
    for rule in rules[0]["groups"][0]["rules"].as_vec().unwrap() {
        let name = rule["alert"].as_str().unwrap();
        assert!(tests.contains(&format!("alertname=\"{name}\"")), "{name} is not tried");
    }

    // The dashboard's, as rules that record.
    let dashboard: serde_json::Value = serde_json::from_str(&read("ops/dashboard.json")).unwrap();
    let targets = dashboard["panels"].as_array().unwrap().iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let mut text = "groups:\n  - name: dashboard\n    rules:\n".to_owned();
    for (number, target) in targets.enumerate() {
        // What Grafana puts in.
        let expression = target["expr"].as_str().unwrap().replace("$cluster", ".*");
        text += &format!("      - {{ record: \"panel:{number}\", expr: {} }}\n", serde_json::Value::from(expression));
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), &text).unwrap();
    let said = promtool(&["check", "rules", file.path().to_str().unwrap()]).unwrap();
    assert!(said.status.success(), "{text}{}", String::from_utf8_lossy(&said.stderr));
}

#[test]
fn the_unit_and_the_image_start_what_there_is() {
    let unit = read("ops/synod.service");
    assert!(unit.contains("Type=notify\n") && unit.contains("ExecReload=/bin/kill -HUP $MAINPID\n"));
    assert!(unit.contains("ExecStart=/usr/local/bin/synod run /var/lib/synod/node.toml\n"));
    // systemd reads it, where there is one.
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("synod.service");
    fs::write(&copy, unit.replace("/usr/local/bin/synod", env!("CARGO_BIN_EXE_synod"))).unwrap();
    match std::process::Command::new("systemd-analyze").arg("verify").arg(&copy).output() {
        Ok(said) => {
            let said = String::from_utf8_lossy(&said.stderr);
            assert!(!said.contains("synod.service"), "{said}");
        }
        Err(_) => eprintln!("left out: no systemd is installed"),
    }
    // Exit codes that a restart does not mend.
    let said = synod(&package(), &["exit-codes", "--json"]).done();
    let codes: serde_json::Value = serde_json::from_str(&said).unwrap();
    let code = |kind: &str| {
        let listed = codes.as_array().unwrap().iter().find(|code| code["kind"] == kind);
        listed.unwrap()["code"].to_string()
    };
    assert!(unit.contains(&format!("RestartPreventExitStatus={} {}\n", code("usage"), code("configuration"))));
    let image = read("ops/Dockerfile");
    assert!(image.contains("FROM scratch\n") && image.contains("CMD [\"run\", \"/data/node.toml\"]"));
}

#[test]
fn the_readme_has_every_exit_code_and_the_application_of_the_example() {
    let readme = read("README.md");
    let said = synod(&package(), &["exit-codes", "--json"]).done();
    let codes: serde_json::Value = serde_json::from_str(&said).unwrap();
    for code in codes.as_array().unwrap() {
        let line = format!("| {} | {} |\n", code["code"], code["meaning"].as_str().unwrap());
        assert!(readme.contains(&line), "{line}");
    }
    let example = read("examples/first_transaction.rs");
    let (_, snippet) = readme.split_once("```rust,ignore\n").unwrap();
    let (snippet, _) = snippet.split_once("```").unwrap();
    for line in snippet.lines() {
        assert!(example.contains(line), "{line}");
    }
    // Every command of the program is in its README.
    let help = synod(&package(), &["--help"]).done();
    let commands =
        help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1).take_while(|line| !line.is_empty());
    for command in commands.filter(|line| line.starts_with("  ") && !line.starts_with("   ")) {
        let command = command.split_whitespace().next().unwrap();
        assert!(
            command == "help"
                || readme.contains(&format!("synod {command}"))
                || readme.contains(&format!("synod {command}`")),
            "{command}"
        );
    }
}
