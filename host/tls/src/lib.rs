//! TLS: what rustls needs, made of files.
//!
//! [`server()`] makes the settings of a listener, and [`Connector`] those of a member. Both are made of the contents
//! that files have at one moment ([`FileContents`]), so that what does not fit together is found before anything changes.

mod certificates;
mod connector;
mod file_contents;
mod identity;
mod pem;
mod pinned_verifier;
mod resumption;
mod roots;
mod server;
#[cfg(test)]
mod tests;
mod validation;

use std::sync::{Arc, LazyLock};

use anyhow::{Result, anyhow};
use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub use connector::{Connector, UnusableName};
pub use file_contents::FileContents;
pub use server::server;
pub use validation::{files, unusable};

/// ALPN protocols.
const HTTP_2: &[u8] = b"h2";
const HTTP_1: &[u8] = b"http/1.1";

/// The cryptography of all connections.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));
    PROVIDER.clone()
}

/// All of several.
///
/// # Errors
/// What is wrong with each that could not be had, one a line.
fn all<T>(results: impl IntoIterator<Item = Result<T>>) -> Result<Vec<T>> {
    let mut mistakes = Vec::new();
    let mut all = Vec::new();
    for result in results {
        match result {
            Ok(one) => all.push(one),
            Err(error) => mistakes.push(format!("{error:#}")),
        }
    }
    match mistakes.is_empty() {
        true => Ok(all),
        false => Err(anyhow!(mistakes.join("\n"))),
    }
}
