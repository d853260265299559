//! Equipoise: the built program, with a configuration file of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::cluster::Cluster;
use crate::process::Process;

/// The file that the log goes to.
const LOG: &str = "log";

/// A running Equipoise.
#[derive(Debug)]
pub(crate) struct Equipoise {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    _process: Process,
    directory: TempDir,
}

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
        let file = directory.path().join("equipoise.toml");
        let listen = "workers = 2\n[[listen]]\naddress = \"127.0.0.1:0\"\n";
        fs::write(&file, format!("{listen}{configuration}")).expect("writing a file");
        let log = fs::File::create(directory.path().join(LOG)).expect("creating a file");
        let mut child = Command::new(env!("CARGO_BIN_EXE_equipoise"))
            .arg("run")
            .arg(&file)
            .env("RUST_LOG", level)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("starting equipoise");
        let output = child.stdout.take().expect("it is piped");
        let process = Process(child);
        let mut line = String::new();
        BufReader::new(output)
            .read_line(&mut line)
            .expect("it says where it listens");
        let address = line
            .trim()
            .strip_prefix("listening on http://")
            .and_then(|address| address.parse().ok());
        Self {
            address: address.unwrap_or_else(|| {
                let log = fs::read_to_string(directory.path().join(LOG));
                panic!("equipoise refused {configuration}: {line}{log:?}")
            }),
            _process: process,
            directory,
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
}
