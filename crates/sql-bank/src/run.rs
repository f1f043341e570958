//! Transfers, and how long they take.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::{audit::Audit, cast::Name, databases::Databases, line::Report, random, scene::Scene};

#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Args {
    /// Which database servers there are
    #[arg(long, value_enum, default_value_t = Databases::Postgres)]
    databases: Databases,

    /// How many transfers are under way at once, over all applications
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=128))]
    clients: u64,

    /// How long
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
}

/// How many applications share the clients.
const APPLICATIONS: u64 = 2;

/// Makes transfers for a while, and says whether all is well.
pub(crate) async fn run(Args { databases, clients, seconds }: Args) -> anyhow::Result<bool> {
    let servers = databases.installed()?;
    println!("{servers}, 3 transaction managers, 2 agents, {clients} clients, {seconds} s");
    let seed = random::seed();
    let mut scene = Scene::start(databases, 1_000, (500, 2_000), seed).await?;
    let applications = APPLICATIONS.min(clients);
    for number in 0..applications {
        let tellers = clients / applications + u64::from(number < clients % applications);
        scene.start_application(number, tellers)?;
    }
    for number in 0..applications {
        scene.fleet.ready(Name::Application(number)).await?;
    }
    let begun = Instant::now();
    for _ in 0..seconds {
        sleep(Duration::from_secs(1)).await;
        scene.fleet.check()?;
    }
    for number in 0..applications {
        scene.fleet.close(Name::Application(number)).await?;
    }
    let report = std::mem::take(&mut scene.fleet.heard().report);
    println!("{}", summary(&report, begun.elapsed()));
    judge(scene, &report, Duration::from_secs(10)).await
}

/// Audits, prints that, and ends everything. Whether all is well.
pub(crate) async fn judge(scene: Scene, report: &Report, patience: Duration) -> anyhow::Result<bool> {
    let (audit, waited) = Audit::when_clean(&scene.servers, scene.plan.accounts, patience).await?;
    let [missing, undead] = audit.untrue(report);
    println!("{audit}");
    println!("  said committed and missing  {missing}");
    println!("  said aborted and there      {undead}");
    let (violations, alarms) = scene
        .fleet
        .heard()
        .figures
        .values()
        .fold((0, 0), |(violations, alarms), figures| (violations + figures.violations, alarms + figures.alarms));
    let errors = scene.fleet.logged_errors();
    println!("  violations and alarms       {}", violations + alarms as u64);
    println!("  errors in the logs          {}", errors.len());
    println!("clean after {:.1} s", waited.as_secs_f64());
    errors.iter().take(5).for_each(|error| println!("  {error}"));
    let is_well = audit.is_clean() && missing + undead + alarms == 0 && violations == 0 && errors.is_empty();
    if is_well {
        scene.close().await?;
    } else {
        println!("something is wrong: what the processes have logged is in {}", scene.keep().display());
    }
    Ok(is_well)
}

/// What a report comes to, over so long.
pub(crate) fn summary(report: &Report, time: Duration) -> String {
    let mut micros = report.micros.clone();
    micros.sort_unstable();
    let at = |percent: usize| micros.get(micros.len() * percent / 100).map_or(0.0, |micros| *micros as f64 / 1_000.0);
    let (committed, seconds) = (report.committed.len(), time.as_secs_f64());
    let mut text = format!(
        "{committed} committed, {} aborted in {seconds:.1} s: {:.0} tx/s, p50 {:.1} ms, p99 {:.1} ms",
        report.aborted.len(),
        committed as f64 / seconds,
        at(50),
        at(99)
    );
    for (kind, count) in &report.errors {
        text += &format!("\n  {kind}: {count}");
    }
    text
}
