//! Aligned columns for people.

/// Pads cells to the width of their columns, two spaces apart.
pub fn align(rows: impl IntoIterator<Item = Vec<String>>, right: &[bool]) -> Vec<String> {
    let rows: Vec<Vec<String>> = rows.into_iter().collect();
    let mut widths = vec![0; right.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    rows.iter().map(|row| line(row, &widths, right)).collect()
}

fn line(row: &[String], widths: &[usize], right: &[bool]) -> String {
    let mut text = String::new();
    for ((cell, width), right) in row.iter().zip(widths).zip(right) {
        let padding = " ".repeat(width - cell.chars().count());
        let (before, after) =
            if *right { (padding, String::new()) } else { (String::new(), padding) };
        text.push_str(&before);
        text.push_str(cell);
        text.push_str(&after);
        text.push_str("  ");
    }
    text.truncate(text.trim_end().len());
    text
}

/// A whole number with thin groups of three: `69,659`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{align, grouped};

    #[test]
    fn groups_of_three() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1000, "1,000"), (69_659, "69,659"), (1_234_567, "1,234,567")]
        {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn columns_line_up_and_end_without_blanks() {
        let rows = [vec!["a".into(), "1".into()], vec!["long".into(), "200".into()]];
        assert_eq!(align(rows, &[false, true]), ["a       1", "long  200"]);
        let rows = [vec!["x".into(), "é".into()], vec!["y".into(), "abc".into()]];
        assert_eq!(align(rows, &[false, false]), ["x  é", "y  abc"]);
    }
}
