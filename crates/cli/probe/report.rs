//! What was measured, as a table and as JSON.

use serde_json::{Value, json};

/// One measurement.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) what: String,
    /// In which unit.
    pub(crate) unit: &'static str,
    pub(crate) value: f64,
    /// The share of what the device could do, if that is known.
    pub(crate) share: Option<f64>,
}

impl Row {
    /// A measurement that is no share of anything.
    pub(crate) fn new(what: impl Into<String>, unit: &'static str, value: f64) -> Self {
        Self { what: what.into(), unit, value, share: None }
    }
}

/// All that one device gave for one shape.
#[derive(Clone, Debug)]
pub(crate) struct Outcomes {
    pub(crate) shape: String,
    pub(crate) device: String,
    pub(crate) rows: Vec<Row>,
}

impl Outcomes {
    /// Tokens a second of the twin workload, if it was measured.
    pub(crate) fn rate_of_twins(&self) -> Option<f64> {
        self.rows.iter().find(|row| row.what.starts_with("twins: ")).map(|row| row.value)
    }

    pub(crate) fn json(&self) -> Value {
        let rows = self
            .rows
            .iter()
            .map(|row| json!({ "what": row.what, "unit": row.unit, "value": row.value, "share": row.share }));
        json!({ "shape": self.shape, "device": self.device, "rows": rows.collect::<Vec<_>>() })
    }

    pub(crate) fn table(&self) -> String {
        let mut lines = vec![format!("{} on {}", self.shape, self.device)];
        for Row { what, unit, value, share } in &self.rows {
            let share = share.map_or(String::new(), |share| format!("{:>5.0} %", share * 100.0));
            lines.push(format!("  {what:<58} {value:>10.2} {unit:<10}{share}").trim_end().to_owned());
        }
        lines.join("\n") + "\n"
    }
}
