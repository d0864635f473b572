-- accounts.rs: every session start asks what one person holds.
create index accounts_by_holder on accounts (holder);
