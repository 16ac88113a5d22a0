//! Tells code, comments and literals apart in Rust source, so that a rule about code is not
//! tripped by a word in a comment or in a string.

/// A source text split by what its bytes are. Both parts have the length and the line breaks of the
/// original, with spaces in the place of what belongs to the other part, so offsets and line numbers
/// carry over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Masked {
    /// The code. Literals keep their quotes and lose their contents.
    pub(crate) code: String,
    /// The comments, with their slashes.
    pub(crate) comments: String,
}

/// Splits `text`. Never fails: an unterminated literal or comment runs to the end of the text.
pub(crate) fn mask(text: &str) -> Masked {
    let mut lexer = Lexer { text: text.as_bytes(), at: 0, kinds: vec![Kind::Code; text.len()] };
    lexer.run();
    Masked { code: lexer.part(Kind::Code), comments: lexer.part(Kind::Comment) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    kinds: Vec<Kind>,
}

impl Lexer<'_> {
    fn run(&mut self) {
        while self.at < self.text.len() {
            match self.text[self.at] {
                b'/' if self.peek(1) == Some(b'/') => self.line_comment(),
                b'/' if self.peek(1) == Some(b'*') => self.block_comment(),
                b'"' => self.string(),
                b'r' if self.starts_raw_string() => self.raw_string(),
                b'\'' => self.quote(),
                _ => self.at += 1,
            }
        }
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    /// Marks from the current position up to `end` and goes there.
    fn mark(&mut self, end: usize, kind: Kind) {
        let end = end.min(self.text.len());
        self.kinds[self.at..end].fill(kind);
        self.at = end;
    }

    fn line_comment(&mut self) {
        let length = self.text[self.at..].iter().take_while(|&&byte| byte != b'\n').count();
        self.mark(self.at + length, Kind::Comment);
    }

    fn block_comment(&mut self) {
        let mut end = self.at + 2;
        let mut depth = 1_usize;
        while depth > 0 && end < self.text.len() {
            match &self.text[end..] {
                [b'/', b'*', ..] => (depth, end) = (depth + 1, end + 2),
                [b'*', b'/', ..] => (depth, end) = (depth - 1, end + 2),
                _ => end += 1,
            }
        }
        self.mark(end, Kind::Comment);
    }

    /// A string with escapes; the quotes stay code.
    fn string(&mut self) {
        self.at += 1;
        let mut end = self.at;
        while end < self.text.len() && self.text[end] != b'"' {
            end += if self.text[end] == b'\\' { 2 } else { 1 };
        }
        self.mark(end, Kind::Literal);
        self.at += 1;
    }

    /// Whether the `r` here begins `r"…"` or `r#"…"#`, alone or after `b` or `c`.
    fn starts_raw_string(&self) -> bool {
        let before = self.text[..self.at].iter().rev();
        let mut name = before.take_while(|&&byte| is_word(byte));
        let prefix_is_fine = matches!((name.next(), name.next()), (None | Some(b'b' | b'c'), None));
        let hashes = self.text[self.at + 1..].iter().take_while(|&&byte| byte == b'#').count();
        prefix_is_fine && self.peek(1 + hashes) == Some(b'"')
    }

    fn raw_string(&mut self) {
        let hashes = self.text[self.at + 1..].iter().take_while(|&&byte| byte == b'#').count();
        self.at += 1 + hashes + 1;
        let mut closing = vec![b'"'];
        closing.resize(1 + hashes, b'#');
        let length = self.text[self.at..].windows(closing.len()).position(|window| window == closing);
        self.mark(length.map_or(self.text.len(), |length| self.at + length), Kind::Literal);
        self.at = (self.at + closing.len()).min(self.text.len());
    }

    /// A character literal, or a lifetime (which is code).
    fn quote(&mut self) {
        let rest = &self.text[self.at + 1..];
        let length = match rest {
            // `'\''`, `'\\'`, `'\u{1F600}'`: the byte after the backslash never closes the literal.
            [b'\\', _, tail @ ..] => tail.iter().position(|&byte| byte == b'\'').map(|at| at + 2),
            [first, ..] => Some(utf8_length(*first)).filter(|&length| rest.get(length) == Some(&b'\'')),
            [] => None,
        };
        self.at += 1;
        if let Some(length) = length {
            self.mark(self.at + length, Kind::Literal);
            self.at += 1;
        }
    }

    fn part(&self, kind: Kind) -> String {
        let bytes = self.text.iter().zip(&self.kinds);
        bytes.map(|(&byte, &of)| if of == kind || byte == b'\n' { byte } else { b' ' }).map(as_char).collect()
    }
}

/// Bytes outside ASCII become a question mark: no rule looks for them, and offsets stay as they are.
fn as_char(byte: u8) -> char {
    if byte.is_ascii() { char::from(byte) } else { '?' }
}

fn utf8_length(first: u8) -> usize {
    match first {
        0xF0.. => 4,
        0xE0.. => 3,
        0xC0.. => 2,
        _ => 1,
    }
}

/// Whether the byte may be part of an identifier.
pub(crate) fn is_word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn code(text: &str, expected: &str) {
        assert_eq!(mask(text).code, expected);
    }

    #[test]
    fn comments_are_no_code() {
        code("a // b\nc", "a     \nc");
        code("a /* b /* c */ d */ e", "a                   e");
        assert_eq!(mask("a // b\nc /* d */").comments, "  // b\n  /* d */");
    }

    #[test]
    fn strings_lose_their_contents_and_keep_their_quotes() {
        code(r#"f("a\"b") + x"#, r#"f("    ") + x"#);
        code(r##"f(r#"a"b"#) + x"##, r##"f(r#"   "#) + x"##);
        code(r#"f(br"a\") + x"#, r#"f(br"  ") + x"#);
    }

    #[test]
    fn a_quote_is_a_character_or_a_lifetime() {
        code("f('\"') + x", "f(' ') + x");
        code(r"f('\'', '\\') + x", "f('  ', '  ') + x");
        code("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}");
        code("f('ä') + x", "f('  ') + x");
    }

    #[test]
    fn what_never_ends_runs_to_the_end() {
        code("a \"b", "a \" ");
        code("a /* b", "a     ");
        code("a r#\"b", "a r#\" ");
    }

    #[test]
    fn a_raw_identifier_is_no_raw_string() {
        code("r#type + for\"x\"", "r#type + for\" \"");
    }
}
