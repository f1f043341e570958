//! The committed code is what the `.proto` files say. `UPDATE_GENERATED=1 cargo test` in this folder rewrites it.

use std::{env, fs};

use synod_proto_check::{DESCRIPTORS, FILES, GENERATED, PROTO, describe, generate};

#[test]
fn the_generated_code_is_current() {
    let generated = generate().unwrap();
    if env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(GENERATED, &generated).unwrap();
    }
    let committed = fs::read_to_string(GENERATED).unwrap();
    let same = committed.lines().zip(generated.lines()).take_while(|(left, right)| left == right).count();
    assert!(
        committed == generated,
        "{GENERATED} differs from line {} on: UPDATE_GENERATED=1 cargo test, in proto/check",
        same + 1
    );
}

#[test]
fn the_descriptors_are_current() {
    let described = describe().unwrap();
    if env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(DESCRIPTORS, &described).unwrap();
    }
    let committed = fs::read(DESCRIPTORS).unwrap();
    assert!(committed == described, "{DESCRIPTORS} differs: UPDATE_GENERATED=1 cargo test, in proto/check");
}

#[test]
fn every_proto_file_is_compiled() {
    let folder = format!("{PROTO}/synod/v1");
    let mut there: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| format!("synod/v1/{}", entry.unwrap().file_name().display())).collect();
    let mut compiled = FILES.map(String::from).to_vec();
    there.sort();
    compiled.sort();
    assert_eq!(there, compiled);
}
