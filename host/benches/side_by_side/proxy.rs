//! One running proxy. It is ended when this value is dropped, however the measuring went.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::Bench;
use crate::contender::Contender;
use crate::policy;

/// How long a proxy may take to come up. Under a counting tool Envoy needs 20 s, and 80 s where it has a filter to compile, if
/// nobody shares its core.
const START_PATIENCE: Duration = Duration::from_secs(600);

/// How long a proxy may take to go when asked, before it is killed. Under a counting tool it is slow in this, too.
const STOP_PATIENCE: Duration = Duration::from_secs(300);

/// Where a proxy is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    /// By HTTP/1.1.
    pub(crate) plain: SocketAddr,
    /// By HTTP/2 with prior knowledge.
    pub(crate) h2c: SocketAddr,
    /// By TLS.
    pub(crate) tls: SocketAddr,
}

impl Addresses {
    /// The same for everything.
    pub(crate) fn all_at(address: SocketAddr) -> Self {
        Self {
            plain: address,
            h2c: address,
            tls: address,
        }
    }

    /// Ports that are free just now.
    fn free() -> Result<Self> {
        let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let (plain, h2c, tls) = (bind()?, bind()?, bind()?);
        Ok(Self {
            plain: plain.local_addr()?,
            h2c: h2c.local_addr()?,
            tls: tls.local_addr()?,
        })
    }
}

/// A running proxy with a directory of its own.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) addresses: Addresses,
    child: Child,
    directory: TempDir,
}

impl Proxy {
    /// Starts the contender and waits until it answers a request.
    ///
    /// # Errors
    /// When it does not start, with the end of what it said.
    pub(crate) fn start(contender: &Contender, bench: &Bench) -> Result<Self> {
        Self::start_under(contender, bench, Vec::new())
    }

    /// As [`start`](Self::start), under a tool: these words are the beginning of the command.
    pub(crate) fn start_under(
        contender: &Contender,
        bench: &Bench,
        mut words: Vec<OsString>,
    ) -> Result<Self> {
        let directory = directory_for_all()?;
        let addresses = Addresses::free()?;
        bench.certificate.write(directory.path())?;
        words.extend(contender.prepare(directory.path(), addresses, &bench.origin)?);
        let log = File::create(directory.path().join("log"))?;
        let child = bench
            .cores
            .command(&words)
            .env("CACHE_DIRECTORY", policy::cache())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {}", contender.name))?;
        let mut proxy = Self {
            addresses,
            child,
            directory,
        };
        proxy.wait_until_it_answers(contender.name)?;
        Ok(proxy)
    }

    /// Its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// A file in its directory.
    pub(crate) fn read(&self, file: &str) -> Result<String> {
        fs::read_to_string(self.directory.path().join(file))
            .with_context(|| format!("reading {file}"))
    }

    /// Nothing, unless our program says of a plugin that another decides in its place, which would look fast.
    ///
    /// # Errors
    /// It does.
    pub(crate) fn check_policy(&self) -> Result<()> {
        let log = self.read("log")?;
        let complaint = log.lines().find(|line| line.contains("ERROR equipoise"));
        complaint.map_or(Ok(()), |complaint| bail!("{complaint}"))
    }

    /// Where a tool may write.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Asks it to stop, waits, and kills it when it takes too long.
    pub(crate) fn stop(&mut self) {
        if self.has_ended() {
            return;
        }
        signal(self.process(), "TERM");
        let deadline = Instant::now() + STOP_PATIENCE;
        while !self.has_ended() {
            if Instant::now() > deadline {
                let _ = self.child.kill();
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    fn wait_until_it_answers(&mut self, name: &str) -> Result<()> {
        let deadline = Instant::now() + START_PATIENCE;
        while !answers(self.addresses.plain) {
            if self.has_ended() || Instant::now() > deadline {
                bail!("{name} did not start: {}", self.read("log")?.trim());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Sends a signal by name, such as `TERM`, to a process.
pub(crate) fn signal(process: u32, name: &str) {
    let _ = Command::new("kill")
        .args(["-s", name, &process.to_string()])
        .status();
}

/// A temporary directory that others may enter: Apache, started by root, goes on as another user.
fn directory_for_all() -> Result<TempDir> {
    let directory = tempfile::Builder::new()
        .prefix("side-by-side-")
        .permissions(Permissions::from_mode(0o755))
        .tempdir()?;
    Ok(directory)
}

fn answers(address: SocketAddr) -> bool {
    ask(address, "").is_ok_and(|answer| answer.starts_with(b"HTTP/1.1 200"))
}

/// What is answered to one request with these additional header lines, on a connection of its own.
pub(crate) fn ask(address: SocketAddr, lines: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(
        stream,
        "GET / HTTP/1.1\r\nHost: bench.test\r\nConnection: close\r\n{lines}\r\n"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}
