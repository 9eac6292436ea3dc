//! The account service.

use super::{
    Api,
    check::{invalid, metadata, named, text},
    identity::{Caller, caller},
    status,
};
use crate::{account::Wish, bus::Hint};
use nexus_proto::v1::{self, account_service_server::AccountService, ephemeral};
use prost::Message as _;
use tonic::{Request, Response, Status};

/// Bytes of a name to show.
const DISPLAY_NAME: usize = 128;
/// Bytes of what one says of oneself.
const ABOUT: usize = 512;
/// Bytes of a time zone's name.
const TIME_ZONE: usize = 64;

/// The name of a time zone, such as `Europe/Vienna`. Which there are changes every year, so that is left to who shows it.
fn time_zone(name: &str) -> Result<(), Status> {
    text("time_zone", name, 0, TIME_ZONE)?;
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-' | b'+');
    match name.bytes().all(known) {
        true => Ok(()),
        false => Err(invalid("time_zone", "must be the IANA name of a time zone, such as Europe/Vienna")),
    }
}

#[tonic::async_trait]
impl AccountService for Api {
    async fn update_profile(
        &self,
        request: Request<v1::UpdateProfileRequest>,
    ) -> Result<Response<v1::UpdateProfileResponse>, Status> {
        let Caller { tenant, user, .. } = caller(&request)?;
        let r = request.into_inner();
        text("display_name", r.display_name.as_deref().unwrap_or_default(), 0, DISPLAY_NAME)?;
        text("about", r.about.as_deref().unwrap_or_default(), 0, ABOUT)?;
        time_zone(r.time_zone.as_deref().unwrap_or_default())?;
        if let Some(all) = &r.metadata {
            metadata("metadata.entries", &all.entries)?;
        }
        if r.avatar_upload_id.is_some_and(|upload| !upload.is_empty()) {
            return Err(invalid("avatar_upload_id", "must be empty: there are no uploads yet"));
        }
        let wish = Wish {
            display_name: r.display_name,
            about: r.about,
            time_zone: r.time_zone,
            metadata: r.metadata,
        };
        let profile = self.accounts.update(&tenant, &user, wish).await.map_err(status::store)?;
        let changed = v1::AccountChanged { area: v1::AccountArea::Profile.into(), ..Default::default() };
        let body = v1::Ephemeral { body: Some(ephemeral::Body::Account(changed)) }.encode_to_vec().into();
        self.conversations.tell(Hint::Account { tenant, user, body }).await;
        Ok(Response::new(v1::UpdateProfileResponse { profile: Some(profile) }))
    }

    async fn get_profiles(
        &self,
        request: Request<v1::GetProfilesRequest>,
    ) -> Result<Response<v1::GetProfilesResponse>, Status> {
        let Caller { tenant, .. } = caller(&request)?;
        let users = named("users", &request.get_ref().users, self.limits.profile_users)?;
        let profiles = self.accounts.profiles(&tenant, users).await.map_err(status::store)?;
        Ok(Response::new(v1::GetProfilesResponse { profiles }))
    }
}
