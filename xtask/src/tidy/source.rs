//! What the rules look at: the files of the repository, with the Rust ones split into code and
//! comments.

use std::io;
use std::ops::Range;
use std::path::Path;

use super::mask::{is_word, mask};

/// Directories that hold nothing that a person wrote.
const SKIPPED_DIRECTORIES: &[&str] = &["target", ".git", ".venv", "__pycache__", "node_modules"];
/// A file larger than this is data, not text that somebody reads.
const TEXT_MAX_BYTES: u64 = 512 * 1024;

/// All text files of a source tree.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
}

/// One text file.
#[derive(Debug)]
pub(crate) struct File {
    /// Relative to the root, with `/` between the parts.
    pub(crate) path: String,
    pub(crate) text: String,
    /// Present for `.rs` files.
    pub(crate) rust: Option<Rust>,
}

/// What a rule needs to know of a Rust file beyond its text.
#[derive(Debug)]
pub(crate) struct Rust {
    /// The text without comments and contents of literals; offsets as in the text.
    pub(crate) code: String,
    /// The comments; offsets as in the text.
    pub(crate) comments: String,
    /// Byte ranges of items under `#[cfg(test)]`.
    test_ranges: Vec<Range<usize>>,
}

impl Tree {
    /// Reads every text file under `root`.
    pub(crate) fn read(root: &Path) -> io::Result<Self> {
        let mut tree = Self::default();
        let mut directories = vec![root.to_path_buf()];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(&directory)? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                let kind = entry.file_type()?;
                if kind.is_dir() {
                    let skipped = SKIPPED_DIRECTORIES.contains(&name.as_str()) || name.starts_with("target-");
                    if !skipped {
                        directories.push(entry.path());
                    }
                } else if kind.is_file() && entry.metadata()?.len() <= TEXT_MAX_BYTES {
                    let path = entry.path();
                    // A file that is no UTF-8 is no text; one that was removed meanwhile is gone.
                    let Ok(text) = std::fs::read_to_string(&path) else { continue };
                    let relative = path.strip_prefix(root).unwrap_or(&path);
                    tree.files.push(File::new(&relative.to_string_lossy(), text));
                }
            }
        }
        tree.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(tree)
    }

    /// The file at `path`.
    pub(crate) fn get(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// All Rust files.
    pub(crate) fn rust(&self) -> impl Iterator<Item = (&File, &Rust)> {
        self.files.iter().filter_map(|file| Some((file, file.rust.as_ref()?)))
    }
}

impl File {
    pub(crate) fn new(path: &str, text: String) -> Self {
        let rust = path.ends_with(".rs").then(|| Rust::new(&text));
        Self { path: path.to_owned(), text, rust }
    }

    /// Whether the whole file is test code, by where it lies.
    pub(crate) fn is_test_file(&self) -> bool {
        self.path.split('/').any(|part| matches!(part, "tests" | "tests.rs" | "benches"))
    }

    /// The line number, from 1, of a byte offset.
    pub(crate) fn line_of(&self, offset: usize) -> usize {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        1 + before.iter().filter(|&&byte| byte == b'\n').count()
    }
}

impl Rust {
    fn new(text: &str) -> Self {
        let masked = mask(text);
        let test_ranges = test_ranges(&masked.code);
        Self { code: masked.code, comments: masked.comments, test_ranges }
    }

    /// Whether the offset lies in an item under `#[cfg(test)]`.
    pub(crate) fn is_test(&self, offset: usize) -> bool {
        self.test_ranges.iter().any(|range| range.contains(&offset))
    }

    /// Offsets of `word` in the code, as a whole word.
    pub(crate) fn words<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        words(&self.code, word)
    }

    /// The range of the braces that follow `from`, if they come before a semicolon: a body.
    pub(crate) fn body_after(&self, from: usize) -> Option<Range<usize>> {
        body_after(&self.code, from)
    }
}

/// Offsets of `word` in `text`, where no letter, digit or underscore stands next to it.
pub(crate) fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = text.as_bytes();
    text.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let before = at.checked_sub(1).and_then(|index| bytes.get(index));
        let after = bytes.get(at + word.len());
        !before.is_some_and(|&byte| is_word(byte)) && !after.is_some_and(|&byte| is_word(byte))
    })
}

fn test_ranges(code: &str) -> Vec<Range<usize>> {
    let attributes = code.match_indices("#[cfg(test)]");
    attributes.filter_map(|(at, _)| Some(at..body_after(code, at)?.end)).collect()
}

fn body_after(code: &str, from: usize) -> Option<Range<usize>> {
    // A semicolon ends the item, but not one inside of brackets: `fn f(x: [u8; 4]) {`.
    let mut brackets = 0_usize;
    let mut start = None;
    for (at, byte) in code.bytes().enumerate().skip(from) {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets = brackets.saturating_sub(1),
            b';' if brackets == 0 => return None,
            b'{' if brackets == 0 => {
                start = Some(at);
                break;
            }
            _ => {}
        }
    }
    let start = start?;
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(start) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return Some(start..at + 1),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    Some(start..code.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_under_cfg_test_are_test_code() {
        let file =
            File::new("a.rs", "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n".into());
        let rust = file.rust.as_ref().unwrap();
        let is_test = |name: &str| rust.is_test(file.text.find(name).unwrap());
        assert_eq!([is_test("fn a"), is_test("fn b"), is_test("fn c")], [false, true, false]);
    }

    #[test]
    fn a_module_in_another_file_makes_no_range() {
        let file = File::new("a.rs", "#[cfg(test)]\nmod tests;\nfn c() {}\n".into());
        assert!(!file.rust.as_ref().unwrap().is_test(file.text.find("fn c").unwrap()));
    }

    #[test]
    fn bodies_are_found_behind_array_types() {
        let text = "fn f(x: [u8; 4]) -> bool { x[0] == 1 }";
        assert_eq!(body_after(text, 0), Some(25..text.len()));
        assert_eq!(body_after("fn f();  fn g() {}", 0), None);
    }

    #[test]
    fn words_are_whole() {
        assert_eq!(words("sled sledge a_sled sled::x", "sled").collect::<Vec<_>>(), [0, 19]);
    }

    #[test]
    fn line_numbers_start_at_one() {
        let file = File::new("a.txt", "a\nb\n".into());
        assert_eq!((file.line_of(0), file.line_of(2)), (1, 2));
    }
}
