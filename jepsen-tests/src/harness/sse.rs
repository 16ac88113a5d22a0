//! A small reader of server-sent events.

use std::collections::VecDeque;
use std::time::Duration;

use super::api::Api;
use super::transport::Arriving;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SseEvent {
    /// The `event:` line.
    pub name: String,
    /// The `id:` line, if there is one.
    pub id: Option<u64>,
    /// The `data:` lines.
    pub data: String,
}

/// A stream of events.
#[derive(Debug)]
pub struct Sse {
    answer: Arriving,
    parser: Parser,
}

impl Sse {
    /// Opens a member's feed; `after` is what `Last-Event-ID` says.
    ///
    /// # Errors
    /// The member does not serve it at the moment.
    pub async fn open(api: &Api, after: Option<u64>) -> Result<Self, String> {
        Self::open_with(api, after, "").await
    }

    /// The same with a query.
    ///
    /// # Errors
    /// The member does not serve it at the moment.
    pub async fn open_with(api: &Api, after: Option<u64>, query: &str) -> Result<Self, String> {
        Ok(Self { answer: api.watch(after, query).await?, parser: Parser::default() })
    }

    /// The next event; `None` when the stream has ended, in whichever way.
    pub async fn next(&mut self) -> Option<SseEvent> {
        loop {
            if let Some(event) = self.parser.events.pop_front() {
                return Some(event);
            }
            let chunk = self.answer.body.next().await?.ok()?;
            self.parser.feed(&chunk);
        }
    }

    /// The next event.
    ///
    /// # Panics
    /// There is none within `limit`, or the stream has ended.
    pub async fn expect(&mut self, limit: Duration) -> SseEvent {
        let next = tokio::time::timeout(limit, self.next()).await;
        next.unwrap_or_else(|_| panic!("no event within {limit:?}")).expect("the stream goes on")
    }
}

/// Takes bytes, gives events.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    name: String,
    id: Option<u64>,
    data: Option<String>,
    /// What is complete and not taken yet.
    pub events: VecDeque<SseEvent>,
}

impl Parser {
    /// Takes what has arrived.
    pub fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte == b'\n' {
                let line = String::from_utf8(std::mem::take(&mut self.line)).expect("events are UTF-8");
                self.take_line(&line);
            } else {
                self.line.push(*byte);
            }
        }
    }

    fn take_line(&mut self, line: &str) {
        if line.is_empty() {
            let (name, id) = (std::mem::take(&mut self.name), self.id.take());
            // A block of comments alone is no event.
            if let Some(data) = self.data.take() {
                self.events.push_back(SseEvent { name, id, data });
            }
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "id" => self.id = Some(value.parse().expect("an id is a revision")),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            "" | "retry" => {}
            _ => panic!("a line that is no part of an event: {line:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_whatever_pieces_they_come_in() {
        let text = b": hello\n\nretry: 5\nevent: change\nid: 7\ndata: {\"a\":\ndata: 1}\n\nevent: bookmark\nid: 8\ndata: x\n\n";
        let event = |name: &str, id, data: &str| SseEvent { name: name.into(), id, data: data.into() };
        for size in 1..text.len() {
            let mut parser = Parser::default();
            text.chunks(size).for_each(|chunk| parser.feed(chunk));
            let expected = [event("change", Some(7), "{\"a\":\n1}"), event("bookmark", Some(8), "x")];
            assert_eq!(parser.events, expected);
        }
    }
}
