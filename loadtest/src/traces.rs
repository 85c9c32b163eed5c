//! What traces cost: the same requests to a process without traces, to one that records some of them, and to one that
//! records all.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::load::{self, Work};
use crate::machine;
use crate::part::Part;
use crate::population::Population;
use crate::report::{median, spread, thousands};
use crate::stack::Stack;

const WARM_UP: Duration = Duration::from_secs(2);
const PARTS: [Part; 2] = [Part::User, Part::Feed];

/// A process that is measured.
struct Traced {
    what: &'static str,
    /// Of the API processes.
    index: usize,
}

const WITHOUT: Traced = Traced { what: "without traces", index: 0 };
/// The processes with traces, and the share of traces that each records.
const WITH: [(Traced, &str); 2] = [
    (Traced { what: "1 of 100 recorded", index: 2 }, "0.01"),
    (Traced { what: "all recorded", index: 3 }, "1"),
];

/// The figures of one process, round by round.
#[derive(Default)]
struct Series {
    /// Requests a second.
    rates: Vec<f64>,
    /// What the process worked for each request, in microseconds.
    work: Vec<f64>,
}

impl Series {
    async fn load(
        &mut self,
        stack: &Stack,
        index: usize,
        works: &mut Vec<Work>,
        time: Duration,
    ) -> anyhow::Result<()> {
        let pid = stack.pid(index)?;
        let before = machine::cpu_time(&[pid]);
        let load = load::run(stack.api(index), works, time).await?;
        let work = machine::cpu_time(&[pid]).saturating_sub(before);
        self.rates.push(load.rate);
        #[expect(clippy::cast_precision_loss, reason = "a count of requests is far below 2^52")]
        self.work.push(work.as_secs_f64() * 1e6 / load.latency.len() as f64);
        Ok(())
    }
}

/// Measures each part on each process in turn, so many rounds of so long. A report.
pub async fn measure(
    stack: &mut Stack,
    population: &mut Population,
    (rounds, time): (u16, Duration),
) -> anyhow::Result<String> {
    let mut collector = JoinSet::new();
    let endpoint = format!("http://{}", collect(&mut collector).await?);
    for (traced, share) in WITH {
        let settings =
            [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_TRACES_SAMPLER_ARG", share)];
        stack.serve_more(&format!("api-{}", traced.index + 1), &settings).await?;
    }
    let processes: Vec<Traced> = [WITHOUT].into_iter().chain(WITH.map(|(traced, _)| traced)).collect();
    let mut report =
        String::from("| | | a second | of that without | CPU of the API, each | of that without |\n");
    report.push_str("|---|---|--:|---|--:|---|\n");
    for part in PARTS {
        let mut works = part.work(population);
        for process in &processes {
            load::run(stack.api(process.index), &mut works, WARM_UP.min(time)).await?;
        }
        let mut series: Vec<Series> = processes.iter().map(|_| Series::default()).collect();
        for number in 1..=rounds {
            eprintln!("{}: round {number} of {rounds}", part.name());
            for (process, series) in processes.iter().zip(&mut series) {
                series.load(stack, process.index, &mut works, time).await?;
            }
        }
        for (process, figures) in processes.iter().zip(&series) {
            let (rate, work) = (thousands(median(&figures.rates)), median(&figures.work));
            let of = |each: fn(&Series) -> &Vec<f64>| {
                let ratios = each(figures).iter().zip(each(&series[0])).map(|(one, other)| one / other);
                if process.index == WITHOUT.index {
                    String::new()
                } else {
                    spread(&ratios.collect::<Vec<_>>())
                }
            };
            let (rates, works) = (of(|series| &series.rates), of(|series| &series.work));
            writeln!(
                report,
                "| {} | {} | {rate} | {rates} | {work:.0} µs | {works} |",
                part.name(),
                process.what
            )?;
        }
    }
    Ok(report)
}

/// A collector that takes all spans and keeps none.
async fn collect(tasks: &mut JoinSet<std::io::Result<()>>) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let take = Router::new().fallback(|| async { StatusCode::OK });
    tasks.spawn(async move { axum::serve(listener, take).await });
    Ok(address)
}
