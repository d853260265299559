//! Bindings that wit-bindgen made of the contract: the imports once, and each interface that can be exported, with its `Guest`
//! trait and the macro `export!`, which exports a type that implements it. Only where that is used does the component type name
//! the export.
//!
//! They are committed, so that a component is built without wit-bindgen; `sdk/tests/bindings.rs` holds them to the contract and
//! writes them.

macro_rules! generated {
    ($($name:ident)+) => {
        $(
            #[rustfmt::skip]
            #[allow(unsafe_code, warnings, clippy::all, reason = "generated")]
            pub mod $name;
        )+
    };
}

generated!(imports selector prefetch schedule session session_cookie health state);
