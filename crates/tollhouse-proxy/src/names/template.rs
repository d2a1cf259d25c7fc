//! Whether a URI belongs to a template.

/// Does `uri` fit an RFC 6570 template? Simple expressions stand for one part of a path, `{+x}` and others for any
/// text; that is enough to find the owner, who judges the rest.
pub(super) fn fits(template: &str, uri: &str) -> bool {
    let Some((literal, rest)) = template.split_once('{') else { return template == uri };
    let Some(uri) = uri.strip_prefix(literal) else { return false };
    let Some((expression, rest)) = rest.split_once('}') else { return false };
    let any = expression.starts_with(['+', '#', '/', '?', '&', ';', '.']);
    let ends = uri.char_indices().map(|(at, _)| at).chain([uri.len()]);
    for end in ends {
        let (part, remaining) = uri.split_at(end);
        if !any && part.contains('/') {
            return false;
        }
        if (any || !part.is_empty()) && fits(rest, remaining) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn an_expression_stands_for_one_part_of_a_path_and_a_reserved_one_for_any_text() {
        for (template, uri, expected) in [
            ("note://{id}/text", "note://7/text", true),
            ("note://{id}/text", "note://7/8/text", false),
            ("note://{id}/text", "note:///text", false),
            ("file:///{+path}", "file:///a/b", true),
            ("file:///a", "file:///a", true),
        ] {
            assert_eq!(fits(template, uri), expected, "{template} {uri}");
        }
    }
}
