//! A socket to a chat node.

use super::Endpoint;
use crate::tls::Credentials;
use rustls_pki_types::ServerName;
use std::{io, sync::Arc};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::either::Either;

/// Whichever it is.
pub(crate) type Socket = Either<UnixStream, Either<TcpStream, TlsStream<TcpStream>>>;

/// Connects, with certificates where the endpoint wants them. Has no deadline of its own.
pub(crate) async fn dial(endpoint: &Endpoint, credentials: Option<Arc<Credentials>>) -> io::Result<Socket> {
    let (at, name) = match endpoint {
        Endpoint::Unix(path) => return Ok(Either::Left(UnixStream::connect(path).await?)),
        Endpoint::Tcp { at, name } => (at, name),
    };
    let socket = TcpStream::connect(at).await?;
    socket.set_nodelay(true)?;
    let Some(name) = name else { return Ok(Either::Right(Either::Left(socket))) };
    let missing = || io::Error::other("gateway.upstream: certificate, key and ca are not set");
    let connector = TlsConnector::from(credentials.ok_or_else(missing)?.client.clone());
    let name = ServerName::try_from(name.clone()).map_err(io::Error::other)?;
    Ok(Either::Right(Either::Right(connector.connect(name, socket).await?)))
}
