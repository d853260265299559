//! The macros that make a component of a crate.

/// Exports a [`Selector`](crate::Selector) from this component.
///
/// The type is made by [`Default`] on the first call and lives as long as the component's instance. `schedule` also exports
/// [`record_sticky`](crate::Selector::record_sticky), [`lbstatus`](crate::Selector::lbstatus) and
/// [`reset`](crate::Selector::reset); `state` exports [`save`](crate::Selector::save) and
/// [`restore`](crate::Selector::restore), so that a new version of the component goes on where the old one was. Name what the type implements and no more: what is exported is called.
///
/// Where the target is not WebAssembly nothing is exported, but the type is checked:
///
/// ```compile_fail
/// equipoise_sdk::export_selector!(String);
/// ```
///
/// A whole selector that remembers something:
///
/// ```
/// use equipoise_sdk::{Candidates, Env, Request, Selector, export_selector};
///
/// #[derive(Default)]
/// struct RoundRobin {
///     next: usize,
/// }
///
/// impl Selector for RoundRobin {
///     fn select(
///         &mut self,
///         _: &dyn Request,
///         candidates: &dyn Candidates,
///         _: &dyn Env,
///     ) -> Option<usize> {
///         self.next = (self.next + 1) % candidates.len();
///         Some(self.next)
///     }
///
///     fn save(&mut self) -> Vec<u8> {
///         self.next.to_string().into_bytes()
///     }
///
///     fn restore(&mut self, blob: &[u8]) -> Result<(), String> {
///         let text = str::from_utf8(blob).map_err(|error| error.to_string())?;
///         self.next = text.parse().map_err(|_| format!("no position: {text}"))?;
///         Ok(())
///     }
/// }
///
/// export_selector!(RoundRobin, state);
/// ```
#[macro_export]
macro_rules! export_selector {
    ($type:ty $(,)?) => {
        $crate::__export!($type: Selector as selector prefetch);
    };
    ($type:ty, schedule $(,)?) => {
        $crate::__export!($type: Selector as selector prefetch schedule);
    };
    ($type:ty, state $(,)?) => {
        $crate::__export!($type: Selector as selector prefetch state);
    };
    ($type:ty, schedule, state $(,)?) => {
        $crate::__export!($type: Selector as selector prefetch schedule state);
    };
}

/// Exports a [`SessionReader`](crate::SessionReader) from this component; with `cookie` its
/// [`issue_cookie`](crate::SessionReader::issue_cookie), and with `state` its [`save`](crate::SessionReader::save) and
/// [`restore`](crate::SessionReader::restore), too.
///
/// Otherwise as [`export_selector!`](crate::export_selector). A crate may export a selector, a session reader and a health
/// policy; each is an instance of its own, and one of them may have `state`.
///
/// ```
/// use equipoise_sdk::{Affinity, Env, Request, SessionReader, export_session};
///
/// #[derive(Default)]
/// struct ByUser;
///
/// impl SessionReader for ByUser {
///     fn read(&self, request: &dyn Request, _: &dyn Env) -> Option<Affinity> {
///         let user = request.header("x-user")?;
///         Some(Affinity::Key(user.into_owned()))
///     }
/// }
///
/// export_session!(ByUser);
/// ```
#[macro_export]
macro_rules! export_session {
    ($type:ty $(,)?) => {
        $crate::__export!($type: SessionReader as session);
    };
    ($type:ty, cookie $(,)?) => {
        $crate::__export!($type: SessionReader as session session_cookie);
    };
    ($type:ty, state $(,)?) => {
        $crate::__export!($type: SessionReader as session state);
    };
    ($type:ty, cookie, state $(,)?) => {
        $crate::__export!($type: SessionReader as session session_cookie state);
    };
}

/// Exports a [`HealthPolicy`](crate::health::HealthPolicy) from this component; with `state` its [`save`](crate::health::HealthPolicy::save) and
/// [`restore`](crate::health::HealthPolicy::restore), too. Otherwise as [`export_selector!`](crate::export_selector).
#[macro_export]
macro_rules! export_health {
    ($type:ty $(,)?) => {
        $crate::__export!($type: health::HealthPolicy as health);
    };
    ($type:ty, state $(,)?) => {
        $crate::__export!($type: health::HealthPolicy as health state);
    };
}

/// Makes the instance and exports the interfaces that are named by their modules in `component::bindings`.
#[cfg(target_family = "wasm")]
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($type:ty: $trait:ident $(:: $nested:ident)? as $($interface:ident)+) => {
        const _: () = {
            ::std::thread_local! {
                static POLICY: ::std::cell::RefCell<$type> = ::std::default::Default::default();
            }

            struct Exported;

            impl $crate::component::Instance for Exported {
                type Policy = $type;

                fn with<R>(call: impl ::std::ops::FnOnce(&mut $type) -> R) -> R {
                    POLICY.with_borrow_mut(call)
                }

                fn save() -> ::std::vec::Vec<u8> {
                    Self::with(|policy| $crate::$trait $(:: $nested)? ::save(policy))
                }

                fn restore(
                    blob: &[u8],
                ) -> ::std::result::Result<(), ::std::string::String> {
                    Self::with(|policy| $crate::$trait $(:: $nested)? ::restore(policy, blob))
                }
            }

            $(
                $crate::component::bindings::$interface::export!(
                    Exported with_types_in $crate::component::bindings::$interface
                );
            )+
        };
    };
}

/// Checks what would be exported.
#[cfg(not(target_family = "wasm"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($type:ty: $trait:ident $(:: $nested:ident)? as $($interface:ident)+) => {
        const _: () = {
            const fn check<T: $crate::$trait $(:: $nested)? + ::std::default::Default + 'static>() {}
            check::<$type>()
        };
    };
}
