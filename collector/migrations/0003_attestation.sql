-- devices.rs: what the key's attestation proved, or why it proved nothing. Phones of before sent none that was looked at.
alter table devices add column attestation text not null default 'absent';

-- findings.rs: what changed about a person, for the person's phones.
create index findings_by_person on findings (person, changed_ms);
