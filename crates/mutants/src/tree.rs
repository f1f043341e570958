//! A copy of the checkout with all mutants in it, and the test programs that are built from it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::{
    in_parallel,
    instrument::{Instrumented, Number, instrument},
    list::Mutant,
    tests::{self, Test},
};

/// The root of the crate. The code that reads the number of the active mutant is appended to it.
pub(crate) const CRATE: &str = "src/lib.rs";

/// A build: all that is needed to judge its mutants, also after the checkout has changed.
#[derive(Serialize, Deserialize)]
pub(crate) struct Build {
    /// The mutants in it, with the names that `cargo mutants` gives them.
    pub(crate) mutants: Vec<(Number, String)>,
    /// The mutants that cannot be in it.
    pub(crate) left: Vec<String>,
    /// The tests, the fastest ones first.
    pub(crate) tests: Vec<Test>,
}

/// Where the copy is.
pub(crate) struct Tree {
    original: PathBuf,
    folder: PathBuf,
}

impl Tree {
    pub(crate) fn of(original: &Path) -> Self {
        Self { original: original.to_owned(), folder: original.join("target/mutants") }
    }

    /// The folder of the copy, in which test programs run.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.join("tree")
    }

    /// The last build.
    pub(crate) fn built(&self) -> Result<Build> {
        let bytes = fs::read(self.folder.join("build")).context("there is no build yet: leave out --again")?;
        serde_json::from_slice(&bytes).context("the build is another version's: leave out --again")
    }

    /// Inserts all mutants that compile. Returns a build without tests, which [`build`](Self::build) completes.
    pub(crate) fn instrument(&self, mutants: &[Mutant]) -> Result<Build> {
        self.copy()?;
        let mut by_file: BTreeMap<&Path, Vec<(Number, &Mutant)>> = BTreeMap::from([(Path::new(CRATE), Vec::new())]);
        for (number, mutant) in (1..).zip(mutants) {
            by_file.entry(&mutant.file).or_default().push((number, mutant));
        }
        let mut left = BTreeSet::new();
        loop {
            let mut files = BTreeMap::new();
            for (path, mutants) in &by_file {
                let source = fs::read_to_string(self.original.join(path))?;
                let file = instrument(&source, mutants, &left).with_context(|| path.display().to_string())?;
                let runtime = if *path == Path::new(CRATE) { include_str!("runtime.rs") } else { "" };
                write_if_other(&self.root().join(path), format!("{}{runtime}", file.text).as_bytes())?;
                left.extend(&file.unplaced);
                files.insert(path.to_path_buf(), file);
            }
            let wrong = self.wrong(&files)?;
            if wrong.is_empty() {
                break;
            }
            println!("{} do not compile", wrong.len());
            left.extend(wrong);
        }
        let numbered = (1..).zip(mutants).map(|(number, mutant)| (number, mutant.name.clone()));
        let (mutants, left): (Vec<_>, Vec<_>) = numbered.partition(|(number, _)| !left.contains(number));
        Ok(Build { mutants, left: left.into_iter().map(|(_, name)| name).collect(), tests: Vec::new() })
    }

    /// Builds the test programs, and measures which mutants each test reaches.
    pub(crate) fn build(
        &self,
        mut build: Build,
        programs: &[String],
        without: &[String],
        jobs: usize,
    ) -> Result<Build> {
        println!("building the tests");
        let output = self.cargo().args(["test", "--no-run", "--message-format=json"]).args(programs).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut all = Vec::new();
        for line in String::from_utf8(output.stdout)?.lines() {
            let message: serde_json::Value = serde_json::from_str(line)?;
            if let (Some(program), true) = (message["executable"].as_str(), message["profile"]["test"] == true) {
                let program = PathBuf::from(program);
                let names = tests::names(&program, &self.root(), without)?;
                all.extend(names.into_iter().map(|name| (program.clone(), name)));
            }
        }
        println!("running {} tests, one by one", all.len());
        let tests = Mutex::new(Vec::new());
        in_parallel(jobs, &all, |at, (program, name)| {
            let notes = self.folder.join(format!("reached-{at}"));
            let test = tests::measure(program, name.clone(), &self.root(), &notes)?;
            tests.lock().expect("no panic").push(test);
            Ok(())
        })?;
        build.tests = tests.into_inner()?;
        build.tests.sort_by_key(|test| test.takes);
        fs::write(self.folder.join("build"), serde_json::to_vec(&build)?)?;
        Ok(build)
    }

    /// Copies all files that git tracks or would add, and removes files that are no longer in the checkout.
    fn copy(&self) -> Result<()> {
        let mut git = Command::new("git");
        let files = git.args(["ls-files", "-z", "-co", "--exclude-standard"]).current_dir(&self.original).output()?;
        ensure!(files.status.success(), "git does not list the files: {}", String::from_utf8_lossy(&files.stderr));
        let listed = String::from_utf8(files.stdout)?;
        let now: BTreeSet<&str> =
            listed.split_terminator('\0').filter(|file| self.original.join(file).is_file()).collect();
        let list = self.folder.join("files");
        let before = fs::read_to_string(&list).unwrap_or_default();
        for gone in before.lines().filter(|file| !now.contains(file)) {
            let _ = fs::remove_file(self.root().join(gone));
        }
        for file in &now {
            write_if_other(&self.root().join(file), &fs::read(self.original.join(file))?)?;
        }
        Ok(fs::write(list, now.into_iter().collect::<Vec<_>>().join("\n"))?)
    }

    fn cargo(&self) -> Command {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(self.root()).env("CARGO_TARGET_DIR", self.folder.join("target"));
        cargo.env("RUSTFLAGS", "--cap-lints=allow").env("CARGO_INCREMENTAL", "0");
        cargo
    }

    /// The mutants that do not compile.
    fn wrong(&self, files: &BTreeMap<PathBuf, Instrumented>) -> Result<BTreeSet<Number>> {
        let check = ["check", "--lib", "--profile=test", "--all-features", "--message-format=json"];
        let output = self.cargo().args(check).output()?;
        let mut wrong = BTreeSet::new();
        for line in String::from_utf8(output.stdout)?.lines() {
            let message: serde_json::Value = serde_json::from_str(line)?;
            let message = &message["message"];
            if message["level"] != "error" {
                continue;
            }
            let spans = message["spans"].as_array().map(Vec::as_slice).unwrap_or_default();
            let primary = spans.iter().filter(|span| span["is_primary"] == true);
            let found = primary.chain(spans).find_map(|span| {
                let file = files.get(Path::new(span["file_name"].as_str()?))?;
                file.blamed(usize::try_from(span["line_start"].as_u64()?).ok()?)
            });
            match found {
                Some(numbers) => wrong.extend(numbers),
                None if spans.is_empty() => {}
                None => bail!("an error without a mutant:\n{}", message["rendered"].as_str().unwrap_or_default()),
            }
        }
        ensure!(output.status.success() || !wrong.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(wrong)
    }
}

fn write_if_other(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    fs::create_dir_all(path.parent().context("a file is in a folder")?)?;
    fs::write(path, bytes).with_context(|| path.display().to_string())
}
