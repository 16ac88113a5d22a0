//! A page, parsed by a strict parser: what is not well-formed does not get this far.

use roxmltree::{Document, Node, ParsingOptions};

pub(crate) struct Page<'a> {
    document: Document<'a>,
}

impl<'a> Page<'a> {
    pub(crate) fn parse(text: &'a str) -> Self {
        let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
        let document = Document::parse_with_options(text, options).unwrap_or_else(|error| {
            let at = error.pos();
            let line = text.lines().nth(at.row as usize - 1).unwrap_or_default();
            let from = (at.col as usize).saturating_sub(200);
            let around: String = line.chars().skip(from).take(300).collect();
            panic!("{error}: {around}");
        });
        Self { document }
    }

    fn elements(&self) -> impl Iterator<Item = Node<'_, 'a>> {
        self.document.descendants().filter(Node::is_element)
    }

    /// Everything that is written on it.
    pub(crate) fn text(&self) -> String {
        text_of(self.document.root_element())
    }

    /// What the first element says whose classes begin with this one.
    pub(crate) fn text_of(&self, class: &str) -> String {
        let found = self.elements().find(|node| has(*node, class));
        text_of(found.unwrap_or_else(|| panic!("no element of class {class}")))
    }

    pub(crate) fn text_of_id(&self, id: &str) -> String {
        let found = self.elements().find(|node| node.attribute("id") == Some(id));
        text_of(found.unwrap_or_else(|| panic!("no element {id}")))
    }

    /// How many elements have all of these classes.
    pub(crate) fn count_of(&self, classes: &str) -> usize {
        self.elements().filter(|node| classes.split(' ').all(|class| has(*node, class))).count()
    }

    /// The value beside a name in the list of numbers.
    pub(crate) fn number(&self, name: &str) -> String {
        let found = self.elements().find(|node| node.has_tag_name("dt") && text_of(*node) == name);
        let name = found.unwrap_or_else(|| panic!("no number {name}"));
        text_of(name.next_sibling_element().unwrap())
    }

    /// Elements that could load or run something are not there, nor attributes that could; links lead
    /// to places on the page, each id is there once, and the policy is as strict as it can be.
    pub(crate) fn has_nothing_foreign(&self) {
        const KNOWN: &[&str] = &[
            "html", "head", "meta", "title", "style", "body", "header", "main", "footer", "nav", "section",
            "h1", "h2", "h3", "p", "strong", "b", "span", "a", "ul", "ol", "li", "dl", "dt", "dd", "div",
            "pre", "code", "table", "thead", "tbody", "tr", "th", "td", "details", "summary", "svg", "g",
            "path", "rect", "text",
        ];
        let mut ids = std::collections::BTreeSet::new();
        for element in self.elements() {
            let name = element.tag_name().name();
            assert!(KNOWN.contains(&name), "an element <{name}>");
            // Bold are figures of checkers alone, and these are numbers.
            let is_figure =
                |text: &str| text == "not a number" || text.chars().all(|c| !c.is_alphabetic() || c == 'e');
            assert!(name != "b" || is_figure(&text_of(element)), "{}", text_of(element));
            for attribute in element.attributes() {
                let name = attribute.name();
                assert!(
                    !name.starts_with("on") && !["src", "style", "srcset", "action"].contains(&name),
                    "{name}"
                );
                assert!(name != "href" || attribute.value().starts_with('#'), "{}", attribute.value());
                assert!(name != "id" || ids.insert(attribute.value()), "{} twice", attribute.value());
            }
        }
        let links = self.elements().filter_map(|node| node.attribute("href"));
        links.for_each(|link| assert!(ids.contains(&link[1..]), "{link} leads nowhere"));
        let policy = self.elements().find_map(|node| {
            node.attribute("http-equiv")
                .filter(|name| *name == "Content-Security-Policy")
                .and(node.attribute("content"))
        });
        assert_eq!(policy, Some("default-src 'none'; style-src 'unsafe-inline'"));
    }
}

fn has(node: Node<'_, '_>, class: &str) -> bool {
    node.attribute("class").is_some_and(|classes| classes.split(' ').any(|other| other == class))
}

/// The text of an element, with one space between its pieces.
fn text_of(node: Node<'_, '_>) -> String {
    let pieces: Vec<&str> = node
        .descendants()
        .filter(|node| node.is_text() && !node.parent_element().is_some_and(|p| p.has_tag_name("style")))
        .filter_map(|node| node.text())
        .flat_map(str::split_whitespace)
        .collect();
    pieces.join(" ")
}
