//! A run, from the first process to the summary.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use tokio::{
    select,
    signal::ctrl_c,
    sync::mpsc,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use crate::{
    args,
    audit::{self, Audit},
    cast::{CAST, Name, Style, Votes},
    changes::Changes,
    chaos::{Chaos, Harm},
    counter::{Counter, Errand},
    file,
    fleet::{Fleet, Look, News, Setup},
    folder::Folder,
    line::Figures,
    member::{Member, State},
    meter::Meter,
    node::Finds,
    operator::Operator,
    page,
    places::Places,
    plan::{Phase, Schedule, Source},
    replace::Replacement,
    report::Report,
    say,
    stop::Stopped,
    tally::Commits,
    teller::Teller,
    transfer::Account,
    view::View,
    watch::{STANDSTILL, Watch},
};

/// How often it is looked what is due.
const BEAT: Duration = Duration::from_millis(50);

/// Makes the transfers of a file.
pub(crate) async fn up(args: args::Up) -> anyhow::Result<bool> {
    let source = Source::file(file::read(args.transfers.as_deref())?);
    let folder = open(&args.work)?;
    let harm = Harm::Chaos(Box::new(Chaos::new(0, None)));
    let mut run = Run::prepare(&args.work, folder, source, Vec::new(), harm)?;
    run.stay = args.stay;
    run.finish("transfers in the file").await
}

/// Makes up transfers, and harms processes.
pub(crate) async fn chaos(mut args: args::Chaos) -> anyhow::Result<bool> {
    // A dead node must delay nothing, and must soon be noticed.
    args.work.style.votes.get_or_insert(Votes::All);
    args.work.style.patience.get_or_insert(500);
    if args.changes {
        must_be_new(&args.work.place.data)?;
    }
    let is_well = run_chaos(&args).await;
    if !matches!(is_well, Ok(true)) {
        say::err!("cluster: this does it again:\n  {}", again(&args));
    }
    is_well
}

async fn run_chaos(args: &args::Chaos) -> anyhow::Result<bool> {
    let quiet = Duration::from_secs(args.quiet);
    let chaos = Duration::from_secs_f64(args.minutes * 60.0);
    let mut parts = vec![(Phase::Before, quiet), (Phase::Chaos, chaos), (Phase::After, quiet)];
    parts.retain(|(_, length)| !length.is_zero());
    let (work, seed) = (&args.work, args.work.seed);
    let run = if args.changes {
        let harm = |operator| Harm::Chaos(Box::new(Chaos::new(seed, Some(Changes::new(operator, seed)))));
        Run::prepare_changing(work, parts, harm)?
    } else {
        let folder = open(work)?;
        let source = Source::made_up(&folder, seed)?;
        Run::prepare(work, folder, source, parts, Harm::Chaos(Box::new(Chaos::new(seed, None))))?
    };
    run.finish("transfers made up").await
}

/// The command that does the same harm again, in a new folder. When it hits what depends on the machine.
fn again(args: &args::Chaos) -> String {
    let args::Chaos { work, minutes, quiet, changes } = args;
    let mut words = vec!["cargo run --release -p synod-grpc --example cluster -- chaos".to_owned()];
    words.extend(changes.then(|| "--changes".to_owned()));
    words.push(format!("--seed {} --minutes {minutes} --quiet {quiet} --in-flight {}", work.seed, work.in_flight));
    words.extend(work.style.flags());
    words.push("--data new-folder".to_owned());
    words.join(" ")
}

/// Makes up transfers, and stops one process for a while.
pub(crate) async fn stop(mut args: args::Stop) -> anyhow::Result<bool> {
    args.work.style.votes.get_or_insert(Votes::All);
    args.work.style.patience.get_or_insert(500);
    let folder = open(&args.work)?;
    let source = Source::made_up(&folder, args.work.seed)?;
    let (quiet, stopped) = (Duration::from_secs(args.quiet), Duration::from_secs(args.seconds));
    let parts = vec![(Phase::Warm, quiet), (Phase::Before, quiet), (Phase::Chaos, stopped), (Phase::After, quiet)];
    let mut run = Run::prepare(&args.work, folder, source, parts, Harm::Stop(args.who))?;
    run.load = args.load;
    run.finish("transfers made up").await
}

/// Makes up transfers, replaces all founders and writes a branch off.
pub(crate) async fn replace(mut args: args::Replace) -> anyhow::Result<bool> {
    args.work.style.votes.get_or_insert(Votes::All);
    args.work.style.patience.get_or_insert(500);
    must_be_new(&args.work.place.data)?;
    let (quiet, most) = (Duration::from_secs_f64(args.quiet), Duration::from_secs_f64(args.pause));
    let harm = |operator| Harm::Replace(Box::new(Replacement::new(operator, quiet, most)));
    Run::prepare_changing(&args.work, Vec::new(), harm)?.finish("transfers made up").await
}

/// Founders that were replaced never come back.
fn must_be_new(data: &Path) -> anyhow::Result<()> {
    if data.exists() {
        bail!(
            "founders that were replaced never come back, so that this needs a new folder, and there is one at {} already; \
             --data names another",
            data.display()
        );
    }
    Ok(())
}

/// The folder, new or as earlier runs have left it.
fn open(work: &args::Work) -> anyhow::Result<Folder> {
    let data = &work.place.data;
    let folder = Folder::open(data, CAST, CAST.cluster(work.style)?, work.seed);
    folder.with_context(|| format!("the folder {}", data.display()))
}

struct Run {
    folder: Folder,
    style: Style,
    in_flight: usize,
    source: Source,
    parts: Vec<(Phase, Duration)>,
    harm: Harm,
    /// How much is begun whatever is under way, in percent of what the cluster can do.
    load: Option<u64>,
    /// Since when that is so, and how many have been begun since.
    paced: Option<Instant>,
    begun: f64,
    stay: bool,
    fleet: Fleet,
    news: mpsc::UnboundedReceiver<News>,
    counter: Arc<Counter>,
    looks: mpsc::UnboundedReceiver<Look>,
    teller: Teller,
    errands: JoinSet<Errand>,
    watch: Watch,
}

/// What is left of a run when its processes are gone.
struct Done {
    teller: Teller,
    meter: Meter,
    rates: Vec<(Phase, f64)>,
    stopped: Option<Stopped>,
    harm: Harm,
    took: Duration,
    kills: u64,
    stops: u64,
    recoveries: u64,
    violations: u64,
    impostors: u64,
    /// Who is there at the end.
    left: Vec<Name>,
}

impl Run {
    fn prepare(
        work: &args::Work,
        folder: Folder,
        source: Source,
        parts: Vec<(Phase, Duration)>,
        harm: Harm,
    ) -> anyhow::Result<Self> {
        let operator = Operator::open(&work.place.data)?;
        Self::prepare_at(work, folder, source, parts, harm, operator.places(), Finds::Addresses)
    }

    /// A run in which members change. Their operator is for what `harm` makes.
    fn prepare_changing(
        work: &args::Work,
        parts: Vec<(Phase, Duration)>,
        harm: impl FnOnce(Operator) -> Harm,
    ) -> anyhow::Result<Self> {
        let data = &work.place.data;
        let operator = Operator::open(data)?;
        let places = operator.places().clone();
        let founders = CAST.cluster(work.style)?.spec().clone().with_contacts(places.contacts()?).build()?;
        let folder = Folder::open(data, CAST, founders, work.seed);
        let folder = folder.with_context(|| format!("the folder {}", data.display()))?;
        let source = Source::made_up(&folder, work.seed)?;
        Self::prepare_at(work, folder, source, parts, harm(operator), &places, Finds::Members)
    }

    fn prepare_at(
        work: &args::Work,
        folder: Folder,
        source: Source,
        parts: Vec<(Phase, Duration)>,
        harm: Harm,
        places: &Places,
        finds: Finds,
    ) -> anyhow::Result<Self> {
        let data = &work.place.data;
        open_accounts(&folder, source.accounts())?;
        let (fleet, news) = Fleet::new(Setup { data: data.clone(), style: work.style, seed: work.seed, finds });
        let (asking, looks) = mpsc::unbounded_channel();
        let follows = finds == Finds::Members;
        let counter = Arc::new(Counter::open(data, places, work.style.turn(), asking, follows)?);
        let (teller, errands, watch) = (Teller::default(), JoinSet::new(), Watch::new());
        let (style, in_flight) = (work.style, work.in_flight as usize);
        Ok(Self {
            folder,
            style,
            in_flight,
            source,
            parts,
            harm,
            load: None,
            paced: None,
            begun: 0.0,
            stay: false,
            fleet,
            news,
            counter,
            looks,
            teller,
            errands,
            watch,
        })
    }

    /// Runs, audits and reports; returns whether all is well. `what` is what the transfers are called.
    async fn finish(self, what: &str) -> anyhow::Result<bool> {
        let (folder, style) = (self.folder.clone(), self.style);
        let done = self.work().await?;
        say::out!("all processes have shut down; reading their databases");
        // The processes are gone now, and the databases must tell the whole story.
        let names: Vec<Name> = done.left.clone();
        let mut transfers = done.teller.transfers().to_vec();
        for transfer in &mut transfers {
            transfer.legs.retain(|leg| names.iter().any(|name| CAST.node(*name) == CAST.home(leg.account)));
        }
        let audit = audit::audit(&folder, names, &transfers, done.teller.results())?;
        done.print(&audit, style, what);
        let is_smooth = done.harm.print(&audit, &Commits::of(done.teller.ended()), done.impostors);
        Ok(audit.faults.is_empty() && done.violations == 0 && is_smooth)
    }

    async fn work(mut self) -> anyhow::Result<Done> {
        for name in CAST.names() {
            self.fleet.start(name)?;
        }
        while !self.fleet.all_are(State::Up) {
            self.wait().await?;
        }
        let (began, mut took, mut view) = (Instant::now(), None, View::new());
        let mut schedule = Schedule::begin(std::mem::take(&mut self.parts));
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut interrupt, mut is_interrupted) = (tokio::spawn(ctrl_c()), false);
        let (mut resting, mut stopped) = (None, Stopped::default());
        loop {
            self.begin(&schedule)?;
            select! {
                Some(errand) = self.errands.join_next() => self.settle(errand?),
                Some(news) = self.news.recv() => self.fleet.hear(news)?,
                Some(look) = self.looks.recv() => self.fleet.look(look),
                _ = &mut interrupt, if !is_interrupted => {
                    (is_interrupted, self.stay) = (true, false);
                    self.teller.cut();
                    schedule.drain(self.teller.done_now());
                }
                _ = beat.tick() => {}
            }
            let (now, done) = (Instant::now(), self.teller.done_now());
            schedule.tick(now, done);
            self.harm.act(&mut self.fleet, now, schedule.phase() == Phase::Chaos)?;
            if matches!(self.harm, Harm::Stop(_)) {
                stopped.note(&schedule);
            }
            if let Harm::Replace(replacement) = &self.harm {
                if let Some(branch) = replacement.written_off() {
                    self.source.leave_out(CAST.node(branch));
                }
                if replacement.is_done() {
                    schedule.drain(done);
                }
            }
            view.show(&self.fleet, &self.teller, &schedule);
            if self.teller.is_done() && self.teller.is_dry() && !self.feeds(schedule.phase()) {
                took.get_or_insert_with(|| began.elapsed());
                if !self.stay {
                    schedule.drain(done);
                }
            }
            if schedule.phase() == Phase::Drain && self.teller.is_done() && self.harm.is_over(&self.fleet) {
                let since = *resting.get_or_insert(now);
                if self.fleet.members().values().all(|member| member.is_at_rest(since)) {
                    break;
                }
            }
            self.look()?;
        }
        self.fleet.close();
        while !self.fleet.all_are(State::Closed) {
            self.wait().await?;
        }
        let sum = |count: fn(&Member) -> u64| self.fleet.ever().map(count).sum();
        Ok(Done {
            rates: schedule.rates().to_vec(),
            stopped: matches!(self.harm, Harm::Stop(_)).then_some(stopped),
            took: took.unwrap_or_else(|| began.elapsed()),
            kills: sum(|member| member.kills),
            stops: sum(|member| member.stops),
            recoveries: sum(|member| member.recoveries()),
            violations: sum(|member| if member.is_outcast { 0 } else { member.violations() }),
            impostors: sum(|member| if member.is_outcast { 0 } else { member.impostors() }),
            left: self.fleet.members().keys().copied().collect(),
            harm: self.harm,
            teller: self.teller,
            meter: self.fleet.meter,
        })
    }

    /// Notes how a transfer went, and has it made again if a change of the members has cut it short.
    fn settle(&mut self, errand: Errand) {
        self.teller.settle(errand);
        if let Some(tally) = self.harm.tally() {
            let legs = self.teller.find(errand.tx).map(|transfer| transfer.legs.clone());
            let legs = legs.filter(|_| errand.cut.is_some());
            let is_made_again = legs.is_some_and(|legs| self.source.feed_again(legs, &mut self.teller));
            tally.note(&errand, is_made_again);
        }
    }

    /// Whether there are transfers to come, which the teller does not know yet.
    fn feeds(&self, phase: Phase) -> bool {
        match &self.source {
            Source::File(transfers) => phase != Phase::Drain && !transfers.as_slice().is_empty(),
            Source::MadeUp { .. } => phase != Phase::Drain,
        }
    }

    /// Begins as many transfers as may be under way, or as are due.
    fn begin(&mut self, schedule: &Schedule) -> anyhow::Result<()> {
        let phase = schedule.phase();
        let due = self.load.filter(|_| phase != Phase::Warm).map(|load| {
            let [(_, capacity), ..] = schedule.rates() else { return 0.0 };
            capacity * load as f64 / 100.0 * self.paced.get_or_insert_with(Instant::now).elapsed().as_secs_f64()
        });
        while due.map_or(self.errands.len() < self.in_flight, |due| self.begun < due) {
            self.begun += if due.is_some() { 1.0 } else { 0.0 };
            if self.teller.is_dry() && self.feeds(phase) {
                self.source.feed(&mut self.teller);
            }
            let Some((transaction, meta)) = self.teller.next()? else { break };
            let transaction = transaction.in_epoch(self.counter.epoch());
            let counter = Arc::clone(&self.counter);
            self.errands.spawn(async move { counter.run(&transaction, &meta).await });
        }
        Ok(())
    }

    /// Sees that something moves, unless there is nothing left to do.
    fn look(&mut self) -> anyhow::Result<()> {
        let members = self.fleet.members();
        let open = members.values().map(|member| member.figures.open).sum();
        if self.stay && self.teller.is_done() {
            self.watch = Watch::new();
        }
        if self.watch.stands_still((self.teller.results().len(), open)) {
            let each = members.iter().map(|(name, Member { state, figures, .. })| {
                let Figures { open, in_doubt, unacknowledged, dropped, .. } = figures;
                format!(
                    "{name} is {state:?}: {open} open, {in_doubt} in doubt, {unacknowledged} ranges unacknowledged, \
                     {dropped} packets dropped"
                )
            });
            bail!("nothing has moved for {} s: {}", STANDSTILL.as_secs(), each.collect::<Vec<_>>().join("; "));
        }
        Ok(())
    }

    /// Waits for news of processes.
    async fn wait(&mut self) -> anyhow::Result<()> {
        let news = tokio::time::timeout(STANDSTILL, self.news.recv()).await;
        let news = news.context("a process neither comes up nor ends")?.context("there are no processes")?;
        self.fleet.hear(news)
    }
}

/// Opens `accounts` where they are not open yet.
fn open_accounts(folder: &Folder, accounts: Vec<Account>) -> anyhow::Result<()> {
    let accounts: BTreeSet<Account> = accounts.into_iter().collect();
    for name in CAST.names() {
        let mut site = folder.site(name)?;
        if let Some((ledger, database)) = site.ledger() {
            ledger.open_accounts(database, accounts.iter().copied())?;
        }
    }
    Ok(())
}

impl Done {
    fn print(&self, audit: &Audit, style: Style, transfers: &str) {
        let mut meter = self.meter.clone();
        if self.kills > 0 {
            // Who was killed has told nobody what it had counted.
            meter.forget_costs();
        }
        let (cast, faster, teller, took) = (CAST, style.faster, &self.teller, self.took);
        say::out!("{}", Report { cast, faster, transfers, meter: &meter, teller, audit, took }.table());
        if self.kills == 0 {
            say::out!("{}", note(style));
        }
        let word = |phase| match phase {
            Phase::Warm => "as many as possible",
            Phase::Before => "before",
            Phase::Chaos => "meanwhile",
            Phase::After | Phase::Drain => "after",
        };
        let rates: Vec<String> = self.rates.iter().map(|(phase, rate)| format!("{} {rate:.0}", word(*phase))).collect();
        if rates.len() > 1 {
            say::out!("transfers/s: {}", rates.join(", "));
        }
        if let Some(stopped) = &self.stopped {
            stopped.print(self.teller.ended());
        }
        say::out!("the longest wait of any transfer: {:.2} s", self.teller.longest().as_secs_f64());
        say::out!("{} kills, {} stops, {} ballots above 0", self.kills, self.stops, self.recoveries);
        for fault in &audit.faults {
            say::err!("{}", page::folded(&format!("cluster: {fault}")));
        }
        if self.violations > 0 {
            say::err!("cluster: {} inputs broke the protocol", self.violations);
        }
        if audit.faults.is_empty() {
            say::out!("money is conserved, and nothing is open or in doubt anywhere");
        }
    }
}

/// Why there is more than the paper counts.
fn note(style: Style) -> String {
    let note = "As in the paper, every transaction manager is an acceptor too.\n\
                A client begins here, which is one message more.";
    let all = "\nFirst votes go to all acceptors, where the paper counts those to F+1 of them.";
    format!("{note}{}", if style.votes == Some(Votes::All) { all } else { "" })
}
