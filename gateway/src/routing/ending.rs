//! When what is under way at a node ends before it is done.

use std::time::Duration;
use tokio::{sync::watch, time::sleep};

/// Why what is under way at a node ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The node was taken out: all of it, at once.
    Out,
    /// The edge goes away: streams, one after the other, within this time. Calls end by themselves.
    Leaving(Duration),
}

/// Says when what waits at a node is to end, because the node was taken out.
///
/// A node that is stopped, or cut off, answers neither its checks nor what was sent to it, and nothing breaks: whoever
/// waits would wait for as long as it is away. So with the checks that take a node out, everything at it ends too, and
/// clients go to another node at once. That is safe, since whatever is asked again carries its id. There are two
/// exceptions:
///
/// - A node that answers, and says that it is not well, is only given nothing new: it carries on with what it has.
/// - While no node passes its checks, nothing is ended. There is nowhere else to go, and the check may be what is
///   broken. It is ended as soon as another node is there while this one is still out.
pub(crate) struct Out(pub(super) watch::Receiver<Option<Ending>>);

impl Out {
    /// Waits for it. `turn`: where a stream stands among those that end one after the other, from 0 to 1.
    pub(crate) async fn wait(&mut self, turn: Option<f64>) -> Ending {
        let ending = self.0.wait_for(Option::is_some).await.map(|ending| *ending);
        match ending {
            Ok(Some(Ending::Leaving(within))) => Box::pin(self.end_in_turn(within, turn)).await,
            Ok(Some(Ending::Out)) => Ending::Out,
            // The edge has ended.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// In a future of its own, since it comes last and streams are many.
    async fn end_in_turn(&mut self, within: Duration, turn: Option<f64>) -> Ending {
        let at_last = async {
            match turn {
                Some(turn) => sleep(within.mul_f64(turn)).await,
                None => std::future::pending().await,
            }
        };
        let out = async {
            if self.0.wait_for(|ending| *ending == Some(Ending::Out)).await.is_err() {
                std::future::pending().await
            }
        };
        tokio::select! {
            () = at_last => Ending::Leaving(within),
            () = out => Ending::Out,
        }
    }
}
