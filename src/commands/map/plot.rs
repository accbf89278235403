//! The shares of clients by round trip, drawn.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

use super::figures::Way;

const SIZE: (u32, u32) = (900, 540);
/// Told apart by people who do not see red and green as different (Okabe and Ito 2008).
const COLOURS: [RGBColor; 5] =
    [RGBColor(153, 153, 153), RGBColor(230, 159, 0), RGBColor(86, 180, 233), RGBColor(0, 114, 178), RGBColor(0, 0, 0)];

/// Draws a curve for each way: which share of the clients gets a round trip of at most so much.
pub(super) fn draw(file: &Path, title: &str, ways: &[Way; 5]) -> Result<(), Box<dyn Error>> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        // The worst of random is of no interest.
        let most =
            ways.iter().skip(1).flat_map(|(_, all)| all).copied().filter(|ms| ms.is_finite()).fold(1.0, f64::max);
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 18))
            .margin(14)
            .x_label_area_size(44)
            .y_label_area_size(56)
            .build_cartesian_2d(0.0..most * 1.02, 0.0..1.0)?;
        chart
            .configure_mesh()
            .x_desc("round trip to the PoP, milliseconds")
            .y_desc("share of clients")
            .y_label_formatter(&|share| format!("{:.0} %", 100.0 * share))
            .x_label_formatter(&|ms| format!("{ms:.0}"))
            .light_line_style(RGBColor(240, 240, 240))
            .draw()?;
        for ((name, all), colour) in ways.iter().zip(COLOURS) {
            let mean = all.iter().sum::<f64>() / all.len().max(1) as f64;
            chart
                .draw_series(LineSeries::new(steps(all), colour.stroke_width(2)))?
                .label(format!("{name}: {mean:.1} ms"))
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 22, y)], colour.stroke_width(3)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE)
            .border_style(RGBColor(200, 200, 200))
            .legend_area_size(30)
            .draw()?;
        area.present()?;
    }
    std::fs::write(file, text)?;
    Ok(())
}

/// The corners of the steps.
fn steps(all: &[f64]) -> Vec<(f64, f64)> {
    let mut sorted = all.to_vec();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len().max(1) as f64;
    let corners = sorted.iter().zip(1..).flat_map(|(ms, number)| {
        let number = f64::from(number);
        [(*ms, (number - 1.0) / count), (*ms, number / count)]
    });
    corners.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_climbs_by_one_client_each() {
        assert_eq!(steps(&[20.0, 10.0]), [(10.0, 0.0), (10.0, 0.5), (20.0, 0.5), (20.0, 1.0)]);
        assert_eq!(steps(&[]), []);
    }
}
