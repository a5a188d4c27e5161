//! Which parts of the platform this process runs. The short names are those of the components.

use domain::shape::suggest;
use http::route::{Service, Services};

use crate::failure::{Failure, Outcome};

/// A role, with what it does; `None` where there is nothing to run yet.
const ROLES: &[(&str, Option<&str>)] = &[
    ("events", Some("takes events")),
    ("cms", Some("tenants, limits and campaigns")),
    ("cohorts", Some("cohorts")),
    ("ic", Some("decides events and relays what they earn")),
    ("dcm", Some("pushes to devices")),
    ("aggregator", Some("keeps aggregates in Redis, on the distributed profile")),
    ("analytics", Some("lands captured incentives as files, on the distributed profile")),
    ("console", None),
];

/// The roles of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// Takes events.
    pub events: bool,
    /// Serves tenants, limits and campaigns.
    pub cms: bool,
    /// Serves cohorts.
    pub cohorts: bool,
    /// Decides events and relays.
    pub calculator: bool,
    /// Pushes to devices.
    pub push: bool,
    /// Keeps aggregates in Redis; nothing to run on the embedded profile.
    pub aggregator: bool,
    /// Lands captured incentives as files, where a directory is named for them.
    pub analytics: bool,
}

impl Roles {
    /// Everything.
    pub const ALL: Self = Self {
        events: true,
        cms: true,
        cohorts: true,
        calculator: true,
        push: true,
        aggregator: true,
        analytics: true,
    };

    /// What is served over HTTP.
    pub fn services(self) -> Services {
        let all = [
            (self.events, Service::Events),
            (self.cms, Service::Cms),
            (self.cohorts, Service::Cohorts),
            (self.push, Service::Push),
        ];
        Services::of(all.into_iter().filter(|(is_ours, _)| *is_ours).map(|(_, service)| service))
    }

    /// From their names; none, or `all`, is everything. Errors: an unknown name, or a role of
    /// a later version.
    pub fn parse(names: &[String]) -> Outcome<Self> {
        let mut roles = Self::default();
        for name in names.iter().map(|name| name.trim()) {
            match (name, ROLES.iter().find(|(known, _)| *known == name)) {
                ("all", _) => return Ok(Self::ALL),
                (_, Some((_, None))) => {
                    return Err(Failure::usage(format!("the role {name} has nothing to run here"))
                        .why("it belongs to a later version")
                        .mend("leave it out"));
                }
                ("events", _) => roles.events = true,
                ("cms", _) => roles.cms = true,
                ("cohorts", _) => roles.cohorts = true,
                ("ic", _) => roles.calculator = true,
                ("dcm", _) => roles.push = true,
                ("aggregator", _) => roles.aggregator = true,
                ("analytics", _) => roles.analytics = true,
                (_, Some(_)) => {}
                (_, None) => {
                    let known: Vec<&str> = ROLES.iter().map(|(known, _)| *known).collect();
                    let near = suggest(name, known.iter().copied());
                    let near = near.map(|n| format!("; did you mean {n}?")).unwrap_or_default();
                    return Err(Failure::usage(format!("{name:?} is no role{near}"))
                        .mend(format!("give all, or some of {}", known.join(", "))));
                }
            }
        }
        Ok(if names.is_empty() { Self::ALL } else { roles })
    }
}

#[cfg(test)]
mod tests {
    use super::{Roles, Service};

    #[test]
    fn roles_are_read_by_their_names() {
        let parse = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            Roles::parse(&names).map_err(|failure| failure.what)
        };
        assert_eq!(parse(&[]), Ok(Roles::ALL));
        assert_eq!(parse(&["events", "all"]), Ok(Roles::ALL));
        let two = Roles { events: true, calculator: true, ..Roles::default() };
        assert_eq!(parse(&["events", "ic"]), Ok(two));
        assert!(two.services().has(Service::Events) && !two.services().has(Service::Cms));
        assert_eq!(parse(&["dcmm"]), Err(r#""dcmm" is no role; did you mean dcm?"#.into()));
        assert_eq!(parse(&["console"]), Err("the role console has nothing to run here".into()));
    }
}
