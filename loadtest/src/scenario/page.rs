//! The report: one page that needs no network.

use std::fmt::Write as _;
use std::time::Duration;

use plotters::prelude::*;

use super::Outcome;
use super::sample::Sample;
use crate::report::thousands;

const SIZE: (u32, u32) = (860, 300);
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(120, 94, 20),
];

/// A line of a plot: its name, and a value for each second.
type Line = (String, Vec<f64>);

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn plots(samples: &[Sample]) -> Vec<(&'static str, Vec<Line>)> {
    let line = |name: &str, value: &dyn Fn(&Sample) -> f64| -> Line {
        (name.to_owned(), samples.iter().map(value).collect())
    };
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    let names = |of: &dyn Fn(&Sample) -> Vec<&'static str>| -> Vec<&'static str> {
        let mut names: Vec<_> = samples.iter().flat_map(of).collect();
        names.sort_unstable();
        names.dedup();
        names
    };
    let cpu = names(&|sample| sample.cpu.keys().copied().collect()).into_iter();
    let memory = names(&|sample| sample.memory.keys().copied().collect()).into_iter();
    vec![
        (
            "Requests and errors, a second",
            vec![
                line("requests", &|sample| sample.requests as f64),
                line("errors", &|sample| sample.errors as f64),
            ],
        ),
        (
            "Latency, in milliseconds",
            vec![
                line("p50", &|sample| millis(sample.p50)),
                line("p95", &|sample| millis(sample.p95)),
                line("p99", &|sample| millis(sample.p99)),
            ],
        ),
        (
            "Clients, their connections, sockets that listen, and events that reach these a second",
            vec![
                line("clients", &|sample| sample.clients as f64),
                line("connections", &|sample| sample.connections as f64),
                line("sockets", &|sample| sample.sockets as f64),
                line("events", &|sample| sample.events as f64),
            ],
        ),
        (
            "CPU, in percent of one core",
            cpu.map(|name| line(name, &|sample| sample.cpu.get(name).copied().unwrap_or_default())).collect(),
        ),
        (
            "Memory (RSS), in MiB",
            memory
                .map(|name| {
                    line(name, &|sample| {
                        (sample.memory.get(name).copied().unwrap_or_default() >> 10) as f64 / 1024.0
                    })
                })
                .collect(),
        ),
    ]
}

/// One plot as SVG; grey where something broke.
fn plot(lines: &[Line], harms: &[f64]) -> anyhow::Result<String> {
    let seconds = lines.first().map_or(0, |(_, values)| values.len());
    let highest = lines.iter().flat_map(|(_, values)| values).copied().fold(0.0, f64::max);
    let highest = if highest > 0.0 { highest * 1.08 } else { 1.0 };
    #[expect(clippy::cast_precision_loss, reason = "seconds are few")]
    let end = seconds.max(2) as f64;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(8)
            .x_label_area_size(24)
            .y_label_area_size(58)
            .build_cartesian_2d(0.0..end, 0.0..highest)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(RGBColor(225, 225, 225))
            .x_label_formatter(&|second| format!("{second:.0} s"))
            .y_label_formatter(&|value| label(*value, highest))
            .draw()?;
        for second in harms {
            let bar = [(*second, 0.0), (*second, highest)];
            chart.draw_series(LineSeries::new(bar, RGBColor(170, 170, 170).stroke_width(3)))?;
        }
        for ((name, values), colour) in lines.iter().zip(COLOURS) {
            let points = (1_u32..).map(f64::from).zip(values.iter().copied());
            chart
                .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
                .label(name)
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], colour.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .border_style(TRANSPARENT)
            .draw()?;
        area.present()?;
    }
    Ok(svg)
}

fn label(value: f64, highest: f64) -> String {
    if highest < 10.0 { format!("{value:.1}") } else { thousands(value) }
}

/// The whole page.
pub fn html(outcome: &Outcome) -> anyhow::Result<String> {
    let Outcome { plan, about, board, samples, harms } = outcome;
    let mut rows = String::new();
    for (name, cells) in outcome.rows() {
        write!(rows, "<tr><th>{name}<td>{}", cells.join("<td>"))?;
    }
    let mut notes = String::new();
    for (code, count) in board.codes() {
        write!(notes, "<li>{count} × {}", escaped(code))?;
    }
    for harm in harms {
        write!(notes, "<li>at {} s: {}", harm.second, harm.what)?;
    }
    let verdict = match outcome.verdict() {
        Ok(()) => "passed".to_owned(),
        Err(error) => format!("failed: {}", escaped(&error.to_string())),
    };
    #[expect(clippy::cast_precision_loss, reason = "seconds are few")]
    let marks: Vec<f64> = harms.iter().map(|harm| harm.second as f64).collect();
    let mut figures = String::new();
    for (title, lines) in plots(samples) {
        write!(figures, "<figure><figcaption>{title}</figcaption>{}</figure>", plot(&lines, &marks)?)?;
    }
    Ok(format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>Load test: {name}</title><style>{STYLE}</style>\
         <h1>Load test: {name}</h1><p>{about_plan}. {about}. <b>{verdict}</b></p>\
         <table><thead><tr><th><th>requests<th>a second<th>p50<th>p95<th>p99<th>errors<tbody>{rows}</table>\
         <ul>{notes}</ul>{figures}</html>\n",
        name = plan.name,
        about_plan = plan.about,
        about = escaped(about),
    ))
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:880px;margin:2rem auto;padding:0 1rem;\
    color:#1c1c1c;background:#fff}h1{font-size:1.5rem}table{border-collapse:collapse;width:100%}\
    th,td{text-align:right;padding:.25rem .6rem;border-bottom:1px solid #ddd;font-variant-numeric:tabular-nums}\
    th:first-child{text-align:left;font-weight:500}thead th{font-weight:600}tbody tr:last-child{font-weight:600}\
    figure{margin:2rem 0 0}figcaption{font-weight:600}svg{max-width:100%;height:auto}ul{color:#555}";

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
