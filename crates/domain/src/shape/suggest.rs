//! "Did you mean …?", and how foreign text is shown in messages.

/// Names longer than this are not compared; nobody mistypes them by a letter.
const COMPARED_CHARS_MAX: usize = 64;
/// How much of a foreign text a message repeats, in bytes.
pub(super) const SHOWN_BYTES_MAX: usize = 60;

/// The known word that is most likely meant, if one is near enough: the case aside, at most a third
/// of its letters may be wrong, missing, surplus or swapped.
pub fn suggest<'k>(text: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let typed = folded(text)?;
    known
        .into_iter()
        .filter_map(|word| Some((distance(&typed, &folded(word)?), word)))
        .filter(|(wrong, word)| *wrong <= word.chars().count() / 3)
        .min_by_key(|(wrong, _)| *wrong)
        .map(|(_, word)| word)
}

/// Lower case without separators, so that `time_zone` is near `timeZone`.
fn folded(text: &str) -> Option<Vec<char>> {
    let chars: Vec<char> = text
        .chars()
        .filter(|c| !matches!(c, '_' | '-' | ' '))
        .take(COMPARED_CHARS_MAX + 1)
        .flat_map(char::to_lowercase)
        .collect();
    (1..=COMPARED_CHARS_MAX).contains(&chars.len()).then_some(chars)
}

/// Edits between two words: a letter changed, added, left out, or two neighbours swapped (optimal
/// string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i);
        for j in 1..=b.len() {
            let changed = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = changed.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

/// Foreign text for a message: in quotes, control characters escaped, bounded.
pub fn shown(text: &str) -> String {
    format!("{:?}", clipped(text, SHOWN_BYTES_MAX))
}

/// At most so many bytes of the text; what was cut off is marked by `…`.
pub(super) fn clipped(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let end = (0..=bytes_max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", &text[..end])
}
