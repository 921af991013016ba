//! Draws plots as SVG: panels below each other over one horizontal axis, with markers, a legend and lines for limits.
//!
//! The colours follow the reader's preference for a light or a dark background; a viewer that knows no preference shows the light
//! ones. Each series has a shape of markers of its own too. A marker shows its values under the mouse.

use std::fmt::Write;

const WIDTH: f64 = 880.0;
const LEFT: f64 = 82.0;
/// The legend stands here.
const RIGHT: f64 = 165.0;
const LINE: f64 = 18.0;
/// Between two panels.
const GAP: f64 = 30.0;
/// Below the last one: the labels of the axis and its title.
const BOTTOM: f64 = 58.0;

/// A plot.
pub struct Plot {
    pub title: String,
    /// Lines below the title.
    pub notes: Vec<String>,
    pub x: Axis,
    pub panels: Vec<Panel>,
}

/// A part of a plot with a vertical axis of its own.
pub struct Panel {
    pub height: f64,
    pub y: Axis,
    pub series: Vec<Series>,
    /// Limits on the horizontal axis and on the vertical one, each with its name.
    pub limits_x: Vec<(f64, String)>,
    pub limits_y: Vec<(f64, String)>,
}

/// An axis.
pub struct Axis {
    /// What it is, with the unit where the labels have none.
    pub title: String,
    pub scale: Scale,
    /// The text of a value.
    pub label: fn(f64) -> String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// From 0.
    Linear,
    /// Of values above 0.
    Log,
}

/// A line through points.
pub struct Series {
    pub name: String,
    pub color: Color,
    pub points: Vec<(f64, f64)>,
}

#[derive(Clone, Copy)]
pub enum Color {
    /// One of five steps of one colour, for series that have an order.
    Step(usize),
    /// One of eight colours.
    Kind(usize),
    /// For what the others are compared with: dashed, without markers.
    Pale,
}

const STYLE: &str = "
text{font:13px system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;fill:#3d444d}
.paper{fill:#ffffff}.title{font-size:17px;font-weight:600;fill:#1f2328}.note{fill:#59636e}
.grid{stroke:#e3e7eb}.axis{stroke:#8c959f}.limit{stroke:#6e7781;stroke-dasharray:5 4}
.o0{stroke:#7fb0e6;fill:#7fb0e6}.o1{stroke:#4f8fd6;fill:#4f8fd6}.o2{stroke:#2469b8;fill:#2469b8}.o3{stroke:#134a8a;fill:#134a8a}.o4{stroke:#0a2a54;fill:#0a2a54}
.k0{stroke:#2a6fc9;fill:#2a6fc9}.k1{stroke:#c8540a;fill:#c8540a}.k2{stroke:#16855a;fill:#16855a}.k3{stroke:#a8328a;fill:#a8328a}
.k4{stroke:#8a6d00;fill:#8a6d00}.k5{stroke:#6a4fc7;fill:#6a4fc7}.k6{stroke:#c2303a;fill:#c2303a}.k7{stroke:#4f5b66;fill:#4f5b66}
.pale{stroke:#8c959f;fill:#8c959f}.line{fill:none;stroke-width:2;stroke-linejoin:round}.dashed{stroke-dasharray:5 4}
@media(prefers-color-scheme:dark){
text{fill:#c3cad1}.paper{fill:#0d1117}.title{fill:#f0f6fc}.note{fill:#9198a1}
.grid{stroke:#262c34}.axis{stroke:#656c76}.limit{stroke:#8b949e}
.o0{stroke:#2f6cb0;fill:#2f6cb0}.o1{stroke:#468ad2;fill:#468ad2}.o2{stroke:#66a3e8;fill:#66a3e8}.o3{stroke:#9cc6f5;fill:#9cc6f5}.o4{stroke:#dcebfd;fill:#dcebfd}
.k0{stroke:#6ea8f0;fill:#6ea8f0}.k1{stroke:#f28b47;fill:#f28b47}.k2{stroke:#4fc38e;fill:#4fc38e}.k3{stroke:#e07fc0;fill:#e07fc0}
.k4{stroke:#d1b23c;fill:#d1b23c}.k5{stroke:#a793f2;fill:#a793f2}.k6{stroke:#f0767c;fill:#f0767c}.k7{stroke:#a9b4bf;fill:#a9b4bf}
.pale{stroke:#767e88;fill:#767e88}.line{fill:none}
}";

impl Plot {
    /// The text of the SVG.
    pub fn draw(&self) -> String {
        let top = 52.0 + self.notes.len() as f64 * LINE;
        let panels: f64 = self.panels.iter().map(|panel| panel.height + GAP).sum();
        let height = top + panels - GAP + BOTTOM;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
             role=\"img\">\n<title>{}</title>\n<style>{STYLE}\n</style>\n<rect class=\"paper\" width=\"{WIDTH}\" height=\"{height}\"/>\n",
            escaped(&self.title)
        );
        text(&mut svg, (16.0, 28.0), "title", "start", &self.title);
        for (number, note) in self.notes.iter().enumerate() {
            text(&mut svg, (16.0, 48.0 + number as f64 * LINE), "note", "start", note);
        }
        let all = || self.panels.iter().flat_map(|panel| &panel.series).flat_map(|series| &series.points);
        let x = Span::of(self.x.scale, all().map(|(x, _)| *x), (LEFT, WIDTH - RIGHT));
        let mut from = top;
        for (number, panel) in self.panels.iter().enumerate() {
            let is_last = number + 1 == self.panels.len();
            panel.draw(&mut svg, &self.x, &x, from, is_last);
            from += panel.height + GAP;
        }
        let middle = (LEFT + WIDTH - RIGHT) / 2.0;
        text(&mut svg, (middle, height - 14.0), "", "middle", &self.x.title);
        svg + "</svg>\n"
    }
}

impl Panel {
    /// Draws it below `top`. `labelled`: whether the horizontal axis has its labels.
    fn draw(&self, svg: &mut String, x_axis: &Axis, x: &Span, top: f64, labelled: bool) {
        let (bottom, right) = (top + self.height, WIDTH - RIGHT);
        let values = self.series.iter().flat_map(|series| &series.points).map(|(_, y)| *y);
        let values = values.chain(self.limits_y.iter().map(|(y, _)| *y));
        let y = Span::of(self.y.scale, values, (bottom, top));
        for tick in y.ticks() {
            line(svg, "grid", (LEFT, y.place(tick)), (right, y.place(tick)));
            text(svg, (LEFT - 8.0, y.place(tick) + 4.0), "", "end", &(self.y.label)(tick));
        }
        for tick in x.ticks() {
            line(svg, "grid", (x.place(tick), top), (x.place(tick), bottom));
            if labelled {
                text(svg, (x.place(tick), bottom + 20.0), "", "middle", &(x_axis.label)(tick));
            }
        }
        line(svg, "axis", (LEFT, bottom), (right, bottom));
        let middle = (top + bottom) / 2.0;
        let _ = writeln!(
            svg,
            "<text transform=\"translate(18 {middle:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            escaped(&self.y.title)
        );
        for (at, name) in &self.limits_x {
            line(svg, "limit", (x.place(*at), top), (x.place(*at), bottom));
            text(svg, (x.place(*at) - 6.0, top + 15.0), "note", "end", name);
        }
        for (at, name) in &self.limits_y {
            line(svg, "limit", (LEFT, y.place(*at)), (right, y.place(*at)));
            // Below the line where there is no room above it.
            let above = y.place(*at) - 6.0;
            let at = if above - 12.0 < top { above + 21.0 } else { above };
            text(svg, (LEFT + 6.0, at), "note", "start", name);
        }
        for (number, series) in self.series.iter().enumerate() {
            let place = |(at, value): &(f64, f64)| (x.place(*at), y.place(*value));
            let path: Vec<_> =
                series.points.iter().map(place).map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
            if !path.is_empty() {
                let dashed = if matches!(series.color, Color::Pale) { " dashed" } else { "" };
                let class = series.color.class();
                let _ = writeln!(svg, "<path class=\"{class} line{dashed}\" d=\"M{}\"/>", path.join("L"));
            }
            for point in &series.points {
                let values =
                    format!("{}: {} at {}", series.name, (self.y.label)(point.1), (x_axis.label)(point.0));
                marker(svg, series.color, number, place(point), &values);
            }
        }
        self.legend(svg, top, right);
    }

    /// Names the series beside the panel, in the order in which they end from the top.
    fn legend(&self, svg: &mut String, top: f64, right: f64) {
        // Where two end in one place, the later one is first.
        let mut order: Vec<_> = self.series.iter().enumerate().rev().collect();
        let end = |series: &Series| series.points.last().map_or(0.0, |(_, y)| *y);
        order.sort_by(|(_, one), (_, other)| end(other).total_cmp(&end(one)));
        for (row, (number, series)) in order.into_iter().enumerate() {
            let at = top + 10.0 + row as f64 * 22.0;
            let dashed = if matches!(series.color, Color::Pale) { " dashed" } else { "" };
            let class = format!("{} line{dashed}", series.color.class());
            line(svg, &class, (right + 14.0, at), (right + 38.0, at));
            marker(svg, series.color, number, (right + 26.0, at), &series.name);
            text(svg, (right + 46.0, at + 4.0), "", "start", &series.name);
        }
    }
}

impl Color {
    fn class(self) -> String {
        match self {
            Self::Step(step) => format!("o{}", step.min(4)),
            Self::Kind(kind) => format!("k{}", kind % 8),
            Self::Pale => "pale".into(),
        }
    }
}

/// Where values of an axis are on the paper.
struct Span {
    scale: Scale,
    from: f64,
    to: f64,
    /// The places of the first value and the last.
    places: (f64, f64),
}

impl Span {
    /// From the least to the greatest value, and to the next value that has a label.
    fn of(scale: Scale, values: impl Iterator<Item = f64>, places: (f64, f64)) -> Self {
        let values: Vec<f64> = values.filter(|value| scale == Scale::Linear || *value > 0.0).collect();
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(0.0, f64::max);
        let (from, to) = match scale {
            Scale::Linear if most <= 0.0 => (0.0, 1.0),
            Scale::Log if values.is_empty() => (1.0, 10.0),
            Scale::Linear => (0.0, (most / step(most) - 1e-9).ceil() * step(most)),
            Scale::Log => {
                let all = decades(least.log10().floor() as i32, most.log10().ceil() as i32);
                let from = all.iter().copied().rev().find(|value| *value <= least * 1.001);
                let to = all.iter().copied().find(|value| *value >= most * 0.999);
                let (from, to) = (from.unwrap_or(least), to.unwrap_or(most));
                if from < to { (from, to) } else { (from / 2.0, to * 2.0) }
            }
        };
        Self { scale, from, to, places }
    }

    fn place(&self, value: f64) -> f64 {
        let part = match self.scale {
            Scale::Linear => (value - self.from) / (self.to - self.from),
            Scale::Log => (value / self.from).log10() / (self.to / self.from).log10(),
        };
        self.places.0 + part.clamp(0.0, 1.0) * (self.places.1 - self.places.0)
    }

    /// The values with a label.
    fn ticks(&self) -> Vec<f64> {
        let within = |value: &f64| (self.from * 0.999..=self.to * 1.001).contains(value);
        match self.scale {
            Scale::Linear => {
                let step = step(self.to);
                (0..=(self.to / step).round() as usize).map(|number| number as f64 * step).collect()
            }
            Scale::Log => {
                let (first, last) = (self.from.log10().floor() as i32, self.to.log10().ceil() as i32);
                // 1, 2 and 5 of each power of ten, as long as that is not too many.
                let close = (self.to / self.from).log10() < 2.5;
                let all = decades(first, last).into_iter().enumerate();
                all.filter(|(number, _)| close || number % 3 == 0)
                    .map(|(_, value)| value)
                    .filter(within)
                    .collect()
            }
        }
    }
}

/// 1, 2 and 5 of each power of ten.
fn decades(first: i32, last: i32) -> Vec<f64> {
    (first..=last).flat_map(|power| [1.0, 2.0, 5.0].map(|times| times * 10_f64.powi(power))).collect()
}

/// A round distance of labels, of which there are four to eight up to a value.
fn step(most: f64) -> f64 {
    let power = 10_f64.powf((most / 4.0).log10().floor());
    let fits = |times: &&f64| most / (**times * power) >= 4.0;
    [5.0, 2.0, 1.0].iter().find(fits).copied().unwrap_or(1.0) * power
}

fn line(svg: &mut String, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
    let _ = writeln!(
        svg,
        "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
    );
}

fn text(svg: &mut String, (x, y): (f64, f64), class: &str, anchor: &str, content: &str) {
    let content = escaped(content);
    let _ = writeln!(
        svg,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{content}</text>"
    );
}

/// A marker in the shape of a series. `values` is shown under the mouse.
fn marker(svg: &mut String, color: Color, number: usize, (x, y): (f64, f64), values: &str) {
    let shape = match (color, number % 4) {
        (Color::Pale, _) => return,
        (_, 0) => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.6\""),
        (_, 1) => format!("<path d=\"M{:.1} {:.1}h6.6v6.6h-6.6z\"", x - 3.3, y - 3.3),
        (_, 2) => format!("<path d=\"M{x:.1} {:.1}l4.4 7.6h-8.8z\"", y - 4.6),
        (_, _) => format!("<path d=\"M{x:.1} {:.1}l4.6 4.6l-4.6 4.6l-4.6 -4.6z\"", y - 4.6),
    };
    let name = shape[1..].split(' ').next().unwrap_or_default();
    let (class, values) = (color.class(), escaped(values));
    let _ = writeln!(svg, "{shape} class=\"{class}\"><title>{values}</title></{name}>");
}

/// A text as XML has it.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // XML has no other control characters, not even escaped.
            character if character.is_control() && !"\t\n\r".contains(character) => escaped.push('\u{fffd}'),
            character => escaped.push(character),
        }
    }
    escaped
}
