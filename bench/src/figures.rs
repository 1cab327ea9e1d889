//! Medians and quartiles.

/// Returns the median, or NaN if there are no values. Of an even number, it is the mean of the middle two.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    let (low, high) = (values.len().saturating_sub(1) / 2, values.len() / 2);
    values.get(low).zip(values.get(high)).map_or(f64::NAN, |(low, high)| f64::midpoint(*low, *high))
}

/// Returns the first quartile, the median and the third quartile, or `None` if there are no values.
pub(crate) fn quartiles(mut values: Vec<f64>) -> Option<[f64; 3]> {
    values.sort_unstable_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    let [low, high] = [last / 4, last - last / 4].map(|index| values[index]);
    Some([low, median(values), high])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median([]).is_nan());
    }

    #[test]
    fn half_of_all_values_lie_between_the_quartiles() {
        let values = (1..=101).map(f64::from).collect();
        assert_eq!(quartiles(values), Some([26.0, 51.0, 76.0]));
        assert_eq!(quartiles(vec![7.0]), Some([7.0; 3]));
        assert_eq!(quartiles(Vec::new()), None);
    }
}
