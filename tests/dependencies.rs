//! Without features the crate depends on `thiserror`, `hashbrown`, `foldhash`, and nothing else. The network is not here,
//! under any feature.

#![allow(clippy::disallowed_methods, reason = "runs cargo")]

use std::{env, process::Command};

/// The crates that are built into this one with these flags, and for it: each with its features, and deeper in by how many
/// crates are between. What is said once is not said again.
fn tree(flags: &[&str]) -> String {
    let mut cargo = Command::new(env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
    cargo.args([
        "tree",
        "--locked",
        "--offline",
        "--edges",
        "normal,build",
        "--prefix",
        "depth",
        "--format",
        " {p} [{f}]",
    ]);
    let output = cargo.args(flags).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let line = |line: &str| {
        let mut words = line.split(' ');
        let depth: usize = words.next()?.parse().ok()?;
        let (name, features) = (words.next()?, line.split_once('[')?.1.split_once(']')?.0);
        let features =
            if features.is_empty() { String::new() } else { format!(" with {}", features.replace(',', ", ")) };
        Some(format!("{}{name}{features}\n", "  ".repeat(depth)))
    };
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|text| line(text).unwrap_or_else(|| panic!("{text}"))).collect()
}

/// The crates of a tree, without their features.
fn names(tree: &str) -> Vec<&str> {
    tree.lines().map(|line| line.split(" with ").next().unwrap_or_default()).collect()
}

#[test]
fn the_tree_without_features_is_the_one_that_was_agreed_on() {
    assert_eq!(tree(&["--no-default-features"]), include_str!("dependencies.txt"));
}

#[test]
fn the_default_features_add_no_crate() {
    assert_eq!(names(&tree(&[])), names(&tree(&["--no-default-features"])));
}

#[test]
fn no_feature_brings_the_network() {
    let tree = tree(&["--all-features"]);
    let names: Vec<&str> = names(&tree).into_iter().map(str::trim_start).collect();
    assert!(names.contains(&"tokio"));
    for network in ["tonic", "tonic-prost", "prost", "rustls", "tokio-rustls", "rustls-webpki", "hyper", "socket2"] {
        assert!(!names.contains(&network), "{network}");
    }
}
