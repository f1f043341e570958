//! Recordings: a node stepped again, and several nodes as a picture.

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use serde::Serialize;
use synod::{
    NodeId,
    commit::{Effect, Node},
    perform::record::{Recording, ReplayError, Step, files},
};
use synod_draw::{Choice, concerns, draw_recordings, said, state};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    cli::{Draw, Replay},
    failure::{Exit, Failure},
    run::say,
};

/// What a replay comes to.
#[derive(Debug, Default, Serialize)]
struct Summary {
    files: usize,
    nodes: usize,
    steps: u64,
    /// Steps whose effects are those of the first time.
    same: u64,
    differ: u64,
    /// How often a file begins where the one before it ends, with the very state that this one has come to.
    continued: u64,
    /// How often it begins with another state.
    discontinued: u64,
    /// Bytes at the ends of files that are not whole.
    torn_bytes: usize,
    /// Whether this build of synod can compare effects with those of the first time.
    can_compare: bool,
    steps_per_second: u64,
}

/// One step, for machines.
#[derive(Serialize)]
struct Line<'a> {
    node: u64,
    number: u64,
    when: String,
    time: u64,
    input: String,
    refusal: Option<String>,
    same: Option<bool>,
    effects: Vec<String>,
    state: Option<&'a str>,
}

/// Steps nodes again, shows what is asked for, and says whether they do what they did.
pub(crate) fn replay(json: bool, args: &Replay) -> Result<Exit, Failure> {
    let files = expand(&args.files)?;
    let (mut nodes, mut before) = (BTreeSet::new(), None::<Recording>);
    let mut summary = Summary { files: files.len(), can_compare: true, ..Summary::default() };
    let began = Instant::now();
    for file in files {
        let mut recording = Recording::read(file).map_err(|error| unreadable(&error))?;
        let node = recording.node().config().id;
        nodes.insert(node);
        match before.take().and_then(|before| before.leads_to(&recording)) {
            Some(true) => summary.continued += 1,
            Some(false) => {
                summary.discontinued += 1;
                let said = format!("{node}: {} begins with another state", recording.path().display());
                say(&if json { format!("{}\n", serde_json::json!({ "discontinued": said })) } else { said + "\n" });
            }
            None => {}
        }
        summary.can_compare &= recording.can_compare();
        summary.torn_bytes += recording.torn_bytes();
        let mut last = 0;
        while args.stop_at.is_none_or(|stop| last < stop)
            && let Some(step) = recording.step().map_err(|error| unreadable(&error))?
        {
            last = step.number;
            summary.steps += 1;
            match step.is_same {
                Some(true) => summary.same += 1,
                Some(false) => summary.differ += 1,
                None => {}
            }
            if shows(args, &step) {
                show(json, args, node, recording.node(), &step);
            }
        }
        // Where it was stopped, it leads nowhere.
        before = args.stop_at.is_none().then_some(recording);
    }
    summary.nodes = nodes.len();
    let seconds = began.elapsed().as_secs_f64().max(1e-9);
    summary.steps_per_second = (summary.steps as f64 / seconds) as u64;
    say(&if json { format!("{}\n", serde_json::json!({ "summary": summary })) } else { told(&summary) });
    Ok(if summary.differ + summary.discontinued > 0 { Exit::Failed } else { Exit::Done })
}

/// Draws nodes that were recorded.
pub(crate) fn draw(json: bool, args: &Draw) -> Result<Exit, Failure> {
    let files = expand(&args.files)?;
    let choice = Choice {
        tx: args.tx,
        since: args.since.map_or(Duration::ZERO, since_1970),
        until: args.until.map_or(Duration::MAX, since_1970),
        most: args.most,
    };
    let (picture, is_whole) = draw_recordings(&files, choice).map_err(|error| unreadable(&error))?;
    fs::write(&args.output, picture.html()).map_err(|error| {
        let remedy = "name another file with --output, in a folder that this user may write to";
        Failure::new(Exit::Machine, format!("{} cannot be written", args.output.display()), remedy).caused_by(&error)
    })?;
    let (moments, output) = (picture.moments(), args.output.display());
    if json {
        say(&format!("{}\n", serde_json::json!({ "moments": moments, "whole": is_whole, "file": args.output })));
        return Ok(Exit::Done);
    }
    say(&format!("{moments} moments of {} files, drawn in {output}\n", files.len()));
    if !is_whole {
        say("That is not all: choose with --tx, --since and --until, or allow more with --most\n");
    }
    if moments == 0 {
        say("Nothing was chosen: `synod replay` on the same files lists what there is\n");
    }
    Ok(Exit::Done)
}

/// Files, and those in folders, where they are in the order of their nodes, and then of their numbers.
fn expand(named: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut all = Vec::new();
    for path in named {
        if !path.is_dir() {
            all.push(path.clone());
            continue;
        }
        let found = files(path).map_err(|error| {
            let what = format!("the folder {} cannot be read", path.display());
            Failure::new(Exit::Machine, what, "let this user read it").caused_by(&error)
        })?;
        if found.is_empty() {
            let what = format!("there is no recording in {}", path.display());
            return Err(Failure::new(Exit::Configuration, what, REMEDY));
        }
        all.extend(found);
    }
    Ok(all)
}

const REMEDY: &str = "name files that a process with record.folder in its file has written, such as n1-00000001.steps";

fn unreadable(error: &ReplayError) -> Failure {
    Failure::new(Exit::Configuration, error.to_string(), REMEDY).because(crate::failure::chain(error))
}

/// Whether a step is asked for.
fn shows(args: &Replay, step: &Step) -> bool {
    let is_chosen = match args.tx {
        Some(tx) => concerns(&step.input, &step.effects).contains(&tx.to_string()),
        None => args.all || step.is_same == Some(false),
    };
    is_chosen && args.from.is_none_or(|from| from <= step.number)
}

fn show(json: bool, args: &Replay, node: NodeId, after: &Node, step: &Step) {
    let state = args.state.then(|| state(after, args.tx));
    let effects = || step.effects.iter().map(|effect: &Effect| format!("{effect:?}"));
    if json {
        let line = Line {
            node: node.0,
            number: step.number,
            when: clock(step.when),
            time: step.time.0,
            input: format!("{:?}", step.input),
            refusal: step.refusal.map(|refusal| refusal.to_string()),
            same: step.is_same,
            effects: effects().collect(),
            state: state.as_deref(),
        };
        return say(&format!("{}\n", serde_json::json!(line)));
    }
    let mut text = format!("{} {node} {:>6}  {}", clock(step.when), step.number, said(&step.input));
    if let Some(refusal) = step.refusal {
        text.push_str(&format!("  refused: {refusal}"));
    }
    if step.is_same == Some(false) {
        text.push_str("  OTHER EFFECTS THAN WHEN IT WAS RECORDED");
    }
    text.push('\n');
    effects().for_each(|effect| text.push_str(&format!("    -> {effect}\n")));
    state.into_iter().for_each(|state| text.push_str(&format!("    == {}\n", state.replace('\n', "\n    == "))));
    say(&text);
}

fn told(summary: &Summary) -> String {
    let Summary { files, nodes, steps, same, differ, continued, discontinued, torn_bytes, steps_per_second, .. } =
        summary;
    let mut text = format!("{steps} steps of {nodes} nodes in {files} files, {steps_per_second} a second\n");
    text.push_str(&match (summary.can_compare, differ) {
        (false, _) => "Another build of synod has recorded this: what it shows is what this one does\n".into(),
        (true, 0) => format!("The same effects as when they were recorded: {same} compared\n"),
        (true, _) => format!("{differ} HAVE OTHER EFFECTS than when they were recorded: see above\n"),
    });
    if continued + discontinued > 0 {
        text.push_str(&format!("{continued} files begin with the very state that the one before them leads to\n"));
    }
    if *torn_bytes > 0 {
        text.push_str(&format!(
            "{torn_bytes} bytes at the ends of files are not whole: the process was killed, or still runs\n"
        ));
    }
    text
}

fn clock(when: Duration) -> String {
    let nanos = i128::try_from(when.as_nanos()).unwrap_or(i128::MAX);
    let time = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok();
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| format!("{when:?}"))
}

fn since_1970(time: OffsetDateTime) -> Duration {
    Duration::from_nanos(u64::try_from(time.unix_timestamp_nanos()).unwrap_or(0))
}

/// A time of the command line.
pub(crate) fn moment(text: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(text, &Rfc3339).map_err(|_| "write a time such as 2026-11-29T18:00:00Z".into())
}
