//! Timing in rounds: the rounds of all contenders take turns, and the median of each is compared.

use std::time::Instant;

/// A thing to time: its name and one unit of work.
pub struct Contender<'a> {
    pub name: &'static str,
    pub work: Box<dyn FnMut() + 'a>,
}

impl<'a> Contender<'a> {
    pub fn new(name: &'static str, work: impl FnMut() + 'a) -> Self {
        Self { name, work: Box::new(work) }
    }
}

/// Nanoseconds per unit of work of each contender: the median of `rounds` rounds of `count` units.
pub fn measure(contenders: &mut [Contender<'_>], rounds: usize, count: u32) -> Vec<f64> {
    let mut times = vec![Vec::new(); contenders.len()];
    for round in 0..=rounds {
        for (contender, times) in contenders.iter_mut().zip(&mut times) {
            let begin = Instant::now();
            for _ in 0..count {
                (contender.work)();
            }
            // The first round warms up.
            if round > 0 {
                times.push(begin.elapsed().as_nanos() as f64 / f64::from(count));
            }
        }
    }
    times.into_iter().map(median).collect()
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
