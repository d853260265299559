//! The contract `equipoise:balancer@0.1.0` as wit/v0.1 has it: the types, and the calls in both directions.
//!
//! Everything that knows this version's types is here and in the modules below it; a 0.2 gets a file beside this one, and a
//! plugin's version is looked at once, when it is loaded.

wasmtime::component::bindgen!({
    path: "../../wit/v0.1",
    world: "everything",
    imports: { default: trappable },
});
