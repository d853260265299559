//! Reading one cookie out of a `Cookie` header, by the rule of Apache's mod_proxy_balancer.

/// The value of the cookie `name` in a `Cookie` header: of several, the first.
///
/// The name is case-sensitive and stands at the start or after `;`, `,` or white space; white space may precede the `=`.
/// The value ends at `;` or `,`, is taken as it stands (quotes are kept), and an empty value counts as none.
pub fn find<'header>(header: &'header str, name: &str) -> Option<&'header str> {
    all(header, name).next()
}

/// The values of all cookies of this name, in their order. A client sends several when they were set for several paths or domains.
pub fn all<'header>(header: &'header str, name: &str) -> impl Iterator<Item = &'header str> {
    let mut behind = 0;
    std::iter::from_fn(move || {
        let (value, end) = next(header, name, behind)?;
        behind = end;
        Some(value)
    })
}

/// The value of the first cookie that begins at `from` or behind it, and where it ends.
fn next<'header>(header: &'header str, name: &str, from: usize) -> Option<(&'header str, usize)> {
    if name.is_empty() {
        return None;
    }
    header[from..].match_indices(name).find_map(|(start, _)| {
        let start = from + start;
        let starts_here = header[..start]
            .chars()
            .next_back()
            .is_none_or(|before| matches!(before, ';' | ',') || before.is_ascii_whitespace());
        let value = header[start + name.len()..]
            .trim_ascii_start()
            .strip_prefix('=')?;
        let length = value.find([';', ',']).unwrap_or(value.len());
        let end = header.len() - value.len() + length;
        (starts_here && length > 0).then(|| (&value[..length], end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_cookies_of_a_name_are_found_in_their_order() {
        let table: &[(&str, &[&str])] = &[
            ("R=a; R=b", &["a", "b"]),
            ("R=a; XR=x; r=y; R = b,R=c", &["a", " b", "c"]),
            ("R=; R=b", &["b"]),
            ("R= R=x; R=b", &[" R=x", "b"]),
            ("R=R=R; R=b", &["R=R", "b"]),
            ("x=R=a", &[]),
            ("R", &[]),
            ("", &[]),
        ];
        for (header, expected) in table {
            let found: Vec<_> = all(header, "R").collect();
            assert_eq!(found, *expected, "{header}");
            assert_eq!(find(header, "R"), expected.first().copied(), "{header}");
        }
        assert_eq!(all("=a; =b", "").next(), None);
    }
}
