//! Plots are well-formed XML, with all that a reader needs.

use roxmltree::Document;

use crate::svg::{Axis, Color, Panel, Plot, Scale, Series};
use crate::units::{count, percent, time};

fn plot(name: &str, points: Vec<(f64, f64)>) -> Plot {
    let panel = |scale, label| Panel {
        height: 200.0,
        y: Axis { title: format!("latency of {name}"), scale, label },
        series: vec![
            Series { name: name.into(), color: Color::Step(3), points: points.clone() },
            Series { name: "offered".into(), color: Color::Pale, points: points.clone() },
        ],
        limits_x: vec![(100.0, "capacity".into())],
        limits_y: vec![(1e6, "deadline 1 s".into())],
    };
    Plot {
        title: format!("Latency of {name}"),
        notes: vec![name.into()],
        x: Axis { title: "load".into(), scale: Scale::Linear, label: percent },
        panels: vec![panel(Scale::Log, time), panel(Scale::Linear, count)],
    }
}

fn points() -> Vec<(f64, f64)> {
    vec![(10.0, 380.0), (50.0, 1200.0), (100.0, 250_000.0)]
}

#[test]
fn a_plot_is_xml_with_axes_units_and_a_legend() {
    let svg = plot("p99", points()).draw();
    let document = Document::parse(&svg).expect("well-formed XML");
    let root = document.root_element();
    assert_eq!(root.tag_name().namespace(), Some("http://www.w3.org/2000/svg"));
    let texts: Vec<_> = document
        .descendants()
        .filter(|node| node.has_tag_name("text"))
        .filter_map(|node| node.text())
        .collect();
    for text in [
        "Latency of p99",
        "load",
        "latency of p99",
        "60 %",
        "100 %",
        "1 ms",
        "1 s",
        "p99",
        "offered",
        "capacity",
    ] {
        assert!(texts.contains(&text), "{text} is missing in {texts:?}");
    }
    let titles =
        document.descendants().filter(|node| node.has_tag_name("title")).filter_map(|node| node.text());
    assert!(titles.into_iter().any(|title| title == "p99: 1.2 ms at 50 %"));
    let style = document.descendants().find(|node| node.has_tag_name("style")).and_then(|node| node.text());
    assert!(style.unwrap().contains("prefers-color-scheme:dark"));
}

/// Names are text, whatever is in them.
#[test]
fn names_are_escaped() {
    let name = "<a href=\"x\">&amp; ]]> \u{1}";
    let svg = plot(name, points()).draw();
    let document = Document::parse(&svg).expect("well-formed XML");
    let expected = format!("Latency of {}", name.replace('\u{1}', "\u{fffd}"));
    assert!(document.descendants().any(|node| node.text() == Some(&expected)));
}

/// Everything stands on the paper, and no number is one that SVG does not have.
#[test]
fn every_place_is_on_the_paper() {
    for points in [vec![], vec![(0.0, 0.0)], vec![(100.0, 5.0)], vec![(1e-9, 1e-9), (1e12, 1e12)], points()] {
        let svg = plot("p99", points).draw();
        let document = Document::parse(&svg).expect("well-formed XML");
        let root = document.root_element();
        let size = |name: &str| root.attribute(name).unwrap().parse::<f64>().unwrap();
        for (names, most) in
            [(["x", "x1", "x2", "cx"], size("width")), (["y", "y1", "y2", "cy"], size("height"))]
        {
            let places = document.descendants().flat_map(|node| node.attributes());
            for place in places.filter(|attribute| names.contains(&attribute.name())) {
                let number: f64 = place.value().parse().expect("a number");
                assert!((0.0..=most).contains(&number), "{}={number}", place.name());
            }
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf "), "{svg}");
    }
}

#[test]
fn numbers_have_units_and_few_digits() {
    assert_eq!([85.0, 1234.0, 56_789.0, 3e6].map(time), ["85 µs", "1.23 ms", "56.8 ms", "3 s"]);
    assert_eq!([850.0, 1000.0, 10_000.0, 123_456.0, 1e6].map(count), ["850", "1k", "10k", "123k", "1M"]);
    assert_eq!([0.0, 10.0, 20.0, 120.0].map(percent), ["0 %", "10 %", "20 %", "120 %"]);
}
