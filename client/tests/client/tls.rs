//! The connection itself, over a real socket.
use std::sync::Arc;

use nexus_client::{Client, ClientOptions, Endpoint, EndpointError, RetryPolicy, StaticToken, v1::*};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;

use crate::fake::Fake;

/// An authority, and a certificate for "localhost" by it.
fn authority() -> (String, rustls::ServerConfig) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&ca_key).unwrap();
    let issuer = Issuer::new(params, ca_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".into()]).unwrap().signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    (ca.pem(), config)
}

async fn serve(fake: &Fake, config: rustls::ServerConfig) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (sender, connections) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(tcp).await {
                let (server, mut pipe) = tokio::io::duplex(1 << 16);
                tokio::spawn(async move { tokio::io::copy_bidirectional(&mut stream, &mut pipe).await });
                let _ = sender.send(Ok::<_, std::io::Error>(server)).await;
            }
        }
    });
    let router = tonic::transport::Server::builder().add_routes(fake.routes());
    tokio::spawn(router.serve_with_incoming(ReceiverStream::new(connections)));
    url
}

fn impatient() -> ClientOptions {
    let give_up_after = std::time::Duration::ZERO;
    ClientOptions {
        retry: RetryPolicy { give_up_after, ..RetryPolicy::default() },
        ..ClientOptions::default()
    }
}

#[tokio::test]
async fn the_given_authority_is_trusted_and_no_other() {
    let (fake, _) = Fake::start();
    fake.fill_log(1);
    let (ca, config) = authority();
    let url = serve(&fake, config).await;
    let page = ListEventsRequest { conversation_id: "c".into(), limit: 10, ..ListEventsRequest::default() };

    let transport = Endpoint::new(&url).ca_pem(ca).connect().unwrap();
    let answer = Client::new(transport, StaticToken::new("t")).call(page.clone()).await.unwrap();
    assert_eq!(answer.events.len(), 1);

    let (stranger, _) = authority();
    let transport = Endpoint::new(&url).ca_pem(stranger).connect().unwrap();
    let client = Client::with_options(transport, StaticToken::new("t"), impatient());
    let error = client.call(page).await.unwrap_err();
    assert!(!error.refused);
}

#[tokio::test]
async fn what_can_never_work_is_said_at_once() {
    let bad = |url: &str| Endpoint::new(url).connect().unwrap_err();
    assert!(matches!(bad("localhost:8443"), EndpointError::Url { .. }));
    assert!(matches!(bad("ftp://localhost"), EndpointError::Url { .. }));
    assert!(matches!(bad(""), EndpointError::Url { .. }));
    let empty = Endpoint::new("https://localhost").ca_pem("no certificate here").connect().unwrap_err();
    assert!(matches!(empty, EndpointError::Authority(_)));
}
