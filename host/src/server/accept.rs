//! Accepting connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

/// How long to wait before accepting again after accepting failed: at first, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Accepts connections for ever and hands each on with its place among `places`. While there is no place for another, they
/// wait in the kernel.
pub(crate) async fn accept(
    listener: TcpListener,
    places: Arc<Semaphore>,
    mut hand_on: impl FnMut(TcpStream, SocketAddr, OwnedSemaphorePermit),
) {
    let mut pause = PAUSE.0;
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                pause = PAUSE.0;
                let Ok(place) = places.clone().acquire_owned().await else {
                    return;
                };
                hand_on(stream, address, place);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, ?pause, "accepting connections fails");
                sleep(pause).await;
                pause = (pause * 2).min(PAUSE.1);
            }
        }
    }
}

/// Whether only the connection that was to be accepted is concerned.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}
