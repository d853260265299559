//! From the text of a file to a [`Config`], or to every mistake in it.

use std::io;
use std::num::NonZeroUsize;
use std::path::Path;
use std::thread::available_parallelism;
use std::time::Duration;

use toml::de::DeTable;

use super::access_log::read_access_log;
use super::admin::read_admin;
use super::balancer::read_balancers;
use super::collector::Collector;
use super::compiler::read_compiler;
use super::explain::read_explain;
use super::heartbeat::read_heartbeat;
use super::limits::read_limits;
use super::listener::read_listeners;
use super::manager::read_manager;
use super::plugin::read_plugins;
use super::resolver::read_resolver;
use super::route::read_routes;
use super::table::Table;
use super::toml_recovery::recover;
use super::traces::read_traces;
use super::value::{choice, duration, integer_in};
use super::{Config, Diagnostics, Start};
use equipoise_file_watch::{self as file_watch, Unreadable};

pub(super) const KEYS: &[&str] = &[
    "workers",
    "shutdown-timeout",
    "start",
    "access-log",
    "limits",
    "listen",
    "heartbeat",
    "admin",
    "manager",
    "resolver",
    "explain",
    "traces",
    "route",
    "balancer",
    "hctemplate",
    "plugin",
    "compiler",
];

const STARTS: &[(&str, Start)] = &[("at-once", Start::AtOnce), ("wait", Start::Wait)];

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 16 * 1024 * 1024;

impl Config {
    /// Reads a configuration file of up to 16 MiB.
    ///
    /// # Errors
    /// Every mistake in the file, or why it could not be read.
    pub fn read(path: &Path) -> Result<Self, Diagnostics> {
        Self::parse(&Self::read_text(path)?, path)
    }

    /// The text of a configuration file of up to 16 MiB.
    ///
    /// # Errors
    /// Why it could not be read.
    pub fn read_text(path: &Path) -> Result<String, Diagnostics> {
        let bytes = read_bytes(path).map_err(|error| Diagnostics::unreadable(path, error))?;
        Self::text_of(bytes, path)
    }

    /// The content of the configuration file at `path` as text.
    ///
    /// # Errors
    /// It is too large, or not UTF-8: where.
    pub fn text_of(bytes: Vec<u8>, path: &Path) -> Result<String, Diagnostics> {
        if bytes.len() as u64 > MAX_FILE {
            return Err(Diagnostics::unreadable(path, too_large()));
        }
        String::from_utf8(bytes).map_err(|error| not_utf8(path, &error))
    }

    /// Reads the text of the configuration file at `path`, which need not exist: mistakes name it, and the files that
    /// it names are relative to its folder.
    ///
    /// # Errors
    /// Every mistake in the text.
    pub fn parse(text: &str, path: &Path) -> Result<Self, Diagnostics> {
        Self::parse_with(text, path, |_| ()).map(|(config, ())| config)
    }

    /// The same, and what is made of the document, which is right then.
    ///
    /// # Errors
    /// Every mistake in the text.
    pub(super) fn parse_with<T>(
        text: &str,
        path: &Path,
        make: impl FnOnce(&DeTable<'_>) -> T,
    ) -> Result<(Self, T), Diagnostics> {
        let mut report = Collector::new(text);
        let (document, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            let config = read_document(document.get_ref(), &report, path);
            if report.is_empty() {
                return Ok((config, make(document.get_ref())));
            }
        } else if let Some(sound) = recover(text, &mut report) {
            let (document, _) = DeTable::parse_recoverable(&sound);
            read_document(document.get_ref(), &report, path);
        }
        Err(report.into_mistakes(path))
    }
}

fn read_document(document: &DeTable<'_>, report: &Collector<'_>, path: &Path) -> Config {
    let file = Table::file(document, report).holding(KEYS);
    read_config(&file, path)
}

fn read_config(file: &Table<'_>, path: &Path) -> Config {
    let plugins = read_plugins(file, path);
    let balancers = read_balancers(file, &plugins, path);
    let workers = file
        .read("workers", integer_in(1..=1024))
        .and_then(NonZeroUsize::new);
    let admin = read_admin(file, path);
    let listeners = read_listeners(file, path);
    let shutdown_timeout = file.read("shutdown-timeout", duration(Duration::ZERO));
    Config {
        workers: workers.unwrap_or_else(cores),
        start: file.read("start", choice(STARTS)).unwrap_or_default(),
        compiler: read_compiler(file, path),
        shutdown_timeout: shutdown_timeout.unwrap_or(Duration::from_secs(30)),
        access_log: read_access_log(file, path),
        limits: read_limits(file),
        heartbeat: read_heartbeat(file),
        manager: read_manager(file, admin.as_ref()),
        resolver: read_resolver(file),
        admin,
        explain: read_explain(file),
        traces: read_traces(file),
        routes: read_routes(file, &listeners, &balancers, path),
        listeners,
        plugins,
        balancers,
    }
}

/// The cores the process may use.
fn cores() -> NonZeroUsize {
    available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    match file_watch::read(path, MAX_FILE) {
        Ok(content) => Ok(content.bytes),
        Err(Unreadable::TooLarge { .. }) => Err(too_large()),
        Err(reason) => Err(reason.into()),
    }
}

fn too_large() -> io::Error {
    io::Error::other("it is larger than 16 MiB")
}

fn not_utf8(path: &Path, error: &std::string::FromUtf8Error) -> Diagnostics {
    let good = error.utf8_error().valid_up_to();
    let text = String::from_utf8_lossy(&error.as_bytes()[..good]);
    let mut report = Collector::new(&text);
    report.unreadable_from(good, "the file must be UTF-8; what stands here is not");
    report.into_mistakes(path)
}
