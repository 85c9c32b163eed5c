//! The figures as Markdown, and the section of a document that holds them.

use std::fmt::Write;
use std::path::Path;

use anyhow::Context;
use hdrhistogram::Histogram;

use crate::live::Live;
use crate::machine::Memory;
use crate::rounds::Rounds;

const BEGIN: &str = "<!-- bench:begin -->";
const END: &str = "<!-- bench:end -->";

/// All that was measured.
pub struct Report {
    /// Machine, versions and how long it was measured.
    pub about: String,
    pub rounds: Rounds,
    pub live: Live,
    pub idle: Option<Memory>,
    pub after: Option<Memory>,
}

impl Report {
    pub fn markdown(&self) -> String {
        let mut text = format!("{}.\n\n", self.about);
        self.write(&mut text).expect("a String takes all that is written");
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let rounds = &self.rounds;
        writeln!(text, "| | a second | p50 | p99 | CPU of the API, each | of pgbench |")?;
        writeln!(text, "|---|--:|--:|--:|--:|---|")?;
        for (part, series) in &rounds.parts {
            let (name, base) = (part.name(), part.script().name());
            let (rate, ratio) = (thousands(median(&series.rates)), spread(&rounds.ratios(*part, series)));
            let (p50, p99) = percentiles(&series.latency);
            let cpu = series.cpu.as_micros() / u128::from(series.latency.len().max(1));
            writeln!(text, "| {name} | {rate} | {p50} | {p99} | {cpu} µs | {ratio} of {base} |")?;
        }
        for (script, rates) in &rounds.scripts {
            writeln!(text, "| pgbench, {} | {} | | | | |", script.name(), thousands(median(rates)))?;
        }
        self.write_usage(text)?;
        writeln!(text, "\n| a message, to a subscriber of the other process | p50 | p99 |\n|---|--:|--:|")?;
        for (name, latency) in [
            ("from the request until it arrives", &self.live.from_request),
            ("from the answer until it arrives", &self.live.from_answer),
        ] {
            let (p50, p99) = percentiles(latency);
            writeln!(text, "| {name} | {p50} | {p99} |")?;
        }
        writeln!(text, "\n| memory of the API process | RSS | PSS |\n|---|--:|--:|")?;
        for (name, memory) in
            [("idle", self.idle), ("under load, at its highest", rounds.memory), ("idle again", self.after)]
        {
            if let Some(Memory { rss, pss }) = memory {
                writeln!(text, "| {name} | {} MiB | {} MiB |", rss >> 20, pss >> 20)?;
            }
        }
        Ok(())
    }

    fn write_usage(&self, text: &mut String) -> std::fmt::Result {
        let parts = &self.rounds.parts;
        let Some(first) = parts.values().next() else { return Ok(()) };
        let names: Vec<&str> = first.usage.0.keys().copied().collect();
        writeln!(text, "\n| CPU, in percent of one core | {} |", names.join(" | "))?;
        writeln!(text, "|---|{}", "--:|".repeat(names.len()))?;
        for (part, series) in parts {
            write!(text, "| {} |", part.name())?;
            for time in series.usage.0.values() {
                let share = 100.0 * time.as_secs_f64() / series.loaded.as_secs_f64();
                write!(text, " {share:.0} |")?;
            }
            writeln!(text)?;
        }
        Ok(())
    }
}

/// Puts the report between the marks in a document.
pub fn update(file: &Path, report: &str) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let text = replaced(&text, report)
        .with_context(|| format!("{} has no {BEGIN} followed by {END}", file.display()))?;
    Ok(std::fs::write(file, text)?)
}

fn replaced(text: &str, report: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{report}{END}{after}"))
}

/// The middle of the values; between two of them if their number is even.
pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.get(middle) {
        Some(value) if values.len() % 2 == 1 => *value,
        Some(value) => f64::midpoint(values[middle - 1], *value),
        None => f64::NAN,
    }
}

/// The median, and between what the rounds lie.
pub fn spread(ratios: &[f64]) -> String {
    let lowest = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = ratios.iter().copied().fold(0.0, f64::max);
    format!("**{:.2}** ({lowest:.2}–{highest:.2})", median(ratios))
}

/// A number with a comma between thousands.
pub fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub fn percentiles(latency: &Histogram<u64>) -> (String, String) {
    let at = |quantile| {
        let micros = latency.value_at_quantile(quantile) / 1000;
        format!("{}.{:02} ms", micros / 1000, micros % 1000 / 10)
    };
    (at(0.5), at(0.99))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marked_section_is_replaced() {
        let text = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        assert_eq!(replaced(&text, "new\n").unwrap(), format!("a\n{BEGIN}\nnew\n{END}\nb\n"));
        assert!(replaced("no marks", "new").is_none());
    }

    #[test]
    fn figures_are_readable() {
        assert_eq!(thousands(1_234_567.8), "1,234,568");
        assert_eq!(thousands(999.0), "999");
        assert_eq!(spread(&[0.8, 0.7, 0.9]), "**0.80** (0.70–0.90)");
        assert!((median(&[1.0, 2.0, 3.0, 10.0]) - 2.5).abs() < f64::EPSILON);
    }
}
