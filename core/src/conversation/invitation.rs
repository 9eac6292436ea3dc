//! Invitations: the row of one, who may join by it, and what events do to it. Pure.
//!
//! Whom an invitation is for never changes: whom it names, or who knows its link's secret. That may be looked up before a
//! command is queued. Whether it is open does change, and is decided with the command, at the end of the log.

use super::{
    command::{Command, Refusal},
    decide::Rules,
    fold::{Out, Rows},
    kept::Dated,
    rows::Key,
};
use crate::domain::{Event, Seq, User};
use nexus_proto::v1::{
    InvitationCreated, InvitationEnded, InvitationState, MemberRole, MembersAdded, Role, event::Body,
};

/// How far ahead an invitation may expire, milliseconds.
pub const EXPIRES_MS: i64 = 365 * 24 * 3_600_000;

/// An invitation: one row.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Invitation {
    /// Who invited.
    #[prost(string, tag = "1")]
    pub inviter: String,
    /// When, Unix milliseconds.
    #[prost(int64, tag = "2")]
    pub created_at: i64,
    /// The role of those who join.
    #[prost(enumeration = "Role", tag = "3")]
    pub role: i32,
    /// Whom it names; empty for a link.
    #[prost(string, repeated, tag = "4")]
    pub users: Vec<String>,
    /// Of a link: SHA-256 of its secret.
    #[prost(bytes = "vec", tag = "5")]
    pub secret_sha256: Vec<u8>,
    /// Until when it may be accepted; 0: no end.
    #[prost(int64, tag = "6")]
    pub expires_at: i64,
    /// How many may join by it; 0: any number.
    #[prost(uint32, tag = "7")]
    pub max_uses: u32,
    /// How many did.
    #[prost(uint32, tag = "8")]
    pub uses: u32,
    /// In the inviter's words.
    #[prost(string, tag = "9")]
    pub note: String,
    /// Those of `users` who accepted or declined.
    #[prost(string, repeated, tag = "10")]
    pub settled: Vec<String>,
    /// Revoked while it was open.
    #[prost(bool, tag = "11")]
    pub revoked: bool,
}

/// An invitation that was open when the conversation's row was written; time alone may have ended it since.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Open {
    /// Which.
    #[prost(uint64, tag = "1")]
    pub seq: Seq,
    /// Until when; 0: no end.
    #[prost(int64, tag = "2")]
    pub expires_at: i64,
}

impl Open {
    /// Whether it still is at a time, Unix milliseconds.
    pub fn at(&self, now: i64) -> bool {
        self.expires_at == 0 || now < self.expires_at
    }
}

impl Invitation {
    /// How it is at a time, Unix milliseconds.
    pub fn state_at(&self, now: i64) -> InvitationState {
        match () {
            () if self.revoked => InvitationState::Revoked,
            () if self.used_up() => InvitationState::UsedUp,
            () if self.expires_at != 0 && now >= self.expires_at => InvitationState::Expired,
            () => InvitationState::Open,
        }
    }

    fn used_up(&self) -> bool {
        let all_settled = !self.users.is_empty() && self.settled.len() >= self.users.len();
        all_settled || (self.max_uses != 0 && self.uses >= self.max_uses)
    }

    /// Whether it is for whoever has its link.
    pub fn is_link(&self) -> bool {
        self.users.is_empty()
    }

    /// Whether it names a user.
    pub fn names(&self, user: &User) -> bool {
        self.users.iter().any(|name| name == user.as_str())
    }

    /// Whether it names a user who has neither accepted nor declined.
    pub fn waits_for(&self, user: &User) -> bool {
        self.names(user) && !self.settled.iter().any(|name| name == user.as_str())
    }

    fn settle(&mut self, user: &User) {
        if self.waits_for(user) {
            self.settled.push(user.to_string());
        }
    }

    /// Refuses what this user can't accept or decline at a time.
    fn must_wait_for(&self, user: &User, now: i64) -> Result<(), Refusal> {
        let why = match self.state_at(now) {
            InvitationState::Revoked => "the invitation was revoked: ask for a new one",
            InvitationState::UsedUp => "the invitation is used up: ask for a new one",
            InvitationState::Expired => "the invitation has expired: ask for a new one",
            _ if !self.is_link() && !self.waits_for(user) => {
                "you have accepted or declined this invitation: ask for a new one"
            }
            _ => return Ok(()),
        };
        Err(Refusal::State(why))
    }
}

impl Rules {
    /// What those may do who need not be members; `None`: it is nothing of that kind.
    pub(super) fn invited(&self, rows: &Rows, command: &Command, at: i64) -> Option<Result<Body, Refusal>> {
        match &command.body {
            Body::MembersAdded(_) if command.target > 0 => Some(self.accept(rows, command, at)),
            Body::InvitationEnded(b) if !b.user.is_empty() => Some(decline(rows, command, at)),
            _ => None,
        }
    }

    fn accept(&self, rows: &Rows, command: &Command, at: i64) -> Result<Body, Refusal> {
        let (about, invitation) =
            rows.about().zip(rows.invitation(command.target)).ok_or(Refusal::NoInvitation)?;
        let user = &command.sender;
        if !invitation.is_link() && !invitation.names(user) {
            return Err(Refusal::NoInvitation);
        }
        invitation.must_wait_for(user, at)?;
        let present = rows.member(user).is_some_and(|member| member.present());
        let members = if present {
            Vec::new()
        } else {
            self.room(about.kind(), about.members, 1)?;
            vec![MemberRole { user: user.to_string(), role: invitation.role }]
        };
        Ok(Body::MembersAdded(MembersAdded { members }))
    }

    /// Whether an admin may invite like this at a time.
    pub(super) fn may_invite(&self, open: &[Open], body: &InvitationCreated, at: i64) -> Result<(), Refusal> {
        let invalid = |why: String| Err(Refusal::Invalid { field: "expires_at_ms", why });
        // Only here, so that a retry gets its first result also when the time has come.
        if body.expires_at_ms != 0 && body.expires_at_ms <= at {
            return invalid(format!("must lie ahead of the server's time, which is {at}; or 0 for no end"));
        }
        if body.expires_at_ms > at + EXPIRES_MS {
            return invalid(format!(
                "must be at most 365 days ahead of the server's time, which is {at}; or 0 for no end"
            ));
        }
        if open.iter().filter(|open| open.at(at)).count() >= self.invitations {
            return Err(Refusal::Full {
                what: "open invitations of the conversation",
                limit: self.invitations as u64,
            });
        }
        Ok(())
    }
}

fn decline(rows: &Rows, command: &Command, at: i64) -> Result<Body, Refusal> {
    let invitation = rows.invitation(command.target).filter(|invitation| invitation.names(&command.sender));
    let invitation = invitation.ok_or(Refusal::NoInvitation)?;
    // Else somebody who isn't a member could go on appending.
    invitation.must_wait_for(&command.sender, at)?;
    Ok(Body::InvitationEnded(InvitationEnded { user: command.sender.to_string() }))
}

impl Rows {
    /// Somebody was invited, or a link was made.
    pub(super) fn invite(&mut self, event: &Event, body: &InvitationCreated, out: &mut Out<'_>) {
        let row = Invitation {
            inviter: event.sender.to_string(),
            created_at: event.time_ms,
            role: body.role,
            users: body.users.clone(),
            secret_sha256: body.secret_sha256.clone(),
            expires_at: body.expires_at_ms,
            max_uses: body.max_uses,
            note: body.note.clone(),
            ..Invitation::default()
        };
        out.main(Key::Invitation(event.seq), &row);
        out.received(&row, event.seq, &row.users, true);
        self.invitations.insert(event.seq, Dated { at: event.seq, row: Some(row) });
        let open = Open { seq: event.seq, expires_at: body.expires_at_ms };
        self.about_changed(
            |about| {
                about.invitations.retain(|other| other.at(event.time_ms));
                about.invitations.push(open);
            },
            out,
        );
    }

    /// An invitation was revoked, or declined.
    pub(super) fn uninvite(&mut self, event: &Event, body: &InvitationEnded, out: &mut Out<'_>) {
        let by = User::new(&body.user).ok();
        let ended = self.invitation_changed(event, out, |invitation| match &by {
            Some(user) => invitation.settle(user),
            None => invitation.revoked |= invitation.state_at(event.time_ms) == InvitationState::Open,
        });
        let Some(row) = self.invitation(event.target) else { return };
        let users = if by.is_some() { std::slice::from_ref(&body.user) } else { &row.users };
        out.received(row, event.target, users, false);
        if ended {
            self.about_changed(|about| about.invitations.retain(|open| open.seq != event.target), out);
        }
    }

    /// Somebody accepted an invitation, by which so many joined. Gives the invitation if that ended it.
    pub(super) fn accepted(&mut self, event: &Event, joined: usize, out: &mut Out<'_>) -> Option<Seq> {
        let ended = self.invitation_changed(event, out, |invitation| {
            invitation.uses = invitation.uses.saturating_add(joined as u32);
            invitation.settle(&event.sender);
        });
        let row = self.invitation(event.target)?;
        if row.names(&event.sender) {
            out.received(row, event.target, &[event.sender.to_string()], false);
        }
        ended.then_some(event.target)
    }

    /// Whether it has ended other than by time. That holds also where the row has more than this event, since what has
    /// ended stays so.
    fn invitation_changed(
        &mut self,
        event: &Event,
        out: &mut Out<'_>,
        change: impl FnOnce(&mut Invitation),
    ) -> bool {
        let Some(Dated { at, row: Some(row) }) = self.invitations.get_mut(&event.target) else {
            return false;
        };
        if *at < event.seq {
            change(row);
            *at = event.seq;
            out.main(Key::Invitation(event.target), row);
        }
        row.revoked || row.used_up()
    }
}
