//! All processes, as the one that started them sees them.

use std::{
    collections::BTreeMap,
    env,
    fs::File,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::watch,
    task::JoinHandle,
    time::timeout,
};

use crate::{
    cast::Name,
    line::{Figures, Line, Report},
    signals::{self, Signal},
};

/// How long a process may take to start, to end, or to say something, on a busy machine.
const BOUND: Duration = Duration::from_secs(60);

/// Those processes that run, or stand still.
pub(crate) struct Fleet {
    data: PathBuf,
    members: BTreeMap<Name, Member>,
    heard: Arc<Mutex<Heard>>,
    starts: u64,
}

/// What all processes have said, in all their lives.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) report: Report,
    /// The last that each node has said of itself.
    pub(crate) figures: BTreeMap<Name, Figures>,
}

/// A process, in one life.
struct Member {
    child: Child,
    stdin: Option<ChildStdin>,
    ready: watch::Receiver<bool>,
    reader: JoinHandle<()>,
    is_stopped: bool,
}

impl Fleet {
    /// Nobody runs yet. What processes log is appended to files in `data`.
    pub(crate) fn new(data: PathBuf) -> Self {
        Self { data, members: BTreeMap::new(), heard: Arc::default(), starts: 0 }
    }

    pub(crate) fn heard(&self) -> MutexGuard<'_, Heard> {
        lock(&self.heard)
    }

    /// Who runs, or stands still.
    pub(crate) fn names(&self) -> impl Iterator<Item = Name> {
        self.members.keys().copied()
    }

    pub(crate) fn has(&self, name: Name) -> bool {
        self.members.contains_key(&name)
    }

    /// Whether `name` runs, and has started.
    pub(crate) fn is_up(&self, name: Name) -> bool {
        self.members.get(&name).is_some_and(|member| *member.ready.borrow() && !member.is_stopped)
    }

    /// Starts `name`, which must not run, as `command` with these arguments.
    pub(crate) fn start(&mut self, name: Name, command: &str, more: &[String]) -> anyhow::Result<()> {
        self.starts += 1;
        let log = self.data.join(format!("{name}.log"));
        let log = File::options().create(true).append(true).open(&log).with_context(|| format!("{}", log.display()))?;
        let mut process = Command::new(env::current_exe()?);
        process.arg(command).arg("--data").arg(&self.data).args(more);
        process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        // What is typed to interrupt this process is not meant for that one.
        process.process_group(0);
        let mut child = process.spawn().with_context(|| format!("starting {name}"))?;
        let stdin = child.stdin.take();
        let (says_ready, ready) = watch::channel(false);
        let stdout = child.stdout.take().context("a pipe is missing")?;
        let reader = tokio::spawn(read(stdout, name, says_ready, Arc::clone(&self.heard)));
        self.members.insert(name, Member { child, stdin, ready, reader, is_stopped: false });
        Ok(())
    }

    /// How many processes were started.
    pub(crate) fn starts(&self) -> u64 {
        self.starts
    }

    /// Waits until `name` has started.
    pub(crate) async fn ready(&mut self, name: Name) -> anyhow::Result<()> {
        let log = self.log(name);
        let member = self.members.get_mut(&name).with_context(|| format!("{name} does not run"))?;
        match timeout(BOUND, member.ready.wait_for(|is_ready| *is_ready)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => bail!("{name} has ended as it started; its last words: {}", last_line(&log)),
            Err(_) => bail!("{name} does not start; its last words: {}", last_line(&log)),
        }
    }

    /// Kills `name`, if it runs.
    pub(crate) async fn kill(&mut self, name: Name) -> anyhow::Result<()> {
        let Some(mut member) = self.members.remove(&name) else { return Ok(()) };
        member.child.kill().await.with_context(|| format!("killing {name}"))?;
        member.reader.await?;
        Ok(())
    }

    /// Waits until `name` has ended by itself.
    pub(crate) async fn end(&mut self, name: Name) -> anyhow::Result<ExitStatus> {
        let mut member = self.members.remove(&name).with_context(|| format!("{name} does not run"))?;
        let status = timeout(BOUND, member.child.wait()).await.with_context(|| format!("{name} does not end"))??;
        member.reader.await?;
        Ok(status)
    }

    /// Has `name` stand still, or go on, if it runs.
    pub(crate) fn still(&mut self, name: Name, is_stopped: bool) -> anyhow::Result<()> {
        if let Some(member) = self.members.get_mut(&name)
            && let Some(pid) = member.child.id()
        {
            signals::send(pid, if is_stopped { Signal::STOP } else { Signal::CONT })?;
            member.is_stopped = is_stopped;
        }
        Ok(())
    }

    /// Asks `name` to end in order, and waits until it has.
    pub(crate) async fn close(&mut self, name: Name) -> anyhow::Result<()> {
        if let Some(member) = self.members.get_mut(&name) {
            member.stdin = None;
            let status = self.end(name).await?;
            if !status.success() {
                bail!("{name} has ended with {status}; its last words: {}", last_line(&self.log(name)));
            }
        }
        Ok(())
    }

    /// An error if a process has ended that nobody has ended.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        for (name, member) in &mut self.members {
            if let Some(status) = member.child.try_wait()? {
                let log = self.data.join(format!("{name}.log"));
                bail!("{name} has ended by itself with {status}; its last words: {}", last_line(&log));
            }
        }
        Ok(())
    }

    /// How many lines of all logs are errors.
    pub(crate) fn logged_errors(&self) -> Vec<String> {
        let files = std::fs::read_dir(&self.data).into_iter().flatten().flatten().map(|entry| entry.path());
        let logs = files.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
        let texts = logs.filter_map(|path| std::fs::read_to_string(path).ok());
        texts
            .flat_map(|text| text.lines().filter(|line| is_error(line)).map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }

    fn log(&self, name: Name) -> PathBuf {
        self.data.join(format!("{name}.log"))
    }
}

/// Passes on what a process says.
async fn read(stdout: ChildStdout, name: Name, ready: watch::Sender<bool>, heard: Arc<Mutex<Heard>>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        // Of one that was killed, the last line may be cut short.
        match serde_json::from_str(&line) {
            Ok(Line::Ready) => _ = ready.send_replace(true),
            Ok(Line::Figures(figures)) => _ = lock(&heard).figures.insert(name, figures),
            Ok(Line::Report(report)) => lock(&heard).report.take(report),
            Err(_) => {}
        }
    }
}

/// Behind the time comes the level. What a database says in a warning may have the word, too.
fn is_error(line: &str) -> bool {
    line.split_whitespace().nth(1) == Some("ERROR") || line.contains("panicked at")
}

fn last_line(log: &PathBuf) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().last().unwrap_or("none").to_owned()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
