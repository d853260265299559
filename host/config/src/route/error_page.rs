//! `error-pages` of a route: what clients get in place of the proxy's own words for an error.

use std::path::Path;

use super::action::place;
use super::body::{Content, LARGEST_PAGE, read_content};
use super::template::Template;
use crate::table::Table;

/// The keys of each page.
pub(crate) const PAGE_KEYS: &[&str] = &["body", "body-file", "content-type", "redirect"];

/// Pages by the status that they are for, in ascending order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorPages(Vec<(u16, ErrorPage)>);

/// What clients get in place of an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorPage {
    /// `body` or `body-file`: the error's status with this body.
    Content(Content),
    /// `redirect`: 302 with this place.
    Redirect(Template),
}

impl ErrorPages {
    /// The page for a status.
    pub fn page(&self, status: u16) -> Option<&ErrorPage> {
        let found = self.0.binary_search_by_key(&status, |(it, _)| *it);
        found.ok().map(|place| &self.0[place].1)
    }

    /// All of them with their statuses.
    pub fn iter(&self) -> impl Iterator<Item = &(u16, ErrorPage)> {
        self.0.iter()
    }
}

/// Reads `error-pages` of a route; `None` where there are none.
pub(super) fn read_error_pages(route: &Table<'_>, path: &Path) -> Option<Box<ErrorPages>> {
    let example = "{ \"503\" = { body-file = \"sorry.html\", content-type = \"text/html\" } }";
    let tables = route.tables_by("error-pages", PAGE_KEYS, example);
    let mut pages = Vec::new();
    for (name, table) in tables {
        let status = name.parse().ok().filter(|it| (400..=599).contains(it));
        if status.is_none() || name.len() != 3 {
            table.refuse_whole("must be named by the status that it is for, from 400 to 599");
        }
        if let (Some(status), Some(page)) = (status, read_page(&table, path)) {
            pages.push((status, page));
        }
    }
    pages.sort_by_key(|(status, _)| *status);
    (!pages.is_empty()).then(|| Box::new(ErrorPages(pages)))
}

fn read_page(table: &Table<'_>, path: &Path) -> Option<ErrorPage> {
    let content = read_content(table, path, LARGEST_PAGE);
    let redirect = table.read("redirect", |value| place(value, None));
    let has_content = table.has("body") || table.has("body-file");
    match (has_content, table.has("redirect")) {
        (true, true) => {
            table.refuse("redirect", "contradicts the body: write one of the two");
            None
        }
        (false, false) => {
            table.refuse_whole("must have a body, a body-file or a redirect");
            None
        }
        (true, false) => content.map(ErrorPage::Content),
        (false, true) => redirect.map(ErrorPage::Redirect),
    }
}
