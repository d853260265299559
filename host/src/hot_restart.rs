//! Taking over from a running program, and handing over to one: new binaries come to serve without a refused connection.
//!
//! The old program starts the new one with all of its sockets, and a channel as standard input. It writes one line there:
//! what each socket is for. The new one binds what else it needs, loads its plugins, and answers [`READY`]. The old one says
//! [`GO`], accepts no more and ends with its last connection; the new one accepts. Nobody listens for a moment between the
//! two, but the kernel, which keeps what comes in the queues of the same sockets. If the new one does not get as far, the old
//! one goes on.

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

use equipoise_proxy::downstream::{Gift, Inherited};
use listenfd::ListenFd;
use socket2::Socket;

/// Says to a new program that it takes over.
const VARIABLE: &str = "EQUIPOISE_TAKES_OVER";

/// The new program could serve now.
const READY: &[u8] = b"ready\n";

/// The new program serves from now on.
const GO: &[u8] = b"go\n";

/// Where handed-over file descriptors begin, as systemd has it.
const FIRST: usize = 3;

/// How long the old program may take to say what it hands over, and to let the new one go on.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest line that tells what is handed over, in bytes.
const LONGEST: u64 = 16 * 1024 * 1024;

/// What the process was started with.
#[derive(Debug, Default)]
pub struct Inheritance {
    /// Sockets, of systemd or of the program before.
    pub(crate) sockets: Inherited,
    /// Who has to be told before they are used.
    pub(crate) predecessor: Option<Predecessor>,
}

impl Inheritance {
    /// Takes what the process was started with. Only the first call finds it. There are no other threads yet: the environment
    /// is changed.
    ///
    /// # Errors
    /// Something else than sockets was handed over, or the program before ours does not say what they are for.
    pub fn take() -> Result<Self> {
        let mut descriptors = ListenFd::from_env();
        let sockets = (0..descriptors.len())
            .map(|number| socket(&mut descriptors, number))
            .collect::<Result<Vec<_>>>()?;
        let Some(mut predecessor) = Predecessor::of_process()? else {
            let gifts = sockets.into_iter().map(|socket| Gift::new(None, socket));
            return Ok(Self {
                sockets: Inherited::new(gifts),
                predecessor: None,
            });
        };
        let claims = predecessor.claims()?;
        ensure!(
            claims.len() == sockets.len(),
            "{} sockets were handed over, and {} told of",
            sockets.len(),
            claims.len()
        );
        let gifts = claims.into_iter().zip(sockets);
        Ok(Self {
            sockets: Inherited::new(gifts.map(|(claim, socket)| Gift::new(claim, socket))),
            predecessor: Some(predecessor),
        })
    }
}

/// The program that this one takes over from.
#[derive(Debug)]
pub(crate) struct Predecessor(UnixStream);

/// A program that is to take over from this one, and is ready to.
#[derive(Debug)]
pub(crate) struct Successor {
    channel: UnixStream,
    child: Child,
}

impl Predecessor {
    /// The program that started this one to take over; `None` where it was started by others.
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
            .and_then(|_| channel.set_read_timeout(Some(PATIENCE)))
            .with_context(|| format!("{VARIABLE} is set by hand"))?;
        Ok(Some(Self(channel)))
    }

    /// What each socket is for that was handed over.
    pub(crate) fn claims(&mut self) -> Result<Vec<Option<String>>> {
        let mut line = String::new();
        // Nothing else is sent until we answer, so nothing is read too far.
        let mut lines = BufReader::new((&self.0).take(LONGEST));
        let read = lines.read_line(&mut line);
        read.context("hearing from the program before this one what it hands over")?;
        serde_json::from_str(&line).context("the program before this one speaks otherwise")
    }

    /// Says that this program could serve, and waits until it may.
    ///
    /// # Errors
    /// The other goes on, or has gone.
    pub(crate) fn relieve(mut self) -> Result<()> {
        let mut answer = [0; GO.len()];
        let told = self.0.write_all(READY);
        told.and_then(|()| self.0.read_exact(&mut answer))
            .ok()
            .filter(|()| answer == GO)
            .context("the program before this one does not hand over any more")
    }
}

impl Successor {
    /// Starts this program anew with these sockets, from its path as it is now, and waits until it could serve.
    ///
    /// # Errors
    /// It cannot be started, or did not get as far in this time: it is ended then.
    pub(crate) fn start(gifts: Vec<Gift>, patience: Duration) -> Result<Self> {
        let mut command = Command::new(program()?);
        command.args(env::args_os().skip(1));
        Self::start_by(command, gifts, patience)
    }

    fn start_by(mut command: Command, gifts: Vec<Gift>, patience: Duration) -> Result<Self> {
        let (claims, sockets): (Vec<_>, Vec<_>) = gifts.into_iter().map(Gift::into_parts).unzip();
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
        match introduce(&mut channel, &claims, patience) {
            Ok(()) => Ok(Self { channel, child }),
            Err(error) => bail!("{}", end(&mut child, &error, patience)),
        }
    }

    /// Its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Lets it serve.
    ///
    /// # Errors
    /// It has gone.
    pub(crate) fn go(mut self) -> Result<()> {
        let told = self.channel.write_all(GO);
        told.context("the new program has gone")
    }
}

/// Tells what is handed over, and waits for the answer.
fn introduce(
    channel: &mut UnixStream,
    claims: &[Option<String>],
    patience: Duration,
) -> io::Result<()> {
    channel.set_write_timeout(Some(patience))?;
    channel.set_read_timeout(Some(patience))?;
    let mut line = serde_json::to_string(claims)?;
    line.push('\n');
    channel.write_all(line.as_bytes())?;
    let mut answer = [0; READY.len()];
    channel.read_exact(&mut answer)?;
    match answer == READY {
        true => Ok(()),
        false => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Ends a program that will not serve, and says why it does not.
fn end(child: &mut Child, error: &io::Error, patience: Duration) -> String {
    if matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    ) {
        stop(child);
        return format!("it did not say within {patience:?} that it serves");
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
    fn a_program_that_ends_is_told_with_its_status() {
        let error = Successor::start_by(shell("exit 3"), Vec::new(), PATIENCE).unwrap_err();
        assert_eq!(error.to_string(), "it ended with exit status: 3");
    }

    #[test]
    fn a_program_that_says_nothing_is_ended_after_a_while() {
        let patience = Duration::from_millis(50);
        let error = Successor::start_by(shell("exec sleep 600"), Vec::new(), patience).unwrap_err();
        assert_eq!(
            error.to_string(),
            "it did not say within 50ms that it serves"
        );
    }

    #[test]
    fn a_program_that_answers_may_go() {
        let script =
            "read claims; [ \"$claims\" = '[]' ] && echo ready >&0 && read go && [ $go = go ]";
        let successor = Successor::start_by(shell(script), Vec::new(), PATIENCE).unwrap();
        let Successor { channel, mut child } = successor;
        let channel = Successor {
            channel,
            child: Command::new("true").spawn().unwrap(),
        };
        channel.go().unwrap();
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
