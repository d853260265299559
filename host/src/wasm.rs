//! Plugins that are WebAssembly components.

#[cfg_attr(
    not(test),
    expect(
        dead_code,
        unused_imports,
        reason = "the loader that asks it comes next"
    )
)]
mod watcher;
