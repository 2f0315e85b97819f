//! Two custom domain names with their certificates and trust stores behind one listener:
//! `cargo run --example mtls --features mtls`, then the curl lines it prints.
//!
//! `api.example.com` asks for a client certificate, and the gateway answers 403 without one; `strict.example.com`
//! requires one, and the handshake fails without. All certificates are made at the start.

mod process;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::{Acceptor, WebPkiClientVerifier},
};
use std::{
    convert::Infallible,
    error::Error,
    fs::OpenOptions,
    io::{ErrorKind, Write},
    net::SocketAddr,
    path::Path,
    sync::Arc,
};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};
use tower::{Layer, service_fn};
use tower_gateway::{
    context::{ClientCertificate, RequestContext},
    mtls::MutualTlsLayer,
};

type Failure = Box<dyn Error + Send + Sync>;
type Authority = CertifiedIssuer<'static, KeyPair>;

async fn who(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let context = RequestContext::of(request.extensions());
    let show = |name: &str| {
        let value = context.and_then(|context| context.variable(&format!("identity.clientCert.{name}")));
        format!("{name}: {}\n", value.unwrap_or("-".into()))
    };
    let names = ["subjectDN", "issuerDN", "serialNumber", "validity.notBefore", "validity.notAfter"];
    Ok(Response::new(Full::from(names.map(show).concat())))
}

fn authority(name: &str) -> Result<Authority, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

/// A certificate and its key, signed by the authority; `usage` says for which end of a connection.
fn certificate(
    name: &str,
    usage: ExtendedKeyUsagePurpose,
    authority: &Authority,
) -> Result<(rcgen::Certificate, KeyPair), rcgen::Error> {
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![usage];
    let key = KeyPair::generate()?;
    Ok((params.signed_by(&key, authority)?, key))
}

/// A custom domain name: its certificate, and whose clients come in.
struct Domain {
    name: &'static str,
    config: Arc<ServerConfig>,
}

fn domain(
    name: &'static str,
    server_authority: &Authority,
    trusted: &Authority,
    is_required: bool,
) -> Result<Domain, Failure> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut trust_store = RootCertStore::empty();
    trust_store.add(trusted.der().clone())?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(trust_store), Arc::clone(&provider));
    let verifier = if is_required { verifier } else { verifier.allow_unauthenticated() };
    let (own, key) = certificate(name, ExtendedKeyUsagePurpose::ServerAuth, server_authority)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier.build()?)
        .with_single_cert(vec![own.der().clone()], key)?;
    Ok(Domain { name, config: Arc::new(config) })
}

/// The handshake with the settings of the domain that the client names (SNI); others are turned away.
async fn handshake(domains: &[Domain], stream: TcpStream) -> Result<TlsStream<TcpStream>, Failure> {
    let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    let named = start.client_hello().server_name().map(str::to_owned);
    let domain =
        domains.iter().find(|domain| named.as_deref() == Some(domain.name)).ok_or("no such domain")?;
    Ok(start.into_stream(Arc::clone(&domain.config)).await?)
}

/// What the TLS library has verified, for the gateway: once a connection.
fn identity(stream: &TlsStream<TcpStream>) -> Result<Option<ClientCertificate>, Failure> {
    let (_, connection) = stream.get_ref();
    let Some(chain) = connection.peer_certificates() else { return Ok(None) };
    let certificate = ClientCertificate::from_verified_chain(chain)?;
    Ok(Some(match connection.server_name() {
        Some(name) => certificate.with_server_name(name),
        None => certificate,
    }))
}

async fn serve(domains: Arc<Vec<Domain>>, stream: TcpStream) -> Result<(), Failure> {
    let stream = handshake(&domains, stream).await?;
    let identity = identity(&stream)?;
    let service = MutualTlsLayer::new().layer(service_fn(who));
    let service = tower::util::MapRequest::new(service, move |mut request: Request<Incoming>| {
        if let Some(identity) = identity.clone() {
            request.extensions_mut().insert(identity);
        }
        request
    });
    let connection = hyper::server::conn::http1::Builder::new();
    connection.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).await?;
    Ok(())
}

fn print_curl_lines(directory: &Path, address: SocketAddr) {
    let (port, directory) = (address.port(), directory.display());
    println!("Listening on {address}. Try:\n");
    for (name, certificate, answer) in [
        ("api.example.com", "client", "200, what the certificate says"),
        ("api.example.com", "", r#"403 {"message":"Forbidden"}"#),
        ("api.example.com", "stranger", "the handshake fails: not in the trust store"),
        ("strict.example.com", "client", "200"),
        ("strict.example.com", "", "the handshake fails: a certificate is required"),
    ] {
        let own = match certificate {
            "" => String::new(),
            name => format!("--cert {directory}/{name}.pem --key {directory}/{name}.key "),
        };
        println!(
            "  curl -i --cacert {directory}/servers.pem {own}--resolve {name}:{port}:127.0.0.1 https://{name}:{port}/\n      -> {answer}\n"
        );
    }
}

/// Certificates of a client that is trusted and of one that is not, for curl.
fn write_client_files(directory: &Path, servers: &Authority, clients: &Authority) -> Result<(), Failure> {
    std::fs::create_dir_all(directory)?;
    std::fs::write(directory.join("servers.pem"), servers.pem())?;
    let strangers = authority("Stranger CA")?;
    for (name, issuer) in [("client", clients), ("stranger", &strangers)] {
        let (certificate, key) = certificate(name, ExtendedKeyUsagePurpose::ClientAuth, issuer)?;
        std::fs::write(directory.join(format!("{name}.pem")), certificate.pem())?;
        write_key(&directory.join(format!("{name}.key")), &key.serialize_pem())?;
    }
    Ok(())
}

/// For its owner only, from its first byte on.
fn write_key(path: &Path, pem: &str) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // One that was left there keeps its own permissions.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => options.write(true).create_new(true).open(path)?.write_all(pem.as_bytes()),
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let port = process::port(3443)?;
    let (servers, clients) = (authority("Server CA")?, authority("Client CA")?);
    let domains = Arc::new(vec![
        domain("api.example.com", &servers, &clients, false)?,
        domain("strict.example.com", &servers, &clients, true)?,
    ]);
    // The port first, so that nobody's files are written over who has it; but nobody can connect before they are there.
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(([127, 0, 0, 1], port).into()).map_err(|error| format!("127.0.0.1:{port}: {error}"))?;
    let directory = std::env::temp_dir().join(format!("tower-gateway-mtls-{port}"));
    write_client_files(&directory, &servers, &clients)?;
    let listener = socket.listen(1024)?;
    print_curl_lines(&directory, listener.local_addr()?);
    loop {
        let (stream, peer) = listener.accept().await?;
        let domains = Arc::clone(&domains);
        tokio::spawn(async move {
            if let Err(error) = serve(domains, stream).await {
                eprintln!("connection of {peer}: {error}");
            }
        });
    }
}
