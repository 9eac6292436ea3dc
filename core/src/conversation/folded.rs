//! What an open conversation has folded: its views, on behalf of whoever writes or reads, and its tail.

use super::{
    Shared,
    cache::Lack,
    fold::{Change, Rows},
    rows::{About, Key, Member},
    views::Views,
    writer::Conversation,
};
use crate::{
    domain::{Place, Seq, User},
    store::StoreError,
};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use tokio::sync::RwLockReadGuard;

impl Conversation {
    /// Takes over what a batch did to the views that were appended to.
    pub(super) async fn take(&self, rows: Rows, changes: Vec<Change>, before: Seq, last: Seq) {
        if let Some(views) = self.views.write().await.as_mut().filter(|views| views.folded() == before) {
            views.take(rows, changes, last);
        }
    }

    /// Stores what is folded if it has become much.
    pub(super) async fn flush_much(&self) {
        if let Some(views) = self.views.write().await.as_mut().filter(|views| views.heavy())
            && let Err(error) = views.flush().await
        {
            // The log has it; what isn't stored of the views is folded again.
            tracing::warn!(conversation = %self.place.conversation, %error, "views not stored yet");
        }
    }

    pub(super) async fn loaded<'a>(&self, views: &'a mut Option<Views>) -> Result<&'a mut Views, StoreError> {
        if views.is_none() {
            *views = Some(
                Views::load(self.shared.store.clone(), self.place.clone(), self.shared.watch.clone()).await?,
            );
        }
        views.as_mut().ok_or_else(|| StoreError::Unavailable("the views are not loaded".into()))
    }

    /// The views, stored and folded up to a seq at least, for reading from the store. Events up to `floor` are gone.
    pub(super) async fn views(
        &self,
        at_least: Seq,
        floor: Seq,
    ) -> Result<RwLockReadGuard<'_, Views>, StoreError> {
        let mut guard = self.views.write().await;
        let views = self.loaded(&mut guard).await?;
        if views.folded() < at_least {
            views.catch_up(&self.log, at_least, floor).await?;
        }
        views.flush().await?;
        let guard = guard.downgrade();
        RwLockReadGuard::try_map(guard, Option::as_ref)
            .map_err(|_| StoreError::Unavailable("the views are not loaded".into()))
    }

    /// Stores what is folded.
    pub(super) async fn flush(&self) -> Result<(), StoreError> {
        match self.views.write().await.as_mut() {
            Some(views) => views.flush().await,
            None => Ok(()),
        }
    }

    /// What the conversation is and how a user stands in it, at a seq at least; and at which.
    pub(super) async fn standing(
        &self,
        user: &User,
        at_least: Seq,
        floor: Seq,
    ) -> Result<(Option<About>, Option<Member>, Seq), StoreError> {
        let mut guard = self.views.write().await;
        let views = self.loaded(&mut guard).await?;
        if views.folded() < at_least {
            views.catch_up(&self.log, at_least, floor).await?;
        }
        views.know(&[Key::About, Key::Member(user.clone())]).await?;
        let (about, member) = (views.rows().about().cloned(), views.rows().member(user).cloned());
        let cache = &self.shared.cache;
        cache.ends(&self.place, views.folded());
        if let Some(about) = &about {
            cache.keep_standing(&self.place, views.folded(), user, about, member.as_ref());
        }
        Ok((about, member, views.folded()))
    }

    /// Has the tail kept in memory, up to the end of the log as it is known.
    pub(super) async fn hold_tail(&self) -> Result<(), StoreError> {
        if self.shared.cache.lacks(&self.place) == Lack::Nothing {
            return Ok(());
        }
        let (shared, place) = (self.shared.clone(), self.place.clone());
        let read = move || -> BoxFuture<'static, Result<(), StoreError>> {
            Box::pin(fill(shared.clone(), place.clone()))
        };
        self.shared.tails.ask(&self.place, read).await
    }
}

async fn fill(shared: Arc<Shared>, place: Place) -> Result<(), StoreError> {
    let (log, lack) = (shared.log(&place), shared.cache.lacks(&place));
    let events = match lack {
        Lack::Nothing => return Ok(()),
        Lack::Events(from, to) => log.events_up(from, to, (to + 1 - from) as usize).await?,
        Lack::All { from, to, most } => log.events_down(from, to, most).await?,
    };
    shared.cache.fill(&place, lack, events);
    Ok(())
}
