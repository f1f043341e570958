//! Everything at random: servers, agents, managers and applications are killed, and come back.

use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio::{
    task::JoinSet,
    time::{sleep, sleep_until},
};

use crate::{
    cast::{MANAGERS, Name, nodes},
    databases::Databases,
    random,
    run::{judge, summary},
    scene::Scene,
    schedule::{APPLICATIONS, Event, Harm, Victim, schedule},
};

#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Args {
    /// Which database servers there are
    #[arg(long, value_enum, default_value_t = Databases::Postgres)]
    databases: Databases,

    /// How long there is harm
    #[arg(long, default_value_t = 2.0)]
    minutes: f64,

    /// How many transfers each of three applications has under way at once
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=32))]
    clients: u64,

    /// What makes the schedule [default: drawn]
    #[arg(long)]
    seed: Option<u64>,
}

/// How long all may take to come to rest once everybody is back.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is said how things are.
const BEAT: Duration = Duration::from_secs(10);

struct Chaos {
    scene: Scene,
    clients: u64,
    /// The number of the application in each place, and the next one's.
    places: [u64; APPLICATIONS as usize],
    next: u64,
    /// What brings servers back.
    servers: JoinSet<anyhow::Result<()>>,
    kills: Kills,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
struct Kills {
    servers: u64,
    managers: u64,
    agents: u64,
    applications: u64,
    stops: u64,
}

/// Lets harm happen, heals it, and says whether all is well.
pub(crate) async fn run(Args { databases, minutes, clients, seed }: Args) -> anyhow::Result<bool> {
    ensure!((0.01..=10_000.0).contains(&minutes), "--minutes must be from 0.01 to 10000");
    let (time, seed) = (Duration::from_secs_f64(minutes * 60.0), seed.unwrap_or_else(random::seed));
    let servers = databases.installed()?;
    println!("{servers}, 3 transaction managers, 2 agents, 3 applications; --minutes {minutes} --seed {seed}");
    let scene = Scene::start(databases, 200, (500, 2_000), seed).await?;
    let (places, servers) = ([0; APPLICATIONS as usize], JoinSet::new());
    let mut chaos = Chaos { scene, clients, places, next: 0, servers, kills: Kills::default() };
    for place in 0..APPLICATIONS {
        chaos.start_application(place)?;
    }
    let begun = Instant::now();
    let result = chaos.harm(begun, schedule(seed, time), time).await;
    if let Err(error) = result {
        println!("what the processes have logged is in {}", chaos.scene.keep().display());
        return Err(error);
    }
    let report = std::mem::take(&mut chaos.scene.fleet.heard().report);
    println!("{}", summary(&report, begun.elapsed()));
    let Kills { servers, managers, agents, applications, stops } = chaos.kills;
    println!(
        "killed: {servers} times a server, {agents} an agent, {managers} a manager, {applications} an application; \
         {stops} times somebody stood still"
    );
    judge(chaos.scene, &report, PATIENCE).await
}

impl Chaos {
    /// Does what is scheduled, and then brings everybody back and lets the applications end.
    async fn harm(&mut self, begun: Instant, events: Vec<Event>, time: Duration) -> anyhow::Result<()> {
        // Whoever is away, until when, and whether it stands still.
        let (mut away, mut events) = (Vec::<(Duration, Victim, Harm)>::new(), events.into_iter().peekable());
        let mut beat = BEAT;
        loop {
            let back = away.iter().map(|(until, ..)| *until).min();
            let next = events.peek().map(|event| event.at);
            let Some(due) = [back, next].into_iter().flatten().min() else { break };
            sleep_until((begun + due.min(beat)).into()).await;
            self.scene.fleet.check()?;
            if beat < due {
                let committed = self.scene.fleet.heard().report.committed.len();
                println!(
                    "  {:>4} s: {committed} committed; {} servers were killed",
                    beat.as_secs(),
                    self.kills.servers
                );
                beat += BEAT;
            } else if back == Some(due) {
                let at = away.iter().position(|(until, ..)| *until == due).unwrap_or_default();
                let (_, victim, harm) = away.remove(at);
                self.heal(victim, harm)?;
            } else if let Some(event) = events.next()
                && self.hit(event).await?
            {
                away.push((event.at + event.away, event.victim, event.harm));
            }
        }
        sleep_until((begun + time).into()).await;
        while let Some(ended) = self.servers.join_next().await {
            ended??;
        }
        for name in nodes() {
            self.scene.fleet.ready(name).await?;
        }
        for number in self.places {
            self.scene.fleet.ready(Name::Application(number)).await?;
            self.scene.fleet.close(Name::Application(number)).await?;
        }
        // Nodes say how they are when all is over.
        sleep(Duration::from_secs(1)).await;
        self.scene.fleet.check()
    }

    /// Does the harm, if it can be done now. Whether somebody must be brought back for it.
    async fn hit(&mut self, Event { victim, harm, away, .. }: Event) -> anyhow::Result<bool> {
        let Some(name) = self.name(victim) else {
            if let Victim::Server(side) = victim {
                let server = self.scene.servers[side as usize].clone();
                self.kills.servers += 1;
                self.servers.spawn(async move {
                    server.kill().await?;
                    sleep(away).await;
                    server.start_again().await
                });
            }
            return Ok(false);
        };
        let fleet = &mut self.scene.fleet;
        let others = (0..MANAGERS).map(Name::Manager).filter(|other| *other != name);
        let is_manager = matches!(victim, Victim::Manager(_));
        let is_needed = is_manager && !others.into_iter().all(|other| fleet.is_up(other));
        if is_needed || !fleet.has(name) || harm == Harm::Stop && !fleet.is_up(name) {
            return Ok(false);
        }
        match harm {
            Harm::Kill => fleet.kill(name).await?,
            Harm::Stop => fleet.still(name, true)?,
        }
        let kills = &mut self.kills;
        *match (harm, victim) {
            (Harm::Stop, _) => &mut kills.stops,
            (_, Victim::Manager(_)) => &mut kills.managers,
            (_, Victim::Agent(_)) => &mut kills.agents,
            _ => &mut kills.applications,
        } += 1;
        Ok(true)
    }

    fn heal(&mut self, victim: Victim, harm: Harm) -> anyhow::Result<()> {
        match (harm, victim, self.name(victim)) {
            (Harm::Stop, _, Some(name)) => self.scene.fleet.still(name, false),
            (Harm::Kill, Victim::Application(place), _) => self.start_application(place),
            (Harm::Kill, _, Some(name)) => self.scene.start_node(name),
            (_, _, None) => Ok(()),
        }
    }

    fn start_application(&mut self, place: u64) -> anyhow::Result<()> {
        self.places[place as usize] = self.next;
        self.next += 1;
        self.scene.start_application(self.next - 1, self.clients)
    }

    fn name(&self, victim: Victim) -> Option<Name> {
        match victim {
            Victim::Server(_) => None,
            Victim::Manager(number) => Some(Name::Manager(number)),
            Victim::Agent(side) => Some(Name::Agent(side)),
            Victim::Application(place) => Some(Name::Application(self.places[place as usize])),
        }
    }
}
