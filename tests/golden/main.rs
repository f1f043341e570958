//! Golden scripts: a scenario a file, prose first, then steps, each with the effects that followed from it.
//!
//! A line that begins with `> ` is a step (the language is told in `script.rs`); indented lines are what followed; all
//! other lines are prose. `UPDATE_GOLDEN=1 cargo test --test golden` rewrites what follows in every file.
//!
//! Each story is drawn, too, in `docs/stories/`.

#[allow(dead_code, reason = "the example draws whole runs")]
#[path = "../../examples/simulate/draw.rs"]
mod draw;
mod print;
mod script;

use std::{fs, path::PathBuf};

use self::script::Script;

/// A drawing takes no more than this.
const LARGEST: usize = 64 << 10;

#[test]
fn every_scenario_goes_as_it_is_told() {
    let update = {
        #[allow(clippy::disallowed_methods, reason = "the one switch that rewrites them all")]
        std::env::var_os("UPDATE_GOLDEN").is_some()
    };
    let index = fs::read_to_string("docs/stories/README.md").unwrap();
    let mut different = Vec::new();
    for file in scenarios() {
        let drawing = PathBuf::from(format!("docs/stories/{}.svg", file.file_stem().unwrap().display()));
        let told = fs::read_to_string(&file).unwrap();
        assert!(
            told.contains(&format!("Drawn: {}\n", drawing.display())),
            "{} does not name its drawing",
            file.display()
        );
        let listed = format!("({}.svg)", file.file_stem().unwrap().display());
        assert!(index.contains(&listed), "docs/stories/README.md does not name {listed}");
        let (happened, drawn) = play(&told);
        assert!(drawn.len() < LARGEST, "{} has {} bytes", drawing.display(), drawn.len());
        for (file, happened) in [(file, happened), (drawing, drawn)] {
            let told = fs::read_to_string(&file).unwrap_or_default();
            if update {
                fs::write(&file, happened).unwrap();
            } else if told != happened {
                different.push(format!("{}: {}", file.display(), first_difference(&told, &happened)));
            }
        }
    }
    let rewrite = "If that is right: UPDATE_GOLDEN=1 cargo test --test golden";
    assert!(different.is_empty(), "\n{}\n{rewrite}", different.join("\n"));
}

fn scenarios() -> Vec<PathBuf> {
    let files = fs::read_dir("tests/golden").unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|file| file.extension().is_some_and(|end| end == "txt")).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// The text of a scenario, with what really follows from each step, and that as a drawing.
fn play(text: &str) -> (String, String) {
    let mut played = String::new();
    let mut script: Option<Script> = None;
    for line in text.lines().filter(|line| !line.starts_with("    ")) {
        played += &format!("{line}\n");
        let Some(step) = line.strip_prefix("> ") else { continue };
        match &mut script {
            None => script = Some(Script::new(step, &title(text))),
            Some(script) => script.step(step).iter().for_each(|shown| played += &format!("    {shown}\n")),
        }
    }
    (played, script.expect("a cluster").drawn())
}

/// The first sentence.
fn title(text: &str) -> String {
    let paragraph = text.lines().take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    paragraph.split_once(". ").map_or(paragraph.trim_end_matches('.'), |(first, _)| first).to_owned()
}

fn first_difference(told: &str, happened: &str) -> String {
    let (mut told, mut happened) = (told.lines().zip(1..), happened.lines());
    loop {
        match (told.next(), happened.next()) {
            (Some((told, _)), Some(happened)) if told == happened => {}
            (Some((told, line)), happened) => {
                return format!("line {line}\n  told:     {told}\n  happened: {}", happened.unwrap_or("nothing more"));
            }
            (None, happened) => return format!("more happened\n  happened: {}", happened.unwrap_or_default()),
        }
    }
}
