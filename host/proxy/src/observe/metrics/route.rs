//! What is counted of a route.

use equipoise_metrics::Counter;

/// The classes that statuses are counted by.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What is counted of a route.
#[derive(Debug, Default)]
pub struct RouteMetrics([Counter; CLASSES.len()]);

impl RouteMetrics {
    /// A response has begun.
    #[inline]
    pub(crate) fn count(&self, status: u16) {
        let class = usize::from(status / 100).clamp(1, CLASSES.len()) - 1;
        self.0[class].add(1);
    }

    /// The responses of each class.
    pub fn classes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        CLASSES.into_iter().zip(self.0.iter().map(Counter::get))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_count_in_their_class_whatever_they_are() {
        let route = RouteMetrics::default();
        for status in [0, 99, 101, 200, 299, 304, 404, 500, 599, 600, 999] {
            route.count(status);
        }
        let counted: Vec<_> = route.classes().map(|(_, count)| count).collect();
        assert_eq!(counted, [3, 2, 1, 1, 4]);
    }
}
