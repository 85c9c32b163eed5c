//! How far a long command is, on standard error: a bar on a terminal, one line a stage elsewhere.

use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

/// One stage of the work, with how many of its things are done.
pub struct Stage {
    name: &'static str,
    bar: ProgressBar,
    began: Instant,
}

impl Stage {
    /// Shows the stage, with nothing done of so many.
    pub fn begin(name: &'static str, total: usize) -> Self {
        Self::show(name, ProgressBar::new(total as u64), "  {msg:<14} {bar:30} {pos}/{len}")
    }

    /// Shows a stage of which nobody knows how many things it has.
    pub fn begin_open(name: &'static str) -> Self {
        Self::show(name, ProgressBar::no_length(), "  {msg:<28} {pos}")
    }

    fn show(name: &'static str, bar: ProgressBar, template: &str) -> Self {
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(name);
        Self { name, bar, began: Instant::now() }
    }

    /// One more is done.
    pub fn step(&self) {
        self.advance(1);
    }

    /// So many more are done.
    pub fn advance(&self, by: u64) {
        self.bar.inc(by);
    }

    /// The stage is over.
    pub fn end(self) {
        let (terminal, seconds) = (!self.bar.is_hidden(), self.began.elapsed().as_secs_f32());
        let done = match (self.bar.position(), self.bar.length()) {
            (done, Some(total)) => format!("{done}/{total}"),
            (done, None) => done.to_string(),
        };
        self.bar.finish_and_clear();
        let name = self.name;
        if terminal {
            eprintln!("  {name:<14} {done}  {seconds:.1} s");
        } else {
            eprintln!("{name} {done} in {seconds:.1} s");
        }
    }
}
