//! What active checks cost: 1,000 members, each checked every second for 10 s, all by one thread.
//!
//! The members are a thread of their own whose processor time is not counted; what the system does for the checking thread
//! is, and on loopback that is most of it: both ends of a connection are made by the thread that connects. So the first
//! line is a floor: the same exchanges by blocking sockets, with nothing around them. The bar is 5 % of one core above it.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use equipoise::bench::{Checked, check_members};
use equipoise_config::Config;
use rustix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::LocalSet;

const MEMBERS: usize = 1_000;

const TIME: Duration = Duration::from_secs(10);

/// With `--test`, to see that it runs.
const SHORT_TIME: Duration = Duration::from_secs(2);

/// So many descriptors are open at once, at the most: listeners, and both ends of 256 checks.
const DESCRIPTORS: u64 = 4_096;

const ANSWER: &[u8] =
    b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n";

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
    rlimit::increase_nofile_limit(DESCRIPTORS).context("asking for file descriptors")?;
    let is_test = std::env::args().any(|argument| argument == "--test");
    let time = if is_test { SHORT_TIME } else { TIME };
    let members = start_members()?;
    report(
        "floor",
        &ask_plainly(&members, time).context("asking plainly")?,
    )?;
    for (name, method) in [
        ("connections", "TCP"),
        ("GET", "GET"),
        ("GET, body read", "GET11"),
    ] {
        let config = Config::parse(&configuration(&members, method), Path::new("checks.toml"))?;
        report(name, &check_members(&config, time)?)?;
    }
    Ok(())
}

/// As many exchanges as there are checks, by blocking sockets.
fn ask_plainly(members: &[SocketAddr], time: Duration) -> io::Result<Checked> {
    let clock = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default();
    let before = clock();
    let rounds = time.as_secs();
    for member in (0..rounds).flat_map(|_| members) {
        let mut stream = TcpStream::connect(member)?;
        stream.write_all(b"GET / HTTP/1.0\r\nHost: member\r\n\r\n")?;
        let _ = stream.read(&mut [0; 1024])?;
    }
    Ok(Checked {
        passed: rounds * members.len() as u64,
        failed: 0,
        elapsed: time,
        processor: clock().saturating_sub(before),
    })
}

fn report(name: &str, checked: &Checked) -> Result<()> {
    let Checked {
        passed,
        failed,
        elapsed,
        processor,
    } = *checked;
    let checks = passed + failed;
    let share = 100.0 * processor.as_secs_f64() / elapsed.as_secs_f64();
    let each = processor.as_secs_f64() * 1e6 / checks.max(1) as f64;
    print(&format!(
        "{name:15} {MEMBERS} members: {checks} checks in {elapsed:.1?}, {failed} failed; {share:.1} % of one core, {each:.0} µs each"
    ));
    ensure!(failed == 0, "{failed} checks failed");
    Ok(())
}

fn configuration(members: &[SocketAddr], method: &str) -> String {
    let expect = match method {
        "GET11" => "hcexpect = { body = \"^ok\" }",
        _ => "",
    };
    let mut text = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\npath = \"/\"\nbalancer = \"app\"\n
        [balancer.app]\nhcmethod = \"{method}\"\nhcinterval = \"1s\"\n{expect}\n"
    );
    for member in members {
        let _ = writeln!(text, "[[balancer.app.member]]\nurl = \"http://{member}\"");
    }
    text
}

/// Starts every member in one thread, which ends with the process.
fn start_members() -> Result<Vec<SocketAddr>> {
    let (sender, addresses) = mpsc::channel();
    thread::Builder::new()
        .name("members".to_owned())
        .spawn(move || {
            let served = serve(&sender);
            drop(sender);
            served
        })
        .context("starting the members")?;
    let addresses: Vec<_> = addresses.iter().take(MEMBERS).collect();
    ensure!(addresses.len() == MEMBERS, "the members could not listen");
    Ok(addresses)
}

fn serve(addresses: &mpsc::Sender<SocketAddr>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = LocalSet::new();
    runtime.block_on(local.run_until(async {
        for _ in 0..MEMBERS {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let _ = addresses.send(listener.local_addr()?);
            tokio::task::spawn_local(accept(listener));
        }
        std::future::pending().await
    }))
}

async fn accept(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::task::spawn_local(async move {
            let mut request = [0; 1024];
            if stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                let _ = stream.write_all(ANSWER).await;
            }
        });
    }
}
