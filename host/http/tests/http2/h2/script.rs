//! A connection's exchanges, made of any bytes: what each side sends, when, and how it ends. Bounded, so that each ends.

/// The names that fields have; what is behind them is not a message's own.
pub(crate) const NAMES: [&str; 6] = [
    "x-first",
    "x-second",
    "accept-language",
    "authorization",
    "cookie",
    "x-long-name-that-no-table-has",
];

const METHODS: [&str; 5] = ["GET", "POST", "HEAD", "PUT", "OPTIONS"];
const STATUSES: [u16; 6] = [200, 201, 204, 304, 404, 503];
const LENGTHS: [usize; 8] = [0, 1, 10, 1_000, 16_384, 16_385, 65_536, 150_000];
const VALUES: [usize; 6] = [0, 1, 12, 130, 1_500, 17_000];
const STREAMS: [u32; 4] = [1, 2, 5, 100];
const FRAMES: [u32; 3] = [16_384, 17_000, 100_000];
const WINDOWS: [u32; 5] = [100, 1_000, 16_384, 65_535, 1 << 20];
const TABLES: [u32; 4] = [0, 60, 4_096, 65_536];
const PIPES: [usize; 4] = [1, 100, 9_000, 100_000];
/// The most exchanges of a connection.
const MAX_EXCHANGES: usize = 10;

/// Bytes of all values of a message: within what the engine takes of a head.
const MAX_VALUES: usize = 40_000;

/// What a connection carries, and by which bounds.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) is_engine_client: bool,
    /// Bytes that are on the way between both sides at most, and that the engine reads at once.
    pub(crate) pipe: usize,
    pub(crate) read_size: usize,
    pub(crate) consumes_late: bool,
    /// Streams at once that the engine takes, or begins.
    pub(crate) streams: u32,
    /// Whether the engine's windows are the smallest.
    pub(crate) has_small_windows: bool,
    /// What the peer's SETTINGS say.
    pub(crate) window: u32,
    pub(crate) table: u32,
    pub(crate) frame: u32,
    pub(crate) exchanges: Vec<Exchange>,
}

/// A request and its response.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// Turns before it begins.
    pub(crate) delay: usize,
    pub(crate) method: &'static str,
    pub(crate) request: Message,
    pub(crate) interims: usize,
    pub(crate) status: u16,
    pub(crate) response: Message,
    /// Whether the response does not wait for the request's end.
    pub(crate) is_early: bool,
    pub(crate) ending: Ending,
}

/// Fields and body.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) fields: Vec<Field>,
    pub(crate) length: usize,
    pub(crate) has_content_length: bool,
    pub(crate) has_trailers: bool,
    /// Turns between two pieces of the body, sent or read.
    pub(crate) pauses: usize,
}

/// A field, by what its value is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    from: usize,
    length: usize,
}

impl Field {
    /// Visible characters of every kind, and no two values alike that begin elsewhere.
    pub(crate) fn value(self) -> String {
        let place = |at: usize| b'!' + ((self.from + at * 7) % 90) as u8;
        (0..self.length).map(|at| place(at) as char).collect()
    }
}

/// How an exchange ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Both messages are whole.
    Whole,
    /// The client resets it, so many turns after it began.
    ByClient(usize),
    /// The server resets it instead of a response.
    ByServer,
    /// The server resets it within the response.
    ByServerWithin,
}

impl Script {
    /// What these bytes say; zeros follow them.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let mut bytes = Source(bytes);
        let window = bytes.one_of(&WINDOWS);
        let mut script = Self {
            is_engine_client: bytes.flag(),
            pipe: bytes.one_of(&PIPES),
            read_size: bytes.one_of(&PIPES),
            consumes_late: bytes.flag(),
            streams: bytes.one_of(&STREAMS),
            has_small_windows: bytes.flag(),
            window,
            table: bytes.one_of(&TABLES),
            frame: bytes.one_of(&FRAMES),
            exchanges: Vec::new(),
        };
        // Through a pipe of a byte, or a window that is small, long bodies take longer than they tell.
        let most = (script.pipe * 2_000).min(window as usize * 50);
        for _ in 0..=bytes.below(MAX_EXCHANGES) {
            script.exchanges.push(Exchange::read(&mut bytes, most));
        }
        script
    }
}

impl Exchange {
    fn read(bytes: &mut Source<'_>, most: usize) -> Self {
        let ending = match bytes.below(8) {
            0 => Ending::ByClient(bytes.below(20)),
            1 => Ending::ByServer,
            2 => Ending::ByServerWithin,
            _ => Ending::Whole,
        };
        Self {
            delay: bytes.below(8),
            method: bytes.one_of(&METHODS),
            request: Message::read(bytes, most),
            interims: bytes.below(4),
            status: bytes.one_of(&STATUSES),
            response: Message::read(bytes, most),
            is_early: bytes.flag(),
            ending,
        }
    }

    /// Whether the response may have a body.
    pub(crate) fn has_response_body(&self) -> bool {
        self.method != "HEAD" && !matches!(self.status, 204 | 304)
    }

    /// Where its server finds it.
    pub(crate) fn path(index: usize) -> String {
        format!("/{index}")
    }

    /// Bytes of the response's body.
    pub(crate) fn response_length(&self) -> usize {
        self.response.length * usize::from(self.has_response_body())
    }

    /// Whether trailers follow the response.
    pub(crate) fn has_response_trailers(&self) -> bool {
        self.response.has_trailers && self.has_response_body()
    }
}

impl Message {
    fn read(bytes: &mut Source<'_>, most: usize) -> Self {
        let mut fields = Vec::new();
        let mut room = MAX_VALUES;
        for _ in 0..bytes.below(6) {
            let name = bytes.one_of(&NAMES);
            let length = bytes.one_of(&VALUES).min(most).min(room);
            room -= length;
            let from = bytes.below(90);
            // Several cookies are one field by HTTP/1.
            if name != "cookie" || fields.iter().all(|it: &Field| it.name != name) {
                fields.push(Field { name, from, length });
            }
        }
        Self {
            fields,
            length: bytes.one_of(&LENGTHS).min(most),
            has_content_length: bytes.flag(),
            has_trailers: bytes.flag(),
            pauses: bytes.below(4),
        }
    }

    /// Whether its head is all of it.
    pub(crate) fn is_head_alone(&self) -> bool {
        self.length == 0 && !self.has_trailers
    }

    /// All fields that its sender writes: those of its own, and the length of its body.
    pub(crate) fn all_fields(&self) -> impl Iterator<Item = (&'static str, String)> {
        let length = self.has_content_length.then(|| self.length.to_string());
        let length = length.map(|it| ("content-length", it));
        let fields = self.fields.iter();
        fields.map(|it| (it.name, it.value())).chain(length)
    }
}

/// Bytes that decide.
struct Source<'a>(&'a [u8]);

impl Source<'_> {
    fn byte(&mut self) -> u8 {
        let first = self.0.split_off_first();
        first.copied().unwrap_or(0)
    }

    fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}
