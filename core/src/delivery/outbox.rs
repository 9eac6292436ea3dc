//! What waits to go out on one stream: a queue of frames, bounded in bytes. Frames are shared among streams, so what
//! the bound protects is the promise that a slow stream never costs more than this.

use bytes::Bytes;
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};
use tonic::Status;

/// Frames that an idle queue keeps room for.
const KEPT: usize = 8;

/// The queue of one stream.
pub struct Outbox {
    limit: usize,
    queue: Mutex<Queue>,
    room: Notify,
}

struct Queue {
    frames: VecDeque<Bytes>,
    bytes: usize,
    waker: Option<Waker>,
    end: End,
    /// Frames that were ever put in, and what that was when last looked at.
    pushed: u64,
    pushed_then: u64,
    pushed_at: Instant,
    /// The same of frames that were taken out.
    popped: u64,
    popped_then: u64,
    popped_at: Instant,
}

/// How a stream ends.
enum End {
    /// Not yet.
    Open,
    /// After what is in the queue.
    After(Box<Status>),
    /// It has.
    Ended,
}

/// What comes out of the queue.
pub enum Out {
    /// A frame.
    Frame(Bytes),
    /// The end, with its status. Only once.
    End(Status),
    /// Nothing more, ever.
    Nothing,
}

/// How long nothing went in or came out.
pub struct Health {
    /// Time since a frame was last put in.
    pub quiet: Duration,
    /// Time since a frame was last taken out, if some wait.
    pub stuck: Duration,
}

impl Outbox {
    /// An empty queue for so many bytes.
    pub fn new(limit: usize, now: Instant) -> Self {
        let queue = Queue {
            frames: VecDeque::new(),
            bytes: 0,
            waker: None,
            end: End::Open,
            pushed: 0,
            pushed_then: 0,
            pushed_at: now,
            popped: 0,
            popped_then: 0,
            popped_at: now,
        };
        Self { limit, queue: Mutex::new(queue), room: Notify::new() }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a frame in, unless that takes the queue above its bound: then `false`, and nothing was put in. A frame that
    /// is larger than the bound fits an empty queue.
    pub fn offer(&self, frame: &Bytes) -> bool {
        self.offer_within(frame, self.limit)
    }

    /// Puts a frame in if little enough waits already, else drops it.
    pub fn offer_lossy(&self, frame: &Bytes) -> bool {
        self.offer_within(frame, self.limit / 8)
    }

    fn offer_within(&self, frame: &Bytes, limit: usize) -> bool {
        let mut queue = self.queue();
        if !matches!(queue.end, End::Open) {
            return true;
        }
        if queue.bytes + frame.len() > limit && !queue.frames.is_empty() {
            return false;
        }
        queue.push(frame.clone());
        wake(queue);
        true
    }

    /// Puts a small frame in, whatever waits: for frames whose number is bounded otherwise.
    pub fn put(&self, frame: Bytes) {
        let mut queue = self.queue();
        if matches!(queue.end, End::Open) {
            queue.push(frame);
            wake(queue);
        }
    }

    /// Nothing more goes in; after what waits, the stream ends with this status.
    pub fn end(&self, status: Status) {
        let mut queue = self.queue();
        if matches!(queue.end, End::Open) {
            queue.end = End::After(Box::new(status));
            wake(queue);
            self.room.notify_waiters();
        }
    }

    /// The stream ends with this status at once; what waits is dropped.
    pub fn cut(&self, status: Status) {
        let mut queue = self.queue();
        if !matches!(queue.end, End::Ended) {
            queue.frames = VecDeque::new();
            queue.bytes = 0;
            queue.end = End::After(Box::new(status));
            wake(queue);
            self.room.notify_waiters();
        }
    }

    /// Nobody takes anything out any more.
    pub fn close(&self) {
        let mut queue = self.queue();
        queue.frames = VecDeque::new();
        queue.bytes = 0;
        queue.end = End::Ended;
        queue.waker = None;
        drop(queue);
        self.room.notify_waiters();
    }

    /// Whether nothing more goes in.
    pub fn is_over(&self) -> bool {
        !matches!(self.queue().end, End::Open)
    }

    /// Waits until the queue is at most half full. `false` when nothing more goes in.
    pub async fn room(&self) -> bool {
        self.at_most(self.limit / 2).await
    }

    /// Waits until nothing waits any more. `false` when nothing more goes in.
    pub async fn drained(&self) -> bool {
        self.at_most(0).await
    }

    async fn at_most(&self, bytes: usize) -> bool {
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            // Registers before the look, so that no news is lost in between.
            room.as_mut().enable();
            {
                let queue = self.queue();
                if !matches!(queue.end, End::Open) {
                    return false;
                }
                if queue.bytes <= bytes {
                    return true;
                }
            }
            room.await;
        }
    }

    /// Takes the next thing out.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<Out> {
        let mut queue = self.queue();
        if let Some(frame) = queue.frames.pop_front() {
            let before = queue.bytes;
            queue.bytes -= frame.len();
            queue.popped += 1;
            if queue.frames.is_empty() && queue.frames.capacity() > KEPT {
                queue.frames = VecDeque::new();
            }
            let room = queue.bytes == 0 || (before > self.limit / 2 && queue.bytes <= self.limit / 2);
            drop(queue);
            if room {
                self.room.notify_waiters();
            }
            return Poll::Ready(Out::Frame(frame));
        }
        match std::mem::replace(&mut queue.end, End::Ended) {
            End::Open => {
                queue.end = End::Open;
                match &mut queue.waker {
                    Some(waker) => waker.clone_from(cx.waker()),
                    none => *none = Some(cx.waker().clone()),
                }
                Poll::Pending
            }
            End::After(status) => Poll::Ready(Out::End(*status)),
            End::Ended => Poll::Ready(Out::Nothing),
        }
    }

    /// How long nothing happened, to the precision with which this is asked.
    pub fn health(&self, now: Instant) -> Health {
        let mut queue = self.queue();
        if queue.pushed != queue.pushed_then {
            (queue.pushed_then, queue.pushed_at) = (queue.pushed, now);
        }
        if queue.popped != queue.popped_then || queue.frames.is_empty() {
            (queue.popped_then, queue.popped_at) = (queue.popped, now);
        }
        Health { quiet: now - queue.pushed_at, stuck: now - queue.popped_at }
    }
}

impl Queue {
    fn push(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        self.pushed += 1;
        self.frames.push_back(frame);
    }
}

/// Wakes whoever takes out, after letting go of the lock.
fn wake(mut queue: MutexGuard<'_, Queue>) {
    let waker = queue.waker.take();
    drop(queue);
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use tokio::time::{advance, timeout};

    async fn take(outbox: &Outbox) -> Out {
        std::future::poll_fn(|cx| outbox.poll(cx)).await
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_bounded_and_says_when_there_is_room_again() {
        let outbox = Outbox::new(100, Instant::now());
        let frame = Bytes::from(vec![0; 40]);
        assert!(outbox.offer(&frame) && outbox.offer(&frame) && !outbox.offer(&frame));
        assert!(!outbox.offer_lossy(&frame));
        assert!(timeout(Duration::from_secs(1), outbox.room()).await.is_err());
        let (room, out) = tokio::join!(outbox.room(), take(&outbox));
        assert!(room && matches!(out, Out::Frame(_)));
        outbox.end(Status::unavailable("going"));
        assert!(!outbox.room().await);
        assert!(outbox.offer(&frame));
        assert!(matches!(take(&outbox).await, Out::Frame(_)));
        assert!(matches!(take(&outbox).await, Out::End(status) if status.message() == "going"));
        assert!(matches!(take(&outbox).await, Out::Nothing));
    }

    #[tokio::test(start_paused = true)]
    async fn a_frame_above_the_bound_fits_an_empty_queue() {
        let outbox = Outbox::new(100, Instant::now());
        assert!(outbox.offer(&Bytes::from(vec![0; 500])));
        assert!(!outbox.offer(&Bytes::from_static(b"x")));
    }

    #[tokio::test(start_paused = true)]
    async fn it_says_when_nothing_waits_any_more() {
        let outbox = Outbox::new(100, Instant::now());
        let frame = Bytes::from_static(&[0; 20]);
        assert!(outbox.drained().await && outbox.offer(&frame) && outbox.offer(&frame));
        take(&outbox).await;
        assert!(timeout(Duration::from_secs(1), outbox.drained()).await.is_err());
        let (drained, _) = tokio::join!(outbox.drained(), take(&outbox));
        assert!(drained);
    }

    #[tokio::test(start_paused = true)]
    async fn it_knows_how_long_nothing_happened() {
        let outbox = Outbox::new(100, Instant::now());
        advance(Duration::from_secs(5)).await;
        let health = outbox.health(Instant::now());
        assert_eq!((health.quiet, health.stuck), (Duration::from_secs(5), Duration::ZERO));
        outbox.put(Bytes::from_static(b"x"));
        outbox.health(Instant::now());
        advance(Duration::from_secs(7)).await;
        let health = outbox.health(Instant::now());
        assert_eq!((health.quiet, health.stuck), (Duration::from_secs(7), Duration::from_secs(7)));
        take(&outbox).await;
        assert_eq!(outbox.health(Instant::now()).stuck, Duration::ZERO);
    }
}
