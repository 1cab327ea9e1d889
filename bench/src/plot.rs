//! Pictures of figures, as SVG.

use anyhow::{Result, anyhow};
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use crate::report::figure;

/// A picture.
#[derive(Clone, Debug)]
pub enum Plot {
    /// A bar for each figure.
    Bars(Bars),
    /// A line for each series.
    Lines(Lines),
}

/// A bar for each figure, one below the other.
#[derive(Clone, Debug)]
pub struct Bars {
    /// The file's name, without ending.
    pub name: String,
    /// What is shown.
    pub title: String,
    /// What the figures are in.
    pub unit: String,
    /// The figures with what they are of; those that are ours are drawn in another colour.
    pub bars: Vec<Bar>,
}

/// One of the bars.
#[derive(Clone, Debug)]
pub struct Bar {
    /// What it is of.
    pub label: String,
    /// How long it is.
    pub value: f64,
    /// Whether it is one of ours.
    pub is_ours: bool,
}

/// A line for each series.
#[derive(Clone, Debug)]
pub struct Lines {
    /// The file's name, without ending.
    pub name: String,
    /// What is shown.
    pub title: String,
    /// What the horizontal axis is.
    pub x: String,
    /// What the vertical axis is.
    pub y: String,
    /// Whether equal distances on the horizontal axis are equal factors.
    pub log_x: bool,
    /// The same of the vertical one.
    pub log_y: bool,
    /// The lines: what each is of, and its points.
    pub series: Vec<(String, Vec<(f64, f64)>)>,
}

const WIDTH: u32 = 800;
const FONT: &str = "sans-serif";
const OURS: RGBColor = RGBColor(0x1f, 0x77, 0xb4);
const PEER: RGBColor = RGBColor(0x9a, 0x9a, 0x9a);
const COLOURS: [RGBColor; 6] = [
    OURS,
    RGBColor(0xff, 0x7f, 0x0e),
    RGBColor(0x2c, 0xa0, 0x2c),
    RGBColor(0xd6, 0x27, 0x28),
    RGBColor(0x94, 0x67, 0xbd),
    RGBColor(0x8c, 0x56, 0x4b),
];

impl Plot {
    /// What is shown.
    #[must_use]
    pub fn title(&self) -> &str {
        match self {
            Self::Bars(bars) => &bars.title,
            Self::Lines(lines) => &lines.title,
        }
    }

    /// The name of its file.
    #[must_use]
    pub fn file(&self) -> String {
        let name = match self {
            Self::Bars(bars) => &bars.name,
            Self::Lines(lines) => &lines.name,
        };
        format!("{name}.svg")
    }

    /// The picture.
    ///
    /// # Errors
    ///
    /// What cannot be drawn: figures that are no numbers.
    pub fn svg(&self) -> Result<String> {
        let mut svg = String::new();
        match self {
            Self::Bars(bars) => bars.draw(&mut svg),
            Self::Lines(lines) => lines.draw(&mut svg),
        }
        .map_err(|why| anyhow!("cannot draw {}: {why}", self.file()))?;
        Ok(svg)
    }
}

type Drawn<'s> = Result<(), DrawingAreaErrorKind<<SVGBackend<'s> as DrawingBackend>::ErrorType>>;

impl Bars {
    fn draw<'s>(&self, svg: &'s mut String) -> Drawn<'s> {
        /// Of a bar with the space around it.
        const HEIGHT: i32 = 26;
        /// The title, and the label below.
        const AROUND: i32 = 60;
        /// Room for the labels, and for the figures.
        const LEFT: i32 = 330;
        const RIGHT: i32 = 130;

        let count = i32::try_from(self.bars.len()).unwrap_or(i32::MAX);
        let height = HEIGHT * count + AROUND;
        let area = SVGBackend::with_string(svg, (WIDTH, height.unsigned_abs())).into_drawing_area();
        area.fill(&WHITE)?;
        let title = (FONT, 18).into_font();
        area.draw(&Text::new(self.title.clone(), (10, 10), title))?;
        let longest = self.bars.iter().map(|bar| bar.value).fold(0.0, f64::max);
        let width = f64::from(WIDTH.cast_signed() - LEFT - RIGHT);
        let small = (FONT, 14).into_font();
        for (index, bar) in (0..).zip(&self.bars) {
            let top = 40 + HEIGHT * index;
            let share = if longest > 0.0 { bar.value.max(0.0) / longest } else { 0.0 };
            #[expect(clippy::cast_possible_truncation, reason = "below the picture's width")]
            let end = LEFT + (width * share).round() as i32;
            let colour = if bar.is_ours { OURS } else { PEER };
            let corners = [(LEFT, top), (end.max(LEFT + 1), top + HEIGHT - 8)];
            area.draw(&Rectangle::new(corners, colour.filled()))?;
            area.draw(&Text::new(bar.label.clone(), (10, top + 2), small.clone()))?;
            let value = format!("{} {}", figure(bar.value), self.unit);
            area.draw(&Text::new(value, (end + 6, top + 2), small.clone()))?;
        }
        area.present()
    }
}

impl Lines {
    fn draw<'s>(&self, svg: &'s mut String) -> Drawn<'s> {
        let all = || self.series.iter().flat_map(|(_, points)| points).copied();
        let x = range(all().map(|(x, _)| x), self.log_x);
        let y = range(all().map(|(_, y)| y), self.log_y);
        let area = SVGBackend::with_string(svg, (WIDTH, 420)).into_drawing_area();
        match (self.log_x, self.log_y) {
            (false, false) => self.draw_on(&area, x.0..x.1, y.0..y.1),
            (true, false) => self.draw_on(&area, (x.0..x.1).log_scale(), y.0..y.1),
            (false, true) => self.draw_on(&area, x.0..x.1, (y.0..y.1).log_scale()),
            (true, true) => self.draw_on(&area, (x.0..x.1).log_scale(), (y.0..y.1).log_scale()),
        }
    }

    fn draw_on<'s, X, Y>(
        &self,
        area: &DrawingArea<SVGBackend<'s>, plotters::coord::Shift>,
        x: X,
        y: Y,
    ) -> Drawn<'s>
    where
        X: AsRangedCoord<Value = f64>,
        X::CoordDescType: ValueFormatter<f64>,
        Y: AsRangedCoord<Value = f64>,
        Y::CoordDescType: ValueFormatter<f64>,
    {
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, (FONT, 18))
            .margin(10)
            .x_label_area_size(45)
            .y_label_area_size(80)
            .build_cartesian_2d(x, y)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_desc(&self.x)
            .y_desc(&self.y)
            .x_label_formatter(&|value| figure(*value))
            .y_label_formatter(&|value| figure(*value))
            .draw()?;
        for ((name, points), colour) in self.series.iter().zip(COLOURS.iter().cycle()) {
            let style = colour.stroke_width(2);
            chart
                .draw_series(LineSeries::new(points.iter().copied(), style).point_size(3))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .border_style(PEER)
            .label_font((FONT, 14))
            .draw()?;
        area.present()
    }
}

/// From the least to the greatest, with room above; a linear axis begins at nothing.
fn range(values: impl Iterator<Item = f64>, is_log: bool) -> (f64, f64) {
    let bounds = values.filter(|value| value.is_finite() && (!is_log || *value > 0.0));
    let (least, greatest) = bounds
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
    if least > greatest {
        return (1.0, 2.0);
    }
    if is_log {
        (least / 1.2, greatest * 1.2)
    } else {
        (least.min(0.0), if greatest > 0.0 { greatest * 1.1 } else { 1.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_drawn_with_its_label_and_its_figure() {
        let bar = |label: &str, value, is_ours| Bar { label: label.to_owned(), value, is_ours };
        let plot = Plot::Bars(Bars {
            name: "bars".to_owned(),
            title: "Times".to_owned(),
            unit: "ns".to_owned(),
            bars: vec![bar("ours", 400.0, true), bar("a peer", 1980.0, false)],
        });
        let svg = plot.svg().unwrap();
        for text in ["Times", "ours", "400 ns", "a peer", "1,980 ns"] {
            assert!(svg.contains(text), "{text} in {svg}");
        }
    }

    #[test]
    fn lines_are_drawn_on_either_kind_of_axis() {
        for (log_x, log_y) in [(false, false), (true, false), (false, true), (true, true)] {
            let points = vec![(1000.0, 400.0), (1e6, 300.0)];
            let plot = Plot::Lines(Lines {
                name: "lines".to_owned(),
                title: "Bytes".to_owned(),
                x: "sessions".to_owned(),
                y: "bytes".to_owned(),
                log_x,
                log_y,
                series: vec![("ours".to_owned(), points), ("nothing".to_owned(), Vec::new())],
            });
            assert!(plot.svg().unwrap().contains("polyline"));
        }
    }

    #[test]
    fn a_range_has_all_values_and_is_never_empty() {
        assert_eq!(range([].into_iter(), true), (1.0, 2.0));
        assert_eq!(range([0.0].into_iter(), false), (0.0, 1.0));
        let (low, high) = range([10.0, f64::NAN, 100.0].into_iter(), true);
        assert!(low < 10.0 && high > 100.0 && low > 0.0);
    }
}
