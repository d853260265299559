//! The built program, started with a configuration of its own and watched from outside.

use std::fmt::Write as _;
use std::fs;
use std::io::PipeReader;
use std::mem;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::thread;
use std::time::Duration;

use command_fds::{CommandFdExt as _, FdMapping};
use rustix::process::kill_process;
pub use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use super::{Client, Lines, Origin, Outlet, Process, Response, eventually, proc, program};

/// How long a start may take: it may wait for large plugins, which a compiler of a debug build compiles.
const START: Duration = Duration::from_secs(180);

/// What the program prints for each listener, before its URL.
const LISTENING: &str = "listening on ";

/// A running program. It is killed when this is dropped; a test fails if the program has panicked.
#[derive(Debug)]
pub struct Proxy {
    process: Process,
    addresses: Vec<SocketAddr>,
    /// What the program printed.
    pub stdout: Lines,
    /// What the program complained about.
    pub stderr: Lines,
    /// The ends of its standard output and standard error that are not read.
    stalled: [Option<PipeReader>; 2],
    directory: TempDir,
    /// The programs that took over from it, one after the other.
    successors: Vec<Pid>,
}

/// Why the system tells of it.
const RUNS: &str = "the program runs, on Linux";

/// What a program logs when another has taken over.
const SUCCEEDED: &str = "hot restart: the new process serves";

impl Proxy {
    /// Begins a configuration with one route for all requests to these members.
    pub fn before(members: &[&Origin]) -> Start {
        let mut start = Start::default();
        for member in members {
            start = start.member(member, "");
        }
        start
    }

    /// Takes a whole configuration.
    pub fn with(toml: &str) -> Start {
        Start {
            whole: Some(toml.to_owned()),
            ..Start::default()
        }
    }

    /// Starts the program in `directory` and waits until each listener is ready.
    #[track_caller]
    pub fn run(command: Command, listeners: usize, directory: TempDir) -> Self {
        let mut proxy = Self::spawn(command, directory, [Outlet::Read; 2]);
        proxy.addresses = proxy.stdout.within(START, "as many listeners", |lines| {
            let ready = |line: &String| {
                let (_, url) = line.split_once(LISTENING)?;
                url.split_once("://")?.1.trim().parse().ok()
            };
            let addresses: Vec<_> = lines.iter().filter_map(ready).collect();
            (addresses.len() >= listeners).then_some(addresses)
        });
        proxy
    }

    /// Starts the program in `directory` with these as its standard output and standard error.
    fn spawn(mut command: Command, directory: TempDir, outlets: [Outlet; 2]) -> Self {
        let [stdout, stderr] = outlets.map(Outlet::open);
        command.stdout(stdout.theirs).stderr(stderr.theirs);
        let process = Process::start(&mut command).expect("the program starts");
        // With it go our copies of what the program was given, so that it alone keeps them open.
        drop(command);
        Self {
            stdout: stdout.read.map_or_else(Lines::default, Lines::of),
            stderr: stderr.read.map_or_else(Lines::default, Lines::of),
            stalled: [stdout.stalled, stderr.stalled],
            addresses: Vec::new(),
            process,
            directory,
            successors: Vec::new(),
        }
    }

    /// Reads what has not been read so far of standard output and standard error.
    pub fn read_stalled(&mut self) {
        let [stdout, stderr] = [0, 1].map(|place| self.stalled[place].take().map(Lines::of));
        self.stdout = stdout.unwrap_or_else(|| self.stdout.clone());
        self.stderr = stderr.unwrap_or_else(|| self.stderr.clone());
    }

    /// The address of the first listener.
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// The addresses of all listeners.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The program's directory.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A path in the program's directory, where its configuration is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A new connection.
    #[track_caller]
    pub fn client(&self) -> Client {
        Client::connect(self.address())
    }

    /// The response to a `GET` on a new connection.
    #[track_caller]
    pub fn get(&self, target: &str) -> Response {
        self.client().get(target)
    }

    /// The response to a request without body on a new connection.
    #[track_caller]
    pub fn exchange(&self, line: &str, fields: &[&str]) -> Response {
        self.client().exchange(line, fields)
    }

    /// Which members, by the names they answer with, serve as many requests, each on a new connection. A response that is
    /// not 200 counts by its status.
    #[track_caller]
    pub fn served(&self, count: usize) -> Vec<String> {
        self.served_to(count, "GET /", &[])
    }

    /// As [`served`](Self::served), for this request.
    #[track_caller]
    pub fn served_to(&self, count: usize, line: &str, fields: &[&str]) -> Vec<String> {
        (0..count)
            .map(|_| server(&self.exchange(line, fields)))
            .collect()
    }

    /// The most memory the program ever had, in bytes.
    pub fn peak_memory(&self) -> u64 {
        proc::peak_memory(self.process.id()).expect(RUNS)
    }

    /// The memory the program has, in bytes.
    pub fn memory(&self) -> u64 {
        proc::memory(self.process.id()).expect(RUNS)
    }

    /// How many regions of memory are mapped.
    pub fn mappings(&self) -> usize {
        proc::mappings(self.process.id()).expect(RUNS)
    }

    /// How much processor time the program has used.
    pub fn processor_time(&self) -> Duration {
        proc::processor_time(self.process.id()).expect(RUNS)
    }

    /// The processes that compile plugins for the program.
    pub fn compilers(&self) -> Vec<Pid> {
        compilers_of(self.process())
    }

    /// Sends a signal to the program, or to the last one that took over from it.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.process(), signal).expect("the program runs");
    }

    /// The process of the program, or of the last one that took over from it.
    pub fn process(&self) -> Pid {
        let last = self.successors.last().copied();
        last.unwrap_or_else(|| self.process.id())
    }

    /// Has the program started anew, and waits until the new one has taken over.
    #[track_caller]
    pub fn restart(&mut self) {
        self.signal(Signal::USR2);
        let number = self.successors.len();
        let process = self.stderr.when(SUCCEEDED, |lines| {
            let mut told = lines.iter().filter(|line| line.contains(SUCCEEDED));
            let line = told.nth(number)?;
            line.rsplit("process=").next()?.trim().parse().ok()
        });
        self.successors
            .push(Pid::from_raw(process).expect("a process"));
    }

    /// Waits until a process ends that need not be a child.
    #[track_caller]
    pub fn wait_for(process: Pid) {
        eventually("a process ends", || proc::has_ended(process).then_some(()));
    }

    /// Waits until the program ends by itself.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        eventually("the program ends", || self.process.ended())
    }

    /// Whether the program runs.
    pub fn is_running(&mut self) -> bool {
        !self.process.has_ended()
    }
}

impl Drop for Proxy {
    #[expect(clippy::print_stderr, reason = "shown with the test that fails")]
    fn drop(&mut self) {
        // They may have ended already.
        for successor in &self.successors {
            let _ = kill_process(*successor, Signal::KILL);
        }
        self.process.end();
        let complaints = self.stderr.whole();
        if thread::panicking() {
            eprintln!("the program said:\n{}{complaints}", self.stdout.whole());
        } else {
            assert!(
                !complaints.contains("panicked at"),
                "the program panicked:\n{complaints}"
            );
        }
    }
}

/// The processes that compile plugins for a program.
pub fn compilers_of(program: Pid) -> Vec<Pid> {
    let is_compiler = |process: &Pid| {
        let line = proc::file(*process, "cmdline");
        line.is_some_and(|line| line.contains("compile-component"))
    };
    let mut children = proc::children(program);
    children.retain(is_compiler);
    children
}

/// Sends a signal to a process.
pub fn send(process: Pid, signal: Signal) {
    kill_process(process, signal).expect("the process is there");
}

/// Which member served, by the name it answered with; the status where that is not 200.
pub fn server(response: &Response) -> String {
    match response.status() {
        200 => response.text(),
        status => status.to_string(),
    }
}

/// What is done to the folder of the configuration before the program starts.
type Preparation = Box<dyn FnOnce(&Path)>;

/// Where a listener is that may have any free port.
const ANY_PORT: &str = "127.0.0.1:0";

/// A configuration being written.
#[derive(Default)]
pub struct Start {
    whole: Option<String>,
    top: String,
    limits: String,
    listen: String,
    route: String,
    routes: Option<String>,
    balancer: String,
    members: String,
    plugins: String,
    environment: Vec<(String, String)>,
    preparations: Vec<Preparation>,
}

impl Start {
    /// Adds a member with more keys than its URL.
    pub fn member(self, member: &Origin, keys: &str) -> Self {
        self.member_at(&member.url(), keys)
    }

    /// Adds a member with this URL and more keys.
    pub fn member_at(mut self, url: &str, keys: &str) -> Self {
        let _ = writeln!(
            self.members,
            "[[balancer.cluster.member]]\nurl = \"{url}\"\n{keys}"
        );
        self
    }

    /// Adds keys at the top.
    pub fn top(mut self, keys: &str) -> Self {
        self.top += &format!("{keys}\n");
        self
    }

    /// Adds keys to `[limits]`.
    pub fn limits(mut self, keys: &str) -> Self {
        self.limits += &format!("{keys}\n");
        self
    }

    /// Adds keys to `[[listen]]`.
    pub fn listen(mut self, keys: &str) -> Self {
        self.listen += &format!("{keys}\n");
        self
    }

    /// Adds keys to the balancer.
    pub fn balancer(mut self, keys: &str) -> Self {
        self.balancer += &format!("{keys}\n");
        self
    }

    /// Adds keys to the route.
    pub fn route(mut self, keys: &str) -> Self {
        self.route += &format!("{keys}\n");
        self
    }

    /// Has these routes instead of the one for all requests. The balancer is called `cluster`.
    pub fn routes(mut self, routes: &str) -> Self {
        self.routes = Some(routes.to_owned());
        self
    }

    /// Adds a plugin with more keys. It is in the file `NAME.wasm` beside the configuration, which is not written yet.
    ///
    /// In a build for debugging a call takes many times what it should, so all of a processor is its budget unless the keys say
    /// another.
    pub fn plugin(mut self, name: &str, keys: &str) -> Self {
        let budget = match keys.contains("cpu-budget") {
            true => "",
            false => "cpu-budget = \"100%\"\n",
        };
        self.plugins += &format!("[plugin.{name}]\nfile = \"{name}.wasm\"\n{budget}{keys}\n");
        self
    }

    /// Sets a variable of the program's environment.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Puts a file beside the configuration before the program starts.
    pub fn file(self, name: &str, content: impl Into<Vec<u8>>) -> Self {
        let (name, content) = (name.to_owned(), content.into());
        self.preparing(move |directory| {
            fs::write(directory.join(name), content).expect("a file can be written");
        })
    }

    /// Does something to the folder of the configuration before the program starts.
    pub fn preparing(mut self, preparation: impl FnOnce(&Path) + 'static) -> Self {
        self.preparations.push(Box::new(preparation));
        self
    }

    fn toml(&self) -> String {
        let Self {
            top,
            limits,
            listen,
            route,
            balancer,
            members,
            plugins,
            ..
        } = self;
        // Most tests are about plugins that are there.
        let start = match plugins.is_empty() || top.contains("start =") {
            true => "",
            false => "start = \"wait\"\n",
        };
        if let Some(whole) = &self.whole {
            return format!("{start}{whole}\n{plugins}");
        }
        let default = format!("[[route]]\npath = \"/\"\nbalancer = \"cluster\"\n{route}");
        let routes = self.routes.as_ref().unwrap_or(&default);
        format!(
            "{start}{top}\n[limits]\n{limits}\n[[listen]]\naddress = \"127.0.0.1:0\"\n{listen}\n{routes}\n\
             [balancer.cluster]\n{balancer}\n{members}\n{plugins}"
        )
    }

    /// Writes the configuration and starts the program with it.
    #[track_caller]
    pub fn start(self) -> Proxy {
        self.start_by(program(&["run"]))
    }

    /// As [`start`](Self::start), with no more than so many file descriptors.
    #[track_caller]
    pub fn start_with_descriptors(self, count: usize) -> Proxy {
        let mut shell = Command::new("sh");
        let line = format!("ulimit -n {count} && exec \"$0\" run \"$1\"");
        shell.args(["-c", &line]).arg(program(&[]).get_program());
        self.start_by(shell)
    }

    #[track_caller]
    fn start_by(mut self, mut command: Command) -> Proxy {
        let toml = self.toml();
        command.envs(mem::take(&mut self.environment));
        let directory = self.write(&toml);
        command.arg(directory.path().join(CONFIG));
        Proxy::run(command, toml.matches("[[listen]]").count(), directory)
    }

    /// As [`start`](Self::start), with these as standard output and standard error. What the program prints may never be read,
    /// so it is given a socket to listen on; clients wait until it does.
    pub fn start_writing_to(mut self, outlets: [Outlet; 2]) -> Proxy {
        let listener = TcpListener::bind(ANY_PORT).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let toml = self.toml().replacen(ANY_PORT, &address.to_string(), 1);
        let environment = mem::take(&mut self.environment);
        let directory = self.write(&toml);
        let mut command = program(&["run"]);
        command.arg(directory.path().join(CONFIG));
        let mapping = FdMapping {
            parent_fd: listener.into(),
            child_fd: 3,
        };
        let mapped = command.fd_mappings(vec![mapping]);
        let command_with_socket = mapped.expect("one number").env("LISTEN_FDS", "1");
        command_with_socket.envs(environment);
        let mut proxy = Proxy::spawn(command, directory, outlets);
        proxy.addresses = vec![address];
        proxy
    }

    /// Writes the configuration and all that is beside it.
    fn write(self, toml: &str) -> TempDir {
        let directory = TempDir::new().expect("a directory");
        for prepare in self.preparations {
            prepare(directory.path());
        }
        write_config(directory.path(), toml);
        directory
    }
}

/// The name of the configuration file.
const CONFIG: &str = "equipoise.toml";

/// Writes a configuration file.
pub fn write_config(directory: &Path, toml: &str) -> PathBuf {
    let path = directory.join(CONFIG);
    fs::write(&path, toml).expect("a file can be written");
    path
}
