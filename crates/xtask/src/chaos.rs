//! `cargo x chaos`: the fault test of the distributed profile. CI runs it with fixed numbers, after
//! all other tests, for it wants the machine to itself.

use std::path::Path;

use crate::run::Failure;
use crate::services::{self, Service};
use crate::test;

/// The test.
pub const TEST: &str = "chaos::whatever_fails_it_ends_as_if_nothing_had";

/// The variable that names a protection to do without: the test then passes if what it runs fails.
const WITHOUT: &str = "INCENT_CHAOS_WITHOUT";

/// The run of CI.
pub fn usual(root: &Path) -> Result<(), Failure> {
    run(root, &[])
}

/// Protections that the test can be run without.
const GUARDS: [&str; 4] = ["epoch", "dedupe", "settle", "fence"];

/// `cargo x chaos [--seed N] [--events N] [--faults N] [--seconds N] [--without GUARD]`.
pub fn run(root: &Path, args: &[&str]) -> Result<(), Failure> {
    let variables = variables(args)?;
    // Its servers are its own; what they are made of is not.
    let made_of = [Service::Kafka, Service::Connect, Service::Postgres, Service::Redis];
    services::provide(root, &made_of)?;
    services::start(root, &[Service::Clients])?;
    test::tests(root, &["--test", "it", "--", TEST, "--exact", "--nocapture"], variables)
}

/// The variables by which the test gets its numbers.
fn variables(args: &[&str]) -> Result<Vec<(String, String)>, Failure> {
    let usage = || Failure::Usage(format!("chaos {}", args.join(" ")));
    let mut variables = Vec::new();
    for pair in args.chunks(2) {
        match pair {
            [name @ ("--seed" | "--events" | "--faults" | "--seconds"), value] => {
                let number: u64 = value.parse().map_err(|_| usage())?;
                let name = name.trim_start_matches('-').to_uppercase();
                variables.push((format!("INCENT_CHAOS_{name}"), number.to_string()));
            }
            ["--without", guard] if GUARDS.contains(guard) => {
                variables.push((WITHOUT.to_owned(), (*guard).to_owned()));
            }
            _ => return Err(usage()),
        }
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::variables;

    #[test]
    fn numbers_become_variables() {
        let check = |args: &[&str], wanted: Option<&[(&str, &str)]>| {
            let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            let wanted = wanted.map(|all| all.iter().map(owned).collect::<Vec<_>>());
            assert_eq!(variables(args).ok(), wanted, "{args:?}");
        };
        check(&[], Some(&[]));
        check(
            &["--seed", "7", "--faults", "20"],
            Some(&[("INCENT_CHAOS_SEED", "7"), ("INCENT_CHAOS_FAULTS", "20")]),
        );
        check(&["--without", "fence"], Some(&[("INCENT_CHAOS_WITHOUT", "fence")]));
        check(&["--without", "limits"], None);
        check(&["--seed"], None);
        check(&["--seed", "x"], None);
        check(&["--sed", "7"], None);
    }
}
