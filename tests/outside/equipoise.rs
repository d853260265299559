//! Equipoise: the built program, with a configuration file of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::client::PATIENCE;
use crate::cluster::Cluster;
use crate::process::Process;

/// The file that the log goes to.
const LOG: &str = "log";

/// A running Equipoise.
#[derive(Debug)]
pub(crate) struct Equipoise {
    /// Where it listens first.
    pub(crate) address: SocketAddr,
    /// Everywhere it listens, in the order of the configuration.
    pub(crate) addresses: Vec<SocketAddr>,
    _process: Process,
    directory: TempDir,
}

/// Where tests keep compiled plugins: each is compiled once, not by every test.
const PLUGIN_CACHE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/plugin-cache");

impl Equipoise {
    /// Starts with this cluster and logs errors only.
    pub(crate) fn start(cluster: &Cluster) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self::start_in(directory, &cluster.in_our_words(), "error")
    }

    /// Starts with this configuration in a directory that has the files it names, and logs what is of this level.
    ///
    /// There are two workers, for the order of requests must not depend on which of them gets a request.
    pub(crate) fn start_in(directory: TempDir, configuration: &str, level: &str) -> Self {
        let listen = "[[listen]]\naddress = \"127.0.0.1:0\"\n";
        Self::serve(directory, &format!("{listen}{configuration}"), level)
    }

    /// The same with listeners of the configuration's own.
    pub(crate) fn serve(directory: TempDir, configuration: &str, level: &str) -> Self {
        let file = directory.path().join("equipoise.toml");
        // Plugins are there with the first request.
        let top = "workers = 2\nstart = \"wait\"\n";
        fs::write(&file, format!("{top}{configuration}")).expect("writing a file");
        let log = fs::File::create(directory.path().join(LOG)).expect("creating a file");
        let mut child = Command::new(env!("CARGO_BIN_EXE_equipoise"))
            .arg("run")
            .arg(&file)
            .env("RUST_LOG", level)
            .env("CACHE_DIRECTORY", PLUGIN_CACHE)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("starting equipoise");
        let output = child.stdout.take().expect("it is piped");
        let process = Process(child);
        let listeners = configuration.matches("[[listen]]").count();
        let lines = BufReader::new(output).lines().take(listeners);
        let lines: Vec<String> = lines.map_while(Result::ok).collect();
        let addresses: Vec<SocketAddr> = lines
            .iter()
            .filter_map(|line| line.split_once("://")?.1.parse().ok())
            .collect();
        if addresses.len() < listeners {
            let log = fs::read_to_string(directory.path().join(LOG));
            panic!("equipoise refused {configuration}: {lines:?}{log:?}");
        }
        Self {
            address: addresses[0],
            addresses,
            _process: process,
            directory,
        }
    }

    /// Waits until the log has this.
    ///
    /// # Panics
    /// It does not in time.
    #[track_caller]
    pub(crate) fn await_log(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().contains(text) {
            assert!(Instant::now() < deadline, "no {text} in {}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Its directory.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// What it has logged up to now.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory().join(LOG)).expect("reading a file")
    }

    /// Waits for a line of its log in which something is found: lines are written in the background.
    #[track_caller]
    pub(crate) fn await_line<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            let log = self.log();
            if let Some(found) = log.lines().find_map(&find) {
                return found;
            }
            assert!(start.elapsed() < PATIENCE, "no line with {what}: {log}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}
