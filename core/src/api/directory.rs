//! The directory of public channels.

use super::{
    Api,
    check::{TITLE, invalid, text},
    identity::Caller,
    status,
};
use crate::conversation::directory::{folded, is_key};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use nexus_proto::v1;
use tonic::Status;

impl Api {
    /// A page of the directory.
    pub(super) async fn listed(
        &self,
        caller: &Caller,
        r: &v1::ListDirectoryRequest,
    ) -> Result<v1::ListDirectoryResponse, Status> {
        let size = self.limits.page_size("page_size", r.page_size)?;
        text("prefix", &r.prefix, 0, TITLE)?;
        let after = page_token(&r.page_token)?;
        let prefix = folded(&r.prefix);
        let page = self.conversations.directory(&caller.tenant, &prefix, after.as_deref(), size + 1).await;
        let mut page = page.map_err(status::fault)?;
        let more = page.len() > size;
        page.truncate(size);
        let last = page.last().filter(|_| more);
        let next_page_token = last.map(|last| URL_SAFE_NO_PAD.encode(last.key())).unwrap_or_default();
        let entries = page.into_iter().map(|listed| v1::DirectoryEntry {
            conversation_id: listed.place.conversation.to_string(),
            title: listed.about.title,
            topic: listed.about.topic,
            member_count: listed.about.members,
        });
        Ok(v1::ListDirectoryResponse { entries: entries.collect(), next_page_token })
    }
}

fn page_token(token: &str) -> Result<Option<Vec<u8>>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    let key = URL_SAFE_NO_PAD.decode(token).ok().filter(|key| is_key(key));
    key.map(Some).ok_or_else(|| invalid("page_token", "must be the next_page_token of the answer before"))
}
