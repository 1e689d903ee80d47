//! What can be handed over, and the table of it.

use std::fmt::Write;

use baton_authority::{Cleared, DecisionSpace, SpaceDraft, free_ground};
use baton_contract::{Touch, TwinId};
use expect_test::expect;

use super::house::{House, radius, small_copy};

#[test]
fn only_what_is_an_experts_can_be_handed_over() {
    let House { rules, .. } = House::new();
    let draft = small_copy;
    let table = [
        SpaceDraft { key: "Small Copy".into(), ..draft() },
        SpaceDraft { conductors: Cleared::Only(vec![]), ..draft() },
        SpaceDraft { processes: Cleared::Only(vec![]), ..draft() },
        SpaceDraft { products: Cleared::Only(vec![]), ..draft() },
        SpaceDraft { note: " ".into(), ..draft() },
        SpaceDraft { largest: radius("product/never"), ..draft() },
        SpaceDraft { touches: [Touch::Money, Touch::PublicApi].into(), ..draft() },
        SpaceDraft { touches: [Touch::Secrets].into(), ..draft() },
        SpaceDraft { touches: [Touch::CrossProduct].into(), ..draft() },
    ];
    let mut reasons = String::new();
    for draft in table {
        writeln!(reasons, "{}", DecisionSpace::hand_over(draft, &rules).unwrap_err()).unwrap();
    }
    expect![[r"
        `Small Copy` is not the key of a decision space: use 1 to 64 lowercase letters, digits, `-`, `_` or `.`
        decision space `ux/small-copy`: `conductors` lists nothing; name some, or say all
        decision space `ux/small-copy`: `processes` lists nothing; name some, or say all
        decision space `ux/small-copy`: `products` lists nothing; name some, or say all
        decision space `ux/small-copy`: say in `note` why it is handed over
        decision space `ux/small-copy`: a radius of product and never calls for a check of each answer first and cannot be handed over; choose a smaller one
        decision space `ux/small-copy`: `public-api` is ground of the core (`public-api`) and cannot be handed over
        decision space `ux/small-copy`: `secrets` is ground of the core (`secrets`) and cannot be handed over
        decision space `ux/small-copy`: `cross-product` is ground of the core (`cross-product`) and cannot be handed over
    "]].assert_eq(&reasons);
    let all = SpaceDraft { processes: Cleared::All, products: Cleared::All, touches: [].into(), ..draft() };
    assert!(DecisionSpace::hand_over(all, &rules).is_ok());
}

#[test]
fn the_table_of_each_conductor() {
    let House { rules, mut spaces } = House::new();
    let hints = SpaceDraft {
        key: "hints".into(),
        conductors: Cleared::Only(vec!["bob".parse().unwrap()]),
        processes: Cleared::All,
        products: Cleared::All,
        touches: [].into(),
        largest: radius("task/minutes"),
        until: "2026-06-30".parse().unwrap(),
        ..small_copy()
    };
    spaces.push(DecisionSpace::hand_over(hints, &rules).unwrap());
    let conductors = ["ada".parse().unwrap(), "bob".parse().unwrap()];
    let table = |day: &str| {
        let mut table = String::new();
        for cell in free_ground(&spaces, &conductors, day.parse().unwrap()) {
            let twin: &TwinId = &cell.twin;
            let any = |name: Option<String>| name.unwrap_or("any".into());
            let touches: Vec<_> = cell.touches.iter().map(|touch| touch.as_str()).collect();
            writeln!(
                table,
                "{} {twin} {}: {} {} up to {} {} touching [{}] until {}",
                cell.conductor,
                cell.space,
                any(cell.process),
                any(cell.product),
                cell.largest.reach,
                cell.largest.reversibility,
                touches.join(" "),
                cell.until
            )
            .unwrap();
        }
        table
    };
    let (june, july) = (table("2026-06-30"), table("2026-07-01"));
    expect![[r"
        ada ux ux/small-copy: copy shop up to product costly touching [money] until 2026-12-31
        ada ux ux/small-copy: copy app up to product costly touching [money] until 2026-12-31
        bob ux ux/small-copy: copy shop up to product costly touching [money] until 2026-12-31
        bob ux ux/small-copy: copy app up to product costly touching [money] until 2026-12-31
        bob ux ux/hints: any any up to task minutes touching [] until 2026-06-30
    "]]
    .assert_eq(&june);
    expect![[r"
        ada ux ux/small-copy: copy shop up to product costly touching [money] until 2026-12-31
        ada ux ux/small-copy: copy app up to product costly touching [money] until 2026-12-31
        bob ux ux/small-copy: copy shop up to product costly touching [money] until 2026-12-31
        bob ux ux/small-copy: copy app up to product costly touching [money] until 2026-12-31
    "]]
    .assert_eq(&july);
    assert_eq!(table("2027-01-01"), "");
}
