//! Equipoise: the built program, with a configuration file of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::cluster::Cluster;
use crate::process::Process;

/// A running Equipoise.
#[derive(Debug)]
pub(crate) struct Equipoise {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    _process: Process,
    _directory: TempDir,
}

impl Equipoise {
    /// Starts two workers, for the order of requests must not depend on which of them gets a request.
    pub(crate) fn start(cluster: &Cluster) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("equipoise.toml");
        let listen = "workers = 2\n[[listen]]\naddress = \"127.0.0.1:0\"\n";
        fs::write(&file, format!("{listen}{}", cluster.in_our_words())).expect("writing a file");
        let mut child = Command::new(env!("CARGO_BIN_EXE_equipoise"))
            .arg("run")
            .arg(&file)
            .env("RUST_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
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
            address: address
                .unwrap_or_else(|| panic!("equipoise refused {}: {line}", cluster.in_our_words())),
            _process: process,
            _directory: directory,
        }
    }
}
