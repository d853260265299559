//! The policy instance of a component.

/// Where a component keeps its policy, which is made on the first call.
pub trait Instance {
    /// The author's type.
    type Policy;

    /// Calls the policy. A component has one thread and is not re-entered during a call.
    fn with<R>(call: impl FnOnce(&mut Self::Policy) -> R) -> R;

    /// The policy's state, by the trait it is exported for.
    fn save() -> Vec<u8>;

    /// Hands the policy another instance's state, by the trait it is exported for.
    fn restore(blob: &[u8]) -> Result<(), String>;
}
