//! Members and clients of HTTP/2 of which a test says every frame, for what no library sends.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use super::WAIT_TIMEOUT;
use super::frames::{
    ACK, END_HEADERS, END_STREAM, PREFACE, data, frame, headers, hello, literal, settings,
};

// The types of frames that are looked at.

/// A piece of a body.
pub const DATA: u8 = 0;
/// A header block.
pub const HEADERS: u8 = 1;
/// The end of a stream before its time.
pub const RST_STREAM: u8 = 3;
/// What the other side is to keep to.
pub const SETTINGS: u8 = 4;
/// A question whether the other side is there.
pub const PING: u8 = 6;
/// The end of a connection.
pub const GOAWAY: u8 = 7;

/// `:status: 200`, as HPACK has it.
pub const OK: &[u8] = b"\x88";

/// A field that goes into no table.
pub fn field(name: &str, value: &str) -> Vec<u8> {
    literal(name.as_bytes(), value.as_bytes())
}

/// A whole answer with this body.
pub fn answer(stream: u32, body: &str) -> Vec<u8> {
    let head = headers(END_HEADERS, stream, OK);
    [head, data(END_STREAM, stream, body.as_bytes())].concat()
}

/// A member, and the connections that are made to it.
pub struct RawMember {
    /// Where it listens.
    pub address: SocketAddr,
    connections: Receiver<RawConnection>,
}

impl RawMember {
    /// One that begins each connection with these settings.
    pub fn start(payload: &'static [u8]) -> Self {
        Self::beginning(settings(payload))
    }

    /// One that says these bytes first.
    pub fn beginning(first: Vec<u8>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let (told, connections) = channel();
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let connection = RawConnection::on(stream);
                if connection.begin(&first).is_err() {
                    continue;
                }
                if told.send(connection).is_err() {
                    return;
                }
            }
        });
        Self {
            address,
            connections,
        }
    }

    /// One that answers each request, of any connection, as soon as its head has come.
    pub fn answering(answer: impl Fn(u32) -> Vec<u8> + Clone + Send + 'static) -> String {
        let member = Self::start(b"");
        let url = member.url();
        thread::spawn(move || {
            while let Ok(mut connection) = member.connections.recv() {
                let answer = answer.clone();
                thread::spawn(move || {
                    while let Ok(asked) = connection.try_frame() {
                        if asked.kind == HEADERS && connection.try_send(answer(asked.stream)) {
                            return;
                        }
                    }
                });
            }
        });
        url
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("h2c://{}", self.address)
    }

    /// The next connection.
    #[track_caller]
    pub fn connection(&self) -> RawConnection {
        let connection = self.connections.recv_timeout(WAIT_TIMEOUT);
        connection.expect("a connection is made")
    }

    /// Whether there is no other connection up to now.
    pub fn has_no_other(&self) -> bool {
        self.connections.try_recv().is_err()
    }
}

/// A frame that has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream; 0 is the connection.
    pub stream: u32,
    /// What it holds.
    pub payload: Vec<u8>,
}

/// A connection: a client's, or a member's of which the preface has been read.
pub struct RawConnection {
    stream: TcpStream,
    decoder: fluke_hpack::Decoder<'static>,
}

impl RawConnection {
    /// Takes a connection over.
    pub fn on(stream: TcpStream) -> Self {
        stream
            .set_read_timeout(Some(WAIT_TIMEOUT))
            .expect("a timeout");
        stream
            .set_write_timeout(Some(WAIT_TIMEOUT))
            .expect("a timeout");
        stream.set_nodelay(true).expect("it is TCP");
        Self {
            stream,
            decoder: fluke_hpack::Decoder::new(),
        }
    }

    /// A client's, begun with these settings.
    #[track_caller]
    pub fn connect(address: SocketAddr, payload: &[u8]) -> Self {
        let stream = TcpStream::connect(address).expect("it listens");
        let mut client = Self::on(stream);
        client.send(hello(payload));
        client
    }

    /// How a stream ends: with this status once its answer is whole, or reset. Until then, the connection goes on.
    #[track_caller]
    pub fn end_of(&mut self, stream: u32) -> Result<u16, u32> {
        let mut status = 0;
        loop {
            let frame = self.try_frame().expect("the connection goes on");
            assert_ne!(frame.kind, GOAWAY, "the connection goes on: {frame:?}");
            if frame.kind == HEADERS {
                // Each has to be decoded, since all share a table.
                let fields = self.decoder.decode(&frame.payload).expect("HPACK");
                let told = fields.iter().find(|(name, _)| name == b":status");
                if let Some((_, value)) = told.filter(|_| frame.stream == stream) {
                    let value = String::from_utf8_lossy(value);
                    status = value.parse().expect("a status");
                }
            }
            if frame.stream != stream {
                continue;
            }
            if frame.kind == RST_STREAM {
                let code = frame.payload.first_chunk().expect("a code");
                return Err(u32::from_be_bytes(*code));
            }
            if frame.kind <= HEADERS && frame.flags & END_STREAM != 0 {
                return Ok(status);
            }
        }
    }

    fn begin(&self, first: &[u8]) -> io::Result<()> {
        let mut stream = &self.stream;
        let mut preface = [0; PREFACE.len()];
        stream.read_exact(&mut preface)?;
        assert_eq!(preface, PREFACE);
        stream.write_all(first)
    }

    /// The next frame; an error where there is none any more.
    pub fn try_frame(&mut self) -> io::Result<Frame> {
        let mut header = [0; 9];
        self.stream.read_exact(&mut header)?;
        let [high, middle, low, kind, flags, stream @ ..] = header;
        let length = u32::from_be_bytes([0, high, middle, low]);
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload)?;
        Ok(Frame {
            kind,
            flags,
            stream: u32::from_be_bytes(stream),
            payload,
        })
    }

    /// The next frame of one of these kinds, others left out.
    #[track_caller]
    pub fn next_of(&mut self, kinds: &[u8]) -> Frame {
        loop {
            let frame = self.try_frame().expect("a frame");
            if kinds.contains(&frame.kind) {
                return frame;
            }
        }
    }

    /// The stream of the next request.
    #[track_caller]
    pub fn request(&mut self) -> u32 {
        self.next_of(&[HEADERS]).stream
    }

    /// The payload of the next PING.
    #[track_caller]
    pub fn ping(&mut self) -> Vec<u8> {
        loop {
            let frame = self.next_of(&[PING]);
            if frame.flags & ACK == 0 {
                return frame.payload;
            }
        }
    }

    /// Answers a PING.
    #[track_caller]
    pub fn pong(&mut self, payload: &[u8]) {
        self.send(frame(PING, ACK, 0, payload));
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("it listens");
    }

    /// Sends, unless the other side has closed; says whether it has.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_err()
    }

    /// Whether nothing comes within this time, but for what has no meaning of its own.
    pub fn is_silent_for(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).expect("a timeout");
        let silent = loop {
            match self.try_frame() {
                Ok(frame) if frame.kind == HEADERS => break false,
                Ok(_) => {}
                Err(_) => break true,
            }
        };
        let patient = self.stream.set_read_timeout(Some(WAIT_TIMEOUT));
        patient.expect("a timeout");
        silent
    }

    /// Waits until the other side closes.
    #[track_caller]
    pub fn expect_closed(&mut self) {
        loop {
            match self.try_frame() {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    panic!("the connection is not closed")
                }
                Err(_) => return,
            }
        }
    }

    /// The same connection twice: one to send by, and one to read by.
    pub fn twin(&self) -> Self {
        Self::on(self.stream.try_clone().expect("a second handle"))
    }
}
