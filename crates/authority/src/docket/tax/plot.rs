//! The tax as a picture: an SVG that follows the reader's light or dark colours.

use super::{By, Share, Tax, in_words};
use crate::docket::line::float;

const PANEL_WIDTH: f64 = 460.0;
const LABEL_WIDTH: f64 = 150.0;
const VALUE_WIDTH: f64 = 110.0;
const GAP: f64 = 28.0;
const MARGIN: f64 = 20.0;
const HEAD: f64 = 84.0;
const PANEL_HEAD: f64 = 44.0;
const PANEL_FOOT: f64 = 26.0;
const BAR: f64 = 14.0;
const BAR_STEP: f64 = 22.0;
/// Most bars of one panel; the others are counted below it.
const BARS: usize = 10;
/// Most characters of a label.
const LABEL_CHARS: usize = 22;

/// Plain classes, no variables: not every program that shows SVG knows those.
const STYLE: &str = r#"
  text { font: 12px -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; }
  .title { font-size: 16px; font-weight: 600; } .name { font-size: 13px; font-weight: 600; }
  .faint { font-size: 11px; } .end { text-anchor: end; } .middle { text-anchor: middle; }
  text { fill: #1f2328; } line { stroke: #d1d9e0; }
  .paper { fill: #ffffff; } .p50 { fill: #0969da; } .p95 { fill: #9ec9f5; } .faint { fill: #59636e; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; } line { stroke: #3d444d; }
    .paper { fill: #0d1117; } .p50 { fill: #4493f8; } .p95 { fill: #1b4475; } .faint { fill: #9198a1; }
  }
"#;

/// One panel: bars of one unit on an axis from zero.
struct Panel {
    name: &'static str,
    unit: String,
    bars: Vec<Bar>,
    /// How many more there are.
    more: usize,
}

struct Bar {
    label: String,
    /// In the panel's unit; the second lies over the first.
    lengths: Vec<(&'static str, f64)>,
    value: String,
}

impl Tax {
    /// The tax as an SVG: time waited by twin, conductor and process, and the defaults that are overridden.
    pub fn plot(&self) -> String {
        let panels = [
            self.waits_panel("Waited for people, by twin", By::Twin),
            self.waits_panel("Waited for people, by conductor", By::Conductor),
            self.waits_panel("Waited for people, by process", By::Process),
            self.overrides_panel(),
        ];
        let rows: Vec<_> = panels.chunks(2).collect();
        let heights: Vec<f64> = rows.iter().map(|row| row.iter().map(Panel::height).fold(0.0, f64::max)).collect();
        let width = 2.0 * MARGIN + 2.0 * PANEL_WIDTH + GAP;
        let height = HEAD + heights.iter().map(|height| height + GAP).sum::<f64>() + MARGIN - GAP;
        let mut drawn = vec![
            format!(r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img""#),
            format!(r#"  width="{width}" height="{height}">"#),
            "<title>Waiting for people</title>".to_owned(),
            format!("<style>{STYLE}</style>"),
            format!(r#"<rect class="paper" width="{width}" height="{height}"/>"#),
            text(MARGIN, 28.0, "Waiting for people", "title"),
            text(MARGIN, 47.0, &self.subtitle(), "faint"),
            text(MARGIN, 65.0, &self.second_subtitle(), "faint"),
        ];
        let mut y = HEAD;
        for (row, height) in rows.into_iter().zip(heights) {
            let mut x = MARGIN;
            for panel in row {
                panel.draw(x, y, &mut drawn);
                x += PANEL_WIDTH + GAP;
            }
            y += height + GAP;
        }
        drawn.push("</svg>\n".to_owned());
        drawn.join("\n")
    }

    fn subtitle(&self) -> String {
        let all = self.waits_by(By::All).next();
        let sum = all.map_or_else(|| "0 s".to_owned(), |wait| in_words(wait.sum));
        let date = |time: jiff::Timestamp| time.to_string().chars().take(10).collect::<String>();
        let decisions = self.without_wait.of;
        format!("{} to {}: {decisions} decisions, {sum} of waiting in all", date(self.since), date(self.now))
    }

    fn second_subtitle(&self) -> String {
        let shares = [
            ("without a wait", self.without_wait),
            ("rubber stamps", self.rubber_stamps),
            ("found wrong", self.reversals),
            ("no why", self.missing_whys),
        ];
        shares.map(|(name, share)| format!("{name} {}", percent(share))).join(" · ")
    }

    fn waits_panel(&self, name: &'static str, by: By) -> Panel {
        let waits: Vec<_> = self.waits_by(by).filter(|wait| wait.held > 0).collect();
        let longest = waits.iter().map(|wait| wait.p95.as_secs_f64()).fold(0.0, f64::max);
        let units = [(86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes"), (1.0, "seconds")];
        let (unit, words) = units.into_iter().find(|(unit, _)| longest >= 2.0 * unit).unwrap_or((1.0, "seconds"));
        let bars = waits.iter().take(BARS).map(|wait| Bar {
            label: wait.name.clone(),
            lengths: vec![("p95", wait.p95.as_secs_f64() / unit), ("p50", wait.p50.as_secs_f64() / unit)],
            value: format!("{} / {}", in_words(wait.p50), in_words(wait.p95)),
        });
        let unit = format!("{words}, half (dark) and 95 % (light) waited at most; longest sums first");
        Panel { name, unit, bars: bars.collect(), more: waits.len().saturating_sub(BARS) }
    }

    fn overrides_panel(&self) -> Panel {
        let rules: Vec<_> = self.rules.iter().filter(|rule| rule.overridden.part > 0).collect();
        let bars = rules.iter().take(BARS).map(|rule| Bar {
            label: rule.rule.to_string(),
            lengths: vec![("p50", rule.overridden.rate().unwrap_or(0.0) * 100.0)],
            value: format!("{} of {}", rule.overridden.part, rule.overridden.of),
        });
        let unit = "percent of the times that they fired".to_owned();
        Panel { name: "Overridden defaults", unit, bars: bars.collect(), more: rules.len().saturating_sub(BARS) }
    }
}

impl Panel {
    fn height(&self) -> f64 {
        let lines = self.bars.len().max(1);
        PANEL_HEAD + float(lines) * BAR_STEP + PANEL_FOOT
    }

    fn draw(&self, x: f64, y: f64, drawn: &mut Vec<String>) {
        drawn.push(text(x, y + 14.0, self.name, "name"));
        drawn.push(text(x, y + 30.0, &self.unit, "faint"));
        let longest = self.bars.iter().flat_map(|bar| &bar.lengths).map(|(_, length)| *length).fold(0.0, f64::max);
        if self.bars.is_empty() {
            drawn.push(text(x, y + PANEL_HEAD + BAR - 3.0, "nothing", "faint"));
            return;
        }
        let (left, width) = (x + LABEL_WIDTH, PANEL_WIDTH - LABEL_WIDTH - VALUE_WIDTH);
        let step = tick_step(longest);
        let parts = (longest / step).ceil().max(1.0);
        let bottom = y + PANEL_HEAD + float(self.bars.len()) * BAR_STEP;
        for tick in (0..=5_u8).map(f64::from).take_while(|tick| *tick <= parts) {
            let at = left + width * tick / parts;
            drawn.push(format!(
                r#"<line x1="{at:.1}" y1="{:.1}" x2="{at:.1}" y2="{bottom:.1}"/>"#,
                y + PANEL_HEAD - 4.0
            ));
            drawn.push(text(at, bottom + 14.0, &number(tick * step), "faint middle"));
        }
        let mut top = y + PANEL_HEAD;
        for bar in &self.bars {
            drawn.push(text(left - 8.0, top + BAR - 3.0, &clip(&bar.label), "end"));
            let mut end = left;
            for (class, length) in &bar.lengths {
                let length = (width * length / (parts * step)).max(1.0);
                end = f64::max(end, left + length);
                drawn.push(format!(
                    r#"<rect class="{class}" x="{left:.1}" y="{top:.1}" width="{length:.1}" height="{BAR}" rx="2"/>"#
                ));
            }
            drawn.push(text(end + 5.0, top + BAR - 3.0, &bar.value, ""));
            top += BAR_STEP;
        }
        if self.more > 0 {
            drawn.push(text(x, bottom + 14.0, &format!("and {} more", self.more), "faint"));
        }
    }
}

/// A round step that divides the axis into two to five parts.
fn tick_step(most: f64) -> f64 {
    if most <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(most.log10().floor());
    [0.2, 0.5, 1.0, 2.0, 5.0].into_iter().map(|part| power * part).find(|step| most / step <= 5.0).unwrap_or(most)
}

/// A tick's number, without digits that say nothing.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn percent(share: Share) -> String {
    share.rate().map_or_else(|| "–".to_owned(), |rate| format!("{:.0} %", rate * 100.0))
}

fn clip(label: &str) -> String {
    if label.chars().count() <= LABEL_CHARS {
        return label.to_owned();
    }
    label.chars().take(LABEL_CHARS - 1).chain(['…']).collect()
}

fn text(x: f64, y: f64, content: &str, class: &str) -> String {
    let class = if class.is_empty() { String::new() } else { format!(r#" class="{class}""#) };
    format!(r#"<text{class} x="{x:.1}" y="{y:.1}">{}</text>"#, escape(content))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
