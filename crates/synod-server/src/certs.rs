//! Certificates: the authority of a cluster, and who each process is.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    net::IpAddr,
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use synod::commit::ClusterId;
use synod_grpc::{Identity, Role};
use time::{Duration, OffsetDateTime};
use x509_parser::{extensions::GeneralName, pem::parse_x509_pem};

use crate::{
    api::{self, guard::Role as Person},
    failure::{Exit, Failure},
};

/// For how long an authority is valid, and for how long what it issues.
const AUTHORITY_DAYS: i64 = 3_650;
pub(crate) const DAYS: i64 = 365;

/// Clocks are not quite the same everywhere.
const SKEW: Duration = Duration::hours(1);

/// An authority that can issue certificates.
pub(crate) struct Authority {
    cluster: ClusterId,
    /// Its own certificate, which everyone needs.
    pub(crate) certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes an authority for `cluster` in `folder`, where there must be none.
    pub(crate) fn create(folder: &Path, cluster: ClusterId) -> Result<Self, Failure> {
        let path = folder.join("authority.key");
        if path.exists() {
            let remedy = "keep it, for what it has issued would be worth nothing without it; to begin a new cluster, \
             name another folder";
            return Err(Failure::new(Exit::Refused, format!("{} is there already", path.display()), remedy));
        }
        create_folder(folder)?;
        let key = KeyPair::generate().map_err(|error| failed(&error))?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, common_name(cluster));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) = validity(AUTHORITY_DAYS);
        let certificate = params.self_signed(&key).map_err(|error| failed(&error))?.pem();
        // The key last: by that the authority is there.
        write(&folder.join("authority.pem"), &certificate, Mode::Open)?;
        write(&path, &key.serialize_pem(), Mode::Secret)?;
        Ok(Self { cluster, certificate, issuer: Issuer::new(params, key) })
    }

    /// The authority in `folder`.
    pub(crate) fn read(folder: &Path) -> Result<Self, Failure> {
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read_to_string(&path).map_err(|error| {
                let remedy = "name the folder that `synod init` made, where authority.pem, authority.key and \
                 cluster.toml are (--cluster FOLDER)";
                let what = format!("the cluster's authority: {} cannot be read", path.display());
                Failure::new(Exit::Configuration, what, remedy).caused_by(&error)
            })
        };
        let (certificate, key) = (read("authority.pem")?, read("authority.key")?);
        let cluster = crate::init::Cluster::read(folder)?.id;
        let no_use = |error: &rcgen::Error| {
            let remedy = "put back the files that belong together: authority.key is the key of authority.pem";
            Failure::new(Exit::Configuration, format!("the authority in {} is of no use", folder.display()), remedy)
                .caused_by(error)
        };
        let key = KeyPair::from_pem(&key).map_err(|error| no_use(&error))?;
        let issuer = Issuer::from_ca_cert_pem(&certificate, key).map_err(|error| no_use(&error))?;
        Ok(Self { cluster, certificate, issuer })
    }

    /// Issues a certificate for `role`, valid for so many days, into `folder`: with its key, and the authority's own.
    pub(crate) fn issue(&self, folder: &Path, role: Role, days: i64) -> Result<PathBuf, Failure> {
        let identity = Identity { cluster: self.cluster, role };
        let uses = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(folder, &file_name(role), vec![identity.to_string()], uses, days)
    }

    /// Issues a certificate for an operator or a reader. It opens the console over TLS, and nothing else.
    pub(crate) fn issue_person(&self, folder: &Path, role: Person, number: u64, days: i64) -> Result<PathBuf, Failure> {
        let file = format!("{}-{number}", api::word(role));
        let name = api::certified(role, number, self.cluster);
        self.sign(folder, &file, vec![name], vec![ExtendedKeyUsagePurpose::ClientAuth], days)
    }

    /// Issues the certificate that the console shows, for these names or addresses of its machine.
    pub(crate) fn issue_console(&self, folder: &Path, hosts: Vec<String>, days: i64) -> Result<PathBuf, Failure> {
        if let Some(host) = hosts.iter().find(|host| host.to_ascii_lowercase().ends_with(".synod")) {
            let remedy = "name the machine as browsers know it, such as a.example";
            let what = format!("{host} is a name of those who take part, and no machine's");
            return Err(Failure::new(Exit::Usage, what, remedy));
        }
        self.sign(folder, CONSOLE, hosts, vec![ExtendedKeyUsagePurpose::ServerAuth], days)
    }

    fn sign(
        &self,
        folder: &Path,
        file: &str,
        names: Vec<String>,
        uses: Vec<ExtendedKeyUsagePurpose>,
        days: i64,
    ) -> Result<PathBuf, Failure> {
        let named = names.join(", ");
        let key = KeyPair::generate().map_err(|error| failed(&error))?;
        let mut params = CertificateParams::new(names).map_err(|error| {
            let remedy = "name hosts such as a.example, or IP addresses";
            Failure::new(Exit::Usage, format!("there is no certificate for {named}"), remedy).caused_by(&error)
        })?;
        create_folder(folder)?;
        params.distinguished_name.push(DnType::CommonName, file);
        params.extended_key_usages = uses;
        (params.not_before, params.not_after) = validity(days);
        let certificate = params.signed_by(&key, &self.issuer).map_err(|error| failed(&error))?.pem();
        let path = folder.join(file);
        write(&path.with_extension("key"), &key.serialize_pem(), Mode::Secret)?;
        write(&path.with_extension("pem"), &certificate, Mode::Open)?;
        write(&folder.join("authority.pem"), &self.certificate, Mode::Open)?;
        Ok(path.with_extension("pem"))
    }

    /// Issues again whatever certificates are in `folder`. Returns their files.
    pub(crate) fn renew(&self, folder: &Path, days: i64) -> Result<Vec<PathBuf>, Failure> {
        let unreadable = |error: io::Error| {
            let what = format!("the folder {} cannot be read", folder.display());
            Failure::new(Exit::Configuration, what, "name a folder of a node or of a client").caused_by(&error)
        };
        let mut renewed = Vec::new();
        let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(unreadable)?;
        let mut names: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
        names.sort();
        for path in names {
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            if path.extension().is_none_or(|extension| extension != "pem") {
                continue;
            }
            if let Some(role) = role(stem) {
                renewed.push(self.issue(folder, role, days)?);
            } else if let Some((role, number)) = person(stem) {
                renewed.push(self.issue_person(folder, role, number, days)?);
            } else if stem == CONSOLE {
                renewed.push(self.issue_console(folder, hosts(&path)?, days)?);
            }
        }
        if renewed.is_empty() {
            let what = format!("there is no certificate of a node or a client in {}", folder.display());
            let remedy = "name a folder with a file such as node-1.pem; `synod certs node 1` issues a first one";
            return Err(Failure::new(Exit::Configuration, what, remedy));
        }
        Ok(renewed)
    }
}

fn common_name(cluster: ClusterId) -> String {
    format!("synod cluster {cluster}")
}

/// `node-7`, `client-9`: how the files of a certificate are called.
pub(crate) fn file_name(role: Role) -> String {
    match role {
        Role::Node(node) => format!("node-{}", node.0),
        Role::Client(client) => format!("client-{}", client.0),
    }
}

/// How the files of a console's certificate are called.
const CONSOLE: &str = "console";

/// The names and addresses that a console's certificate is for.
fn hosts(path: &Path) -> Result<Vec<String>, Failure> {
    let unreadable = || {
        let remedy = "issue a new one: synod certs console HOST, with the names by which browsers know the machine";
        let what = format!("{} does not say what machine it is for", path.display());
        Failure::new(Exit::Configuration, what, remedy)
    };
    let bytes = fs::read(path).map_err(|error| unreadable().caused_by(&error))?;
    let (_, pem) = parse_x509_pem(&bytes).map_err(|error| unreadable().caused_by(&error))?;
    let certificate = pem.parse_x509().map_err(|error| unreadable().caused_by(&error))?;
    let names = certificate.subject_alternative_name().map_err(|error| unreadable().caused_by(&error))?;
    let hosts = names.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        _ => None,
    });
    Some(hosts.collect::<Vec<_>>()).filter(|hosts| !hosts.is_empty()).ok_or_else(unreadable)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

fn role(name: &str) -> Option<Role> {
    let (kind, number) = name.split_once('-')?;
    let number = synod::NodeId(number.parse().ok()?);
    match kind {
        "node" => Some(Role::Node(number)),
        "client" => Some(Role::Client(number)),
        _ => None,
    }
}

/// For whom a file is that opens the console.
fn person(name: &str) -> Option<(Person, u64)> {
    let (kind, number) = name.split_once('-')?;
    let role = [Person::Operator, Person::Reader].into_iter().find(|role| api::word(*role) == kind)?;
    Some((role, number.parse().ok()?))
}

/// From a little before now on, for so many days. One that is to have expired began long ago.
fn validity(days: i64) -> (OffsetDateTime, OffsetDateTime) {
    let until = OffsetDateTime::now_utc() + Duration::days(days);
    let from = OffsetDateTime::now_utc() - SKEW;
    (from.min(until - Duration::days(1)), until)
}

fn failed(error: &rcgen::Error) -> Failure {
    Failure::new(Exit::Failed, "a certificate cannot be made", "try again; report this if it stays").caused_by(error)
}

/// Who may read a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Whoever may look into the folder.
    Open,
    /// This user alone.
    Secret,
}

pub(crate) fn create_folder(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|error| not_written(folder, &error))
}

/// Writes a file so that it is there whole or not at all, also when it takes the place of another one.
pub(crate) fn write(path: &Path, text: &str, mode: Mode) -> Result<(), Failure> {
    let unfinished = path.with_extension("unfinished");
    let written = (|| {
        // It may be there, with other rights.
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, if mode == Mode::Secret { 0o600 } else { 0o644 });
        let mut file = options.open(&unfinished)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    })();
    written.map_err(|error| not_written(path, &error))
}

fn not_written(path: &Path, error: &io::Error) -> Failure {
    let remedy = "give this user the right to write there, or name another folder";
    Failure::new(Exit::Machine, format!("{} cannot be written", path.display()), remedy).caused_by(error)
}

/// Bytes that nobody guesses, in hexadecimal.
pub(crate) fn random_hex<const N: usize>() -> Result<String, Failure> {
    Ok(random::<N>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Bytes that nobody guesses.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        Failure::new(Exit::Machine, "the system gives no random numbers", "start this on a system that does")
            .caused_by(&error)
    })?;
    Ok(bytes)
}
