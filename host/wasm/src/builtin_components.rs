//! The built-in policies as components, for `equipoise plugin export`, and the component of the demo.
//!
//! `build.rs` makes them of the same crates that are linked into the program.

/// A policy that comes with the program, as a component.
#[derive(Debug)]
pub struct BuiltinComponent {
    /// What it is called on the command line: the name of its crate.
    pub name: &'static str,
    /// What it can be used as: `selector`, `session` or `health`.
    pub role: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// The component.
    pub component: &'static [u8],
}

/// The plugin that the demo begins with.
pub const DEMO: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/demo_plugin.wasm"));

/// What a plugin is built with: each file's path below the workspace, and its content.
pub const SDK: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sdk.rs"));

/// One of [`all`], with the component that `build.rs` made of its crate.
macro_rules! builtin_component {
    ($name:literal, $role:literal, $about:literal) => {
        BuiltinComponent {
            name: $name,
            role: $role,
            about: $about,
            component: include_bytes!(concat!(env!("OUT_DIR"), "/equipoise_", $name, ".wasm")),
        }
    };
}

/// All of them, those of one role together.
pub fn all() -> &'static [BuiltinComponent] {
    const ALL: &[BuiltinComponent] = &[
        builtin_component!(
            "byrequests",
            "selector",
            "by weight, each member its share of the requests"
        ),
        builtin_component!(
            "bytraffic",
            "selector",
            "by weight, each member its share of the bytes"
        ),
        builtin_component!(
            "bybusyness",
            "selector",
            "the member with the fewest requests in flight"
        ),
        builtin_component!(
            "heartbeat",
            "selector",
            "at random, by the idle slots that members report"
        ),
        builtin_component!(
            "session",
            "session",
            "the route in a cookie or URL parameter"
        ),
        builtin_component!(
            "health",
            "health",
            "by checks in a row, and by live requests that fail"
        ),
    ];
    ALL
}

/// The one of that name.
pub fn find(name: &str) -> Option<&'static BuiltinComponent> {
    all().iter().find(|plugin| plugin.name == name)
}

#[cfg(test)]
mod tests {
    use wasmtime::component::Component;
    use wasmtime::{Config, Engine};

    use super::*;

    /// The interfaces of the contract that a component imports and exports, sorted.
    fn interfaces(plugin: &BuiltinComponent) -> [Vec<String>; 2] {
        let mut config = Config::new();
        config.concurrency_support(false);
        let engine = Engine::new(&config).expect("an engine");
        let component = Component::new(&engine, plugin.component).expect("a component");
        let component = component.component_type();
        let imports = component
            .imports(&engine)
            .map(|(name, _)| of_the_contract(name));
        let exports = component
            .exports(&engine)
            .map(|(name, _)| of_the_contract(name));
        let sorted = |mut names: Vec<String>| {
            names.sort();
            names
        };
        [
            sorted(imports.flatten().collect()),
            sorted(exports.flatten().collect()),
        ]
    }

    fn of_the_contract(name: &str) -> Option<String> {
        let name = name.strip_prefix("equipoise:balancer/")?;
        Some(
            name.strip_suffix("@0.1.0")
                .expect("version 0.1.0")
                .to_owned(),
        )
    }

    #[test]
    fn each_imports_and_exports_what_it_needs_and_no_more() {
        let table: [(&str, &[&str], &[&str]); 6] = [
            (
                "byrequests",
                &["candidates", "types"],
                &["prefetch", "schedule", "selector", "state"],
            ),
            (
                "bytraffic",
                &["candidates", "types"],
                &["prefetch", "selector"],
            ),
            (
                "bybusyness",
                &["candidates", "types"],
                &["prefetch", "schedule", "selector", "state"],
            ),
            (
                "heartbeat",
                &["candidates", "env", "types"],
                &["prefetch", "selector"],
            ),
            ("session", &["request", "types"], &["session"]),
            ("health", &["env", "types"], &["health", "state"]),
        ];
        let expected = table.map(|(name, imports, exports)| {
            let plugin = find(name).expect("a default plugin");
            assert_eq!(
                interfaces(plugin),
                [imports, exports].map(|names| names.to_vec()),
                "{name}"
            );
            assert!(exports.contains(&plugin.role), "{name}");
            name
        });
        let names: Vec<_> = all().iter().map(|plugin| plugin.name).collect();
        assert_eq!(names, expected);
    }

    /// Panics name the file they happen in: the name that the sources have, wherever they were built.
    #[test]
    fn none_tells_where_it_was_built() {
        let manifest = env!("CARGO_MANIFEST_DIR");
        let workspace = manifest
            .strip_suffix("/host/wasm")
            .expect("the crate is a member");
        let home = std::env::home_dir().expect("a home");
        let home = home.to_str().expect("UTF-8");
        for plugin in all() {
            for path in [workspace, home, "/target/"] {
                let found = plugin
                    .component
                    .windows(path.len())
                    .any(|window| window == path.as_bytes());
                assert!(!found, "{} holds {path}", plugin.name);
            }
        }
    }

    #[test]
    fn unknown_name_finds_nothing() {
        assert!(find("byrequest").is_none());
    }
}
