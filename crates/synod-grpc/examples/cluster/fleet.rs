//! All processes: starts them, hears of them, and does to them what is to be done.

use std::{
    collections::{BTreeMap, HashMap},
    env, io, mem,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Instant,
};

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, Command},
    sync::{mpsc, oneshot},
};

use crate::{
    args::Begin,
    cast::{CAST, Name, Style},
    line::{Ask, Line},
    member::{Member, State},
    meter::Meter,
    node::Finds,
    signals::{self, Signal},
};

/// How processes are started.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) data: PathBuf,
    pub(crate) style: Style,
    pub(crate) seed: u64,
    /// How nodes find each other.
    pub(crate) finds: Finds,
}

pub(crate) struct Fleet {
    setup: Setup,
    members: BTreeMap<Name, Member>,
    /// Those that will never come back.
    buried: Vec<Member>,
    /// Why changes were refused that a process was asked for.
    unchanged: Vec<String>,
    news: mpsc::UnboundedSender<News>,
    /// Who asks whether which transfer was applied where.
    looks: HashMap<(Name, u64), Vec<oneshot::Sender<bool>>>,
    /// What those have counted that have shut down in order.
    pub(crate) meter: Meter,
}

/// Something that a process has said or done, in one of its lives.
#[derive(Debug)]
pub(crate) struct News {
    name: Name,
    life: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    Said(Line),
    Ended(io::Result<ExitStatus>),
}

/// A question to a branch.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) branch: Name,
    pub(crate) transfer: u64,
    pub(crate) reply: oneshot::Sender<bool>,
}

impl Fleet {
    /// All of them, none started yet.
    pub(crate) fn new(setup: Setup) -> (Self, mpsc::UnboundedReceiver<News>) {
        let (news, heard) = mpsc::unbounded_channel();
        let members = CAST.names().map(|name| (name, Member::new())).collect();
        let (buried, unchanged) = (Vec::new(), Vec::new());
        (Self { setup, members, buried, unchanged, news, looks: HashMap::new(), meter: Meter::default() }, heard)
    }

    pub(crate) fn members(&self) -> &BTreeMap<Name, Member> {
        &self.members
    }

    /// All that there are and were.
    pub(crate) fn ever(&self) -> impl Iterator<Item = &Member> {
        self.members.values().chain(&self.buried)
    }

    pub(crate) fn is(&self, name: Name, state: State) -> bool {
        self.members.get(&name).is_some_and(|member| member.state == state)
    }

    pub(crate) fn all_are(&self, state: State) -> bool {
        self.members.values().all(|member| member.state == state)
    }

    /// Starts `name`, which must be down.
    pub(crate) fn start(&mut self, name: Name) -> anyhow::Result<()> {
        self.start_as(name, None)
    }

    /// Starts `name` for the first time.
    pub(crate) fn join(&mut self, name: Name) -> anyhow::Result<()> {
        self.start_as(name, Some(Begin::Join))
    }

    /// Starts `name`, which was buried, although it must not take part any more; with `begin`, on a blank disk.
    pub(crate) fn start_outcast(&mut self, name: Name, begin: Option<Begin>) -> anyhow::Result<()> {
        self.start_as(name, begin)?;
        self.members.entry(name).and_modify(|member| member.is_outcast = true);
        Ok(())
    }

    /// Why changes were refused since this was asked last.
    pub(crate) fn take_unchanged(&mut self) -> Vec<String> {
        mem::take(&mut self.unchanged)
    }

    /// `name`, which must be down, will never come back.
    pub(crate) fn bury(&mut self, name: Name) {
        self.buried.extend(self.members.remove(&name));
    }

    fn start_as(&mut self, name: Name, begin: Option<Begin>) -> anyhow::Result<()> {
        let Setup { data, style, seed, finds } = &self.setup;
        let mut command = Command::new(env::current_exe()?);
        command.arg("node").arg("--data").arg(data).args(["--name", &name.to_string(), "--seed", &seed.to_string()]);
        command.args(style.flags());
        command.args((*finds == Finds::Members).then_some("--members"));
        command.args(begin.map(|begin| match begin {
            Begin::Create => "--begin=create",
            Begin::Join => "--begin=join",
        }));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        // What is typed to interrupt this process is not meant for that one.
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn().with_context(|| format!("starting {name}"))?;
        let stdin = child.stdin.take().context("a pipe is missing")?;

        let member = self.members.entry(name).or_insert_with(Member::new);
        let (asks, asked) = mpsc::unbounded_channel();
        member.life += 1;
        (member.state, member.pid, member.asks) = (State::Starting, child.id(), Some(asks));
        tokio::spawn(write(stdin, asked));
        tokio::spawn(read(child, name, member.life, self.news.clone()));
        Ok(())
    }

    /// Kills `name`, which must be up.
    pub(crate) fn kill(&mut self, name: Name) -> io::Result<()> {
        self.signal(name, Signal::Kill, State::Dying)?;
        self.members.entry(name).and_modify(|member| member.kills += 1);
        Ok(())
    }

    /// Has `name`, which must be up, stand still.
    pub(crate) fn stop(&mut self, name: Name) -> io::Result<()> {
        self.signal(name, Signal::Stop, State::Stopped)?;
        self.members.entry(name).and_modify(|member| member.stops += 1);
        Ok(())
    }

    /// Lets `name`, which was stopped, go on.
    pub(crate) fn go_on(&mut self, name: Name) -> io::Result<()> {
        self.signal(name, Signal::Continue, State::Up)
    }

    fn signal(&mut self, name: Name, signal: Signal, then: State) -> io::Result<()> {
        if let Some(member) = self.members.get_mut(&name)
            && let Some(pid) = member.pid
        {
            signals::send(pid, signal)?;
            member.state = then;
        }
        Ok(())
    }

    /// Has all of them shut down.
    pub(crate) fn close(&mut self) {
        for member in self.members.values_mut() {
            (member.state, member.asks) = (State::Closing, None);
        }
    }

    /// Asks `name` for something. An error if it is away.
    pub(crate) fn ask(&self, name: Name, ask: Ask) -> anyhow::Result<()> {
        let asks = self.members.get(&name).and_then(|member| member.asks.as_ref());
        asks.and_then(|asks| asks.send(ask).ok()).with_context(|| format!("{name} cannot be asked"))
    }

    /// Asks a branch. If it is away, `look.reply` is dropped.
    pub(crate) fn look(&mut self, Look { branch, transfer, reply }: Look) {
        if let Some(member) = self.members.get(&branch)
            && let Some(asks) = &member.asks
            && asks.send(Ask::Look { transfer }).is_ok()
        {
            self.looks.entry((branch, transfer)).or_default().push(reply);
        }
    }

    /// Takes the news. An error if a process has ended that should not have.
    pub(crate) fn hear(&mut self, News { name, life, what }: News) -> anyhow::Result<()> {
        let Some(member) = self.members.get_mut(&name).filter(|member| member.life == life) else { return Ok(()) };
        match what {
            What::Said(Line::Ready) if member.state == State::Starting => {
                (member.state, member.heard) = (State::Up, Instant::now());
            }
            What::Said(Line::Ready) => {}
            What::Said(Line::Figures(figures)) => member.hear(figures),
            What::Said(Line::Looked { transfer, applied }) => {
                for reply in self.looks.remove(&(name, transfer)).unwrap_or_default() {
                    // Who asked may have asked again since.
                    let _ = reply.send(applied);
                }
            }
            What::Said(Line::Unchanged { why }) => self.unchanged.push(why),
            What::Said(Line::Closed(mut meter)) => self.meter.take(&mut meter),
            What::Ended(status) => {
                self.looks.retain(|(branch, _), _| *branch != name);
                let status = status.with_context(|| format!("waiting for {name}"))?;
                member.die();
                member.state = match member.state {
                    State::Dying => State::Down,
                    State::Closing if status.success() => State::Closed,
                    _ if member.is_outcast => State::Down,
                    _ => bail!("{name} has ended by itself: {status}"),
                };
            }
        }
        Ok(())
    }
}

/// Passes on what the process is asked; its input ends with the asking.
async fn write(mut stdin: ChildStdin, mut asked: mpsc::UnboundedReceiver<Ask>) {
    while let Some(ask) = asked.recv().await {
        let Ok(mut line) = serde_json::to_vec(&ask) else { continue };
        line.push(b'\n');
        if stdin.write_all(&line).await.is_err() {
            return;
        }
    }
}

/// Passes on what the process says, and then that it has ended.
async fn read(mut child: Child, name: Name, life: u64, news: mpsc::UnboundedSender<News>) {
    let tell = |what| drop(news.send(News { name, life, what }));
    if let Some(stdout) = child.stdout.take() {
        let mut lines = BufReader::new(stdout).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            // Of one that was killed, the last line may be cut short.
            if let Ok(line) = serde_json::from_str(&line) {
                tell(What::Said(line));
            }
        }
    }
    tell(What::Ended(child.wait().await));
}
