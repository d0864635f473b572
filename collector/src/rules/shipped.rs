//! The shipped rules and lexicons, compiled into the program: (file name, text).
//!
//! Invariant: every file of `collector/rules` and `collector/lexicons` is listed (a test compares).

pub(super) const RULES: [(&str, &str); 4] = [
    ("content.yaml", include_str!("../../rules/content.yaml")),
    ("harms.yaml", include_str!("../../rules/harms.yaml")),
    (
        "operations.yaml",
        include_str!("../../rules/operations.yaml"),
    ),
    ("sensitive.yaml", include_str!("../../rules/sensitive.yaml")),
];

pub(super) const LEXICONS: [(&str, &str); 23] = [
    ("contempt.txt", include_str!("../../lexicons/contempt.txt")),
    (
        "credentials.txt",
        include_str!("../../lexicons/credentials.txt"),
    ),
    (
        "customer-file.txt",
        include_str!("../../lexicons/customer-file.txt"),
    ),
    (
        "deletion-asked.txt",
        include_str!("../../lexicons/deletion-asked.txt"),
    ),
    (
        "discourtesy.txt",
        include_str!("../../lexicons/discourtesy.txt"),
    ),
    (
        "false-advertising.txt",
        include_str!("../../lexicons/false-advertising.txt"),
    ),
    ("gambling.txt", include_str!("../../lexicons/gambling.txt")),
    (
        "honest-warning.txt",
        include_str!("../../lexicons/honest-warning.txt"),
    ),
    ("illegal.txt", include_str!("../../lexicons/illegal.txt")),
    ("insults.txt", include_str!("../../lexicons/insults.txt")),
    ("kickback.txt", include_str!("../../lexicons/kickback.txt")),
    (
        "lead-selling.txt",
        include_str!("../../lexicons/lead-selling.txt"),
    ),
    ("leak.txt", include_str!("../../lexicons/leak.txt")),
    (
        "own-product.txt",
        include_str!("../../lexicons/own-product.txt"),
    ),
    (
        "pornography.txt",
        include_str!("../../lexicons/pornography.txt"),
    ),
    (
        "price-difference.txt",
        include_str!("../../lexicons/price-difference.txt"),
    ),
    (
        "private-contact.txt",
        include_str!("../../lexicons/private-contact.txt"),
    ),
    (
        "private-group.txt",
        include_str!("../../lexicons/private-group.txt"),
    ),
    (
        "private-payment.txt",
        include_str!("../../lexicons/private-payment.txt"),
    ),
    (
        "reputation.txt",
        include_str!("../../lexicons/reputation.txt"),
    ),
    (
        "sensitive.txt",
        include_str!("../../lexicons/sensitive.txt"),
    ),
    ("violence.txt", include_str!("../../lexicons/violence.txt")),
    (
        "work-unrelated.txt",
        include_str!("../../lexicons/work-unrelated.txt"),
    ),
];
