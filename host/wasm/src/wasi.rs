//! WASI for plugins: clocks, random numbers and a log, and nothing else.
//!
//! Compilers link parts of WASI 0.2 into nearly every component, and language runtimes call it: `println!` writes to a
//! stream, a hash map asks for a seed. So it is there, but there is nothing behind it: no files, no environment, no
//! arguments, an empty input. What is printed goes to the log. The time is the host's, the same that the plugin contract
//! offers. `wasi:sockets` and `wasi:http` are missing, so that a plugin which wants them is refused when it is linked, by
//! the name of what it imports.
//!
//! # Random numbers
//!
//! | Interface              | Source               | Why                                                                |
//! |------------------------|----------------------|--------------------------------------------------------------------|
//! | `random/random`        | the operating system | WASI promises numbers fit for keys, that cannot be guessed |
//! | `random/insecure-seed` | the operating system | seeds of hash maps, which clients must not guess to fill one bucket |
//! | `random/insecure`      | the contract's `random` | WASI promises nothing; no system call, and a decision that goes by it replays |
//!
//! The operating system never blocks: [`prepare`] has drawn from it once, and a source that has returned once does not block
//! again. Should it fail nevertheless, the call traps, as any fault of a plugin: a number that can be guessed would be worse.
//!
//! # Nothing waits
//!
//! Plugins are called on threads that serve requests, within a runtime. `wasmtime_wasi` would run its synchronous
//! functions by `Handle::block_on`, which panics there. They are these, and this is what takes their place:
//!
//! | Interface          | What blocks on a runtime in `wasmtime_wasi`          | Here                                 |
//! |--------------------|------------------------------------------------------|--------------------------------------|
//! | `io/poll`          | `poll`, `pollable.block`, `pollable.ready`           | asked once; a trap if it had to wait |
//! | `io/streams`       | `output-stream.blocking-write-and-flush`,            | as without `blocking-`, because      |
//! |                    | `blocking-write-zeroes-and-flush`, `blocking-flush`, | every stream is ready at any time    |
//! |                    | `blocking-splice`, `input-stream.blocking-read`,     |                                      |
//! |                    | `blocking-skip`                                      |                                      |
//! |                    | dropping an `output-stream` or `input-stream`        | removed from the table               |
//! | `clocks/*`         | nothing, but its alarms want a runtime's timer       | alarms on the host's clock           |
//! | `filesystem/types` | every method of `descriptor` except                  | never reached: see below             |
//! |                    | `read-via-stream`, `write-via-stream`,               |                                      |
//! |                    | `append-via-stream` and dropping it;                 |                                      |
//! |                    | `directory-entry-stream.read-directory-entry`        |                                      |
//! | `sockets/*`        | binding, listening, creating and streaming           | not linked                           |
//!
//! All of `io`, `clocks`, `random` and `cli` is therefore implemented here, for [`Wasi`], and none of it is taken from
//! the library: a function that a later version adds does not compile until it is considered. Only `filesystem/types`
//! is the library's. Its blocking functions take a `descriptor` or a `directory-entry-stream`; both come from a
//! descriptor alone, and the only source of a first descriptor is `preopens.get-directories`, which returns none. A
//! component cannot make up a handle: the runtime refuses every number that was not handed to it, before any function
//! of the host is called.

use std::future::{Future, pending};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use wasmtime::component::{HasSelf, Linker, Resource, ResourceTable};
use wasmtime::{Result, bail};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemCtx, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::cli::{
    environment, exit, stderr, stdin, stdout, terminal_input, terminal_output, terminal_stderr,
    terminal_stdin, terminal_stdout,
};
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::filesystem::preopens;
use wasmtime_wasi::p2::bindings::io::{error, poll as waiting};
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};
use wasmtime_wasi::p2::bindings::sync::filesystem::types;
use wasmtime_wasi::p2::bindings::sync::io::{poll, streams};
use wasmtime_wasi::p2::pipe::ClosedInputStream;
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, DynPollable, OutputStream, Pollable, StreamError,
    StreamResult, subscribe,
};

use super::plugin_log::{LineBuffer, PluginLogger, Stream};

/// Handles an instance may hold at a time. Those of a runtime are a handful.
const MAX_HANDLES: usize = 1024;

/// Bytes an instance may print by one call, so that no call is long.
const MAX_WRITE: usize = 4096;

/// Random bytes an instance may ask for by one call, which the operating system makes in less than a millisecond.
const MAX_RANDOM_BYTES: u64 = 64 * 1024;

/// Clocks and random numbers of the host.
pub(super) trait Services: Send + Sync {
    /// The time on a clock that never goes back, from an origin of the host's choice.
    fn now(&self) -> Duration;

    /// The time since 1970-01-01 00:00 UTC.
    fn unix(&self) -> Duration;

    /// A uniformly distributed number, for whatever may be guessed.
    fn random(&self) -> u32;
}

/// What a store holds for its instance must have a [`Wasi`] in it.
pub(super) trait HasWasi: Send + 'static {
    /// The instance's operating system.
    fn wasi(&mut self) -> &mut Wasi;
}

/// The operating system of one instance.
pub(super) struct Wasi {
    table: ResourceTable,
    services: Arc<dyn Services>,
    line_buffer: Arc<LineBuffer>,
    /// Without a directory in it.
    files: WasiFilesystemCtx,
}

impl Wasi {
    /// For a new instance: its output goes to the logger, and clocks and random numbers are those of the services.
    pub(super) fn new(logger: Arc<PluginLogger>, services: Arc<dyn Services>) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        Self {
            table,
            services,
            line_buffer: Arc::new(LineBuffer::new(logger)),
            files: WasiFilesystemCtx::default(),
        }
    }

    /// The time on the host's clock in nanoseconds.
    fn clock(&self) -> u64 {
        nanoseconds(self.services.now())
    }

    fn print_to(&mut self, stream: Stream) -> Result<Resource<DynOutputStream>> {
        let line_buffer = self.line_buffer.clone();
        let output: DynOutputStream = Box::new(Output {
            line_buffer,
            stream,
        });
        Ok(self.table.push(output)?)
    }
}

/// Draws from the operating system's source of random numbers, which may have to wait while the machine starts, and
/// never after its first result.
///
/// # Errors
/// There is no such source.
pub(super) fn prepare() -> Result<(), getrandom::Error> {
    getrandom::u32().map(drop)
}

/// Links everything of WASI that a plugin may import.
///
/// # Errors
/// One of the names is linked already.
pub(super) fn add_to_linker<T: HasWasi>(linker: &mut Linker<T>) -> Result<()> {
    error::add_to_linker::<T, HasSelf<ResourceTable>>(linker, |state| &mut state.wasi().table)?;
    poll::add_to_linker::<T, HasSelf<Wasi>>(linker, T::wasi)?;
    streams::add_to_linker::<T, HasSelf<Wasi>>(linker, T::wasi)?;

    wall_clock::add_to_linker::<T, HasSelf<Wasi>>(linker, T::wasi)?;
    monotonic_clock::add_to_linker::<T, HasSelf<Wasi>>(linker, T::wasi)?;

    random::add_to_linker::<T, HasSelf<Wasi>>(linker, T::wasi)?;
    insecure::add_to_linker::<T, HasSelf<Wasi>>(linker, T::wasi)?;
    insecure_seed::add_to_linker::<T, HasSelf<Wasi>>(linker, T::wasi)?;

    environment::add_to_linker::<T, HasSelf<Wasi>>(linker, T::wasi)?;
    exit::add_to_linker::<T, HasSelf<Wasi>>(linker, T::wasi)?;
    stdin::add_to_linker::<T, HasSelf<Wasi>>(linker, T::wasi)?;
    stdout::add_to_linker::<T, HasSelf<Wasi>>(linker, T::wasi)?;
    stderr::add_to_linker::<T, HasSelf<Wasi>>(linker, T::wasi)?;
    terminal_input::add_to_linker::<T, HasSelf<Wasi>>(linker, T::wasi)?;
    terminal_output::add_to_linker::<T, HasSelf<Wasi>>(linker, T::wasi)?;
    terminal_stdin::add_to_linker::<T, HasSelf<Wasi>>(linker, T::wasi)?;
    terminal_stdout::add_to_linker::<T, HasSelf<Wasi>>(linker, T::wasi)?;
    terminal_stderr::add_to_linker::<T, HasSelf<Wasi>>(linker, T::wasi)?;

    preopens::add_to_linker::<T, HasSelf<Wasi>>(linker, T::wasi)?;
    types::add_to_linker::<T, WasiFilesystem>(linker, |state| {
        let Wasi { files, table, .. } = state.wasi();
        WasiFilesystemCtxView { ctx: files, table }
    })
}

// wasi:io

/// What a stream prints to. Ready at any time.
struct Output {
    line_buffer: Arc<LineBuffer>,
    stream: Stream,
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > MAX_WRITE {
            let count = bytes.len();
            return Err(StreamError::Trap(wasmtime::format_err!(
                "the plugin wrote {count} bytes at once; the most is {MAX_WRITE}"
            )));
        }
        self.line_buffer.print(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(MAX_WRITE)
    }
}

impl streams::Host for Wasi {
    fn convert_stream_error(&mut self, error: StreamError) -> Result<streams::StreamError> {
        streams::Host::convert_stream_error(&mut self.table, error)
    }
}

impl streams::HostOutputStream for Wasi {
    fn check_write(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<u64> {
        Ok(self.table.get_mut(&stream)?.check_write()? as u64)
    }

    fn write(&mut self, stream: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        self.table.get_mut(&stream)?.write(bytes.into())
    }

    fn write_zeroes(&mut self, stream: Resource<DynOutputStream>, count: u64) -> StreamResult<()> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        self.table.get_mut(&stream)?.write_zeroes(count)
    }

    fn flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        self.table.get_mut(&stream)?.flush()
    }

    fn splice(
        &mut self,
        output: Resource<DynOutputStream>,
        input: Resource<DynInputStream>,
        count: u64,
    ) -> StreamResult<u64> {
        let room = self.table.get_mut(&output)?.check_write()?;
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(room);
        let bytes = self.table.get_mut(&input)?.read(count)?;
        let spliced = bytes.len() as u64;
        self.table.get_mut(&output)?.write(bytes)?;
        Ok(spliced)
    }

    fn subscribe(&mut self, stream: Resource<DynOutputStream>) -> Result<Resource<DynPollable>> {
        subscribe(&mut self.table, stream)
    }

    fn blocking_write_and_flush(
        &mut self,
        stream: Resource<DynOutputStream>,
        bytes: Vec<u8>,
    ) -> StreamResult<()> {
        self.write(stream, bytes)
    }

    fn blocking_write_zeroes_and_flush(
        &mut self,
        stream: Resource<DynOutputStream>,
        count: u64,
    ) -> StreamResult<()> {
        self.write_zeroes(stream, count)
    }

    fn blocking_flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        self.flush(stream)
    }

    fn blocking_splice(
        &mut self,
        output: Resource<DynOutputStream>,
        input: Resource<DynInputStream>,
        count: u64,
    ) -> StreamResult<u64> {
        self.splice(output, input, count)
    }

    fn drop(&mut self, stream: Resource<DynOutputStream>) -> Result<()> {
        self.table.delete(stream)?;
        Ok(())
    }
}

/// The only input is [`ClosedInputStream`], which ends at once.
impl streams::HostInputStream for Wasi {
    fn read(&mut self, stream: Resource<DynInputStream>, count: u64) -> StreamResult<Vec<u8>> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        Ok(self.table.get_mut(&stream)?.read(count)?.into())
    }

    fn skip(&mut self, stream: Resource<DynInputStream>, count: u64) -> StreamResult<u64> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        Ok(self.table.get_mut(&stream)?.skip(count)? as u64)
    }

    fn subscribe(&mut self, stream: Resource<DynInputStream>) -> Result<Resource<DynPollable>> {
        subscribe(&mut self.table, stream)
    }

    fn blocking_read(
        &mut self,
        stream: Resource<DynInputStream>,
        count: u64,
    ) -> StreamResult<Vec<u8>> {
        self.read(stream, count)
    }

    fn blocking_skip(&mut self, stream: Resource<DynInputStream>, count: u64) -> StreamResult<u64> {
        self.skip(stream, count)
    }

    fn drop(&mut self, stream: Resource<DynInputStream>) -> Result<()> {
        self.table.delete(stream)?;
        Ok(())
    }
}

impl poll::Host for Wasi {
    fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> Result<Vec<u32>> {
        if pollables.len() > MAX_HANDLES {
            bail!("the plugin polled more than {MAX_HANDLES} pollables at once");
        }
        at_once(waiting::Host::poll(&mut self.table, pollables))?
    }
}

impl poll::HostPollable for Wasi {
    fn ready(&mut self, pollable: Resource<DynPollable>) -> Result<bool> {
        at_once(waiting::HostPollable::ready(&mut self.table, pollable))?
    }

    fn block(&mut self, pollable: Resource<DynPollable>) -> Result<()> {
        at_once(waiting::HostPollable::block(&mut self.table, pollable))?
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> Result<()> {
        waiting::HostPollable::drop(&mut self.table, pollable)
    }
}

/// Polls a future once. One that is not ready is the plugin's fault.
fn at_once<F: Future>(future: F) -> Result<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => bail!("the plugin tried to wait; plugins must not sleep"),
    }
}

// wasi:clocks

/// A time on the host's clock that a plugin can ask about, but not wait for.
struct Alarm {
    services: Arc<dyn Services>,
    /// In nanoseconds.
    due: u64,
}

#[async_trait]
impl Pollable for Alarm {
    async fn ready(&mut self) {
        if nanoseconds(self.services.now()) < self.due {
            pending().await
        }
    }
}

impl monotonic_clock::Host for Wasi {
    fn now(&mut self) -> Result<u64> {
        Ok(self.clock())
    }

    fn resolution(&mut self) -> Result<u64> {
        Ok(nanoseconds(RESOLUTION))
    }

    fn subscribe_instant(&mut self, due: u64) -> Result<Resource<DynPollable>> {
        let services = self.services.clone();
        let alarm = self.table.push(Alarm { services, due })?;
        subscribe(&mut self.table, alarm)
    }

    fn subscribe_duration(&mut self, duration: u64) -> Result<Resource<DynPollable>> {
        self.subscribe_instant(self.clock().saturating_add(duration))
    }
}

impl wall_clock::Host for Wasi {
    fn now(&mut self) -> Result<wall_clock::Datetime> {
        Ok(datetime(self.services.unix()))
    }

    fn resolution(&mut self) -> Result<wall_clock::Datetime> {
        Ok(datetime(RESOLUTION))
    }
}

/// What the clocks of the plugin contract tell.
const RESOLUTION: Duration = Duration::from_millis(1);

fn datetime(time: Duration) -> wall_clock::Datetime {
    wall_clock::Datetime {
        seconds: time.as_secs(),
        nanoseconds: time.subsec_nanos(),
    }
}

/// 584 years fit.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

// wasi:random

impl random::Host for Wasi {
    fn get_random_bytes(&mut self, count: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; within_bound(count)?];
        getrandom::fill(&mut bytes).map_err(no_random_numbers)?;
        Ok(bytes)
    }

    fn get_random_u64(&mut self) -> Result<u64> {
        secret_u64()
    }
}

impl insecure::Host for Wasi {
    fn get_insecure_random_bytes(&mut self, count: u64) -> Result<Vec<u8>> {
        let count = within_bound(count)?;
        let numbers = std::iter::repeat_with(|| self.services.random().to_le_bytes());
        Ok(numbers.flatten().take(count).collect())
    }

    fn get_insecure_random_u64(&mut self) -> Result<u64> {
        let [high, low] = std::array::from_fn(|_| u64::from(self.services.random()));
        Ok(high << 32 | low)
    }
}

impl insecure_seed::Host for Wasi {
    fn insecure_seed(&mut self) -> Result<(u64, u64)> {
        Ok((secret_u64()?, secret_u64()?))
    }
}

/// A number of the operating system's.
fn secret_u64() -> Result<u64> {
    getrandom::u64().map_err(no_random_numbers)
}

fn no_random_numbers(error: getrandom::Error) -> wasmtime::Error {
    wasmtime::format_err!("the operating system has no random numbers: {error}")
}

/// So many bytes, if one call may ask for them.
fn within_bound(count: u64) -> Result<usize> {
    if count > MAX_RANDOM_BYTES {
        bail!("the plugin asked for {count} random bytes at once; the most is {MAX_RANDOM_BYTES}");
    }
    Ok(count as usize)
}

// wasi:cli and wasi:filesystem

impl environment::Host for Wasi {
    fn get_environment(&mut self) -> Result<Vec<(String, String)>> {
        Ok(Vec::new())
    }

    fn get_arguments(&mut self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn initial_cwd(&mut self) -> Result<Option<String>> {
        Ok(None)
    }
}

/// There is no process that a plugin could end but the host's.
impl exit::Host for Wasi {
    fn exit(&mut self, _: std::result::Result<(), ()>) -> Result<()> {
        bail!("the plugin called exit")
    }

    fn exit_with_code(&mut self, _: u8) -> Result<()> {
        bail!("the plugin called exit")
    }
}

impl stdin::Host for Wasi {
    fn get_stdin(&mut self) -> Result<Resource<DynInputStream>> {
        let input: DynInputStream = Box::new(ClosedInputStream);
        Ok(self.table.push(input)?)
    }
}

impl stdout::Host for Wasi {
    fn get_stdout(&mut self) -> Result<Resource<DynOutputStream>> {
        self.print_to(Stream::Stdout)
    }
}

impl stderr::Host for Wasi {
    fn get_stderr(&mut self) -> Result<Resource<DynOutputStream>> {
        self.print_to(Stream::Stderr)
    }
}

impl terminal_stdin::Host for Wasi {
    fn get_terminal_stdin(&mut self) -> Result<Option<Resource<terminal_input::TerminalInput>>> {
        Ok(None)
    }
}

impl terminal_stdout::Host for Wasi {
    fn get_terminal_stdout(&mut self) -> Result<Option<Resource<terminal_output::TerminalOutput>>> {
        Ok(None)
    }
}

impl terminal_stderr::Host for Wasi {
    fn get_terminal_stderr(&mut self) -> Result<Option<Resource<terminal_output::TerminalOutput>>> {
        Ok(None)
    }
}

impl terminal_input::Host for Wasi {}

/// Never called: there is no terminal to be dropped.
impl terminal_input::HostTerminalInput for Wasi {
    fn drop(&mut self, terminal: Resource<terminal_input::TerminalInput>) -> Result<()> {
        self.table.delete(terminal)?;
        Ok(())
    }
}

impl terminal_output::Host for Wasi {}

/// Never called: there is no terminal to be dropped.
impl terminal_output::HostTerminalOutput for Wasi {
    fn drop(&mut self, terminal: Resource<terminal_output::TerminalOutput>) -> Result<()> {
        self.table.delete(terminal)?;
        Ok(())
    }
}

impl preopens::Host for Wasi {
    fn get_directories(&mut self) -> Result<Vec<(Resource<preopens::Descriptor>, String)>> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests;
