//! Which entries of a view were there before: the longest common subsequence.
//!
//! Invariant: the work is bounded by [`MOST`] entries of either side, from the end.

/// Entries of either side that are compared.
const MOST: usize = 160;

/// Pairs of positions in `old` and `new` that are the same entries, rising in both.
pub(super) fn longest_common(old: &[u64], new: &[u64]) -> Vec<(usize, usize)> {
    let old_from = old.len().saturating_sub(MOST);
    let new_from = new.len().saturating_sub(MOST);
    let (old, new) = (
        old.get(old_from..).unwrap_or_default(),
        new.get(new_from..).unwrap_or_default(),
    );
    let width = new.len() + 1;
    let mut best = vec![0_u16; (old.len() + 1) * width];
    let at = |row: usize, column: usize| row * width + column;
    for (row, left) in old.iter().enumerate().rev() {
        for (column, right) in new.iter().enumerate().rev() {
            let value = if left == right {
                best.get(at(row + 1, column + 1)).copied().unwrap_or(0) + 1
            } else {
                let down = best.get(at(row + 1, column)).copied().unwrap_or(0);
                let across = best.get(at(row, column + 1)).copied().unwrap_or(0);
                down.max(across)
            };
            if let Some(cell) = best.get_mut(at(row, column)) {
                *cell = value;
            }
        }
    }
    let mut pairs = Vec::new();
    let (mut row, mut column) = (0, 0);
    while let (Some(left), Some(right)) = (old.get(row), new.get(column)) {
        if left == right {
            pairs.push((old_from + row, new_from + column));
            row += 1;
            column += 1;
        } else if best.get(at(row + 1, column)) >= best.get(at(row, column + 1)) {
            row += 1;
        } else {
            column += 1;
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scrolled_and_changed_views_align() {
        for (old, new, expected) in [
            (vec![1, 2, 3], vec![2, 3, 4], vec![(1, 0), (2, 1)]),
            (vec![1, 2, 3], vec![1, 9, 3], vec![(0, 0), (2, 2)]),
            (vec![1, 1], vec![1, 1, 1], vec![(0, 0), (1, 1)]),
            (vec![], vec![1], vec![]),
            (vec![1, 2], vec![8, 9], vec![]),
        ] {
            assert_eq!(longest_common(&old, &new), expected);
        }
    }
}
