//! Who a certificate is for.

use synod::{NodeId, commit::ClusterId};
use synod_grpc::{Error, Identity, IdentityError, Peers, Role, Security, Server, TlsError};
use tokio::net::TcpListener;

use super::{
    authority::{Authority, Paper},
    world::{CLUSTER, MANAGERS, World, options},
};

const HEX: &str = "677270632c206f6e206c6f6f70626163";

#[test]
fn an_identity_is_a_name_and_a_name_is_an_identity() {
    let node = Identity::node(CLUSTER, NodeId(7));
    assert_eq!(node.to_string(), format!("node-7.{HEX}.synod"));
    let last = Identity::client(ClusterId([0; 16]), NodeId(u64::MAX));
    assert_eq!(last.to_string(), "client-18446744073709551615.00000000000000000000000000000000.synod");
    for identity in [node, last] {
        assert_eq!(identity.to_string().parse(), Ok(identity));
    }
    assert_eq!(node.role, Role::Node(NodeId(7)));
}

#[test]
fn a_name_has_one_spelling() {
    let wrong = [
        format!("node-07.{HEX}.synod"),
        format!("node-+7.{HEX}.synod"),
        format!("Node-7.{HEX}.synod"),
        format!("node-7.{}.synod", HEX.to_uppercase()),
        format!("node-7.0{HEX}.synod"),
        format!("node-7.+{}.synod", &HEX[1..]),
        format!("node-7.{}.synod", &HEX[1..]),
        format!("node-7.{HEX}.SYNOD"),
        format!("node-7.x.{HEX}.synod"),
        format!("node-18446744073709551616.{HEX}.synod"),
        format!("node-.{HEX}.synod"),
        format!("*.{HEX}.synod"),
        format!("knot-7.{HEX}.synod"),
        "node-7.synod".into(),
        ".synod".into(),
        String::new(),
    ];
    for name in wrong {
        assert_eq!(name.parse::<Identity>(), Err(IdentityError::Malformed(name.clone())));
    }
}

#[test]
fn a_certificate_is_for_the_one_name_in_it_that_is_of_a_cluster() {
    let authority = Authority::new();
    let (name, other) =
        (Identity::node(CLUSTER, NodeId(7)).to_string(), Identity::node(CLUSTER, NodeId(8)).to_string());
    let identity = |names: &[&str]| authority.tls(names).map(|tls| tls.identity());
    let refused = |names: &[&str]| match identity(names) {
        Err(TlsError::Identity(error)) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(identity(&[&name]).unwrap(), Identity::node(CLUSTER, NodeId(7)));
    assert_eq!(identity(&["localhost", &name, "127.0.0.1"]).unwrap(), Identity::node(CLUSTER, NodeId(7)));
    assert_eq!(refused(&[]), IdentityError::Nobody);
    assert_eq!(refused(&["localhost", "synod", "node-7.synod.example"]), IdentityError::Nobody);
    assert_eq!(refused(&[&name, &other]), IdentityError::Several);
    assert_eq!(refused(&[&name, "*.x.synod"]), IdentityError::Several);
    let wildcard = format!("*.{HEX}.synod");
    assert_eq!(refused(&[&wildcard]), IdentityError::Malformed(wildcard));
    assert!(matches!(Identity::of_certificate(b"no certificate"), Err(IdentityError::Unreadable(_))));
}

#[test]
fn what_makes_no_tls_is_an_error_that_says_why() {
    let authority = Authority::new();
    let name = Identity::node(CLUSTER, NodeId(7)).to_string();
    let (own, other) = (authority.issue(&[&name]), authority.issue(&[&name]));
    let tls = |authority: &str, certificate: &str, key: &str| {
        synod_grpc::Tls::from_pem(authority.as_bytes(), certificate.as_bytes(), key.as_bytes()).unwrap_err()
    };
    let Paper { certificate, key } = &own;
    assert!(matches!(tls("", certificate, key), TlsError::Authority(_)));
    assert!(matches!(tls(&authority.certificate, "", key), TlsError::Certificate(_)));
    assert!(matches!(tls(&authority.certificate, certificate, ""), TlsError::Key(_)));
    assert!(matches!(tls(&authority.certificate, certificate, &other.key), TlsError::Rustls(_)));
}

#[test]
fn a_key_is_not_shown() {
    let security = Authority::new().security(Identity::node(CLUSTER, NodeId(7)));
    let shown = format!("{security:?}");
    assert!(shown.contains("NodeId(7)") && !shown.to_lowercase().contains("key"), "{shown}");
}

#[tokio::test]
async fn a_node_with_the_certificate_of_another_does_not_start() {
    let world = World::plaintext().await;
    let (config, handle) = (world.config(MANAGERS[0]), world.handle(MANAGERS[0]));
    let others = [
        Identity::node(CLUSTER, MANAGERS[1]),
        Identity::client(CLUSTER, MANAGERS[0]),
        Identity::node(ClusterId([7; 16]), MANAGERS[0]),
    ];
    for found in others {
        let security = world.authority.security(found);
        let wanted = Identity::node(CLUSTER, MANAGERS[0]);
        let transport = Peers::new(&config, security.clone(), options()).map(drop);
        assert!(matches!(transport, Err(Error::OtherIdentity { wanted: w, found: f }) if (w, f) == (wanted, found)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Server::start(listener, handle.clone(), security, options()).map(drop);
        assert!(matches!(server, Err(Error::OtherIdentity { wanted: w, found: f }) if (w, f) == (wanted, found)));
    }
    let own = world.authority.security(Identity::node(CLUSTER, MANAGERS[0]));
    assert!(matches!(own, Security::Tls(_)) && Peers::new(&config, own, options()).is_ok());
}
