//! Processes of the binary, and what is asked of them.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// How long something may take on a machine that is busy.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Ports of one test: a block that no other test of any process takes.
pub(crate) struct Ports {
    first: u16,
    _claim: UdpSocket,
}

impl Ports {
    pub(crate) fn new() -> Self {
        static ASKED: AtomicU16 = AtomicU16::new(0);
        let start = std::process::id() as u16 % 150 * 2 + ASKED.fetch_add(1, Ordering::Relaxed);
        for step in 0..300 {
            let first = 10_000 + (start + step) % 300 * 32;
            let Ok(claim) = UdpSocket::bind((Ipv4Addr::LOCALHOST, first)) else { continue };
            if (first..first + 32).all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()) {
                return Self { first, _claim: claim };
            }
        }
        panic!("there are no free ports");
    }

    pub(crate) fn at(&self, offset: u16) -> u16 {
        self.first + offset
    }

    pub(crate) fn address(&self, offset: u16) -> String {
        format!("127.0.0.1:{}", self.at(offset))
    }
}

/// What a command has said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    /// What it has said, if all is well.
    #[track_caller]
    pub(crate) fn done(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self.out
    }

    pub(crate) fn first_word(&self) -> &str {
        self.out.split([':', ' ', '\n']).next().unwrap_or_default()
    }
}

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_synod"));
    command.args(args).current_dir(folder).env_remove("SYNOD_NODE").env_remove("SYNOD_TOKEN_FILE");
    command.env_remove("NOTIFY_SOCKET").stdin(Stdio::null());
    command
}

/// Runs a command in `folder` to its end.
pub(crate) fn synod(folder: &Path, args: &[&str]) -> Said {
    Said::of(command(folder, args).output().unwrap())
}

/// The same, with an operator who types `input`.
pub(crate) fn synod_typing(folder: &Path, args: &[&str], input: &str) -> Said {
    let mut child =
        command(folder, args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It may not read all of it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    Said::of(child.wait_with_output().unwrap())
}

/// A process that runs. It is killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) http: String,
    log: PathBuf,
}

impl Process {
    /// Starts `synod run` with the file, whose HTTP address is `http`.
    pub(crate) fn run(file: &Path, http: &str) -> Self {
        let folder = file.parent().unwrap();
        Self::start(folder, &["run", "node.toml"], http, &[])
    }

    pub(crate) fn start(folder: &Path, args: &[&str], http: &str, env: &[(&str, &str)]) -> Self {
        let log = folder.join(format!("{}.log", http.replace(':', "-")));
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let mut command = command(folder, args);
        command.envs(env.iter().copied()).stdout(Stdio::piped()).stderr(file);
        Self { child: command.spawn().unwrap(), http: http.to_owned(), log }
    }

    /// The lines that it says, up to one with `last` in it.
    pub(crate) fn lines_until(&mut self, last: &str) -> String {
        let mut said = String::new();
        let mut lines = BufReader::new(self.child.stdout.as_mut().unwrap());
        while !said.contains(last) {
            let read = lines.read_line(&mut said).unwrap();
            assert!(read > 0, "it has ended: {said}{}", self.log());
        }
        said
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends SIGTERM; returns how long it took to end, and with what.
    pub(crate) fn terminate(&mut self) -> (Duration, i32) {
        let start = Instant::now();
        self.signal(Signal::TERM);
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        (start.elapsed(), code)
    }

    /// Waits until it is ready.
    #[track_caller]
    pub(crate) fn ready(&mut self) {
        let start = Instant::now();
        loop {
            let last = match get(&self.http, "/readyz") {
                Some((200, _)) => return,
                Some((_, body)) => body,
                None => "no answer".into(),
            };
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("it has ended with {status}: {}", self.log());
            }
            assert!(start.elapsed() < LONG, "{last}: {}", self.log());
            sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is answered at `path`, and its status.
pub(crate) fn get(http: &str, path: &str) -> Option<(u16, String)> {
    ask(http, &format!("GET {path} HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n\r\n"))
}

/// What is answered to a whole request.
pub(crate) fn ask(http: &str, request: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(http).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    Some((status, body.to_owned()))
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < LONG, "it never came: {what}");
        sleep(Duration::from_millis(30));
    }
}

/// A cluster on loopback, of processes of their own.
pub(crate) struct Machines {
    pub(crate) ports: Ports,
    pub(crate) root: tempfile::TempDir,
}

impl Machines {
    /// Three members at the ports from 1 on, and databases with agents at the ports from 11 on.
    pub(crate) fn new(databases: &[String]) -> Self {
        Self::new_with(|_| databases.to_vec())
    }

    /// The same with databases at ports from 4 on.
    pub(crate) fn new_with(databases: impl FnOnce(&Ports) -> Vec<String>) -> Self {
        let (ports, root) = (Ports::new(), tempfile::tempdir().unwrap());
        let databases = databases(&ports);
        let members: Vec<String> = (1..=3).map(|offset| ports.address(offset)).collect();
        let agents = databases.iter().zip(11..);
        let agents: Vec<String> = agents.map(|(url, at)| format!("{at}@{}={url}", ports.address(at))).collect();
        let mut args = vec!["init", "cluster"];
        members.iter().for_each(|member| args.extend(["--member", member]));
        agents.iter().for_each(|agent| args.extend(["--database", agent]));
        synod(root.path(), &args).done();
        let machines = Self { ports, root };
        for number in (1..=3).chain((11..).take(databases.len())) {
            machines.set_http(number);
        }
        machines
    }

    /// HTTP at a port of this test.
    pub(crate) fn set_http(&self, number: u16) {
        let file = self.file(number);
        let text = std::fs::read_to_string(&file).unwrap();
        let (text, _) = text.split_once("[http]").unwrap();
        std::fs::write(&file, format!("{text}[http]\nlisten = \"{}\"\n", self.http(number))).unwrap();
    }

    pub(crate) fn http(&self, number: u16) -> String {
        self.ports.address(16 + number % 16)
    }

    pub(crate) fn folder(&self, number: u16) -> PathBuf {
        let kind = if number < 11 { "node" } else { "agent" };
        self.root.path().join("cluster").join(format!("{kind}-{number}"))
    }

    pub(crate) fn file(&self, number: u16) -> PathBuf {
        self.folder(number).join("node.toml")
    }

    pub(crate) fn start(&self, number: u16) -> Process {
        Process::run(&self.file(number), &self.http(number))
    }

    /// Runs a command in the folder of a node.
    pub(crate) fn synod(&self, number: u16, args: &[&str]) -> Said {
        synod(&self.folder(number), args)
    }

    pub(crate) fn cluster(&self) -> PathBuf {
        self.root.path().join("cluster")
    }
}
