//! The one policy of a component.

/// Where a component keeps its policy, which is made when it is first asked for.
pub trait Instance {
    /// The author's type.
    type Policy;

    /// Asks the policy. A guest has one thread and is not entered while it is being asked.
    fn with<R>(ask: impl FnOnce(&mut Self::Policy) -> R) -> R;

    /// What the policy remembers, by the trait it is exported for.
    fn save() -> Vec<u8>;

    /// Hands the policy what another instance remembered, by the trait it is exported for.
    fn restore(blob: &[u8]) -> Result<(), String>;
}
