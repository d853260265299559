//! The search list of a name, as resolv.conf has it (`search`, `ndots`).

/// The longest name, in bytes.
const MAX_NAME: usize = 253;

/// The names to look up, absolute and without the dot at their end, until one of them exists.
///
/// One that ends with a dot is absolute. One with at least `ndots` dots is asked for as it stands first, and below the domains of
/// `search` then; one with less, the other way round.
pub(super) fn search_list(name: &str, search: &[String], ndots: usize) -> Vec<String> {
    if let Some(absolute) = name.strip_suffix('.') {
        return vec![absolute.to_owned()];
    }
    let below = search.iter().map(|domain| match domain.trim_matches('.') {
        "" => name.to_owned(),
        domain => format!("{name}.{domain}"),
    });
    let mut all: Vec<_> = below.filter(|it| it.len() <= MAX_NAME).collect();
    let dots = name.bytes().filter(|byte| *byte == b'.').count();
    let place = if dots >= ndots { 0 } else { all.len() };
    all.insert(place, name.to_owned());
    let mut seen = Vec::new();
    all.retain(|it| {
        let is_new = !seen.contains(it);
        seen.push(it.clone());
        is_new
    });
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_for_below_the_domains_of_search() {
        let search = ["shop.internal".to_owned(), "internal.".to_owned()];
        type Row<'r> = (&'r str, usize, &'r [&'r str]);
        let table: [Row<'_>; 6] = [
            ("app", 1, &["app.shop.internal", "app.internal", "app"]),
            (
                "app.a",
                1,
                &["app.a", "app.a.shop.internal", "app.a.internal"],
            ),
            (
                "app.a",
                2,
                &["app.a.shop.internal", "app.a.internal", "app.a"],
            ),
            ("app", 0, &["app", "app.shop.internal", "app.internal"]),
            ("app.", 1, &["app"]),
            ("app.internal.", 5, &["app.internal"]),
        ];
        for (name, ndots, expected) in table {
            assert_eq!(
                search_list(name, &search, ndots),
                expected,
                "{name} {ndots}"
            );
        }
        assert_eq!(search_list("app", &[], 1), ["app"]);
        assert_eq!(search_list("app", &[".".to_owned()], 1), ["app"]);
    }

    #[test]
    fn names_that_are_too_long_are_not_asked_for() {
        let (name, search) = ("a.".repeat(120) + "a", ["shop.internal".to_owned()]);
        assert_eq!(search_list(&name, &search, 1), [name]);
    }
}
