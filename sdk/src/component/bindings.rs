//! What wit-bindgen makes of the contract: the imports once, and every interface that can be exported by itself.

/// What a policy may call.
pub mod imports {
    wit_bindgen::generate!({
        path: ["../wit/v0.1", "wit"],
        world: "equipoise:sdk/imports",
        generate_all,
        generate_unused_types: true,
    });
}

/// One exported interface: its `Guest` trait and the macro `export!`, which exports a type that implements it.
///
/// Only where `export!` is used does the component type name the export.
macro_rules! exported {
    ($name:ident, $world:literal $(, $types:literal)?) => {
        pub mod $name {
            wit_bindgen::generate!({
                path: ["../wit/v0.1", "wit"],
                world: $world,
                generate_all,
                pub_export_macro: true,
                $(with: { $types: crate::component::bindings::imports::equipoise::balancer::types },)?
            });
        }
    };
}

exported!(
    selector,
    "equipoise:sdk/selector",
    "equipoise:balancer/types@0.1.0"
);
exported!(prefetch, "equipoise:sdk/prefetch");
exported!(schedule, "equipoise:sdk/schedule");
exported!(
    session,
    "equipoise:sdk/session",
    "equipoise:balancer/types@0.1.0"
);
exported!(session_cookie, "equipoise:sdk/session-cookie");
exported!(
    health,
    "equipoise:sdk/health",
    "equipoise:balancer/types@0.1.0"
);
exported!(state, "equipoise:sdk/state");
