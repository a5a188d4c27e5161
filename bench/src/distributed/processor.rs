//! Processor time by service, over all processes of the machine.

use std::collections::BTreeMap;
use std::fs;

/// What a process belongs to, by its command line; others are of no interest.
const SERVICES: [(&str, &str); 7] = [
    ("kafka.Kafka", "Kafka"),
    ("ConnectDistributed", "Connect"),
    ("postgres", "PostgreSQL"),
    ("redis-server", "Redis"),
    ("--roles ic", "calculators"),
    ("--roles dcm,aggregator,analytics", "other roles"),
    ("incent-bench", "this program"),
];
/// Clock ticks a second, in which Linux counts a process's time.
const TICKS: f64 = 100.0;

/// Seconds of processor time used so far, by service.
pub fn used() -> BTreeMap<&'static str, f64> {
    let mut all = BTreeMap::new();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    for process in processes.filter(|p| p.file_name().to_string_lossy().parse::<u32>().is_ok()) {
        let read = |file| fs::read(process.path().join(file)).unwrap_or_default();
        let command = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
        let Some((_, service)) = SERVICES.iter().find(|(part, _)| command.contains(part)) else {
            continue;
        };
        let stat = read("stat");
        let stat = String::from_utf8_lossy(&stat);
        // After the name, which stands in brackets; the children's time is that of ended ones.
        let Some((_, fields)) = stat.rsplit_once(") ") else { continue };
        let fields: Vec<&str> = fields.split(' ').collect();
        let ticks = |n: usize| fields[n].parse::<f64>().unwrap();
        let children = if fields[1] == "1" || *service == "PostgreSQL" { ticks(13) + ticks(14) } else { 0.0 };
        *all.entry(*service).or_default() += (ticks(11) + ticks(12) + children) / TICKS;
    }
    all
}
