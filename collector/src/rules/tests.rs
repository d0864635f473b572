use super::*;

#[test]
fn the_shipped_rules_load_and_their_examples_hold() {
    let set = RuleSet::builtin().unwrap_or_else(|error| panic!("{error}"));
    assert!(set.rules().count() > 5);
}
