//! The engine that runs all plugins, with every bound of it in one place, and the code that it has of them.

use std::collections::VecDeque;
use std::hash::{Hash as _, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use sha2::{Digest as _, Sha256};
use wasmtime::component::{Component, HasSelf, InstancePre, Linker};
use wasmtime::{Config, Engine, EngineWeak};

use super::cache::{Cache, Id};
use super::clock::CoarseClock;
use super::compiler::{Cancel, Compiler};
use super::complexity;
use super::fault::describe;
use super::host_state::{HostState, override_header_hash};
use super::since_v0_1_0::Everything;
use super::wasi;
use equipoise_file_watch::{Content, Hash};

/// How often a running call looks at its time.
pub(super) const TICK: Duration = Duration::from_millis(1);

/// The stack of a call. The workers' threads have 2 MiB.
const STACK: usize = 512 * 1024;

/// How many components' code is kept in memory, so that going back to a version, or the same file twice, compiles nothing.
const MAX_LOADED: usize = 8;

/// A component's compiled code.
#[derive(Clone)]
pub struct Code(pub(super) Component);

/// Where plugins run: one engine, and what it links them with.
pub struct Sandbox {
    engine: Engine,
    /// Ticks with the engine's epoch.
    pub(super) clock: Arc<CoarseClock>,
    linker: Linker<HostState>,
    compiler: Compiler,
    /// Code that outlives the program; none where it does not.
    cache: Option<Cache>,
    /// Code by content, the least recently used first.
    loaded: Mutex<VecDeque<(Hash, Code)>>,
}

impl Sandbox {
    /// Starts the engine, and the thread that ticks for as long as it lives. `cache` keeps code for other programs.
    ///
    /// # Errors
    /// The machine is none that code can be compiled for, has no random numbers, or the thread cannot be started.
    pub fn new(compiler: Compiler, cache: Option<Cache>) -> Result<Arc<Self>> {
        wasi::prepare().context("asking the operating system for random numbers")?;
        let engine = Engine::new(&config()).map_err(anyhow::Error::from)?;
        let mut linker = Linker::new(&engine);
        wasi::add_to_linker(&mut linker)?;
        Everything::add_to_linker::<_, HasSelf<_>>(&mut linker, |context| context)?;
        override_header_hash(&mut linker)?;
        let clock = Arc::new(CoarseClock::new());
        let (weak, ticking) = (engine.weak(), clock.clone());
        thread::Builder::new()
            .name("epoch".to_owned())
            .spawn(move || tick(&weak, &ticking))
            .context("starting the thread that ends long calls of plugins")?;
        Ok(Arc::new(Self {
            engine,
            clock,
            linker,
            compiler,
            cache,
            loaded: Mutex::default(),
        }))
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The code of a component that is compiled already; `None` where it has to be.
    pub fn find(&self, hash: Hash) -> Option<Code> {
        if let Some(code) = self.find_loaded(hash) {
            return Some(code);
        }
        let code = self.cache.as_ref()?.load(&self.id(hash))?;
        // What the engine refuses is compiled again.
        let code = self.load(&code).ok()?;
        Some(self.keep(hash, code))
    }

    /// Compiles a component, where that was not done before: in a process of its own, for which this waits.
    ///
    /// # Errors
    /// It is no valid component, would take more than it may, or `cancel` ended it.
    pub fn compile(&self, content: &Content, cancel: &Cancel) -> Result<Code> {
        if let Some(code) = self.find(content.hash) {
            return Ok(code);
        }
        complexity::check(&content.bytes)?;
        let bytes = self.compiler.compile(&content.bytes, cancel)?;
        let code = self
            .load(&bytes)
            .map_err(|error| anyhow!("its compiled code cannot be loaded: {}", describe(&error)))?;
        if let Some(cache) = &self.cache
            && let Err(error) = cache.store(&self.id(content.hash), &bytes)
        {
            tracing::warn!("plugin cache: compiled code is not kept: {error:#}");
        }
        Ok(self.keep(content.hash, code))
    }

    /// Resolves a component's imports.
    pub(super) fn link(&self, component: &Component) -> wasmtime::Result<InstancePre<HostState>> {
        self.linker.instantiate_pre(component)
    }

    #[expect(
        unsafe_code,
        reason = "compiled code is run as it is; it comes from our own compiler, or from a cache that took it from there and authenticates it"
    )]
    fn load(&self, bytes: &[u8]) -> wasmtime::Result<Code> {
        // SAFETY: `bytes` were made by `Engine::precompile_component` of this program: it comes right from the child process
        // that runs it, or from `Cache`, which gives out only what carries this user's message authentication code.
        let component = unsafe { Component::deserialize(&self.engine, bytes) };
        Ok(Code(component?))
    }

    /// What code of this content is in the cache by: all that it depends on.
    fn id(&self, hash: Hash) -> Id {
        let mut digest = Digester(Sha256::new());
        env!("CARGO_PKG_VERSION").hash(&mut digest);
        self.engine
            .precompile_compatibility_hash()
            .hash(&mut digest);
        digest.write(&hash);
        digest.0.finalize().into()
    }

    fn find_loaded(&self, hash: Hash) -> Option<Code> {
        let mut loaded = self.loaded();
        let place = loaded.iter().position(|(known, _)| *known == hash)?;
        let entry = loaded.remove(place)?;
        let code = entry.1.clone();
        loaded.push_back(entry);
        Some(code)
    }

    fn keep(&self, hash: Hash, code: Code) -> Code {
        let mut loaded = self.loaded();
        if loaded.len() == MAX_LOADED {
            loaded.pop_front();
        }
        loaded.push_back((hash, code.clone()));
        code
    }

    fn loaded(&self) -> MutexGuard<'_, VecDeque<(Hash, Code)>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Feeds a digest with what hashes itself.
struct Digester(Sha256);

impl Hasher for Digester {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Not for tables: the whole digest is taken.
    fn finish(&self) -> u64 {
        0
    }
}

/// How code is made, here and in the process that compiles.
pub(super) fn config() -> Config {
    let mut config = Config::new();
    config
        // Calls are synchronous; without tasks of components they cost a third.
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(STACK)
        // A trap is logged in one line; plugin authors have other tools.
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false)
        // Compiling happens beside serving: in one process of low priority, not on all cores.
        .parallel_compilation(false);
    config
}

/// Ticks until the engine is gone.
fn tick(engine: &EngineWeak, clock: &CoarseClock) {
    while let Some(engine) = engine.upgrade() {
        engine.increment_epoch();
        clock.tick();
        drop(engine);
        thread::sleep(TICK);
    }
}
