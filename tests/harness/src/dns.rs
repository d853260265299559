//! A name server whose answers a test changes, and which counts what it is asked.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::{Gate, WAIT_TIMEOUT};

/// A name server on UDP. It knows no name at first.
pub struct Dns {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// What is answered about a name.
#[derive(Clone)]
pub enum Said {
    /// These addresses, with this TTL in seconds.
    Addresses(Vec<IpAddr>, u32),
    /// SRV records: priority, weight, port and target, with this TTL.
    Services(Vec<(u16, u16, u16, String)>, u32),
    /// These addresses, once the gate is open; other queries wait until then, too.
    Late(Gate, Vec<IpAddr>),
    /// Nothing at all.
    Nothing,
    /// SERVFAIL.
    Failure,
    /// NXDOMAIN, as about all names that are not in the table.
    NoSuchName,
}

#[derive(Default)]
struct Shared {
    table: Mutex<Table>,
    asked: Condvar,
    is_over: AtomicBool,
}

#[derive(Default)]
struct Table {
    said: BTreeMap<String, Said>,
    /// How often each name was asked for, in any way.
    questions: BTreeMap<String, usize>,
}

/// The types of records.
const A: u16 = 1;
const AAAA: u16 = 28;
const SRV: u16 = 33;

const NO_ERROR: u8 = 0;
const SERVER_FAILURE: u8 = 2;
const NAME_ERROR: u8 = 3;

impl Dns {
    /// Starts one.
    pub fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = socket.local_addr().expect("a bound socket has an address");
        let timeout = socket.set_read_timeout(Some(Duration::from_millis(50)));
        timeout.expect("a socket takes options");
        let shared = Arc::<Shared>::default();
        let serving = shared.clone();
        thread::spawn(move || serving.serve(&socket));
        Self { address, shared }
    }

    /// `[resolver]` with this server, and answers that count for a tenth of a second at least.
    pub fn resolver(&self) -> String {
        format!(
            "[resolver]\nnameservers = [\"{}\"]\nmin-ttl = \"100ms\"\ntimeout = \"400ms\"",
            self.address
        )
    }

    /// From now on answers so about a name.
    pub fn say(&self, name: &str, said: Said) {
        self.shared.table().said.insert(name.to_owned(), said);
    }

    /// From now on answers with these addresses, which are to be asked for again at once.
    pub fn say_addresses(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|it| it.parse().expect("an address"));
        self.say(name, Said::Addresses(addresses.collect(), 0));
    }

    /// From now on answers with these SRV records.
    pub fn say_services(&self, name: &str, records: &[(u16, u16, u16, &str)]) {
        let records = records
            .iter()
            .map(|&(priority, weight, port, target)| (priority, weight, port, target.to_owned()));
        self.say(name, Said::Services(records.collect(), 0));
    }

    /// How often a name was asked for.
    pub fn questions(&self, name: &str) -> usize {
        self.shared
            .table()
            .questions
            .get(name)
            .copied()
            .unwrap_or(0)
    }

    /// Waits until a name has been asked for so many times more, and so what was said of it before is known.
    #[track_caller]
    pub fn await_questions(&self, name: &str, more: usize) {
        self.await_in_all(name, self.questions(name) + more);
    }

    /// Waits until a name has been asked for so many times since the beginning.
    #[track_caller]
    pub fn await_in_all(&self, name: &str, enough: usize) {
        let table = self.shared.table();
        let waited = self
            .shared
            .asked
            .wait_timeout_while(table, WAIT_TIMEOUT, |table| {
                table.questions.get(name).copied().unwrap_or(0) < enough
            });
        let (table, time) = waited.unwrap_or_else(PoisonError::into_inner);
        drop(table);
        assert!(!time.timed_out(), "{name} was not asked for {enough} times");
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
    }
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, socket: &UdpSocket) {
        let mut packet = [0; 512];
        while !self.is_over.load(Ordering::SeqCst) {
            let Ok((length, from)) = socket.recv_from(&mut packet) else {
                continue;
            };
            if let Some(answer) = self.answer(&packet[..length]) {
                // The client may be gone.
                let _ = socket.send_to(&answer, from);
            }
        }
    }

    fn answer(&self, packet: &[u8]) -> Option<Vec<u8>> {
        let (name, end) = name(packet, 12)?;
        let kind = u16::from_be_bytes(packet.get(end..end + 2)?.try_into().ok()?);
        let said = {
            let mut table = self.table();
            *table.questions.entry(name.clone()).or_default() += 1;
            table.said.get(&name).cloned().unwrap_or(Said::NoSuchName)
        };
        self.asked.notify_all();
        let (code, ttl, records) = match said {
            Said::Nothing => return None,
            Said::Failure => (SERVER_FAILURE, 0, Vec::new()),
            Said::NoSuchName => (NAME_ERROR, 0, Vec::new()),
            Said::Addresses(addresses, ttl) => (NO_ERROR, ttl, of_kind(kind, &addresses)),
            Said::Late(gate, addresses) => {
                gate.wait();
                (NO_ERROR, 0, of_kind(kind, &addresses))
            }
            Said::Services(records, ttl) if kind == SRV => {
                (NO_ERROR, ttl, records.iter().map(service).collect())
            }
            Said::Services(..) => (NO_ERROR, 0, Vec::new()),
        };
        // Id, an answer with recursion, one question, so many records, and nothing else.
        let count = u8::try_from(records.len()).expect("a few records");
        let mut answer = packet[..2].to_vec();
        answer.extend([0x85, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
        answer.extend(&packet[12..end + 4]);
        for data in records {
            // The name of the question, type, class IN.
            answer.extend([0xc0, 12]);
            answer.extend(kind.to_be_bytes());
            answer.extend([0, 1]);
            answer.extend(ttl.to_be_bytes());
            answer.extend(
                u16::try_from(data.len())
                    .expect("a short record")
                    .to_be_bytes(),
            );
            answer.extend(data);
        }
        Some(answer)
    }
}

/// The addresses of a kind, as they stand in records.
fn of_kind(kind: u16, addresses: &[IpAddr]) -> Vec<Vec<u8>> {
    let data = |address: &IpAddr| match (kind, address) {
        (A, IpAddr::V4(address)) => Some(address.octets().to_vec()),
        (AAAA, IpAddr::V6(address)) => Some(address.octets().to_vec()),
        _ => None,
    };
    addresses.iter().filter_map(data).collect()
}

fn service((priority, weight, port, target): &(u16, u16, u16, String)) -> Vec<u8> {
    let mut data: Vec<u8> = [priority, weight, port]
        .into_iter()
        .flat_map(|number| number.to_be_bytes())
        .collect();
    for label in target.split('.').filter(|label| !label.is_empty()) {
        data.push(u8::try_from(label.len()).expect("a short label"));
        data.extend(label.bytes());
    }
    data.push(0);
    data
}

/// The name that begins there, in lower case, and where it ends.
fn name(packet: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*packet.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        let label = packet.get(at..at + length)?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += length;
    }
}
