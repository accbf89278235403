//! What compiling costs and how large its tables are, drawn.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

/// One map.
pub(crate) struct Point {
    pub(crate) pops: f64,
    pub(crate) seconds: f64,
    pub(crate) megabytes: f64,
}

const SIZE: (u32, u32) = (900, 420);
/// Told apart by people who do not see red and green as different (Okabe and Ito 2008).
const COLOURS: [RGBColor; 3] = [RGBColor(0, 114, 178), RGBColor(230, 159, 0), RGBColor(0, 0, 0)];

/// Draws two charts side by side, a curve for each number of networks.
pub(crate) fn draw(file: &Path, curves: &[(String, Vec<Point>)]) -> Result<(), Box<dyn Error>> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let (left, right) = area.split_horizontally(SIZE.0 / 2);
        chart(&left, "compiling: CPU seconds", curves, |point| point.seconds)?;
        chart(&right, "tables: megabytes", curves, |point| point.megabytes)?;
        area.present()?;
    }
    std::fs::write(file, text)?;
    Ok(())
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn chart(
    area: &Area<'_>,
    title: &str,
    curves: &[(String, Vec<Point>)],
    height: impl Fn(&Point) -> f64,
) -> Result<(), Box<dyn Error>> {
    let points = || curves.iter().flat_map(|(_, points)| points);
    let widest = points().map(|point| point.pops).fold(13.0, f64::max);
    let narrowest = points().map(|point| point.pops).fold(widest, f64::min);
    let highest = points().map(&height).fold(0.1, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(50)
        .build_cartesian_2d((narrowest..widest).log_scale(), 0.0..highest * 1.4)?;
    chart
        .configure_mesh()
        .x_desc("PoPs")
        .x_label_formatter(&|pops| format!("{pops:.0}"))
        .light_line_style(RGBColor(240, 240, 240))
        .draw()?;
    for ((name, points), colour) in curves.iter().zip(COLOURS) {
        let drawn = points.iter().map(|point| (point.pops, height(point)));
        chart
            .draw_series(LineSeries::new(drawn, colour.stroke_width(2)).point_size(3))?
            .label(name.as_str())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(3)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE)
        .border_style(RGBColor(200, 200, 200))
        .draw()?;
    Ok(())
}
