-- letters.rs: what employees wrote, sealed. `letter` is the id their phone gave it: letters, digits, . _ -
create table letters (
    device bytea not null,
    kind text not null,
    letter text not null,
    person text not null,
    asks text not null,
    finding bytea,
    received_ms bigint not null,
    opened_ms bigint,
    sealed bytea not null,
    primary key (device, kind, letter)
);
create index letters_by_person on letters (person, received_ms);
create index letters_by_finding on letters (finding);
-- audit.rs
create index audit_by_subject on audit (subject, action);
