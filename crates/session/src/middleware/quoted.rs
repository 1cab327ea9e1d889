//! Separators in a header's value, which a quoted string may hold too (RFC 9110 §5.6.4).

/// Returns a function that finds this separator outside of quoted strings, when it is called with each character in turn.
pub(super) fn separates(separator: char) -> impl FnMut(char) -> bool {
    let (mut is_quoted, mut is_escaped) = (false, false);
    move |character| {
        if is_escaped {
            is_escaped = false;
        } else if is_quoted && character == '\\' {
            is_escaped = true;
        } else if character == '"' {
            is_quoted = !is_quoted;
        }
        !is_quoted && character == separator
    }
}
