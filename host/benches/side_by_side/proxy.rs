//! One running proxy. It is ended when this value is dropped, however the measuring went.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use equipoise_harness::client::request;
use equipoise_harness::proxy::Pid;
use equipoise_harness::{Client, Process, Response, port};
use tempfile::TempDir;

use crate::contender::Contender;
use crate::{Bench, certificate, policy};

/// How long a proxy may take to come up. Under a counting tool Envoy needs 20 s, and 80 s where it has a filter to compile, if
/// no other process shares its core.
const START_TIMEOUT: Duration = Duration::from_secs(600);

/// How long a proxy may take to go when asked, before it is killed. Under a counting tool it is slow in this, too.
const STOP_TIMEOUT: Duration = Duration::from_secs(300);

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
    fn free() -> Self {
        Self {
            plain: port::free(),
            h2c: port::free(),
            tls: port::free(),
        }
    }
}

/// A running proxy with a directory of its own.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) addresses: Addresses,
    /// It is asked to stop in the end, and killed when it takes too long.
    process: Process,
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
        let addresses = Addresses::free();
        certificate::write(&bench.certificate, directory.path())?;
        words.extend(contender.prepare(directory.path(), addresses, &bench.origin)?);
        let log = File::create(directory.path().join("log"))?;
        let mut command = bench.cores.command(&words);
        command
            .env("CACHE_DIRECTORY", policy::cache())
            .stdout(log.try_clone()?)
            .stderr(log);
        let process = Process::start_to_stop(&mut command, STOP_TIMEOUT)
            .with_context(|| format!("starting {}", contender.name))?;
        let mut proxy = Self {
            addresses,
            process,
            directory,
        };
        proxy.wait_until_it_answers(contender.name)?;
        Ok(proxy)
    }

    /// Its process.
    pub(crate) fn process(&self) -> Pid {
        self.process.id()
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

    fn wait_until_it_answers(&mut self, name: &str) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        while !answers(self.addresses.plain) {
            if self.process.has_ended() || Instant::now() > deadline {
                bail!("{name} did not start: {}", self.read("log")?.trim());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
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
    ask(address, &[]).is_ok_and(|answer| answer.status() == 200)
}

/// What is answered to one request with these additional header lines, on a connection of its own.
pub(crate) fn ask(address: SocketAddr, lines: &[&str]) -> std::io::Result<Response> {
    let mut client = Client::on(TcpStream::connect(address)?);
    let fields = [&["Connection: close"], lines].concat();
    client.try_send(request("GET /", &fields, ""))?;
    client.try_response("GET /")
}
