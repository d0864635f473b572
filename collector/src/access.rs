//! Who may read what: one function, [`decide`], called by every read (design §9).
//!
//! Invariants: a [`Grant`] comes from [`decide`] alone, and nothing in this crate shows a finding, a
//! name or the log without one; IT never reads content (C14); nobody reads or handles what concerns
//! himself as a reviewer (C6); outside of somebody's scope a thing does not exist (C15); content is
//! opened only after the opening is in the audit chain (C16), with a reason, where the person it
//! concerns can see it.

mod letters;
mod reading;

use crate::db::Db;
use crate::error::{Error, Result};
use crate::findings::{Finding, Reach};
use crate::letters::{FOR_PRIVACY, Stored};
use crate::people::{self, EVERYWHERE, Person, Role};

pub use letters::{OpenedLetter, letters_for_privacy, open_letter, open_own_letter, own_letters};
pub use reading::{
    Opened, Reading, act, audit_log, could_handle, holder_names, list_findings, load_finding,
    open_finding, open_own_finding, own_findings, readers_of,
};
pub(crate) use reading::{Receipt, opening, reach_of, readings_of};

/// Characters a reason has at least.
pub const SHORTEST_REASON: usize = 4;
const LONGEST_REASON_BYTES: usize = 400;

/// Somebody who asks, with the roles of this moment.
#[derive(Clone, Debug)]
pub struct Viewer {
    person: Person,
    roles: Vec<(Role, String)>,
}

impl Viewer {
    /// Reads person and roles anew; a person who left is nobody.
    pub async fn load(db: &Db, person: &str) -> Result<Self> {
        let person = people::load(db.reader(), person).await?;
        if person.left_ms.is_some() {
            return Err(Error::Unauthenticated("this person has left"));
        }
        let roles = people::roles(db, &person.person).await?;
        Ok(Self { person, roles })
    }

    /// Who asks.
    pub fn person(&self) -> &Person {
        &self.person
    }

    /// Whether the person holds the role, with whatever scope.
    pub fn holds(&self, role: Role) -> bool {
        self.roles.iter().any(|(held, _)| *held == role)
    }

    /// The roles held, without scopes.
    pub fn roles(&self) -> impl Iterator<Item = Role> {
        self.roles.iter().map(|(role, _)| *role)
    }

    // The departments whose findings these roles open, or none at all.
    fn reach(&self, readers: &[Role]) -> Option<(Role, Reach)> {
        let mut departments = Vec::new();
        let mut everywhere = false;
        let mut by = None;
        for (role, scope) in self.roles.iter().filter(|(role, _)| readers.contains(role)) {
            by = by.or(Some(*role));
            match (role, scope.as_str()) {
                // A lead's scope is at most the own department.
                (Role::Lead, EVERYWHERE) => departments.push(self.person.department.clone()),
                (_, EVERYWHERE) => everywhere = true,
                _ => departments.push(scope.clone()),
            }
        }
        let departments = (!everywhere).then_some(&departments[..]);
        Some((by?, Reach::new(departments, &self.person.person)))
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub enum What<'a> {
    /// Lists and numbers of findings, without text.
    Findings,
    /// One finding without its text.
    Finding(&'a Finding),
    /// A finding's text; needs a reason.
    FindingText(&'a Finding),
    /// Taking a step with a finding.
    HandleFinding(&'a Finding),
    /// Subject requests and complaints, and their text.
    Letters,
    /// One of them.
    Letter(&'a Stored),
    /// A letter he wrote himself.
    OwnLetter(&'a Stored),
    /// What concerns himself: his findings with their text, who read him.
    OwnFinding(&'a Finding),
    /// Who read him and what there is about him.
    OwnPage,
    /// Phones, their state and alarms; names of account holders.
    Phones,
    /// What each phone captures and misses: states, counts and consents, no content.
    Coverage,
    /// Confirming and revoking phones, making enrolment codes.
    ManagePhones,
    /// The register of work accounts.
    Accounts,
    /// Rules in force.
    Rules,
    /// The audit log.
    AuditLog,
}

/// Leave to read, as [`decide`] gives it.
#[derive(Clone, Debug)]
pub struct Grant {
    role: Role,
    reach: Option<Reach>,
}

impl Grant {
    /// The role that gave it.
    pub fn role(&self) -> Role {
        self.role
    }

    fn reach(&self) -> Result<&Reach> {
        self.reach
            .as_ref()
            .ok_or(Error::Forbidden("no findings in this role"))
    }
}

const READERS: [Role; 2] = [Role::Reviewer, Role::Lead];

/// Decides every read: who, what, why.
pub fn decide(who: &Viewer, what: What<'_>, reason: Option<&str>) -> Result<Grant> {
    match what {
        What::Findings => findings(who),
        What::Finding(finding) | What::HandleFinding(finding) => within(findings(who)?, finding),
        What::FindingText(finding) => {
            let grant = within(findings(who)?, finding)?;
            check_reason(reason)?;
            Ok(grant)
        }
        What::OwnFinding(finding) => {
            let grant = one_of(who, &[Role::Employee])?;
            if finding.person == who.person.person {
                Ok(grant)
            } else {
                Err(Error::NotFound("finding"))
            }
        }
        What::Letters => one_of(who, &[Role::Privacy]),
        What::Letter(letter) => {
            let grant = one_of(who, &[Role::Privacy])?;
            let theirs = FOR_PRIVACY.contains(&letter.kind.as_str());
            if theirs && letter.person != who.person.person {
                Ok(grant)
            } else {
                Err(Error::NotFound("letter"))
            }
        }
        What::OwnLetter(letter) => {
            let grant = one_of(who, &[Role::Employee])?;
            if letter.person == who.person.person {
                Ok(grant)
            } else {
                Err(Error::NotFound("letter"))
            }
        }
        What::OwnPage => one_of(who, &[Role::Employee]),
        What::Phones | What::ManagePhones | What::Accounts => one_of(who, &[Role::Admin]),
        What::Coverage => one_of(who, &[Role::Admin, Role::Auditor]),
        What::Rules => one_of(who, &[Role::Policy, Role::Reviewer, Role::Lead]),
        What::AuditLog => one_of(who, &[Role::Auditor]),
    }
}

/// Refuses a reason that says nothing or too much.
pub fn check_reason(reason: Option<&str>) -> Result<()> {
    let reason = reason.unwrap_or_default().trim();
    if reason.chars().count() < SHORTEST_REASON {
        return Err(Error::Invalid("a reason has 4 characters or more".into()));
    }
    if reason.len() > LONGEST_REASON_BYTES {
        return Err(Error::Invalid("a reason has 400 bytes or less".into()));
    }
    Ok(())
}

fn findings(who: &Viewer) -> Result<Grant> {
    // Granting both is refused; a row that appeared another way opens nothing either.
    if who.holds(Role::Admin) {
        return Err(Error::Forbidden("the administrator reads no findings"));
    }
    let (role, reach) = who
        .reach(&READERS)
        .ok_or(Error::Forbidden("findings are for reviewers and leads"))?;
    Ok(Grant {
        role,
        reach: Some(reach),
    })
}

fn within(grant: Grant, finding: &Finding) -> Result<Grant> {
    if grant.reach()?.holds(&finding.person, &finding.department) {
        Ok(grant)
    } else {
        Err(Error::NotFound("finding"))
    }
}

fn one_of(who: &Viewer, roles: &[Role]) -> Result<Grant> {
    let role = roles
        .iter()
        .find(|role| who.holds(**role))
        .ok_or(Error::Forbidden("another role is needed"))?;
    Ok(Grant {
        role: *role,
        reach: None,
    })
}

#[cfg(test)]
mod tests;
