//! A connection that can be held back: what is sent through it arrives when it is let go.

use std::{net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// A port that leads to another.
pub struct Hold {
    pub address: SocketAddr,
    held: Arc<watch::Sender<bool>>,
    task: JoinHandle<()>,
}

impl Hold {
    /// Opens one.
    pub async fn open(to: String) -> Self {
        Self::open_at("127.0.0.1", to).await
    }

    /// Opens one at an address of this machine.
    pub async fn open_at(address: &str, to: String) -> Self {
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let held = Arc::new(watch::Sender::new(false));
        let seen = held.clone();
        let task = tokio::spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                let to = TcpStream::connect(&to).await.unwrap();
                let (from_read, mut from_write) = from.into_split();
                let (mut to_read, to_write) = to.into_split();
                tokio::spawn(forward(from_read, to_write, seen.subscribe()));
                tokio::spawn(async move { tokio::io::copy(&mut to_read, &mut from_write).await });
            }
        });
        Self { address, held, task }
    }

    /// From now on nothing arrives.
    pub fn hold(&self) {
        self.held.send_replace(true);
    }

    /// What was held back arrives, even if the sender has gone.
    pub fn release(&self) {
        self.held.send_replace(false);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut held: watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if held.wait_for(|held| !held).await.is_err() || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
