//! One metric with its labels.

use std::fmt::{self, Write as _};

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeLabelValue, LabelValueEncoder, MetricEncoder,
    NoLabelSet,
};
use prometheus_client::metrics::MetricType;

use equipoise_metrics::Histogram;

/// A label and its value.
pub(super) type Label<'snapshot> = (&'static str, Name<'snapshot>);

/// A metric being written: its head is there, its samples follow.
pub(super) struct Family<'encoder>(MetricEncoder<'encoder>);

impl<'encoder> Family<'encoder> {
    /// A number that only grows; `_total` is added to its name.
    pub(super) fn counter(
        encoder: &'encoder mut DescriptorEncoder<'_>,
        name: &'encoder str,
        help: &str,
    ) -> Result<Self, fmt::Error> {
        Self::begin(encoder, name, help, MetricType::Counter)
    }

    /// A number that goes up and down.
    pub(super) fn gauge(
        encoder: &'encoder mut DescriptorEncoder<'_>,
        name: &'encoder str,
        help: &str,
    ) -> Result<Self, fmt::Error> {
        Self::begin(encoder, name, help, MetricType::Gauge)
    }

    /// How times are distributed.
    pub(super) fn histogram(
        encoder: &'encoder mut DescriptorEncoder<'_>,
        name: &'encoder str,
        help: &str,
    ) -> Result<Self, fmt::Error> {
        Self::begin(encoder, name, help, MetricType::Histogram)
    }

    fn begin(
        encoder: &'encoder mut DescriptorEncoder<'_>,
        name: &'encoder str,
        help: &str,
        kind: MetricType,
    ) -> Result<Self, fmt::Error> {
        encoder.encode_descriptor(name, help, None, kind).map(Self)
    }

    /// A sample of a counter.
    pub(super) fn count<N: EncodeCounterValue>(
        &mut self,
        labels: &[Label<'_>],
        number: N,
    ) -> fmt::Result {
        self.with(labels, |metric| {
            metric.encode_counter::<NoLabelSet, _, u64>(&number, None)
        })
    }

    /// A sample of a gauge.
    pub(super) fn measure(&mut self, labels: &[Label<'_>], number: f64) -> fmt::Result {
        self.with(labels, |metric| metric.encode_gauge(&number))
    }

    /// A sample of a histogram.
    pub(super) fn distribute(&mut self, labels: &[Label<'_>], times: &Histogram) -> fmt::Result {
        let buckets = times.buckets();
        // Of the same moment as the buckets.
        let count = buckets.iter().map(|(_, count)| count).sum();
        self.with(labels, |metric| {
            metric.encode_histogram::<NoLabelSet>(times.sum(), count, &buckets, None)
        })
    }

    fn with(
        &mut self,
        labels: &[Label<'_>],
        write: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        // Where there are none, no braces are written either.
        match labels {
            [] => write(&mut self.0),
            labels => write(&mut self.0.encode_family(&labels)?),
        }
    }
}

/// A name as a label's value, which the crate writes as it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name<'snapshot>(pub(super) &'snapshot str);

impl EncodeLabelValue for Name<'_> {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '\\' => encoder.write_str("\\\\"),
            '"' => encoder.write_str("\\\""),
            '\n' => encoder.write_str("\\n"),
            character => encoder.write_char(character),
        })
    }
}
