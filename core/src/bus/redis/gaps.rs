//! Who is heard on which lane, and what that says of hints that were not: pure, under the caller's clock.

use crate::domain::hash::LANES;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// Heartbeats of a sender that must be missing before something is made of it.
const BEATS: u32 = 3;
/// Senders that are kept in mind. Far more than nodes that a deployment has; what is above is heard, and every frame of
/// it taken for a gap.
const MOST: usize = 1024;

/// The nodes that are heard.
pub struct Senders {
    silence: Duration,
    senders: BTreeMap<u64, Sender>,
}

struct Sender {
    heard: Instant,
    lanes: Vec<Option<OnLane>>,
}

#[derive(Clone, Copy)]
struct OnLane {
    /// The number of the last hint that it is known to have sent.
    count: u64,
    heard: Instant,
}

/// What came of looking for those who are silent.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Silence {
    /// Lanes on which hints may have been missed, a bit for each.
    pub missed: u64,
    /// Whether a sender is heard on some lanes and not on others.
    pub split: bool,
    /// Senders that are heard on no lane any more.
    pub gone: Vec<u64>,
}

impl Senders {
    /// Nobody was heard yet. All nodes send a heartbeat this often.
    pub fn new(heartbeat: Duration) -> Self {
        Self { silence: heartbeat * BEATS + heartbeat / 2, senders: BTreeMap::new() }
    }

    /// How many are heard.
    pub fn count(&self) -> usize {
        self.senders.len()
    }

    /// A sender said something on a lane; `numbered`: it was the hint of this number. Gives whether an earlier one may
    /// have been missed. What comes late or again was either in time before, or is a gap that was told of.
    pub fn heard(&mut self, sender: u64, lane: u16, count: u64, numbered: bool, now: Instant) -> bool {
        let before = count.saturating_sub(u64::from(numbered));
        if !self.senders.contains_key(&sender) && self.senders.len() >= MOST {
            return true;
        }
        let fresh = || Sender { heard: now, lanes: vec![None; usize::from(LANES)] };
        let sender = self.senders.entry(sender).or_insert_with(fresh);
        sender.heard = now;
        match &mut sender.lanes[usize::from(lane % LANES)] {
            Some(on) => {
                let gap = before > on.count;
                *on = OnLane { count: on.count.max(count), heard: now };
                gap
            }
            // It may have sent all of these after this lane was subscribed.
            none => {
                *none = Some(OnLane { count, heard: now });
                before > 0
            }
        }
    }

    /// A sender goes, and says so on a lane. Gives whether hints may have been missed.
    pub fn left(&mut self, sender: u64, lane: u16, count: u64) -> bool {
        let Some(known) = self.senders.get_mut(&sender) else { return count > 0 };
        let gap = known.lanes[usize::from(lane % LANES)].take().is_none_or(|on| count > on.count);
        if known.lanes.iter().all(Option::is_none) {
            self.senders.remove(&sender);
        }
        gap
    }

    /// Looks for those who are silent. On lanes that are not `subscribed` nobody can be heard: they are checked when
    /// they are subscribed again. Who is silent on all lanes is told of once and forgotten; on some only, again and
    /// again, since then it is the lane that is broken.
    pub fn look(&mut self, now: Instant, subscribed: u64) -> Silence {
        let mut found = Silence::default();
        let silence = self.silence;
        self.senders.retain(|incarnation, sender| {
            let gone = now.saturating_duration_since(sender.heard) >= silence;
            for (lane, on) in sender.lanes.iter_mut().enumerate() {
                let Some(on) = on else { continue };
                if subscribed & 1 << lane == 0 {
                    on.heard = now;
                } else if now.saturating_duration_since(on.heard) >= silence {
                    found.missed |= 1 << lane;
                    found.split |= !gone;
                    on.heard = now;
                }
            }
            if gone {
                found.gone.push(*incarnation);
            }
            !gone
        });
        found
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use tokio::time::advance;

    const BEAT: Duration = Duration::from_secs(2);

    #[tokio::test(start_paused = true)]
    async fn a_skipped_number_is_a_gap() {
        let (mut senders, now) = (Senders::new(BEAT), Instant::now());
        assert!(!senders.heard(1, 0, 1, true, now));
        assert!(!senders.heard(1, 0, 1, false, now));
        assert!(!senders.heard(1, 0, 2, true, now));
        assert!(senders.heard(1, 0, 4, true, now));
        assert!(!senders.heard(1, 0, 3, true, now), "late");
        assert!(!senders.heard(1, 0, 4, true, now), "again");
        assert!(senders.heard(1, 0, 5, false, now), "a heartbeat that knows of one more");
        assert!(!senders.heard(1, 0, 6, true, now));
        assert!(!senders.heard(1, 9, 1, true, now), "another lane counts for itself");
    }

    #[tokio::test(start_paused = true)]
    async fn somebody_new_may_have_said_something_before() {
        let (mut senders, now) = (Senders::new(BEAT), Instant::now());
        assert!(!senders.heard(1, 0, 0, false, now));
        assert!(senders.heard(2, 0, 7, false, now));
        assert!(senders.heard(3, 0, 7, true, now));
        assert!(!senders.heard(4, 0, 1, true, now));
        assert_eq!(senders.count(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_for_good_is_told_of_once() {
        let mut senders = Senders::new(BEAT);
        senders.heard(1, 3, 5, false, Instant::now());
        senders.heard(1, 4, 5, false, Instant::now());
        advance(BEAT * 3).await;
        assert_eq!(senders.look(Instant::now(), u64::MAX), Silence::default());
        advance(BEAT).await;
        let silence = senders.look(Instant::now(), u64::MAX);
        assert_eq!(silence, Silence { missed: 0b11000, split: false, gone: vec![1] });
        advance(BEAT * 10).await;
        assert_eq!(senders.look(Instant::now(), u64::MAX), Silence::default());
        assert!(senders.heard(1, 3, 5, false, Instant::now()), "it was only cut off");
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_farewell_is_not_missed() {
        let mut senders = Senders::new(BEAT);
        senders.heard(1, 3, 5, true, Instant::now());
        senders.heard(1, 4, 2, false, Instant::now());
        assert!(!senders.left(1, 3, 5));
        assert!(senders.left(1, 4, 3), "its last hint was not heard");
        assert_eq!(senders.count(), 0);
        advance(BEAT * 9).await;
        assert_eq!(senders.look(Instant::now(), u64::MAX), Silence::default());
        assert!(!senders.left(2, 0, 0));
        assert!(senders.left(2, 0, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_on_which_alone_somebody_is_silent_is_broken() {
        let mut senders = Senders::new(BEAT);
        senders.heard(1, 3, 5, false, Instant::now());
        for _ in 0..2 {
            for _ in 0..4 {
                advance(BEAT).await;
                senders.heard(1, 4, 0, false, Instant::now());
            }
            let silence = senders.look(Instant::now(), u64::MAX);
            assert_eq!(silence, Silence { missed: 0b1000, split: true, gone: vec![] });
        }
        advance(BEAT * 4).await;
        senders.heard(1, 4, 0, false, Instant::now());
        assert_eq!(senders.look(Instant::now(), !0b1000), Silence::default(), "it can't be heard there");
    }

    #[tokio::test(start_paused = true)]
    async fn senders_without_number_cost_no_memory() {
        let (mut senders, now) = (Senders::new(BEAT), Instant::now());
        (0..2 * MOST as u64)
            .for_each(|sender| assert_eq!(senders.heard(sender, 0, 0, false, now), sender >= MOST as u64));
        assert_eq!(senders.count(), MOST);
    }
}
