//! The program under test, with its configurations, and its operator.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use equipoise_harness::certificates::CertificateFiles;
use equipoise_harness::process::STOPPING;
use equipoise_harness::{Process, Signal, proc, program};
use rustls::RootCertStore;
use tempfile::TempDir;
use tokio::runtime::Builder;

use super::WAIT_TIMEOUT;
use super::clients::ask_for;
use super::configuration;
use super::gauge::Sample;
use super::members::{HELD, Members, NAMES};
use super::output::Output;
use super::plugins;

/// What clients call the site.
pub(super) const HOST: &str = "soak.example";

/// How many requests are in flight when the program is told to end.
const IN_FLIGHT: usize = 8;

const TOKEN: &str = "correct-horse-battery-staple";

/// The program, and what it is made of.
pub(super) struct Site {
    pub(super) plain: SocketAddr,
    pub(super) tls: SocketAddr,
    admin: SocketAddr,
    /// What it logs.
    pub(super) output: Output,
    /// What it prints: its access log.
    pub(super) access_log: Output,
    process: Process,
    pub(super) certificates: CertificateFiles,
    directory: TempDir,
    urls: Vec<String>,
}

impl Site {
    /// Starts the program and waits until it listens.
    pub(super) fn open(members: &Members) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let certificates = CertificateFiles::in_directory(directory.path());
        certificates.vouch("soak", &[HOST]);
        let urls: Vec<_> = (0..NAMES.len()).map(|at| members.url(at)).collect();
        let file = directory.path().join("soak.toml");
        fs::write(&file, configuration::variant(0, &urls)).expect("writing a file");
        fs::write(directory.path().join("token"), TOKEN).expect("writing a file");
        for name in plugins::NAMES {
            let file = directory.path().join(format!("{name}.wasm"));
            fs::write(file, plugins::first(name)).expect("writing a file");
        }
        let mut command = program(&["run"]);
        command
            .arg(&file)
            .env("RUST_LOG", "info")
            // Each component is compiled, as by a program that is started for the first time.
            .env_remove("CACHE_DIRECTORY")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let process = Process::start_to_stop(&mut command, STOPPING);
        let mut process = process.expect("the program starts");
        let child = process.child();
        let output = Output::of(child.stderr.take().expect("it is piped"));
        let access_log = Output::of(child.stdout.take().expect("it is piped"));
        let url = |scheme: &str, line: &str| line.split_once(scheme)?.1.trim().parse().ok();
        let admin = |line: &str| {
            let (_, address) = line.split_once("the admin listener is open address=")?;
            address.trim().parse().ok()
        };
        Self {
            plain: access_log.find("http://", |line| url("http://", line)),
            tls: access_log.find("https://", |line| url("https://", line)),
            admin: output.find("where admin listens", admin),
            output,
            access_log,
            process,
            certificates,
            directory,
            urls,
        }
    }

    /// A file beside the configuration.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Replaces a file in one go.
    pub(super) fn replace(&self, name: &str, content: &[u8]) {
        let new = self.path(&format!("{name}.new"));
        fs::write(&new, content).expect("writing a file");
        fs::rename(new, self.path(name)).expect("renaming a file");
    }

    /// Writes the configuration anew, the way an editor does: this variant of it, with these lines behind.
    pub(super) fn configure(&self, variant: usize, behind: &str) {
        let text = configuration::variant(variant, &self.urls) + behind;
        fs::write(self.path("soak.toml"), text).expect("writing a file");
    }

    /// The certificates that clients trust.
    pub(super) fn roots(&self) -> RootCertStore {
        self.certificates.authority().roots()
    }

    /// Sends the program a signal.
    pub(super) fn signal(&self, signal: Signal) {
        self.process.signal(signal).expect("the program runs");
    }

    /// Whether the admin listener says that the program serves; else, what it says.
    pub(super) fn health(&self) -> Result<(), String> {
        let begun = Instant::now();
        match self.ask(WAIT_TIMEOUT, "GET", "/healthz", "", b"") {
            Ok((200, _)) => Ok(()),
            Ok((status, body)) => Err(format!("/healthz: {status} {body:?}")),
            Err(error) => Err(format!("/healthz: {error}, after {:?}", begun.elapsed())),
        }
    }

    /// The metrics.
    pub(super) fn metrics(&self) -> String {
        let answer = self.order("GET", "/metrics", "", b"");
        answer.map(|(_, text)| text).unwrap_or_default()
    }

    /// Asks something of the admin listener that may have to wait for a compiler, which stands back behind all others; status
    /// and body of the answer.
    pub(super) fn order(
        &self,
        method: &str,
        path: &str,
        kind: &str,
        body: &[u8],
    ) -> io::Result<(u16, String)> {
        self.ask(6 * WAIT_TIMEOUT, method, path, kind, body)
    }

    fn ask(
        &self,
        patience: Duration,
        method: &str,
        path: &str,
        kind: &str,
        body: &[u8],
    ) -> io::Result<(u16, String)> {
        let mut stream = TcpStream::connect_timeout(&self.admin, patience)?;
        stream.set_read_timeout(Some(patience))?;
        let (host, length) = (self.admin, body.len());
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\
             Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(&[head.as_bytes(), body].concat())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
        let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        Ok((status.unwrap_or_default(), body.to_owned()))
    }

    /// What the program takes of the machine; none where it has ended.
    pub(super) fn sample(&self) -> Option<Sample> {
        let process = self.process.id();
        Some(Sample {
            memory: proc::memory(process)? as usize,
            threads: proc::threads(process)?,
            descriptors: proc::descriptors(process)?,
        })
    }

    /// Tells the program to end while requests are in flight; what was not as it should be.
    pub(super) fn end_with_requests_in_flight(&mut self, members: &Members) -> Vec<String> {
        let plain = self.plain;
        let asking = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            let asking = (0..IN_FLIGHT).map(|_| ask_for(plain, HELD));
            let asking = futures_util::future::join_all(asking);
            runtime.expect("a runtime").block_on(asking)
        });
        members.await_held(IN_FLIGHT);
        self.signal(Signal::TERM);
        self.await_refusal();
        members.release();
        let answers = asking.join().expect("it has nothing to panic about");
        let lost = answers.into_iter().filter_map(Result::err);
        let lost = lost.map(|wrong| format!("a request in flight at SIGTERM: {wrong}"));
        lost.chain(self.await_end()).collect()
    }

    /// Waits until the port is closed.
    fn await_refusal(&self) {
        let begun = Instant::now();
        while TcpStream::connect(self.plain).is_ok() {
            assert!(begun.elapsed() < WAIT_TIMEOUT, "the program does not drain");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the program ends, which it must do well.
    fn await_end(&mut self) -> Option<String> {
        let begun = Instant::now();
        let status = loop {
            match self.process.ended() {
                Some(status) => break status,
                None if begun.elapsed() > WAIT_TIMEOUT => {
                    return Some("the program does not end".to_owned());
                }
                None => thread::sleep(Duration::from_millis(20)),
            }
        };
        (status.code() != Some(0)).then(|| format!("the program ended with {status}"))
    }
}
