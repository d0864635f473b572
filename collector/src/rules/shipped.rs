//! The shipped rules and lexicons, compiled into the program: (file name, text).
//!
//! Invariant: every file of `collector/rules` and `collector/lexicons` is listed (a test compares).

pub(super) const RULES: [(&str, &str); 2] = [
    (
        "operations.yaml",
        include_str!("../../rules/operations.yaml"),
    ),
    ("sensitive.yaml", include_str!("../../rules/sensitive.yaml")),
];

pub(super) const LEXICONS: [(&str, &str); 1] = [(
    "sensitive.txt",
    include_str!("../../lexicons/sensitive.txt"),
)];
