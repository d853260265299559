//! The real Apache, with a configuration, a directory and a process of its own.

use std::fs;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use equipoise_harness::process::STOPPING;
use equipoise_harness::{Process, installed, port};
use tempfile::TempDir;

use crate::cluster::Cluster;

const MODULES: [&str; 12] = [
    "mpm_event",
    "alias",
    "authz_core",
    "headers",
    "heartbeat",
    "proxy",
    "proxy_http",
    "proxy_balancer",
    "lbmethod_byrequests",
    "lbmethod_bytraffic",
    "lbmethod_bybusyness",
    "slotmem_shm",
];

/// Where Debian keeps the modules.
const MODULE_DIRECTORY: &str = "/usr/lib/apache2/modules";

/// A running Apache.
#[derive(Debug)]
pub(crate) struct Apache {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    _process: Process,
    _directory: TempDir,
}

impl Apache {
    /// Starts one process with many threads, so that there is one order of requests.
    pub(crate) fn start(cluster: &Cluster) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), 16, &cluster.in_apaches_words())
    }

    /// Starts at this address one process with so many threads, which does what these directives say.
    ///
    /// Apache cannot be told to take any free port: one is found first, and another when that was taken meanwhile.
    pub(crate) fn start_at(host: IpAddr, threads: usize, directives: &str) -> Self {
        let start = || Self::try_start(host, threads, directives);
        (0..5).find_map(|_| start().ok()).unwrap_or_else(|| {
            panic!("{}", start().expect_err("it did not start five times"));
        })
    }

    fn try_start(host: IpAddr, threads: usize, directives: &str) -> Result<Self, String> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let address = port::free_at(host);
        let general = configuration(directory.path(), address, threads);
        let file = directory.path().join("apache2.conf");
        fs::write(&file, general + directives).expect("writing a file");
        let log = fs::File::create(directory.path().join("log")).expect("creating a file");
        let mut command = Command::new(&*PROGRAM);
        command.args(["-X", "-f"]).arg(&file);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let started = Process::start_to_stop(&mut command, STOPPING);
        let mut process = started.expect("starting apache2");
        if !port::await_listening(&mut process, &[address]) {
            return Err(said(directory.path()));
        }
        Ok(Self {
            address,
            _process: process,
            _directory: directory,
        })
    }
}

fn said(directory: &Path) -> String {
    ["log", "error.log"]
        .map(|file| fs::read_to_string(directory.join(file)).unwrap_or_default())
        .concat()
}

fn configuration(directory: &Path, address: SocketAddr, threads: usize) -> String {
    let directory = directory.display();
    let modules: String = MODULES
        .iter()
        .map(|module| format!("LoadModule {module}_module {MODULE_DIRECTORY}/mod_{module}.so\n"))
        .collect();
    format!(
        "ServerRoot \"{directory}\"\nDefaultRuntimeDir \"{directory}\"\nPidFile apache2.pid\nErrorLog error.log\n\
         ServerName lb.test\nListen {address}\nUser www-data\nGroup www-data\n\
         {modules}\
         StartServers 1\nServerLimit 1\nThreadsPerChild {threads}\nMaxRequestWorkers {threads}\n"
    )
}

/// The program. Says once what these tests need, and panics with the same sentence where it is missing.
static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
    let need = format!(
        "these tests drive the real Apache httpd: they need the program apache2, in PATH or /usr/sbin, and its modules {} \
         in {MODULE_DIRECTORY} (Debian and Ubuntu: apt-get install apache2)",
        MODULES.join(", ")
    );
    // Straight to the terminal: print macros are captured until a test fails.
    #[expect(clippy::disallowed_methods, reason = "a test may wait")]
    let _ = writeln!(std::io::stderr(), "{need}");
    let has_modules = MODULES.iter().all(|module| {
        Path::new(MODULE_DIRECTORY)
            .join(format!("mod_{module}.so"))
            .is_file()
    });
    installed::find("apache2")
        .filter(|_| has_modules)
        .unwrap_or_else(|| panic!("{need}; not found here"))
});
