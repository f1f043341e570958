//! Certificates that expire, and others in their place.

use std::fs;

use synod::{
    NodeId, Packet, TxId,
    commit::{Message, TxRange},
    perform::Transport,
};
use synod_grpc::{Client, Identity, Peers, Security, Server, Tls, TlsError};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::{
    authority::{ALWAYS, Authority, Days, Paper},
    metrics::{Memory, with_memory},
    soon, until,
    world::{BRANCHES, CLUSTER, MANAGERS, World, options},
};

const TARGET: NodeId = MANAGERS[0];

fn name(identity: Identity) -> String {
    identity.to_string()
}

fn tls(authority: &Authority, identity: Identity, days: Days) -> Result<Tls, TlsError> {
    let Paper { certificate, key } = authority.issue_for(&[&name(identity)], days);
    Tls::from_pem(authority.certificate.as_bytes(), certificate.as_bytes(), key.as_bytes())
}

fn renew(tls: &Tls, authority: &Authority, identity: Identity) {
    let Paper { certificate, key } = authority.issue(&[&name(identity)]);
    tls.renew(authority.certificate.as_bytes(), certificate.as_bytes(), key.as_bytes()).unwrap();
}

#[test]
fn what_is_not_valid_now_is_an_error_that_names_it_and_its_dates_and_what_to_do() {
    let identity = Identity::node(CLUSTER, NodeId(7));
    for days in [(-20, -10), (10, 20)] {
        let error = tls(&Authority::new(), identity, days).unwrap_err();
        let said = error.to_string();
        let TlsError::NotValidNow { from, until, now, .. } = error else { panic!("{said}") };
        for part in [name(identity).as_str(), &from, &until, &now, "have another one issued", "clock"] {
            assert!(said.contains(part), "{part:?} is missing: {said}");
        }
        let error = tls(&Authority::valid(days), identity, ALWAYS).unwrap_err();
        assert!(matches!(&error, TlsError::NotValidNow { whose, .. } if whose.contains("authority")), "{error:?}");
    }
    assert!((9.9..=10.0).contains(&tls(&Authority::new(), identity, (-1, 10)).unwrap().days_left()));
    assert!((9.9..=10.0).contains(&tls(&Authority::valid((-1, 10)), identity, ALWAYS).unwrap().days_left()));
}

#[test]
fn an_authority_that_has_expired_does_no_harm_beside_another() {
    let (old, new) = (Authority::valid((-20, -10)), Authority::valid((-10, 20)));
    let Paper { certificate, key } = new.issue(&[&name(Identity::node(CLUSTER, NodeId(7)))]);
    let both = format!("{}{}", old.certificate, new.certificate);
    let tls = Tls::from_pem(both.as_bytes(), certificate.as_bytes(), key.as_bytes()).unwrap();
    assert!((19.9..=20.0).contains(&tls.days_left()));
}

#[test]
fn files_are_named_in_errors_and_read_again() {
    let (folder, authority) = (TempDir::new().unwrap(), Authority::new());
    let [ca, own, private] = ["authority.pem", "own.pem", "own.key"].map(|file| folder.path().join(file));
    let write = |days, identity| {
        let Paper { certificate, key } = authority.issue_for(&[&name(identity)], days);
        fs::write(&ca, &authority.certificate).unwrap();
        fs::write(&own, certificate).unwrap();
        fs::write(&private, key).unwrap();
    };
    let identity = Identity::node(CLUSTER, NodeId(7));
    let read = || Tls::from_files(&ca, &own, &private);
    assert!(matches!(read(), Err(TlsError::File { path, .. }) if path == ca));
    write((-20, -10), identity);
    let said = read().unwrap_err().to_string();
    assert!(said.contains(&own.display().to_string()), "{said}");

    write((-1, 10), identity);
    let tls = read().unwrap();
    let days = || tls.clone().days_left().round() as i64;
    assert_eq!(days(), 10);
    write((-1, 30), identity);
    assert_eq!(days(), 10);
    tls.reload().unwrap();
    assert_eq!(days(), 30);
    // What is of no use changes nothing.
    write((-20, -10), identity);
    assert!(matches!(tls.reload(), Err(TlsError::NotValidNow { .. })));
    write((-1, 60), Identity::node(CLUSTER, NodeId(8)));
    assert!(matches!(tls.reload(), Err(TlsError::OtherIdentity { .. })));
    assert_eq!(days(), 30);
    let pem = self::tls(&authority, identity, ALWAYS).unwrap();
    assert!(matches!(pem.reload(), Err(TlsError::NoFiles)));
}

/// A new authority, and nothing is started again.
#[tokio::test(flavor = "multi_thread")]
async fn renewed_certificates_are_for_the_next_connection() {
    let world = World::plaintext().await;
    let (old, new) = (Authority::new(), Authority::new());
    let (node, other, me) = (TARGET, BRANCHES[0], NodeId(9));
    let [node_is, other_is, client_is] =
        [Identity::node(CLUSTER, node), Identity::node(CLUSTER, other), Identity::client(CLUSTER, me)];
    let [server_tls, peers_tls, client_tls] =
        [node_is, other_is, client_is].map(|identity| tls(&old, identity, ALWAYS).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let security = Security::Tls(server_tls.clone());
    let server = Server::start(listener, world.handle(node).clone(), security, options()).unwrap();
    let address = server.address().to_string();
    let client = || Client::new(CLUSTER, node, &address, &Security::Tls(client_tls.clone()), &options()).unwrap();
    let there = client();
    soon("the list", there.in_doubt()).await.unwrap();

    renew(&server_tls, &new, node_is);
    soon("a connection that was there", there.in_doubt()).await.unwrap();
    assert!(soon("a client of the old authority", client().in_doubt()).await.is_err());
    renew(&client_tls, &new, client_is);
    soon("the same client", there.in_doubt()).await.unwrap();

    let mut peers = Peers::new(&world.config(other), Security::Tls(peers_tls.clone()), options()).unwrap();
    peers.set(node, &address).unwrap();
    let range = TxRange::only(TxId { origin: me, seq: 1 });
    peers.send(Packet { to: node, messages: vec![Message::retired(range)] });
    until("it tries several times", || peers.stats(node).unwrap().failures >= 3).await;
    assert_eq!(peers.stats(node).unwrap().connections, 0);
    renew(&peers_tls, &new, other_is);
    until("it is sent", || peers.stats(node).unwrap().messages == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn days_left_are_a_gauge() {
    let world = World::plaintext().await;
    let (authority, memory) = (Authority::new(), Memory::default());
    let identity = Identity::node(CLUSTER, TARGET);
    let tls = tls(&authority, identity, (-1, 10)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let security = Security::Tls(tls.clone());
    let _server = with_memory(&memory, || Server::start(listener, world.handle(TARGET).clone(), security, options()));
    let gauge = || {
        let all = memory.read();
        let (_, bits) = all.iter().find(|(name, _)| name.starts_with("synod_grpc_certificate_days_left{")).unwrap();
        f64::from_bits(*bits)
    };
    until("it is said", || (9.9..=10.0).contains(&gauge())).await;
    renew(&tls, &authority, identity);
    until("it is said again", || gauge() > 99_999.0).await;
}
