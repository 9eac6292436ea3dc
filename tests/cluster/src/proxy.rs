//! A TCP proxy that can hold back what its callers and its target say to each other: being cut off without root.
//!
//! It resembles a pulled cable: connections stand and nobody is told, and what was said meanwhile arrives when the cable
//! is back, as what TCP sends again does. Closing the connections instead would tell both ends at the same time
//! what after a real cut they must find out by themselves. One thing differs: the kernel acknowledges what is held, and opens
//! connections that lead nowhere, so that only those notice who wait for an answer.

use anyhow::Context as _;
use std::{
    collections::BTreeSet,
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
    time::sleep,
};

/// How much is read at once.
const CHUNK: usize = 64 * 1024;
/// Until the next try when there are too many open files.
const RETRY: Duration = Duration::from_millis(100);

/// A proxy. It ends when this is dropped.
pub struct Proxy {
    address: SocketAddr,
    still: Arc<watch::Sender<Option<Still>>>,
    accepting: JoinHandle<()>,
}

/// Whose connections stand still.
struct Still {
    /// `None`: everybody's.
    process: Option<u32>,
    /// Where those of the process begin. Those that it has closed stay: that it did would otherwise get through.
    callers: BTreeSet<SocketAddr>,
}

/// Connections are held back until this is dropped.
pub struct Held(Arc<watch::Sender<Option<Still>>>);

impl Proxy {
    /// One that listens at an address of IPv4, and connects to another whenever it is connected to.
    pub async fn start(address: SocketAddr, target: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).await.with_context(|| format!("a proxy at {address}"))?;
        let still = Arc::new(watch::Sender::new(None));
        let accepting = tokio::spawn(accept(listener, address, target, still.clone()));
        Ok(Self { address, still, accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Holds back the connections of a process of one's own, or of everybody; also those that are yet to come.
    pub fn hold(&self, process: Option<u32>) -> anyhow::Result<Held> {
        // In this order no connection slips through: one that is younger than the list is looked up when it is accepted.
        self.still.send_replace(Some(Still { process, callers: BTreeSet::new() }));
        let held = Held(self.still.clone());
        if let Some(process) = process {
            add_callers(&self.still, process, self.address).context("whose connections are whose")?;
        }
        Ok(held)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.send_replace(None);
    }
}

async fn accept(
    listener: TcpListener,
    address: SocketAddr,
    target: SocketAddr,
    still: Arc<watch::Sender<Option<Still>>>,
) {
    loop {
        let Ok((near, caller)) = listener.accept().await else {
            sleep(RETRY).await;
            continue;
        };
        let process = still.borrow().as_ref().and_then(|still| still.process);
        if let Some(process) = process {
            // A process that has ended has no connections either.
            let _ = add_callers(&still, process, address);
        }
        tokio::spawn(carry(near, target, Gate { caller, still: still.subscribe() }));
    }
}

/// Where a connection waits while it is held.
#[derive(Clone)]
struct Gate {
    caller: SocketAddr,
    still: watch::Receiver<Option<Still>>,
}

impl Gate {
    async fn passed(&mut self) -> io::Result<()> {
        let caller = self.caller;
        let holds = |still: &Still| still.process.is_none() || still.callers.contains(&caller);
        let passed = self.still.wait_for(|still| !still.as_ref().is_some_and(holds)).await;
        passed.map(drop).map_err(|_| io::ErrorKind::ConnectionAborted.into())
    }
}

async fn carry(near: TcpStream, target: SocketAddr, mut gate: Gate) -> io::Result<()> {
    gate.passed().await?;
    let far = TcpStream::connect(target).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    tokio::try_join!(pass(near_in, far_out, gate.clone()), pass(far_in, near_out, gate))?;
    Ok(())
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut gate: Gate) -> io::Result<()> {
    let mut bytes = vec![0; CHUNK];
    loop {
        let read = from.read(&mut bytes).await;
        // An end and an error are held like what is said.
        gate.passed().await?;
        match read? {
            0 => return to.shutdown().await,
            length => to.write_all(&bytes[..length]).await?,
        }
    }
}

fn add_callers(still: &watch::Sender<Option<Still>>, process: u32, address: SocketAddr) -> io::Result<()> {
    let found = callers(process, address)?;
    still.send_modify(|still| {
        // It may have been released meanwhile.
        if let Some(still) = still.as_mut().filter(|still| still.process == Some(process)) {
            still.callers.extend(found);
        }
    });
    Ok(())
}

/// Where the connections of a process to an address begin. The kernel tells of one's own processes without root.
fn callers(process: u32, address: SocketAddr) -> io::Result<BTreeSet<SocketAddr>> {
    let mut sockets = BTreeSet::new();
    for file in fs::read_dir(format!("/proc/{process}/fd"))? {
        // It may have been closed meanwhile.
        let Ok(link) = fs::read_link(file?.path()) else { continue };
        let inode = link.to_str().and_then(|link| link.strip_prefix("socket:[")?.strip_suffix(']'));
        sockets.extend(inode.map(str::to_owned));
    }
    let table = fs::read_to_string("/proc/net/tcp")?;
    let connections = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (local, remote) = (endpoint(fields.get(1)?)?, endpoint(fields.get(2)?)?);
        (remote == address && sockets.contains(*fields.get(9)?)).then_some(local)
    });
    Ok(connections.collect())
}

/// An address as `/proc/net/tcp` has it: the bytes of the address as the machine reads them as a number, and the port.
fn endpoint(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let address = Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?.to_ne_bytes());
    Some(SocketAddr::from((address, u16::from_str_radix(port, 16).ok()?)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::process::{Stdio, id};
    use tokio::{
        io::{AsyncBufReadExt as _, BufReader, Lines},
        process::{Child, ChildStdin, ChildStdout, Command},
        time::timeout,
    };

    const SOON: Duration = Duration::from_secs(10);
    const A_WHILE: Duration = Duration::from_millis(300);

    async fn echo(listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.into_split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    }

    async fn proxy() -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap();
        tokio::spawn(echo(listener));
        let port = crate::ports::one().unwrap();
        Proxy::start(SocketAddr::from(([127, 0, 0, 1], port)), target).await.unwrap()
    }

    /// A connection of this process.
    struct Own(TcpStream);

    impl Own {
        async fn to(proxy: &Proxy) -> Self {
            Self(TcpStream::connect(proxy.address()).await.unwrap())
        }

        async fn say(&mut self) {
            self.0.write_all(b"hello\n").await.unwrap();
        }

        async fn hears(&mut self, within: Duration) -> bool {
            let mut bytes = [0; 6];
            let heard = timeout(within, self.0.read_exact(&mut bytes)).await;
            heard.is_ok_and(|read| read.unwrap() == 6 && &bytes == b"hello\n")
        }
    }

    /// A connection of another process.
    struct Others {
        child: Child,
        says: ChildStdin,
        hears: Lines<BufReader<ChildStdout>>,
    }

    impl Others {
        fn to(proxy: &Proxy) -> Self {
            let script = format!(
                "exec 3<>/dev/tcp/127.0.0.1/{}; while read -r line; do echo $line >&3; read -r line <&3; echo $line; done",
                proxy.address().port()
            );
            let mut command = Command::new("bash");
            command.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
            let mut child = command.spawn().unwrap();
            let (says, hears) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
            Self { child, says, hears: BufReader::new(hears).lines() }
        }

        async fn say(&mut self) {
            self.says.write_all(b"hello\n").await.unwrap();
        }

        async fn hears(&mut self, within: Duration) -> bool {
            let heard = timeout(within, self.hears.next_line()).await;
            heard.is_ok_and(|line| line.unwrap().as_deref() == Some("hello"))
        }
    }

    #[tokio::test]
    async fn one_process_is_held_and_another_is_not_and_nothing_of_it_is_lost() {
        let proxy = proxy().await;
        let (mut own, mut others) = (Own::to(&proxy).await, Others::to(&proxy));
        own.say().await;
        others.say().await;
        assert!(own.hears(SOON).await && others.hears(SOON).await);

        let held = proxy.hold(Some(id())).unwrap();
        let mut young = Own::to(&proxy).await;
        own.say().await;
        young.say().await;
        others.say().await;
        assert!(others.hears(SOON).await);
        assert!(!own.hears(A_WHILE).await && !young.hears(A_WHILE).await);
        drop(held);
        assert!(own.hears(SOON).await && young.hears(SOON).await);

        let held = proxy.hold(others.child.id()).unwrap();
        own.say().await;
        others.say().await;
        assert!(own.hears(SOON).await);
        assert!(!others.hears(A_WHILE).await);
        drop(held);
        assert!(others.hears(SOON).await);
    }

    #[tokio::test]
    async fn nobody_hears_of_an_end_while_all_are_held() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], crate::ports::one().unwrap()));
        let proxy = Proxy::start(address, listener.local_addr().unwrap()).await.unwrap();
        let own = Own::to(&proxy).await;
        let (mut target, _) = timeout(SOON, listener.accept()).await.unwrap().unwrap();
        let held = proxy.hold(None).unwrap();
        drop(own);
        let mut bytes = [0; 1];
        assert!(timeout(A_WHILE, target.read(&mut bytes)).await.is_err());
        drop(held);
        assert_eq!(timeout(SOON, target.read(&mut bytes)).await.unwrap().unwrap(), 0);
    }
}
