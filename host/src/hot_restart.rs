//! Hot restart: a new process takes over the sockets of the old one, so that a new binary serves without a refused connection.
//!
//! The old program starts the new one with all of its sockets, and a channel as standard input. It writes one line there:
//! what each socket is for. The new one binds what else it needs, loads its plugins, and answers [`READY`]. The old one says
//! [`ACTIVATE`], accepts no more and ends with its last connection; the new one accepts. In the moment between, the kernel keeps
//! new connections in the queues of the same sockets. If the new one does not get as far, the old one goes on.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use command_fds::{CommandFdExt as _, FdMapping};

use equipoise_proxy::downstream::{HandoverSocket, InheritedSockets};
use listenfd::ListenFd;
use socket2::Socket;

/// The variable that tells a new process that it takes over.
const VARIABLE: &str = "EQUIPOISE_TAKES_OVER";

/// The new process is ready to serve.
const READY: &[u8] = b"ready\n";

/// The new process serves from now on.
const ACTIVATE: &[u8] = b"go\n";

/// Where handed-over file descriptors begin, as systemd has it.
const FIRST: usize = 3;

/// How long the old program may take to say what it hands over, and to activate the new one.
const HANDOVER_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest line of socket labels, in bytes.
const MAX_LINE: u64 = 16 * 1024 * 1024;

/// What the process was started with.
#[derive(Debug, Default)]
pub struct Inheritance {
    /// Sockets, of systemd or of the old process.
    pub(crate) sockets: InheritedSockets,
    /// The process that has to hand over before they are used; none without a hot restart.
    pub(crate) old_process: Option<OldProcess>,
}

impl Inheritance {
    /// Takes what the process was started with. Only the first call finds it. There are no other threads yet: the environment
    /// is changed.
    ///
    /// # Errors
    /// Something else than sockets was handed over, or the old process does not say what they are for.
    pub fn take() -> Result<Self> {
        let mut descriptors = ListenFd::from_env();
        let sockets = (0..descriptors.len())
            .map(|number| socket(&mut descriptors, number))
            .collect::<Result<Vec<_>>>()?;
        let Some(mut old_process) = OldProcess::of_process()? else {
            let sockets = sockets
                .into_iter()
                .map(|socket| HandoverSocket::new(None, socket));
            return Ok(Self {
                sockets: InheritedSockets::new(sockets),
                old_process: None,
            });
        };
        let labels = old_process.labels()?;
        ensure!(
            labels.len() == sockets.len(),
            "{} sockets were handed over, with {} labels",
            sockets.len(),
            labels.len()
        );
        let sockets = labels.into_iter().zip(sockets);
        Ok(Self {
            sockets: InheritedSockets::new(
                sockets.map(|(label, socket)| HandoverSocket::new(label, socket)),
            ),
            old_process: Some(old_process),
        })
    }
}

/// The process that this one takes over from.
#[derive(Debug)]
pub(crate) struct OldProcess(UnixStream);

/// A process that is ready to take over from this one.
#[derive(Debug)]
pub(crate) struct NewProcess {
    channel: UnixStream,
    child: Child,
}

impl OldProcess {
    /// The process that started this one to take over; `None` without a hot restart.
    ///
    /// # Errors
    /// Standard input is no channel.
    pub(crate) fn of_process() -> Result<Option<Self>> {
        if env::var_os(VARIABLE).is_none() {
            return Ok(None);
        }
        let channel = io::stdin().as_fd().try_clone_to_owned()?;
        let channel = UnixStream::from(channel);
        channel
            .peer_addr()
            .and_then(|_| channel.set_read_timeout(Some(HANDOVER_TIMEOUT)))
            .with_context(|| format!("{VARIABLE} is set by hand"))?;
        Ok(Some(Self(channel)))
    }

    /// What each handed-over socket is for.
    pub(crate) fn labels(&mut self) -> Result<Vec<Option<String>>> {
        let mut line = String::new();
        // Nothing else is sent before `READY`, so nothing is read too far.
        let mut lines = BufReader::new((&self.0).take(MAX_LINE));
        let read = lines.read_line(&mut line);
        read.context("reading the socket labels of the old process")?;
        serde_json::from_str(&line).context("the old process sent malformed socket labels")
    }

    /// Says that this process is ready to serve, and waits until it is activated.
    ///
    /// # Errors
    /// The old process goes on, or has ended.
    pub(crate) fn take_over(mut self) -> Result<()> {
        let mut answer = [0; ACTIVATE.len()];
        let told = self.0.write_all(READY);
        told.and_then(|()| self.0.read_exact(&mut answer))
            .ok()
            .filter(|()| answer == ACTIVATE)
            .context("the old process does not hand over any more")
    }
}

impl NewProcess {
    /// Starts this program anew with these sockets, from its path as it is now, and waits until it could serve.
    ///
    /// # Errors
    /// It cannot be started, or did not get as far in this time: it is ended then.
    pub(crate) fn start(sockets: Vec<HandoverSocket>, timeout: Duration) -> Result<Self> {
        let mut command = Command::new(program()?);
        command.args(env::args_os().skip(1));
        Self::start_by(command, sockets, timeout)
    }

    fn start_by(
        mut command: Command,
        sockets: Vec<HandoverSocket>,
        timeout: Duration,
    ) -> Result<Self> {
        let (labels, sockets): (Vec<_>, Vec<_>) =
            sockets.into_iter().map(HandoverSocket::into_parts).unzip();
        let (mut channel, theirs) = UnixStream::pair()?;
        command
            .stdin(OwnedFd::from(theirs))
            .env(VARIABLE, "1")
            .env("LISTEN_FDS", sockets.len().to_string())
            // These name the process that they are for, which is another one.
            .env_remove("LISTEN_PID")
            .env_remove("LISTEN_FDNAMES")
            .env_remove("WATCHDOG_PID");
        let mappings = (FIRST..).zip(sockets).map(|(number, socket)| {
            Ok(FdMapping {
                parent_fd: socket.into(),
                child_fd: number.try_into()?,
            })
        });
        command.fd_mappings(mappings.collect::<Result<_>>()?)?;
        let mut child = command
            .spawn()
            .with_context(|| format!("starting {}", command.get_program().display()))?;
        // With it goes our side of what was handed over, so that the channel ends when the new program does.
        drop(command);
        match hand_over(&mut channel, &labels, timeout) {
            Ok(()) => Ok(Self { channel, child }),
            Err(error) => bail!("{}", end(&mut child, &error, timeout)),
        }
    }

    /// Its id.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Lets it serve.
    ///
    /// # Errors
    /// It has ended.
    pub(crate) fn activate(mut self) -> Result<()> {
        let told = self.channel.write_all(ACTIVATE);
        told.context("the new process has ended")
    }
}

/// Sends the socket labels, and waits until the new process is ready.
fn hand_over(
    channel: &mut UnixStream,
    labels: &[Option<String>],
    timeout: Duration,
) -> io::Result<()> {
    channel.set_write_timeout(Some(timeout))?;
    channel.set_read_timeout(Some(timeout))?;
    let mut line = serde_json::to_string(labels)?;
    line.push('\n');
    channel.write_all(line.as_bytes())?;
    let mut answer = [0; READY.len()];
    channel.read_exact(&mut answer)?;
    match answer == READY {
        true => Ok(()),
        false => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Ends a process that will not serve, and says why it does not.
fn end(child: &mut Child, error: &io::Error, timeout: Duration) -> String {
    if matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    ) {
        stop(child);
        return format!("it did not say within {timeout:?} that it serves");
    }
    // Its channel ends a moment before itself.
    for _ in 0..100 {
        match child.try_wait() {
            Ok(Some(status)) => return format!("it ended with {status}"),
            Ok(None) => thread::sleep(Duration::from_millis(10)),
            Err(_) => break,
        }
    }
    stop(child);
    format!("it did not say that it serves: {error}")
}

fn stop(child: &mut Child) {
    // An error means that it has ended already.
    let _ = child.kill();
    let _ = child.wait();
}

/// The path of this program, as it was called or, where nothing is there any more, as the system knows it.
fn program() -> Result<OsString> {
    let called = env::args_os().next().map(PathBuf::from);
    // A name without a folder is found by PATH, as it was before; a link leads to where it leads now.
    let called = called.filter(|path| path.components().count() == 1 || path.exists());
    if let Some(called) = called {
        return Ok(called.into());
    }
    let running = env::current_exe().context("looking where this program is")?;
    Ok(without_mark(running.as_os_str()))
}

/// A path as the kernel tells it, without the mark of a file that was replaced.
fn without_mark(path: &OsStr) -> OsString {
    let bytes = path.as_bytes();
    let bytes = bytes.strip_suffix(b" (deleted)").unwrap_or(bytes);
    OsString::from_vec(bytes.to_vec())
}

/// A socket of one of the kinds that we use.
fn socket(descriptors: &mut ListenFd, number: usize) -> Result<Socket> {
    let tcp = descriptors.take_tcp_listener(number);
    if let Ok(Some(listener)) = tcp {
        return Ok(listener.into());
    }
    if let Ok(Some(listener)) = descriptors.take_unix_listener(number) {
        let listener: UnixListener = listener;
        return Ok(listener.into());
    }
    let udp = descriptors.take_udp_socket(number);
    let udp = udp.with_context(|| {
        format!("socket {number} of LISTEN_FDS is neither TCP, UDP nor a Unix stream socket")
    })?;
    udp.map(Socket::from)
        .with_context(|| format!("socket {number} of LISTEN_FDS is gone"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_process_that_ends_is_reported_with_its_status() {
        let error =
            NewProcess::start_by(shell("exit 3"), Vec::new(), HANDOVER_TIMEOUT).unwrap_err();
        assert_eq!(error.to_string(), "it ended with exit status: 3");
    }

    #[test]
    fn a_process_that_says_nothing_is_ended_after_a_while() {
        let timeout = Duration::from_millis(50);
        let error = NewProcess::start_by(shell("exec sleep 600"), Vec::new(), timeout).unwrap_err();
        assert_eq!(
            error.to_string(),
            "it did not say within 50ms that it serves"
        );
    }

    #[test]
    fn a_process_that_is_ready_is_activated() {
        let script =
            "read labels; [ \"$labels\" = '[]' ] && echo ready >&0 && read go && [ $go = go ]";
        let new = NewProcess::start_by(shell(script), Vec::new(), HANDOVER_TIMEOUT).unwrap();
        let NewProcess { channel, mut child } = new;
        let channel = NewProcess {
            channel,
            child: Command::new("true").spawn().unwrap(),
        };
        channel.activate().unwrap();
        assert!(child.wait().unwrap().success());
    }

    #[test]
    fn a_file_that_was_replaced_is_found_by_its_path() {
        for (told, path) in [
            ("/usr/bin/equipoise (deleted)", "/usr/bin/equipoise"),
            ("/usr/bin/equipoise", "/usr/bin/equipoise"),
        ] {
            assert_eq!(without_mark(OsStr::new(told)), path);
        }
    }
}
