//! The plots of a run.

use crate::cost::Cost;
use crate::latency::{Latency, Step};
use crate::mix::Work;
use crate::options::Options;
use crate::report::{PERCENTILES, about};
use crate::svg::{Axis, Color, Panel, Plot, Scale, Series};
use crate::units::{count, duration, percent, time};

/// Latency by load, and the goodput below it.
pub fn latency(latency: &Latency, options: &Options) -> Plot {
    let is_percent = latency.capacity.is_some();
    let load = |step: &Step| step.percent.map_or(step.rate, f64::from);
    let series = |name: &str, color, value: &dyn Fn(&Step) -> f64| Series {
        name: name.into(),
        color,
        points: latency.steps.iter().map(|step| (load(step), value(step))).collect(),
    };
    let mut percentiles: Vec<_> = PERCENTILES
        .iter()
        .enumerate()
        .map(|(step, (part, name))| {
            series(name, Color::Step(step), &|step| step.tally.latency.within(*part).as_micros() as f64)
        })
        .collect();
    percentiles.push(series("max", Color::Step(4), &|step| step.tally.latency.max().as_micros() as f64));
    let limits_x = || if is_percent { vec![(100.0, "capacity".to_owned())] } else { Vec::new() };
    let deadline = format!("deadline {}", duration(options.deadline));
    let title = match latency.capacity {
        Some(capacity) => format!("load, in percent of the capacity of {capacity:.0} requests a second"),
        None => "load, in requests a second".into(),
    };
    Plot {
        title: "Latency by load".into(),
        notes: vec![
            about(options),
            "Open loop: the time counts from the moment at which a request was due. Late requests count, refused ones do not."
                .into(),
        ],
        x: Axis { title, scale: Scale::Linear, label: if is_percent { percent } else { count } },
        panels: vec![
            Panel {
                height: 300.0,
                y: Axis { title: "latency".into(), scale: Scale::Log, label: time },
                series: percentiles,
                limits_x: limits_x(),
                limits_y: vec![(options.deadline.as_micros() as f64, deadline)],
            },
            Panel {
                height: 130.0,
                y: Axis { title: "requests a second".into(), scale: Scale::Linear, label: count },
                series: vec![
                    series("offered", Color::Pale, &Step::offered),
                    series("answered in time", Color::Kind(2), &Step::goodput),
                ],
                limits_x: limits_x().into_iter().map(|(at, _)| (at, String::new())).collect(),
                limits_y: Vec::new(),
            },
        ],
    }
}

/// The cost of each RPC by the number of secrets.
pub fn costs(costs: &[Cost], options: &Options) -> Plot {
    let of = |(number, work): (usize, Work)| Series {
        name: work.name().into(),
        color: Color::Kind(number),
        points: costs
            .iter()
            .filter(|cost| cost.work == work)
            .map(|cost| (cost.secrets as f64, cost.processor.as_nanos() as f64 / 1e3))
            .collect(),
    };
    Plot {
        title: "Cost of each RPC by the number of secrets".into(),
        notes: vec![format!(
            "Processor time of the server for a request, medians of {} rounds; values of {} bytes, batches of 10, pages of 100.",
            options.rounds(),
            options.value_size
        )],
        x: Axis { title: "secrets".into(), scale: Scale::Log, label: count },
        panels: vec![Panel {
            height: 380.0,
            y: Axis { title: "processor time".into(), scale: Scale::Log, label: time },
            series: Work::ALL.into_iter().enumerate().map(of).collect(),
            limits_x: Vec::new(),
            limits_y: Vec::new(),
        }],
    }
}
