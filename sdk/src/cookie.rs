//! Reading one cookie out of a `Cookie` header, by the rule of Apache's mod_proxy_balancer.

/// The value of the cookie `name` in a `Cookie` header.
///
/// The name is case-sensitive and stands at the start or after `;`, `,` or white space; white space may precede the `=`.
/// The value ends at `;` or `,`, is taken as it stands (quotes are kept), and an empty value counts as none.
pub fn find<'header>(header: &'header str, name: &str) -> Option<&'header str> {
    if name.is_empty() {
        return None;
    }
    header.match_indices(name).find_map(|(start, _)| {
        let starts_here = header[..start]
            .chars()
            .next_back()
            .is_none_or(|before| matches!(before, ';' | ',') || before.is_ascii_whitespace());
        let value = header[start + name.len()..]
            .trim_ascii_start()
            .strip_prefix('=')?;
        let end = value.find([';', ',']).unwrap_or(value.len());
        (starts_here && end > 0).then(|| &value[..end])
    })
}
