//! Messages as those may read them who left: what was made of them afterwards is taken back.

use super::{
    history::{Look, ReadError},
    rows::{Key, MessageRow, seq_key},
};
use crate::{domain::Seq, store::Rows};
use nexus_proto::v1::event::Body;

/// Replies of a thread that are counted for one who left; they are told of no more.
const REPLIES: usize = 1000;

impl Look {
    /// Takes back what was made of messages after the user had left. What was deleted stays so.
    pub(super) async fn take_back(&self, messages: &mut [(Seq, MessageRow)]) -> Result<(), ReadError> {
        let Some((left, left_at)) = self.left else { return Ok(()) };
        for (seq, row) in messages {
            row.reactions.retain(|_, given| *given <= left);
            // Only the log knows what was pinned by then, and to search it for every message is too much. Nobody who
            // left is told of pins at all: if those of then stayed, one would see them go.
            row.text.pinned = false;
            if row.text.replies > 0 {
                row.text.replies = self.replies_by(*seq, left).await?;
            }
            if row.text.edited_at < left_at || row.text.deleted || row.text.erased {
                continue;
            }
            // Earlier edits are not kept apart from later ones: it reads as it was sent.
            let sent = self.conversation.log.events_up(*seq, *seq, 1).await?.pop();
            row.text.content = match sent.map(|event| event.decode()) {
                Some(Ok(Some(Body::MessageSent(sent)))) => sent.content,
                _ => None,
            };
            row.text.edited_at = 0;
        }
        Ok(())
    }

    /// Messages in a thread up to a seq.
    async fn replies_by(&self, root: Seq, last: Seq) -> Result<u32, ReadError> {
        // The message may come from memory: what says which are in its thread must be stored first.
        let views = self.conversation.views(last, self.head.floor).await?;
        let range =
            Rows::Range { from: seq_key(root), to: Some(seq_key(last + 1)), down: false, limit: REPLIES };
        Ok(views.read_rows(&Key::Thread(root, 0), range).await?.len() as u32)
    }
}
