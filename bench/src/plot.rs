//! Plots of figures, as SVG.

use anyhow::Result;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use crate::report::figure;

#[derive(Debug)]
pub(crate) struct Plot {
    /// The file's name, without ending.
    name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) svg: String,
}

/// A figure with its label. Ours have a colour of their own.
#[derive(Debug)]
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) value: f64,
    pub(crate) is_ours: bool,
}

/// A name, and points.
pub(crate) type Series<'s> = (&'s str, Vec<(f64, f64)>);

const WIDTH: u32 = 800;
const FONT: &str = "sans-serif";
const OURS: RGBColor = RGBColor(0x1f, 0x77, 0xb4);
const PEER: RGBColor = RGBColor(0x9a, 0x9a, 0x9a);
const COLOURS: [RGBColor; 4] =
    [OURS, RGBColor(0xff, 0x7f, 0x0e), RGBColor(0x2c, 0xa0, 0x2c), RGBColor(0xd6, 0x27, 0x28)];

type Area<'s> = DrawingArea<SVGBackend<'s>, Shift>;

impl Plot {
    pub(crate) fn file(&self) -> String {
        format!("{}.svg", self.name)
    }

    /// Draws a bar for each figure, one below the other, with the unit of all.
    pub(crate) fn bars(
        name: &'static str,
        title: &'static str,
        unit: &str,
        bars: impl IntoIterator<Item = Bar>,
    ) -> Result<Self> {
        /// The height of a bar with the space around it.
        const HEIGHT: i32 = 26;
        /// Room for the labels, and for the figures.
        const LEFT: i32 = 330;
        const RIGHT: i32 = 130;

        let bars: Vec<_> = bars.into_iter().collect();
        let mut svg = String::new();
        let height = u32::try_from(bars.len())? * HEIGHT.unsigned_abs() + 60;
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        area.fill(&WHITE)?;
        area.draw(&Text::new(title, (10, 10), (FONT, 18).into_font()))?;
        let longest = bars.iter().map(|bar| bar.value).fold(0.0, f64::max);
        let width = f64::from(WIDTH.cast_signed() - LEFT - RIGHT);
        let small = (FONT, 14).into_font();
        for (index, bar) in (0..).zip(bars) {
            let top = 40 + HEIGHT * index;
            let share = if longest > 0.0 { bar.value.max(0.0) / longest } else { 0.0 };
            #[expect(clippy::cast_possible_truncation, reason = "below the picture's width")]
            let end = LEFT + (width * share).round() as i32;
            let colour = if bar.is_ours { OURS } else { PEER };
            let corners = [(LEFT, top), (end.max(LEFT + 1), top + HEIGHT - 8)];
            area.draw(&Rectangle::new(corners, colour.filled()))?;
            area.draw(&Text::new(bar.label.clone(), (10, top + 2), small.clone()))?;
            let value = format!("{} {unit}", figure(bar.value));
            area.draw(&Text::new(value, (end + 6, top + 2), small.clone()))?;
        }
        area.present()?;
        drop(area);
        Ok(Self { name, title, svg })
    }

    /// Draws a line for each series, with the names of the axes. On a logarithmic horizontal axis, equal distances are
    /// equal factors.
    pub(crate) fn lines(
        name: &'static str,
        title: &'static str,
        names: [&str; 2],
        is_log: bool,
        series: &[Series<'_>],
    ) -> Result<Self> {
        let mut svg = String::new();
        let area = SVGBackend::with_string(&mut svg, (WIDTH, 420)).into_drawing_area();
        let (x, y): (Vec<_>, Vec<_>) =
            series.iter().flat_map(|(_, points)| points).copied().unzip();
        let (x, y) = (range(&x, is_log), range(&y, false));
        if is_log {
            draw_lines(title, &area, names, (x.0..x.1).log_scale(), y.0..y.1, series)?;
        } else {
            draw_lines(title, &area, names, x.0..x.1, y.0..y.1, series)?;
        }
        drop(area);
        Ok(Self { name, title, svg })
    }
}

fn draw_lines<X, Y>(
    title: &str,
    area: &Area<'_>,
    names: [&str; 2],
    x: X,
    y: Y,
    series: &[Series<'_>],
) -> Result<()>
where
    X: AsRangedCoord<Value = f64, CoordDescType: ValueFormatter<f64>>,
    Y: AsRangedCoord<Value = f64, CoordDescType: ValueFormatter<f64>>,
{
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(area)
        .caption(title, (FONT, 18))
        .margin(10)
        .x_label_area_size(45)
        .y_label_area_size(80)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc(names[0])
        .y_desc(names[1])
        .x_label_formatter(&|value| figure(*value))
        .y_label_formatter(&|value| figure(*value))
        .draw()?;
    for ((name, points), colour) in series.iter().zip(COLOURS.iter().cycle()) {
        let style = colour.stroke_width(2);
        chart
            .draw_series(LineSeries::new(points.iter().copied(), style).point_size(3))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(PEER)
        .label_font((FONT, 14))
        .draw()?;
    Ok(area.present()?)
}

/// Returns an axis that has room for all values; a linear one begins at zero.
fn range(values: &[f64], is_log: bool) -> (f64, f64) {
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let (least, greatest) = (finite().fold(f64::INFINITY, f64::min), finite().fold(0.0, f64::max));
    match is_log {
        true if least.is_finite() && least > 0.0 => (least / 1.2, greatest * 1.2),
        true => (1.0, 2.0),
        false => (least.min(0.0), if greatest > 0.0 { greatest * 1.1 } else { 1.0 }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bar_is_drawn_with_its_label_and_its_figure() {
        let bar = |label: &str, value, is_ours| Bar { label: label.to_owned(), value, is_ours };
        let bars = [bar("ours", 400.0, true), bar("a peer", 1980.0, false)];
        let svg = Plot::bars("bars", "Times", "ns", bars).unwrap().svg;
        for text in ["Times", "ours", "400 ns", "a peer", "1,980 ns"] {
            assert!(svg.contains(text), "{text} in {svg}");
        }
    }

    #[test]
    fn lines_are_drawn_on_either_kind_of_axis() {
        for is_log in [false, true] {
            let series = [("ours", vec![(1000.0, 400.0), (1e6, 300.0)]), ("none", Vec::new())];
            let plot = Plot::lines("lines", "Bytes", ["sessions", "bytes"], is_log, &series);
            assert!(plot.unwrap().svg.contains("polyline"));
        }
    }

    #[test]
    fn axis_has_all_values_and_is_never_empty() {
        assert_eq!(range(&[], true), (1.0, 2.0));
        assert_eq!(range(&[0.0], false), (0.0, 1.0));
        let (low, high) = range(&[10.0, f64::NAN, 100.0], true);
        assert!(low < 10.0 && high > 100.0 && low > 0.0);
    }
}
