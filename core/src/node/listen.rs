//! Where edges come in: a Unix socket that only this user can open, or TCP with certificates on both sides. Whoever
//! gets in is believed when it says who the caller is.

use super::{StartError, tls::Identity};
use crate::{config::Config, socket::Unvectored};
use std::{
    fs, io, net::SocketAddr, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc, time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{Semaphore, mpsc},
    time::{sleep, timeout},
};
use tokio_rustls::server::TlsStream;
use tokio_stream::{
    Stream, StreamExt as _,
    wrappers::{ReceiverStream, UnixListenerStream},
};
use tokio_util::{either::Either, sync::CancellationToken};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Handshakes that may be under way; further connections wait to be accepted.
const HANDSHAKES: usize = 256;
/// After this long it is tried again when there are no more files to be had.
const PAUSE: Duration = Duration::from_millis(100);
/// How often the files of the certificate are looked at.
const LOOK: Duration = Duration::from_secs(10);

/// A connection from an edge: who it is was settled when it was made.
pub(super) type Socket = Unvectored<Either<UnixStream, TlsStream<TcpStream>>>;

/// What edges connect to, bound and not yet served.
pub(super) enum Listener {
    /// A Unix socket.
    Unix(UnixListener),
    /// TCP, and the certificate to answer with.
    Tcp(TcpListener, Arc<Identity>),
}

impl Listener {
    /// Binds what the configuration says: `core.listen`, or else the Unix socket.
    pub async fn bind(config: &Config) -> Result<Self, StartError> {
        match config.listen {
            None => {
                let failed = |error| StartError::Path {
                    what: "listen on the socket",
                    path: config.socket.clone(),
                    error,
                };
                Ok(Self::Unix(unix(&config.socket).map_err(failed)?))
            }
            Some(address) => {
                let identity = Identity::open(&config.tls).map_err(StartError::Tls)?;
                let bound = TcpListener::bind(address).await;
                let listener = bound.map_err(|error| StartError::Listen { address, error })?;
                Ok(Self::Tcp(listener, Arc::new(identity)))
            }
        }
    }

    /// Where it is bound, if that is TCP.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Unix(_) => None,
            Self::Tcp(listener, _) => listener.local_addr().ok(),
        }
    }

    /// The connections of edges that proved who they are, until `stop`.
    pub fn serve(self, stop: CancellationToken) -> impl Stream<Item = io::Result<Socket>> {
        match self {
            Self::Unix(listener) => Either::Left(
                UnixListenerStream::new(listener)
                    .map(|socket| socket.map(|socket| Unvectored(Either::Left(socket)))),
            ),
            Self::Tcp(listener, identity) => {
                let (sender, receiver) = mpsc::channel(HANDSHAKES);
                let kept = identity.clone();
                tokio::spawn(async move {
                    let work = async { tokio::join!(accept(listener, identity, sender), kept.keep(LOOK)) };
                    stop.run_until_cancelled(work).await;
                });
                Either::Right(ReceiverStream::new(receiver))
            }
        }
    }
}

async fn accept(listener: TcpListener, identity: Arc<Identity>, sender: mpsc::Sender<io::Result<Socket>>) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    loop {
        let Ok(permit) = handshakes.clone().acquire_owned().await else { return };
        let (socket, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(PAUSE).await;
                continue;
            }
        };
        let (identity, sender) = (identity.clone(), sender.clone());
        tokio::spawn(async move {
            let _permit = permit;
            match shake(socket, &identity).await {
                // Nobody serves any more.
                Ok(socket) => drop(sender.send(Ok(socket)).await),
                Err(error) => {
                    tracing::warn!(%peer, %error, "not let in: an edge shows a certificate of core.tls.client_ca")
                }
            }
        });
    }
}

async fn shake(socket: TcpStream, identity: &Identity) -> io::Result<Socket> {
    socket.set_nodelay(true)?;
    let shaken = timeout(HANDSHAKE, identity.acceptor().accept(socket)).await;
    Ok(Unvectored(Either::Right(shaken.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??)))
}

/// A socket that only this user can open. One that a dead process left is replaced: the store's lock has shown that
/// no other process uses this data.
fn unix(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}
