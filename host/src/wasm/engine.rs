//! The engine that compiles and runs all plugins, with every bound of it in one place.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use wasmtime::component::{Component, HasSelf, InstancePre, Linker};
use wasmtime::{Config, Engine, EngineWeak};

use super::context::{Context, spare_copies};
use super::since_v0_1_0::Everything;
use super::wasi;
use crate::watcher::Hash;

/// How often a running call looks at its time.
pub(super) const TICK: Duration = Duration::from_millis(1);

/// The stack of a call. The workers' threads have 2 MiB.
const STACK: usize = 512 * 1024;

/// How many components' code is kept, so that going back to a version, or the same file twice, compiles nothing.
const KEPT: usize = 8;

/// Where plugins run: one engine, and what it links them with.
pub(crate) struct Sandbox {
    engine: Engine,
    linker: Linker<Context>,
    /// Compiled code by content, the least recently used first.
    compiled: Mutex<VecDeque<(Hash, Component)>>,
}

impl Sandbox {
    /// Starts the engine, and the thread that ticks for as long as it lives.
    ///
    /// # Errors
    /// The machine is none that code can be compiled for, has no random numbers, or the thread cannot be started.
    pub(crate) fn new() -> Result<Arc<Self>> {
        wasi::prepare().context("asking the operating system for random numbers")?;
        let engine = Engine::new(&config()).map_err(anyhow::Error::from)?;
        let mut linker = Linker::new(&engine);
        wasi::add_to_linker(&mut linker)?;
        Everything::add_to_linker::<_, HasSelf<_>>(&mut linker, |context| context)?;
        spare_copies(&mut linker)?;
        let weak = engine.weak();
        thread::Builder::new()
            .name("epoch".to_owned())
            .spawn(move || tick(&weak))
            .context("starting the thread that ends long calls of plugins")?;
        Ok(Arc::new(Self {
            engine,
            linker,
            compiled: Mutex::default(),
        }))
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Compiles a component, or finds what was compiled before.
    pub(super) fn compile(&self, bytes: &[u8], hash: Hash) -> wasmtime::Result<Component> {
        if let Some(component) = self.compiled_before(hash) {
            return Ok(component);
        }
        let component = Component::new(&self.engine, bytes)?;
        let mut compiled = self.compiled();
        if compiled.len() == KEPT {
            compiled.pop_front();
        }
        compiled.push_back((hash, component.clone()));
        Ok(component)
    }

    /// Resolves a component's imports.
    pub(super) fn link(&self, component: &Component) -> wasmtime::Result<InstancePre<Context>> {
        self.linker.instantiate_pre(component)
    }

    fn compiled_before(&self, hash: Hash) -> Option<Component> {
        let mut compiled = self.compiled();
        let place = compiled.iter().position(|(known, _)| *known == hash)?;
        let entry = compiled.remove(place)?;
        let component = entry.1.clone();
        compiled.push_back(entry);
        Some(component)
    }

    fn compiled(&self) -> std::sync::MutexGuard<'_, VecDeque<(Hash, Component)>> {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn config() -> Config {
    let mut config = Config::new();
    config
        // Calls are synchronous; without tasks of components they cost a third.
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(STACK)
        // A trap is told in one line; whoever writes plugins has tools of their own.
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false)
        // Compiling happens beside serving: on one thread of low priority, not on all cores.
        .parallel_compilation(false);
    config
}

/// Ticks until the engine is gone.
fn tick(engine: &EngineWeak) {
    while let Some(engine) = engine.upgrade() {
        engine.increment_epoch();
        drop(engine);
        thread::sleep(TICK);
    }
}
