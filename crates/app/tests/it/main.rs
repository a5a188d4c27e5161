//! The real binary, as its users run it: on a free port, in a directory of its own.

mod campaigns;
mod demo;
mod doctor;
mod files;
mod help;
mod push;
mod serving;
mod support;
