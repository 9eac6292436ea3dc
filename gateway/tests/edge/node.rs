//! A small gRPC server in the place of a chat node: it answers every method with what it was asked.

use std::{
    convert::Infallible,
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    net::{TcpListener, UnixListener},
    sync::mpsc,
};
use tokio_stream::{
    Stream,
    wrappers::{ReceiverStream, TcpListenerStream, UnixListenerStream},
};
use tonic::{
    Request, Response, Status, body::Body, codegen::BoxFuture, server, service::Routes, transport::Server,
};
use tonic_health::{ServingStatus, server::HealthReporter};
use tonic_prost::ProstCodec;

/// Every request and every answer.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Echo {
    /// What to do, or what was asked.
    #[prost(string, tag = "1")]
    pub text: String,
    /// The metadata that arrived, as "name: value".
    #[prost(string, repeated, tag = "2")]
    pub headers: Vec<String>,
    /// Who answers.
    #[prost(string, tag = "3")]
    pub node: String,
}

impl Echo {
    pub fn new(text: &str) -> Self {
        Echo { text: text.into(), ..Echo::default() }
    }

    /// The values of a header that arrived.
    pub fn header(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect()
    }
}

/// A running node. Dropping it cuts all its connections.
pub struct Node {
    runtime: Option<tokio::runtime::Runtime>,
    leave: Option<tokio::sync::oneshot::Sender<()>>,
    pub name: String,
    pub address: String,
    pub health: HealthReporter,
    /// Streams that clients have open.
    pub streams: Arc<AtomicUsize>,
    /// Calls that arrived.
    pub calls: Arc<AtomicUsize>,
    /// Messages that streams have sent, or have ready.
    pub sent: Arc<AtomicUsize>,
}

/// A node that stands still. It goes on when this is dropped.
pub struct Paused {
    _going_on: SyncSender<()>,
}

impl Node {
    pub fn on_tcp(name: &str) -> Self {
        Node::on_port(name, 0)
    }

    pub fn on_port(name: &str, port: u16) -> Self {
        let runtime = runtime();
        let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let _inside = runtime.enter();
        let listener = TcpListener::from_std(listener).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        Node::start(runtime, name, address, |router, left| {
            Box::pin(router.serve_with_incoming_shutdown(TcpListenerStream::new(listener), left))
        })
    }

    pub fn on_socket(name: &str, path: PathBuf) -> Self {
        let runtime = runtime();
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let _inside = runtime.enter();
        let listener = UnixListener::from_std(listener).unwrap();
        let address = format!("unix:{}", path.display());
        Node::start(runtime, name, address, |router, left| {
            Box::pin(router.serve_with_incoming_shutdown(UnixListenerStream::new(listener), left))
        })
    }

    fn start(
        runtime: tokio::runtime::Runtime,
        name: &str,
        address: String,
        serve: impl FnOnce(Router, Left) -> BoxFuture<(), tonic::transport::Error>,
    ) -> Self {
        let (health, health_service) = tonic_health::server::health_reporter();
        let service = Echoes { name: name.into(), ..Echoes::default() };
        let (streams, calls, sent) = (service.streams.clone(), service.calls.clone(), service.sent.clone());
        let routes = Routes::new(health_service);
        let routes = Routes::from(routes.into_axum_router().fallback_service(service));
        let router = Server::builder().layer(tonic_web::GrpcWebLayer::new()).add_routes(routes);
        let (leave, left) = tokio::sync::oneshot::channel();
        runtime.spawn(serve(router, Box::pin(async { left.await.unwrap_or_default() })));
        Node {
            runtime: Some(runtime),
            leave: Some(leave),
            name: name.into(),
            address,
            health,
            streams,
            calls,
            sent,
        }
    }

    pub fn streams(&self) -> usize {
        self.streams.load(Ordering::SeqCst)
    }

    pub async fn serving(&self, serving: bool) {
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        self.health.set_service_status("", status).await;
    }

    /// As SIGSTOP does: the system takes connections and bytes, and nobody reads them.
    pub async fn pause(&self) -> Paused {
        let (going_on, stopped) = sync_channel(0);
        let (stops, has_stopped) = tokio::sync::oneshot::channel();
        // It has one thread.
        self.runtime.as_ref().unwrap().spawn(async move {
            stops.send(()).unwrap();
            stopped.recv().unwrap_err();
        });
        has_stopped.await.unwrap();
        Paused { _going_on: going_on }
    }

    /// As SIGTERM does: it takes nothing new, and carries on with what it has.
    pub fn leave(&mut self) {
        self.leave.take().unwrap().send(()).unwrap();
    }

    /// As kill -9 does.
    pub fn kill(mut self) -> u16 {
        let port = self.address.rsplit(':').next().unwrap().parse().unwrap_or(0);
        self.runtime.take().unwrap().shutdown_background();
        port
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

type Left = Pin<Box<dyn Future<Output = ()> + Send>>;
type Router = tonic::transport::server::Router<
    tower::layer::util::Stack<tonic_web::GrpcWebLayer, tower::layer::util::Identity>,
>;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[derive(Clone, Default)]
struct Echoes {
    name: String,
    streams: Arc<AtomicUsize>,
    calls: Arc<AtomicUsize>,
    sent: Arc<AtomicUsize>,
}

impl Echoes {
    fn echo(&self, request: &Request<Echo>) -> Echo {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let headers = request.metadata().clone().into_headers();
        Echo {
            text: request.get_ref().text.clone(),
            headers: headers.iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap_or("?"))).collect(),
            node: self.name.clone(),
        }
    }
}

impl tower::Service<http::Request<axum::body::Body>> for Echoes {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<axum::body::Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            let mut grpc = server::Grpc::new(ProstCodec::<Echo, Echo>::default());
            Ok(match request.uri().path() {
                path if path.ends_with("/Attach") => grpc.server_streaming(service, request).await,
                path if path.ends_with("/Chat") => grpc.streaming(service, request).await,
                _ => grpc.unary(service, request).await,
            })
        })
    }
}

impl server::UnaryService<Echo> for Echoes {
    type Response = Echo;
    type Future = BoxFuture<Response<Echo>, Status>;

    fn call(&mut self, request: Request<Echo>) -> Self::Future {
        let answer = self.echo(&request);
        Box::pin(async move {
            match answer.text.as_str() {
                "refuse" => Err(Status::permission_denied("not yours: ä")),
                "silence" => std::future::pending().await,
                text if text.starts_with("size:") => {
                    Ok(Response::new(Echo::new(&"x".repeat(text[5..].parse().unwrap()))))
                }
                _ => Ok(Response::new(answer)),
            }
        })
    }
}

type Answers = Pin<Box<dyn Stream<Item = Result<Echo, Status>> + Send>>;

impl server::ServerStreamingService<Echo> for Echoes {
    type Response = Echo;
    type ResponseStream = Answers;
    type Future = BoxFuture<Response<Answers>, Status>;

    /// `count:N` sends N and ends; `ticks` sends for ever, and `flood` does as fast as it can, 64 KiB at a time; anything
    /// else sends one and stays.
    fn call(&mut self, request: Request<Echo>) -> Self::Future {
        let first = self.echo(&request);
        let open = Open::new(&self.streams);
        let count_sent = self.sent.clone();
        Box::pin(async move {
            let (sender, receiver) = mpsc::channel(4);
            tokio::spawn(async move {
                let _open = open;
                let count = first.text.strip_prefix("count:").map(|n| n.parse().unwrap());
                let ticks = first.text == "ticks";
                let flood = first.text == "flood";
                sender.send(Ok(first)).await.ok();
                for n in 1.. {
                    if count.is_some_and(|count: u32| n >= count) {
                        return;
                    }
                    if count.is_none() && !ticks && !flood {
                        sender.closed().await;
                        return;
                    }
                    if ticks {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    let text = if flood { "x".repeat(65_536) } else { n.to_string() };
                    if sender.send(Ok(Echo::new(&text))).await.is_err() {
                        return;
                    }
                    count_sent.fetch_add(1, Ordering::SeqCst);
                }
            });
            Ok(Response::new(Box::pin(ReceiverStream::new(receiver)) as Answers))
        })
    }
}

impl server::StreamingService<Echo> for Echoes {
    type Response = Echo;
    type ResponseStream = Answers;
    type Future = BoxFuture<Response<Answers>, Status>;

    /// Answers each message as it comes.
    fn call(&mut self, request: Request<tonic::Streaming<Echo>>) -> Self::Future {
        Box::pin(async move { Ok(Response::new(Box::pin(request.into_inner()) as Answers)) })
    }
}

struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Open(count.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
