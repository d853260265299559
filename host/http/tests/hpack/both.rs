//! Header blocks, by our decoder and encoder and by those of `fluke-hpack`, a fork of `hpack` that was used by others for years: for
//! tests, and for a fuzz target. Wherever the two differ, the difference is one of those listed here, each with its reason.

use equipoise_http::http2::hpack::{Decoder, Encoder, HpackError, TABLE_SIZE};

/// A field: name and value.
pub(crate) type Pair = (Vec<u8>, Vec<u8>);

/// A field that is to be encoded: name, value, and whether it is never indexed.
pub(crate) type Field<'f> = (&'f [u8], &'f [u8], bool);

/// The other decoder, held to our bound.
pub(crate) fn other() -> fluke_hpack::Decoder<'static> {
    let mut decoder = fluke_hpack::Decoder::new();
    decoder.set_max_allowed_table_size(TABLE_SIZE);
    decoder
}

pub(crate) fn ours(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<Pair>, HpackError> {
    let mut fields = Vec::new();
    decoder.decode(block, |line| {
        fields.push((line.name().to_vec(), line.value().to_vec()))
    })?;
    Ok(fields)
}

/// Decodes blocks of any bytes, which are those of one connection, by both.
///
/// # Panics
/// They differ, and it is not known why.
pub(crate) fn decode<'b>(blocks: impl IntoIterator<Item = &'b [u8]>) {
    let (mut decoder, mut other) = (Decoder::new(TABLE_SIZE), other());
    for block in blocks {
        let ours = ours(&mut decoder, block);
        let sizes = sizes(block);
        // The other panics where a size breaks off.
        if sizes == Sizes::Broken {
            let broken = [
                HpackError::Truncated,
                HpackError::Integer,
                HpackError::Resize,
            ];
            assert!(
                ours.is_err_and(|error| broken.contains(&error)),
                "{block:x?}"
            );
            return;
        }
        // The other takes sizes between fields, where RFC 7541, 4.2 has none, and what it makes of the rest is of no use.
        if ours == Err(HpackError::Resize) && sizes != Sizes::TooLarge {
            return;
        }
        let theirs = other.decode(block);
        if sizes == Sizes::Alone && !block.is_empty() {
            // The other refuses a block that is nothing but sizes when it has taken them. RFC 7541, 4.2 says where they are in a
            // block, and 6.3 not that something has to follow.
            assert_eq!(ours, Ok(Vec::new()), "{block:x?}");
            assert_eq!(
                theirs,
                Err(fluke_hpack::decoder::DecoderError::SizeUpdateAtEnd)
            );
            continue;
        }
        let is_over = ours.is_err();
        assert_eq!(ours.map_err(drop), theirs.map_err(drop), "{block:x?}");
        if is_over {
            return;
        }
    }
}

/// What a block begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sizes {
    /// Sizes that are right, if any, and a field behind them.
    Right,
    /// Sizes that are right, if any, and nothing.
    Alone,
    /// A size above the bound.
    TooLarge,
    /// A size that breaks off, or is no number.
    Broken,
}

fn sizes(mut block: &[u8]) -> Sizes {
    while let [first, rest @ ..] = block {
        if first & 0xe0 != 0x20 {
            return Sizes::Right;
        }
        let mut size = usize::from(first & 0x1f);
        block = rest;
        if size == 0x1f {
            let behind = block.iter().take(4).position(|byte| byte & 0x80 == 0);
            let Some(last) = behind else {
                return Sizes::Broken;
            };
            let (number, rest) = block.split_at(last + 1);
            block = rest;
            for (index, byte) in number.iter().enumerate() {
                size += usize::from(byte & 0x7f) << (7 * index);
            }
        }
        if size > TABLE_SIZE {
            return Sizes::TooLarge;
        }
    }
    Sizes::Alone
}

/// One side's encoders, and the decoders of the other: what each of ours and theirs encodes is decoded by the other, and ours by
/// ours.
pub(crate) struct Encoding {
    encoder: Encoder,
    decoder: Decoder,
    other_decoder: fluke_hpack::Decoder<'static>,
    other_encoder: fluke_hpack::Encoder<'static>,
    decoder_of_other: Decoder,
}

impl Encoding {
    pub(crate) fn new() -> Self {
        Self {
            encoder: Encoder::new(),
            decoder: Decoder::new(TABLE_SIZE),
            other_decoder: other(),
            other_encoder: fluke_hpack::Encoder::new(),
            decoder_of_other: Decoder::new(TABLE_SIZE),
        }
    }

    /// The other side says how large a table of ours may be.
    pub(crate) fn set_max_size(&mut self, size: usize) {
        self.encoder.set_max_size(size);
    }

    /// Encodes and decodes a block.
    ///
    /// # Panics
    /// Something else is decoded.
    pub(crate) fn block(&mut self, fields: &[Field<'_>]) {
        let mut block = Vec::new();
        self.encoder.begin(&mut block);
        for (name, value, never_indexed) in fields {
            self.encoder.field(name, value, *never_indexed, &mut block);
        }
        let pairs = fields.iter().map(|(name, value, _)| (*name, *value));
        let sent = pairs
            .clone()
            .map(|(name, value)| (name.to_vec(), value.to_vec()));
        let mut sent: Vec<Pair> = sent.collect();
        let other_block = self.other_encoder.encode(pairs);
        assert_eq!(
            ours(&mut self.decoder_of_other, &other_block).as_ref(),
            Ok(&sent)
        );
        // Ours writes names in lower case (RFC 9113, 8.2.1), the other as they are.
        for (name, _) in &mut sent {
            name.make_ascii_lowercase();
        }
        assert_eq!(ours(&mut self.decoder, &block).as_ref(), Ok(&sent));
        // Without fields there may be sizes alone; see `decode`.
        let theirs = self.other_decoder.decode(&block);
        if !fields.is_empty() {
            assert_eq!(theirs, Ok(sent));
        }
    }
}
