//! The stream service. Its answer is a body of ready-made frames, not a stream of messages that are encoded one by one
//! per client, so Attach is served by hand where the other methods have generated code.

use super::{
    check::invalid,
    identity::{caller, token_expires},
};
use crate::delivery::Delivery;
use futures_util::future::BoxFuture;
use http_body::Body as HttpBody;
use nexus_proto::v1;
use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    codegen::{Service, StdError},
    metadata::{MetadataMap, MetadataValue},
    server::{Grpc, NamedService},
};
use tonic_prost::{ProstCodec, ProstDecoder};
use tower::service_fn;

/// Time in which a request must have arrived whole.
const ARRIVAL: Duration = Duration::from_secs(10);
/// Bytes of a request: more than the largest allowed number of cursors takes.
const REQUEST_BYTES: usize = 4 << 20;

/// `nexus.v1.StreamService` as a tower service.
#[derive(Clone)]
pub struct StreamServer(Arc<Delivery>);

impl StreamServer {
    /// Serves these streams.
    pub fn new(delivery: Arc<Delivery>) -> Self {
        Self(delivery)
    }

    async fn attach<B>(&self, request: http::Request<B>) -> Result<http::Response<Body>, Status>
    where
        B: HttpBody + Send + 'static,
        B::Error: Into<StdError> + Send,
    {
        let (head, body) = request.into_parts();
        let head = Request::from_parts(MetadataMap::from_headers(head.headers), head.extensions, ());
        let caller = caller(&head)?;
        let expires = token_expires(&head)?;
        uncompressed(head.metadata())?;
        let decoder = ProstDecoder::<v1::AttachRequest>::default();
        let mut messages = Streaming::new_request(decoder, body, None, Some(REQUEST_BYTES));
        let whole = async {
            let message = messages.message().await?;
            // To its end, since what follows the message may show that it is no request.
            while messages.message().await?.is_some() {}
            message.ok_or_else(|| invalid("request", "is missing: send one AttachRequest"))
        };
        let message = tokio::time::timeout(ARRIVAL, whole).await.map_err(|_| {
            Status::deadline_exceeded("the request did not arrive in time: end it after its message")
        })??;
        let body = self.0.attach(caller, message, expires)?;
        let mut response = http::Response::new(Body::new(body));
        response.headers_mut().insert(http::header::CONTENT_TYPE, tonic::metadata::GRPC_CONTENT_TYPE);
        Ok(response)
    }

    fn add_cursors(
        &self,
        request: Request<v1::AddCursorsRequest>,
    ) -> Result<Response<v1::AddCursorsResponse>, Status> {
        let caller = caller(&request)?;
        self.0.add_cursors(&caller, request.into_inner())?;
        Ok(Response::new(v1::AddCursorsResponse {}))
    }
}

/// As the generated services answer it.
fn uncompressed(headers: &MetadataMap) -> Result<(), Status> {
    let encoding = headers.get("grpc-encoding").filter(|encoding| *encoding != "identity");
    let Some(encoding) = encoding else { return Ok(()) };
    let mut status = Status::unimplemented(format!(
        "compression {encoding:?} is not supported: send requests as they are"
    ));
    status.metadata_mut().insert("grpc-accept-encoding", MetadataValue::from_static("identity"));
    Err(status)
}

impl NamedService for StreamServer {
    const NAME: &'static str = "nexus.v1.StreamService";
}

impl<B> Service<http::Request<B>> for StreamServer
where
    B: HttpBody + Send + 'static,
    B::Error: Into<StdError> + Send,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            Ok(match request.uri().path() {
                "/nexus.v1.StreamService/Attach" => {
                    service.attach(request).await.unwrap_or_else(Status::into_http)
                }
                "/nexus.v1.StreamService/AddCursors" => {
                    let method = service_fn(|request| std::future::ready(service.add_cursors(request)));
                    Grpc::new(ProstCodec::default())
                        .apply_max_message_size_config(Some(REQUEST_BYTES), None)
                        .unary(method, request)
                        .await
                }
                _ => Status::unimplemented("StreamService has no such method").into_http(),
            })
        })
    }
}
