//! An event's payload: a JSON object whose numbers are exact decimals.
