//! Equipoise: the built program, with a configuration file of its own.

use std::net::SocketAddr;
use std::path::Path;

use equipoise_harness::proxy::write_config;
use equipoise_harness::{Proxy, program};
use tempfile::TempDir;

use crate::cluster::Cluster;

/// A running Equipoise.
#[derive(Debug)]
pub(crate) struct Equipoise {
    /// Where it listens first.
    pub(crate) address: SocketAddr,
    /// Everywhere it listens, in the order of the configuration.
    pub(crate) addresses: Vec<SocketAddr>,
    proxy: Proxy,
}

impl Equipoise {
    /// Starts with this cluster and logs errors only.
    #[track_caller]
    pub(crate) fn start(cluster: &Cluster) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self::start_in(directory, &cluster.in_our_words(), "error")
    }

    /// Starts with this configuration in a directory that has the files it names, and logs what is of this level.
    ///
    /// There are two workers, for the order of requests must not depend on which of them gets a request.
    #[track_caller]
    pub(crate) fn start_in(directory: TempDir, configuration: &str, level: &str) -> Self {
        let listen = "[[listen]]\naddress = \"127.0.0.1:0\"\n";
        Self::serve(directory, &format!("{listen}{configuration}"), level)
    }

    /// The same with listeners of the configuration's own.
    #[track_caller]
    pub(crate) fn serve(directory: TempDir, configuration: &str, level: &str) -> Self {
        // Plugins are there with the first request.
        let top = "workers = 2\nstart = \"wait\"\n";
        let file = write_config(directory.path(), &format!("{top}{configuration}"));
        let mut command = program(&["run"]);
        command.arg(file).env("RUST_LOG", level);
        let listeners = configuration.matches("[[listen]]").count();
        let proxy = Proxy::run(command, listeners, directory);
        Self {
            address: proxy.address(),
            addresses: proxy.addresses().to_vec(),
            proxy,
        }
    }

    /// Waits until the log has this.
    #[track_caller]
    pub(crate) fn await_log(&self, text: &str) {
        self.proxy.stderr.line_with(text);
    }

    /// Its directory.
    pub(crate) fn directory(&self) -> &Path {
        self.proxy.directory()
    }

    /// What it has logged up to now.
    pub(crate) fn log(&self) -> String {
        self.proxy.stderr.text()
    }

    /// Waits for a line of its log in which something is found: lines are written in the background.
    #[track_caller]
    pub(crate) fn await_line<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let first = |lines: &[String]| lines.iter().find_map(|line| find(line));
        self.proxy.stderr.when(what, first)
    }
}
