use super::replay::{SHOWN_EVENT, purchases};

#[test]
fn the_purchases_are_in_the_order_of_time_and_end_with_the_last_event() {
    let items = purchases().unwrap();
    assert_eq!(items.len(), 69_659);
    assert!(items.is_sorted_by_key(|item| (item.event.event_ts, item.line)));
    let last = &items.last().unwrap().event;
    // Midnight of the shop, in summer time.
    assert_eq!(last.event_ts.to_string(), "1998-06-30T04:00:00Z");
    let first = items.iter().find(|item| item.event.event_id.as_str() == SHOWN_EVENT).unwrap();
    assert_eq!(first.event.payload, r#"{"amount":11.77,"units":1}"#);
    assert_eq!(first.event.event_ts.to_string(), "1997-01-01T05:00:00Z");
}
