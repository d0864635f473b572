-- One dialect for SQLite and PostgreSQL (design §6): bigint, double precision, text, bytea; booleans are 0/1.
-- No plaintext content column ever exists: text, names, titles and amounts are inside `sealed` values.
-- Each table has one owner among the modules of the collector, named above it.

-- db.rs
create table meta (
    name text primary key,
    value bytea not null
);
create table changes (
    id bigint primary key,
    at_ms bigint not null,
    kind text not null,
    subject text not null
);
create table leases (
    job text primary key,
    holder text not null,
    until_ms bigint not null
);

-- seal.rs
create table data_keys (
    account text not null,
    day bigint not null,
    category bigint not null,
    wrapped bytea not null,
    created_ms bigint not null,
    primary key (account, day, category)
);

-- audit.rs
create table audit (
    collector text not null,
    seq bigint not null,
    at_ms bigint not null,
    actor text not null,
    action text not null,
    subject text not null,
    detail text not null,
    link bytea not null,
    primary key (collector, seq)
);
create table audit_checkpoints (
    collector text not null,
    seq bigint not null,
    at_ms bigint not null,
    signed bytea not null,
    primary key (collector, seq)
);

-- people.rs
create table people (
    person text primary key,
    login text not null unique,
    pseudonym text not null,
    department text not null,
    class text not null,
    language text not null,
    sealed bytea not null,
    created_ms bigint not null,
    left_ms bigint
);
create table person_roles (
    person text not null,
    role text not null,
    scope text not null,
    granted_ms bigint not null,
    granted_by text not null,
    primary key (person, role, scope)
);
create table passwords (
    person text primary key,
    hash text not null,
    set_ms bigint not null
);
create table invitations (
    secret_hash bytea primary key,
    person text not null,
    created_ms bigint not null,
    expires_ms bigint not null,
    used_ms bigint
);
create table schedules (
    person text primary key,
    schedule bytea not null,
    changed_ms bigint not null
);

-- console/login.rs
create table web_sessions (
    id text primary key,
    data bytea not null,
    expires_ms bigint not null
);

-- accounts.rs
create table accounts (
    account text primary key,
    app text not null,
    android_user bigint not null,
    shown_id text not null,
    nickname text not null,
    holder text not null,
    department text not null,
    custodian text not null,
    registered_ms bigint not null,
    suspended_ms bigint
);

-- enroll.rs
create table tokens (
    secret_hash bytea primary key,
    person text not null,
    created_ms bigint not null,
    expires_ms bigint not null,
    used_ms bigint,
    device bytea,
    spki_hash bytea
);

-- devices.rs
create table devices (
    device bytea primary key,
    person text not null,
    spki bytea not null,
    public_point bytea not null,
    state text not null,
    code text not null,
    trust text not null,
    model text not null,
    agent_version text not null,
    enrolled_ms bigint not null,
    confirmed_ms bigint,
    revoked_ms bigint,
    last_seen_ms bigint not null,
    certificate_until_ms bigint not null,
    epoch bigint not null,
    head bigint not null,
    head_link bytea not null,
    session bigint not null,
    status bytea
);
create table device_alarms (
    device bytea not null,
    at_ms bigint not null,
    kind text not null,
    detail text not null,
    primary key (device, at_ms, kind)
);

-- policy.rs
create table policies (
    device bytea not null,
    version bigint not null,
    sha256 bytea not null,
    policy bytea not null,
    created_ms bigint not null,
    primary key (device, version)
);
create table policies_accepted (
    device bytea not null,
    epoch bigint not null,
    seq bigint not null,
    version bigint not null,
    sha256 bytea not null,
    primary key (device, epoch, seq)
);

-- notice.rs
create table notices (
    version bigint primary key,
    sha256 bytea not null,
    notice bytea not null,
    published_ms bigint not null
);
create table notices_received (
    device bytea not null,
    version bigint not null,
    epoch bigint not null,
    seq bigint not null,
    at_ms bigint not null,
    primary key (device, version)
);

-- consent.rs
create table consents (
    device bytea not null,
    epoch bigint not null,
    seq bigint not null,
    category bigint not null,
    decision bigint not null,
    accepted bigint not null,
    notice_version bigint not null,
    consent_id bytea not null,
    at_ms bigint not null,
    primary key (device, epoch, seq, category)
);
create table consent_records (
    device bytea not null,
    epoch bigint not null,
    seq bigint not null,
    payload bytea not null,
    signature bytea not null,
    receipt bytea,
    primary key (device, epoch, seq)
);

-- archive.rs
create table records (
    device bytea not null,
    epoch bigint not null,
    first_seq bigint not null,
    count bigint not null,
    category bigint not null,
    account text not null,
    day bigint not null,
    inner_hash bytea not null,
    link bytea not null,
    partial bigint not null,
    facets bytea not null,
    sealed bytea not null,
    received_ms bigint not null,
    primary key (device, epoch, first_seq)
);
create index records_by_account on records (account, day);
create table epochs (
    device bytea not null,
    epoch bigint not null,
    previous bytea not null,
    after_seq bigint not null,
    begun_ms bigint not null,
    primary key (device, epoch)
);
create table tallies (
    account text not null,
    day bigint not null,
    kind bigint not null,
    direction bigint not null,
    n bigint not null,
    last_ms bigint not null,
    primary key (account, day, kind, direction)
);

-- ingest.rs
create table refusals (
    device bytea not null,
    epoch bigint not null,
    seq bigint not null,
    reason text not null,
    inner_hash bytea not null,
    at_ms bigint not null,
    primary key (device, epoch, seq)
);
create table gaps (
    device bytea not null,
    epoch bigint not null,
    first_seq bigint not null,
    last_seq bigint not null,
    reason text not null,
    payload bytea not null,
    signature bytea not null,
    at_ms bigint not null,
    primary key (device, epoch, first_seq)
);
create table forks (
    device bytea not null,
    epoch bigint not null,
    first_seq bigint not null,
    link bytea not null,
    sealed bytea not null,
    at_ms bigint not null,
    primary key (device, epoch, first_seq, link)
);

-- rules/counts.rs
create table rule_counts (
    rule text not null,
    scope text not null,
    bucket bigint not null,
    n bigint not null,
    primary key (rule, scope, bucket)
);

-- findings.rs
create table findings (
    finding bytea primary key,
    device bytea not null,
    epoch bigint not null,
    seq bigint not null,
    account text not null,
    person text not null,
    department text not null,
    rule text not null,
    rule_set bytea not null,
    level bigint not null,
    kind bigint not null,
    direction bigint not null,
    at_ms bigint not null,
    created_ms bigint not null,
    state text not null,
    assignee text not null,
    changed_ms bigint not null,
    sealed bytea not null
);
create index findings_by_created on findings (created_ms);
create index findings_by_state on findings (state, level, created_ms);
create table finding_steps (
    finding bytea not null,
    step bigint not null,
    at_ms bigint not null,
    actor text not null,
    action text not null,
    sealed bytea not null,
    primary key (finding, step)
);
create table rule_texts (
    rule_set bytea not null,
    rule text not null,
    yaml text not null,
    first_ms bigint not null,
    primary key (rule_set, rule)
);
create index changes_by_time on changes (at_ms);
