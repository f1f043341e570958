//! What there is to be seen while the cluster works: a table that is drawn over and over on a terminal, and else some
//! lines now and then.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use comfy_table::{CellAlignment, Table, presets::UTF8_BORDERS_ONLY};

use crate::{
    fleet::Fleet,
    member::State,
    money::grouped,
    page,
    plan::{Phase, Schedule},
    teller::Teller,
};

/// The first column of the table that holds a number.
const NUMBERS: usize = 3;

pub(crate) struct View {
    began: Instant,
    shown: Option<Instant>,
    is_live: bool,
    /// How many lines of the terminal the table takes.
    height: usize,
    /// What was done when it was shown last.
    done: usize,
}

impl View {
    pub(crate) fn new() -> Self {
        let is_live = io::stdout().is_terminal();
        Self { began: Instant::now(), shown: None, is_live, height: 0, done: 0 }
    }

    /// Shows how things are, if it is time.
    pub(crate) fn show(&mut self, fleet: &Fleet, teller: &Teller, schedule: &Schedule) {
        let pause = Duration::from_secs(if self.is_live { 1 } else { 5 });
        if self.shown.is_some_and(|shown| shown.elapsed() < pause) {
            return;
        }
        let seconds = self.shown.map_or(1.0, |shown| shown.elapsed().as_secs_f64());
        let done = teller.results().len();
        let rate = (done - self.done) as f64 / seconds;
        (self.shown, self.done) = (Some(Instant::now()), done);
        let head = format!(
            "{:>4} s  {:<6}  {} transfers, {:.0}/s, the oldest waits for {:.1} s",
            self.began.elapsed().as_secs(),
            word(schedule.phase()),
            grouped(done as u64),
            rate,
            teller.oldest().as_secs_f64(),
        );
        let text =
            if self.is_live { format!("{head}\n{}\n", table(fleet)) } else { format!("{head}\n{}", lines(fleet)) };
        let back = if self.height > 0 { format!("\x1b[{}A\x1b[J", self.height) } else { String::new() };
        self.height = if self.is_live { text.lines().count() } else { 0 };
        // If nobody is looking any more, that is no reason to stop.
        let _ = io::stdout().lock().write_all(format!("{back}{text}").as_bytes());
    }
}

fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Warm => "warm",
        Phase::Before => "calm",
        Phase::Chaos => "chaos",
        Phase::After => "calm",
        Phase::Drain => "ending",
    }
}

fn table(fleet: &Fleet) -> Table {
    let header = [
        "",
        "pid",
        "",
        "open",
        "in\ndoubt",
        "messages\nper s",
        "writes\nper s",
        "ranges",
        "ballots\nabove 0",
        "kills",
        "stops",
    ];
    let last = header.len() - 1;
    let mut table = page::table(UTF8_BORDERS_ONLY, header);
    for (name, member) in fleet.members() {
        table.add_row([
            name.to_string(),
            member.pid.map_or_else(String::new, |pid| pid.to_string()),
            state(member.state).to_owned(),
            grouped(member.figures.open as u64),
            grouped(member.figures.in_doubt as u64),
            grouped(member.messages_per_second as u64),
            grouped(member.writes_per_second as u64),
            grouped(member.figures.ranges as u64),
            grouped(member.recoveries()),
            grouped(member.kills),
            grouped(member.stops),
        ]);
    }
    for (place, column) in table.column_iter_mut().enumerate() {
        // Between two columns there is a space anyway.
        column.set_padding((u16::from(place == 0), u16::from(place == last)));
        if place >= NUMBERS {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn lines(fleet: &Fleet) -> String {
    let sum = |count: fn(&crate::member::Member) -> u64| grouped(fleet.members().values().map(count).sum());
    let mut lines = format!(
        "        {} open, {} in doubt, {} ranges, {} kills, {} stops\n",
        sum(|member| member.figures.open as u64),
        sum(|member| member.figures.in_doubt as u64),
        sum(|member| member.figures.ranges as u64),
        sum(|member| member.kills),
        sum(|member| member.stops),
    );
    let mut away = BTreeMap::<&str, Vec<String>>::new();
    for (name, member) in fleet.members().iter().filter(|(_, member)| member.state != State::Up) {
        away.entry(state(member.state)).or_default().push(name.to_string());
    }
    if !away.is_empty() {
        let away: Vec<String> = away.iter().map(|(state, names)| format!("{state} {}", names.join(", "))).collect();
        lines += &format!("        {}\n", away.join("; "));
    }
    lines
}

fn state(state: State) -> &'static str {
    match state {
        State::Starting => "starts",
        State::Up => "up",
        State::Stopped => "stopped",
        State::Dying | State::Down => "killed",
        State::Closing => "closes",
        State::Closed => "closed",
    }
}
