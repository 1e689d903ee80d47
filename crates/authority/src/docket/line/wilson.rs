//! How sure a share is.

/// Wilson's score interval of a share: where the true share lies, given that `hits` of `trials` were seen and errors are as
/// rare as `z` standard deviations. Without trials it is all of 0 to 1.
///
/// E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the American
/// Statistical Association 22 (1927), pages 209–212.
pub fn wilson_interval(hits: usize, trials: usize, z: f64) -> (f64, f64) {
    if trials == 0 {
        return (0.0, 1.0);
    }
    let (hits, trials) = (float(hits.min(trials)), float(trials));
    let (share, square) = (hits / trials, z * z);
    let centre = share + square / (2.0 * trials);
    let spread = z * (share * (1.0 - share) / trials + square / (4.0 * trials * trials)).sqrt();
    let whole = 1.0 + square / trials;
    (((centre - spread) / whole).max(0.0), ((centre + spread) / whole).min(1.0))
}

/// Counts of more than four thousand million are not met here; they would count as that many.
pub(in crate::docket) fn float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Table I, method 3, of R. G. Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in
    /// Medicine 17 (1998), pages 857–872.
    #[test]
    fn it_gives_the_published_values() {
        let rows =
            [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)];
        for (hits, trials, low, high) in rows {
            let (lower, upper) = wilson_interval(hits, trials, 1.959_964);
            assert!((lower - low).abs() < 5e-5 && (upper - high).abs() < 5e-5, "{hits}/{trials}: {lower} to {upper}");
            // What did not happen is the other side of it.
            let (other_lower, other_upper) = wilson_interval(trials - hits, trials, 1.959_964);
            assert!((other_lower + upper - 1.0).abs() < 1e-12 && (other_upper + lower - 1.0).abs() < 1e-12);
        }
        assert_eq!(wilson_interval(0, 0, 1.96), (0.0, 1.0));
    }

    #[test]
    fn more_of_the_same_makes_it_surer() {
        let lower = |trials: usize| wilson_interval(trials * 3 / 4, trials, 1.96).0;
        assert!([4, 20, 100, 1_000].windows(2).all(|pair| lower(pair[0]) < lower(pair[1]) && lower(pair[1]) < 0.75));
        // The smallest evidence that demotes a default: 15 of 20.
        assert!(wilson_interval(15, 20, 1.96).0 > 0.5 && wilson_interval(14, 20, 1.96).0 < 0.5);
    }
}
