use uuid::Uuid;

use super::*;

const TENANT: TenantId = TenantId(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001));

#[test]
fn names_are_those_of_the_contract() {
    let user = |text| user_daily(TENANT, &UserRef::new(text).expect("a reference"));
    let tag = "limit:{01990000-0000-7000-8000-000000000001}";
    assert_eq!(tenant_daily(TENANT), format!("{tag}:daily"));
    for (text, expected) in [
        ("ada", "ada"),
        ("Žofie 1", "Žofie 1"),
        ("a:b", "a%3Ab"),
        ("}:{daily", "%7D%3A%7Bdaily"),
        ("100%", "100%25"),
        ("*?[x]\\", "*?[x]\\"),
    ] {
        assert_eq!(user(text), format!("{tag}:{{{expected}}}:daily"));
        let read = of_user(&user(text));
        assert_eq!(read, Some((TENANT, UserRef::new(text).expect("a reference"))));
    }
}

#[test]
fn what_is_no_users_key_is_nobodys() {
    for key in [
        &tenant_daily(TENANT),
        &state(TENANT),
        "limit:{x}:{ada}:daily",
        "limit:{01990000-0000-7000-8000-000000000001}:{a%2}:daily",
        "limit:{01990000-0000-7000-8000-000000000001}:{%zz}:daily",
        "limit:{01990000-0000-7000-8000-000000000001}:{%FF}:daily",
        "limit:{01990000-0000-7000-8000-000000000001}:{ada}:total",
    ] {
        assert_eq!(of_user(key), None, "{key}");
    }
}

#[test]
fn control_characters_are_encoded_byte_by_byte() {
    let mut out = String::new();
    encode("a\r\n\u{85}\0", &mut out);
    assert_eq!(out, "a%0D%0A%C2%85%00");
    assert_eq!(decode(&out).as_deref(), Some("a\r\n\u{85}\0"));
}
