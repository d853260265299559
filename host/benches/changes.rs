//! What one change of a balancer with many members costs: the processor time of the whole program, from the request of the
//! operator, or the file that is written, until it is quiet again. So all that follows a change is in it: reading the text,
//! the snapshot, the state file, checks, log lines, workers. What the program takes when nothing happens is subtracted.
//!
//! Every member is checked, has a route and is known by its address. The bars are 20 ms among 1,000 members and 100 ms among
//! 5,000: a list that is five times as long costs about five times as much.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// Members, and the bar.
const SIZES: [(u32, Duration); 2] = [
    (1_000, Duration::from_millis(20)),
    (5_000, Duration::from_millis(100)),
];

/// How often each change is made; the median counts.
const ROUNDS: usize = 5;

/// The program is quiet when it has taken less than this for so long.
const IDLE_INTERVAL: Duration = Duration::from_millis(1);
const IDLE_TIME: Duration = Duration::from_millis(200);

/// For how long what it takes then is measured.
const IDLE_FOR: Duration = Duration::from_secs(2);

/// How long a change may take at most until the program is quiet.
const WAIT_TIMEOUT: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "a benchmark's only way to speak")]
fn print(line: &str) {
    eprintln!("{line}");
}

fn run() -> Result<()> {
    // Built without optimization, to see that it runs.
    let is_test = std::env::args().any(|argument| argument == "--test");
    let mut above = Vec::new();
    for (members, bar) in SIZES {
        let mut site = Site::start(members)?;
        for change in Change::ALL {
            let took = site.measure(change)?;
            let name = change.name();
            print(&format!(
                "{members} members, {name:20} {:7.1} ms of processor time",
                took.as_secs_f64() * 1e3
            ));
            if took > bar {
                above.push(format!("{name} among {members}"));
            }
        }
        if is_test {
            return Ok(());
        }
    }
    ensure!(above.is_empty(), "above the bar: {}", above.join(", "));
    Ok(())
}

/// A change of one member.
#[derive(Clone, Copy)]
enum Change {
    /// In the file.
    Reload,
    Drain,
    Weight,
    Add,
    Remove,
}

impl Change {
    /// In this order: from the first one by the interface on, there are changes to be laid over the file.
    const ALL: [Self; 5] = [
        Self::Reload,
        Self::Drain,
        Self::Weight,
        Self::Add,
        Self::Remove,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Reload => "reloading the file",
            Self::Drain => "draining one",
            Self::Weight => "weighting one",
            Self::Add => "adding one",
            Self::Remove => "removing one",
        }
    }
}

/// The program with its configuration.
struct Site {
    program: Child,
    folder: tempfile::TempDir,
    members: u32,
    /// Where all members are reached.
    port: u16,
    admin: SocketAddr,
    /// The part of a processor that it takes when nothing happens.
    idle: f64,
}

impl Drop for Site {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

impl Site {
    /// Starts the program, and waits until it is quiet.
    fn start(members: u32) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let port = accept_everything()?;
        let admin = free_address()?;
        let file = file_in(folder.path());
        fs::write(&file, configuration(members, port, admin, 1))?;
        let log = fs::File::create(folder.path().join("log"))?;
        let program = Command::new(env!("CARGO_BIN_EXE_equipoise"))
            .arg("run")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("starting the program")?;
        let mut site = Self {
            program,
            folder,
            members,
            port,
            admin,
            idle: 0.0,
        };
        let begun = Instant::now();
        while TcpStream::connect(admin).is_err() {
            ensure!(begun.elapsed() < WAIT_TIMEOUT, "the program does not start");
            thread::sleep(Duration::from_millis(20));
        }
        // Each member is checked for the first time within a second.
        thread::sleep(Duration::from_millis(1_500));
        let before = site.until_quiet()?;
        thread::sleep(IDLE_FOR);
        let idle = site.processor_time()?.saturating_sub(before);
        site.idle = idle.as_secs_f64() / IDLE_FOR.as_secs_f64();
        Ok(site)
    }

    /// What the change costs: the median.
    fn measure(&mut self, change: Change) -> Result<Duration> {
        let mut times = Vec::new();
        for round in 0..ROUNDS {
            let (begun, before) = (Instant::now(), self.processor_time()?);
            self.make(change, round)?;
            let taken = self.until_quiet()?.saturating_sub(before);
            let idle = begun.elapsed().mul_f64(self.idle);
            times.push(taken.saturating_sub(idle));
        }
        times.sort_unstable();
        Ok(times[ROUNDS / 2])
    }

    fn make(&self, change: Change, round: usize) -> Result<()> {
        let members = "/api/v1/balancers/app/members";
        let middle = self.members / 2;
        match change {
            Change::Reload => {
                let text = configuration(self.members, self.port, self.admin, 2 + round % 2);
                let new = self.folder.path().join("new");
                fs::write(&new, text)?;
                fs::rename(new, file_in(self.folder.path()))?;
                // Until the file has been stable for a moment, there is nothing to be done.
                thread::sleep(Duration::from_secs(1));
                Ok(())
            }
            Change::Drain => {
                let sign = if round.is_multiple_of(2) { '+' } else { '-' };
                let body = format!("{{\"status\":\"{sign}N\"}}");
                self.ask("PATCH", &format!("{members}/{middle}"), &body)
            }
            Change::Weight => {
                let body = format!("{{\"loadfactor\":{}}}", 2 + round);
                self.ask("PATCH", &format!("{members}/{middle}"), &body)
            }
            Change::Add => {
                let body = format!("{{\"url\":\"http://127.200.0.{round}:{}\"}}", self.port);
                self.ask("POST", members, &body)
            }
            Change::Remove => self.ask("DELETE", &format!("{members}/{round}"), ""),
        }
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Result<()> {
        let mut stream = TcpStream::connect(self.admin)?;
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        ensure!(status.starts_with('2'), "{method} {path}: {answer}");
        Ok(())
    }

    /// Waits until the program is quiet; answers the processor time that it has taken so far.
    fn until_quiet(&self) -> Result<Duration> {
        let begun = Instant::now();
        let mut before = self.processor_time()?;
        while begun.elapsed() < WAIT_TIMEOUT {
            thread::sleep(IDLE_TIME);
            let now = self.processor_time()?;
            if now.saturating_sub(before) < IDLE_INTERVAL {
                return Ok(now);
            }
            before = now;
        }
        bail!("the program does not come to rest");
    }

    /// What all threads of the program have taken so far, to the nanosecond.
    fn processor_time(&self) -> Result<Duration> {
        let mut nanoseconds = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.program.id()))? {
            let file = thread?.path().join("schedstat");
            let Ok(text) = fs::read_to_string(file) else {
                continue;
            };
            let taken = text.split(' ').next();
            nanoseconds += taken.and_then(|it| it.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(Duration::from_nanos(nanoseconds))
    }
}

fn file_in(folder: &Path) -> PathBuf {
    folder.join("equipoise.toml")
}

/// The file, whose member in the middle has this weight.
fn configuration(members: u32, port: u16, admin: SocketAddr, weight: usize) -> String {
    let mut text = format!(
        "workers = 2\n[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\npath = \"/\"\nbalancer = \"app\"\n\
         [admin]\naddress = \"{admin}\"\npersist = \"state.json\"\n\
         [balancer.app]\nstickysession = \"SID\"\nhcmethod = \"TCP\"\nhcinterval = \"1h\"\n"
    );
    for member in 0..members {
        let [_, _, high, low] = member.to_be_bytes();
        let weight = if member == members / 2 { weight } else { 1 };
        let _ = write!(
            text,
            "[[balancer.app.member]]\nurl = \"http://127.100.{high}.{low}:{port}\"\n\
             route = \"r{member}\"\nloadfactor = {weight}\n"
        );
    }
    text
}

/// Starts a thread that accepts connections at a port of every address, and closes them.
fn accept_everything() -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || listener.incoming().for_each(drop));
    Ok(port)
}

fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
