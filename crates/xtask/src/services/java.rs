//! Clients in Java: the jars of Kafka's and Avro's own clients, and a Java that takes a program as
//! source. Tests use them to produce and consume with nothing from us but the `.avsc` files.

use super::install;
use super::place::Place;
use crate::run::Failure;

/// Where their classes are.
pub fn class_path(place: &Place) -> String {
    place.parts("java").join("jars/*").display().to_string()
}

/// Fetches the jars, unless they are there.
pub fn install(place: &Place) -> Result<(), Failure> {
    // The compiler, which a mere runtime lacks.
    install::program(place, "javac", "default-jdk-headless")?;
    install::jars(place, "java").map(drop)
}

/// Whether they were fetched.
pub fn is_there(place: &Place) -> bool {
    install::on_path("javac") && place.parts("java").join("pom.xml").exists()
}
