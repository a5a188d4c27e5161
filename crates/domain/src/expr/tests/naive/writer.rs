//! Random expressions and random events.

use proptest::prelude::*;

/// Writes random expressions of a wanted type. Fields have any type, so many are unknown.
pub(super) struct Writer {
    state: u64,
    /// How many list items have a name here.
    items: usize,
}

impl Writer {
    pub(super) fn new(state: u64) -> Self {
        Self { state, items: 0 }
    }
    fn below(&mut self, n: usize) -> usize {
        // splitmix64
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % n as u64).unwrap()
    }
    fn pick(&mut self, from: &[&str]) -> String {
        from[self.below(from.len())].to_owned()
    }
    fn field(&mut self) -> String {
        if self.items > 0 && self.below(2) == 0 {
            let item = format!("i{}", self.below(self.items));
            return if self.below(3) == 0 {
                item
            } else {
                format!("{item}.{}", self.pick(&["a", "b"]))
            };
        }
        self.pick(&[
            "event.a",
            "event.b",
            "event.c",
            "event.d",
            "event.a.b",
            "event.e.a",
            "user.a",
            "user.b",
        ])
    }
    pub(super) fn number(&mut self, depth: usize) -> String {
        let d = depth.saturating_sub(1);
        match self.below(if depth == 0 { 4 } else { 14 }) {
            0 | 1 => self.pick(&["0", "1", "2.5", "-3", "0.10", "1e3", "7", "123456789012345.25"]),
            2 | 3 => self.field(),
            4 | 5 => {
                let operator = self.pick(&["+", "-", "*", "/", "%"]);
                format!("({} {operator} {})", self.number(d), self.number(d))
            }
            6 => format!("-({})", self.number(d)),
            7 => format!("{}({}, {})", self.pick(&["min", "max"]), self.number(d), self.number(d)),
            8 => format!("{}({})", self.pick(&["floor", "ceil", "abs", "round"]), self.number(d)),
            9 => format!("round({}, {})", self.number(d), self.below(3)),
            10 => format!("default({}, {})", self.number(d), self.number(d)),
            11 => format!("({} ? {} : {})", self.condition(d), self.number(d), self.number(d)),
            12 => format!("sum({})", self.list(d)),
            _ => format!("size({})", if self.below(2) == 0 { self.list(d) } else { self.text(d) }),
        }
    }
    fn text(&mut self, depth: usize) -> String {
        let d = depth.saturating_sub(1);
        match self.below(if depth == 0 { 4 } else { 7 }) {
            0 | 1 => self.pick(&["\"\"", "\"x\"", "\"xY\"", "\"é\""]),
            2 | 3 => self.field(),
            4 => format!("({}).{}()", self.text(d), self.pick(&["lower", "upper"])),
            5 => self.pick(&["weekday(event.ts)", "weekday(event.ts, \"UTC\")", "event.action"]),
            _ => format!("default({}, {})", self.text(d), self.text(d)),
        }
    }
    fn list(&mut self, depth: usize) -> String {
        let d = depth.saturating_sub(1);
        match self.below(if depth == 0 { 2 } else { 5 }) {
            0 => self.field(),
            1 | 2 => {
                let items: Vec<String> = (0..self.below(4)).map(|_| self.any(d)).collect();
                format!("[{}]", items.join(", "))
            }
            3 => self.inside("filter", d, Self::condition),
            _ => self.inside("map", d, Self::any),
        }
    }
    fn inside(&mut self, name: &str, depth: usize, body: fn(&mut Self, usize) -> String) -> String {
        let list = self.list(depth);
        self.items += 1;
        let body = body(self, depth);
        self.items -= 1;
        format!("{list}.{name}(i{}, {body})", self.items)
    }
    fn any(&mut self, depth: usize) -> String {
        match self.below(5) {
            0 => self.number(depth),
            1 => self.text(depth),
            2 => self.condition(depth),
            3 => self.pick(&["null", "true"]),
            _ => self.field(),
        }
    }
    pub(super) fn condition(&mut self, depth: usize) -> String {
        let d = depth.saturating_sub(1);
        let equality = |w: &mut Self| w.pick(&["==", "!="]);
        let ordering = |w: &mut Self| w.pick(&["==", "!=", "<", "<=", ">", ">="]);
        match self.below(if depth == 0 { 6 } else { 15 }) {
            0 => self.field(),
            1 => format!("{} {} {}", self.field(), ordering(self), self.number(0)),
            2 => format!("{} {} {}", self.text(0), ordering(self), self.field()),
            3 => format!("{} in [\"x\", {}]", self.field(), self.text(0)),
            4 => {
                self.pick(&["has(event.a)", "has(event.e.a)", "has(user.b)", "hour(event.ts) == 0"])
            }
            5 => format!("{} {} null", self.field(), equality(self)),
            6 => format!("({} && {})", self.condition(d), self.condition(d)),
            7 => format!("({} || {})", self.condition(d), self.condition(d)),
            8 => format!("!({})", self.condition(d)),
            9 => format!("{} {} {}", self.number(d), ordering(self), self.number(d)),
            10 => format!("{} in {}", self.any(d), self.list(d)),
            11 => {
                let name = self.pick(&["startsWith", "endsWith", "contains"]);
                format!("({}).{name}({})", self.text(d), self.text(d))
            }
            12 => format!("{} {} {}", self.list(d), equality(self), self.list(d)),
            13 => {
                let name = self.pick(&["exists", "all", "exists_one"]);
                self.inside(&name, d, Self::condition)
            }
            _ => format!("({} ? {} : {})", self.condition(d), self.condition(d), self.condition(d)),
        }
    }
}

pub(super) fn any_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::json!(null)),
        any::<bool>().prop_map(serde_json::Value::from),
        prop::sample::select(vec![0.0, 1.0, 2.5, -3.0, 0.1, 1000.0, 99999.999])
            .prop_map(serde_json::Value::from),
        prop::sample::select(vec!["", "x", "xY", "é"]).prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(2, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            object(inner),
        ]
    })
}

pub(super) fn object(
    value: impl Strategy<Value = serde_json::Value>,
) -> impl Strategy<Value = serde_json::Value> {
    let key = prop::sample::select(vec!["a", "b", "c", "d", "e"]);
    prop::collection::btree_map(key, value, 0..5)
        .prop_map(|members| members.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
}
