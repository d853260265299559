//! Plugins that are WebAssembly components.

#![cfg_attr(
    not(test),
    expect(
        dead_code,
        unused_imports,
        reason = "the loader that asks them comes next"
    )
)]

#[cfg(test)]
mod heard;
mod voice;
mod wasi;
mod watcher;
