//! The console over TLS, for those who have a certificate of the cluster's.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use synod::NodeId;
use synod_grpc::{
    Identity,
    tonic::{
        Code,
        transport::{Certificate, ClientTlsConfig, Endpoint},
    },
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::support::{Machines, Process, get, synod, until};

/// One who looks at the console of a process, perhaps with a certificate: the file without its ending.
struct Browser<'a> {
    at: &'a str,
    authority: PathBuf,
    papers: Option<PathBuf>,
}

impl Browser<'_> {
    /// The status and the body of the answer; an error if no answer came.
    fn ask(&self, method: &str, path: &str, headers: &str) -> Result<(u16, String), Box<dyn std::error::Error>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.authority)?)?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions()?.with_root_certificates(roots);
        let config = match &self.papers {
            None => config.with_no_client_auth(),
            Some(file) => {
                let chain = vec![CertificateDer::from_pem_file(file.with_extension("pem"))?];
                config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(file.with_extension("key"))?)?
            }
        };
        let connection = ClientConnection::new(Arc::new(config), "localhost".try_into()?)?;
        let mut stream = StreamOwned::new(connection, TcpStream::connect(self.at)?);
        let host = self.at.replace("127.0.0.1", "localhost");
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("no head")?;
        Ok((head.split(' ').nth(1).ok_or("no status")?.parse()?, body.to_owned()))
    }
}

fn role((code, body): (u16, String)) -> (u16, serde_json::Value) {
    (code, serde_json::from_str(&body).unwrap_or_else(|_| panic!("{body}")))
}

/// A process whose console is reached over TLS, too.
fn open(machines: &Machines) -> (Process, String) {
    let (folder, https) = (machines.folder(1), machines.ports.address(15));
    let console = ["certs", "console", "localhost", "--cluster", "cluster", "--folder", "cluster/node-1"];
    synod(machines.root.path(), &console).done();
    let file = fs::read_to_string(folder.join("node.toml")).unwrap();
    fs::write(folder.join("node.toml"), format!("{file}[https]\nlisten = \"{https}\"\n")).unwrap();
    let process = machines.start(1);
    until("that it answers", || get(&process.http, "/healthz").is_some_and(|(code, _)| code == 200));
    (process, https)
}

fn issue(root: &Path, kind: &str, number: &str) -> PathBuf {
    synod(root, &["certs", kind, number, "--cluster", "cluster"]).done();
    let name = format!("{kind}-{number}");
    root.join("cluster").join(&name).join(&name)
}

#[test]
fn a_certificate_of_an_operator_or_a_reader_takes_the_place_of_a_token_and_others_open_nothing() {
    let machines = Machines::new(&[]);
    let root = machines.root.path();
    let (process, https) = open(&machines);
    let [operator, reader] = [issue(root, "operator", "1"), issue(root, "reader", "2")];
    let authority = machines.cluster().join("authority.pem");
    let browser =
        |papers: Option<&PathBuf>| Browser { at: &https, authority: authority.clone(), papers: papers.cloned() };
    let inquire = "/api/transactions/n1-5/inquire";

    for (papers, name) in [(&operator, "operator"), (&reader, "reader")] {
        let (code, said) = role(browser(Some(papers)).ask("GET", "/api/role", "").unwrap());
        assert_eq!((code, &said["role"], &said["by_certificate"]), (200, &name.into(), &true.into()));
        let (code, page) = browser(Some(papers)).ask("GET", "/", "Accept: text/html\r\n").unwrap();
        assert!(code == 200 && page.contains("Overview"), "{page}");
    }
    let (code, said) = browser(Some(&reader)).ask("POST", inquire, "").unwrap();
    assert!(code == 403 && said.contains("this certificate only reads"), "{said}");
    let allowed = browser(Some(&operator)).ask("POST", inquire, "").unwrap();
    assert_ne!(allowed.0, 403, "{}", allowed.1);
    let own = format!("Origin: https://{}\r\nSec-Fetch-Site: same-origin\r\n", https.replace("127.0.0.1", "localhost"));
    assert_eq!(browser(Some(&operator)).ask("POST", inquire, &own).unwrap(), allowed);
    // A browser would show its certificate for the page of another site, too.
    for other in ["Origin: https://evil.example\r\n", "Sec-Fetch-Site: cross-site\r\n", "Origin: null\r\n"] {
        let (code, said) = browser(Some(&operator)).ask("POST", inquire, other).unwrap();
        assert!(code == 403 && said.contains("another site"), "{other}{said}");
    }

    // Without one, or with one that is for something else, a token is needed, on this very machine as well.
    let others =
        [None, Some(machines.cluster().join("client-1000/client-1000")), Some(machines.folder(2).join("node-2"))];
    let token = fs::read_to_string(machines.folder(1).join("token")).unwrap();
    for papers in &others {
        let browser = browser(papers.as_ref());
        for path in ["/api/role", "/metrics"] {
            let (code, said) = browser.ask("GET", path, "").unwrap();
            assert!(code == 403 && said.contains("needs the token"), "{papers:?}: {said}");
        }
        let token = format!("Authorization: Bearer {}\r\n", token.trim());
        let (code, said) = role(browser.ask("GET", "/api/role", &token).unwrap());
        assert_eq!((code, &said["role"], &said["by_certificate"]), (200, &"operator".into(), &false.into()));
    }
    // In plain text no certificate is shown.
    assert_eq!(role(get(&process.http, "/api/role").unwrap()).1["by_certificate"], false);

    let before = fs::read(reader.with_extension("pem")).unwrap();
    synod(root, &["certs", "renew", "cluster/reader-2", "--cluster", "cluster"]).done();
    assert_ne!(fs::read(reader.with_extension("pem")).unwrap(), before);
    let (_, said) = role(browser(Some(&reader)).ask("GET", "/api/role", "").unwrap());
    assert_eq!(said["role"], "reader");

    // Another cluster's operator is nobody here, and does not get in.
    let elsewhere = Machines::new(&[]);
    let stranger = issue(elsewhere.root.path(), "operator", "1");
    assert!(browser(Some(&stranger)).ask("GET", "/api/role", "").is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_for_the_console_is_nobodys_over_grpc() {
    let machines = Machines::new(&[]);
    let (_process, _) = open(&machines);
    let operator = issue(machines.root.path(), "operator", "1");
    let read = |file: PathBuf| fs::read_to_string(file).unwrap();
    let cluster = read(machines.file(1)).split("id = \"").nth(1).unwrap()[..32].parse().unwrap();
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read(machines.cluster().join("authority.pem"))))
        .identity(synod_grpc::tonic::transport::Identity::from_pem(
            read(operator.with_extension("pem")),
            read(operator.with_extension("key")),
        ))
        .domain_name(Identity::node(cluster, NodeId(1)).to_string());
    let endpoint = Endpoint::from_shared(format!("https://{}", machines.ports.address(1))).unwrap();
    let mut client = HealthClient::new(endpoint.tls_config(tls).unwrap().connect_lazy());
    let refused = client.check(HealthCheckRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
}

#[test]
fn a_console_without_its_certificate_is_told_how_to_get_one_and_sighup_takes_up_another() {
    let machines = Machines::new(&[]);
    let (mut process, https) = open(&machines);
    let authority = machines.cluster().join("authority.pem");
    let browser = Browser { at: &https, authority, papers: Some(issue(machines.root.path(), "reader", "1")) };
    assert_eq!(browser.ask("GET", "/healthz", "").unwrap().0, 200);
    let certificate = machines.folder(1).join("console.pem");
    fs::write(&certificate, "nothing").unwrap();
    process.signal(rustix::process::Signal::HUP);
    until("that it says so", || process.log().contains("the earlier one stays in force"));
    assert_eq!(browser.ask("GET", "/healthz", "").unwrap().0, 200);
    let other = ["certs", "console", "elsewhere", "--cluster", "cluster", "--folder", "cluster/node-1"];
    synod(machines.root.path(), &other).done();
    process.signal(rustix::process::Signal::HUP);
    until("that the certificate is another", || browser.ask("GET", "/healthz", "").is_err());
    let own =
        ["certs", "console", "localhost", "127.0.0.1", "::1", "--cluster", "cluster", "--folder", "cluster/node-1"];
    synod(machines.root.path(), &own).done();
    let before = fs::read(&certificate).unwrap();
    let renewed = synod(machines.root.path(), &["certs", "renew", "cluster/node-1", "--cluster", "cluster"]).done();
    assert!(renewed.contains("console.pem"), "{renewed}");
    assert_ne!(fs::read(&certificate).unwrap(), before);
    process.signal(rustix::process::Signal::HUP);
    until("that the renewed one is for the same names", || browser.ask("GET", "/healthz", "").is_ok());
    fs::write(&certificate, "nothing").unwrap();
    let said = synod(machines.root.path(), &["certs", "renew", "cluster/node-1", "--cluster", "cluster"]);
    assert_eq!(said.code, 3, "{said:?}");
    for word in ["console.pem", "what machine it is for", "synod certs console HOST"] {
        assert!(said.err.contains(word), "{said:?}");
    }
    process.terminate();

    fs::remove_file(&certificate).unwrap();
    let said = machines.synod(1, &["run", "node.toml"]);
    assert_eq!(said.code, 3, "{said:?}");
    for word in ["console.pem", "https.listen", "synod certs console HOST"] {
        assert!(said.err.contains(word), "{word}: {said:?}");
    }
}
