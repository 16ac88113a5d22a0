//! Reads a stream of server-sent events as it arrives, in pieces of any size.
//!
//! Follows the event stream format of the HTML standard: lines end with LF, CR or CRLF, a line that
//! starts with a colon is a comment, several `data` lines make one value, an empty line completes the
//! event, and what is not completed when the stream ends is dropped. Two fields are not kept: `id`,
//! because each of the registry's events carries its revision in its body, and `retry`, because the
//! client has bounds of its own.

use std::collections::VecDeque;

/// One completed event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SseEvent {
    /// The last `event` field; `message` if there was none.
    pub(crate) name: String,
    /// The `data` fields, joined by LF. UTF-8 is for whoever decodes it to check.
    pub(crate) data: Vec<u8>,
}

/// An event is larger than the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// Takes bytes, gives events.
#[derive(Debug)]
pub(crate) struct Parser {
    max_event_bytes: usize,
    /// The line that has begun and not ended.
    line: Vec<u8>,
    /// The last byte was a CR, so that an LF that follows belongs to it.
    after_cr: bool,
    /// No line has been completed yet: a byte order mark may stand before the first.
    at_start: bool,
    name: Option<String>,
    data: Option<Vec<u8>>,
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl Parser {
    /// Refuses events of more than `max_event_bytes`.
    pub(crate) fn new(max_event_bytes: usize) -> Self {
        Self { max_event_bytes, line: Vec::new(), after_cr: false, at_start: true, name: None, data: None }
    }

    /// Whether an event or a line has begun and is not complete.
    pub(crate) fn is_within_event(&self) -> bool {
        self.data.is_some() || self.line.first().is_some_and(|first| *first != b':')
    }

    /// Takes the next bytes of the stream; appends the events that they complete to `events`.
    pub(crate) fn push(&mut self, mut bytes: &[u8], events: &mut VecDeque<SseEvent>) -> Result<(), TooLarge> {
        if self.after_cr && !bytes.is_empty() {
            self.after_cr = false;
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
        }
        while let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (line, rest) = bytes.split_at(end);
            self.check_size(line.len())?;
            self.line.extend_from_slice(line);
            self.complete_line(events);
            bytes = match rest {
                [b'\r', b'\n', rest @ ..] | [_, rest @ ..] => {
                    self.after_cr = rest.is_empty() && bytes.last() == Some(&b'\r');
                    rest
                }
                [] => rest,
            };
        }
        self.check_size(bytes.len())?;
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn check_size(&self, more: usize) -> Result<(), TooLarge> {
        let data = self.data.as_ref().map_or(0, Vec::len);
        if data + self.line.len() + more > self.max_event_bytes { Err(TooLarge) } else { Ok(()) }
    }

    fn complete_line(&mut self, events: &mut VecDeque<SseEvent>) {
        if std::mem::take(&mut self.at_start) && self.line.starts_with(BYTE_ORDER_MARK) {
            self.line.drain(..BYTE_ORDER_MARK.len());
        }
        if self.line.is_empty() {
            let name = self.name.take();
            if let Some(data) = self.data.take() {
                events.push_back(SseEvent { name: name.unwrap_or_else(|| "message".to_owned()), data });
            }
            return;
        }
        let colon = self.line.iter().position(|byte| *byte == b':').unwrap_or(self.line.len());
        let after_colon = (colon + 1).min(self.line.len());
        let value = after_colon + usize::from(self.line.get(after_colon) == Some(&b' '));
        match &self.line[..colon] {
            b"event" => self.name = Some(String::from_utf8_lossy(&self.line[value..]).into_owned()),
            b"data" => self.add_data(value),
            // A comment (nothing before the colon), `id`, `retry`, or a field of a later version.
            _ => {}
        }
        self.line.clear();
    }

    fn add_data(&mut self, value: usize) {
        match &mut self.data {
            Some(data) => {
                data.push(b'\n');
                data.extend_from_slice(&self.line[value..]);
            }
            None => {
                // A snapshot is one long line: it is taken over rather than copied.
                let mut data = std::mem::take(&mut self.line);
                data.drain(..value);
                self.data = Some(data);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1 << 20;

    fn parse(pieces: &[&[u8]]) -> Vec<(String, String)> {
        let (mut parser, mut events) = (Parser::new(LIMIT), VecDeque::new());
        for piece in pieces {
            parser.push(piece, &mut events).unwrap();
        }
        events.into_iter().map(|event| (event.name, String::from_utf8(event.data).unwrap())).collect()
    }

    fn event(name: &str, data: &str) -> (String, String) {
        (name.to_owned(), data.to_owned())
    }

    /// Everything that the format allows, in one stream.
    fn sample(line_end: &str) -> Vec<u8> {
        "\u{feff}event: bookmark\nid: 7\ndata: {\"revision\":7}\n\n\
         : a comment\n\n\
         data:no space\ndata:  two spaces\ndata\ndata: ü😀\n\n\
         event: nothing\n\n\
         event:change\nretry: 10\nunknown: x\ndata: {}\n\n\
         event: leader\ndata: cut off"
            .replace('\n', line_end)
            .into_bytes()
    }

    fn sample_events() -> Vec<(String, String)> {
        vec![
            event("bookmark", "{\"revision\":7}"),
            event("message", "no space\n two spaces\n\nü😀"),
            event("change", "{}"),
        ]
    }

    #[test]
    fn every_split_of_the_stream_gives_the_same_events() {
        for line_end in ["\n", "\r", "\r\n"] {
            let bytes = sample(line_end);
            assert_eq!(parse(&[&bytes]), sample_events());
            for first in 0..=bytes.len() {
                for second in first..=bytes.len() {
                    let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                    assert_eq!(parse(&pieces), sample_events(), "split at {first} and {second}");
                }
            }
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(parse(&single), sample_events());
        }
    }

    #[test]
    fn an_event_that_is_cut_off_is_not_given() {
        assert_eq!(parse(&[b"event: change\ndata: {}"]), []);
        assert_eq!(parse(&[b"event: change\ndata: {}\n"]), []);
        assert_eq!(parse(&[b"event: change\ndata: {}\n", b"\n"]), [event("change", "{}")]);
    }

    #[test]
    fn line_ends_of_different_kinds_can_be_mixed() {
        assert_eq!(parse(&[b"data: a\rdata: b\r\ndata: c\n\r"]), [event("message", "a\nb\nc")]);
        assert_eq!(
            parse(&[b"data: a\r", b"", b"\n", b"\r", b"\ndata: b\n\n"]),
            [event("message", "a"), event("message", "b")]
        );
    }

    #[test]
    fn an_empty_data_field_makes_an_event_and_none_makes_none() {
        assert_eq!(parse(&[b"data\n\n"]), [event("message", "")]);
        assert_eq!(parse(&[b"data:\ndata:\n\n"]), [event("message", "\n")]);
        assert_eq!(parse(&[b"event: x\nid: 1\n\ndata: y\n\n"]), [event("message", "y")]);
    }

    #[test]
    fn an_event_above_the_bound_is_refused_however_it_arrives() {
        let (mut parser, mut events) = (Parser::new(16), VecDeque::new());
        assert_eq!(parser.push(b"data: 0123456789\n\n", &mut events), Ok(()));
        assert_eq!(parser.push(b"data: 01234567890", &mut events), Err(TooLarge));
        let mut parser = Parser::new(16);
        assert_eq!(parser.push(b"data: 01234\ndata: 01234\ndata: ", &mut events), Err(TooLarge));
        let mut parser = Parser::new(16);
        let endless = std::iter::repeat_n(b"x", 17).map(|piece| parser.push(piece, &mut events)).last();
        assert_eq!(endless, Some(Err(TooLarge)));
    }

    #[test]
    fn comments_do_not_count_as_an_event_under_way() {
        let (mut parser, mut events) = (Parser::new(LIMIT), VecDeque::new());
        for (piece, within) in
            [(&b": ping"[..], false), (b"\n", false), (b"da", true), (b"ta: x\n", true), (b"\n", false)]
        {
            parser.push(piece, &mut events).unwrap();
            assert_eq!(parser.is_within_event(), within, "after {piece:?}");
        }
    }
}
