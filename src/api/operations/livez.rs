//! `GET /livez`

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::answer::Json;

#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Alive {
    #[schema(example = "alive")]
    status: &'static str,
}

/// Is the process alive?
#[utoipa::path(get, path = "/livez", tag = "Operations", operation_id = "livez", responses((status = 200, description = "It is", body = Alive)), security(()))]
pub(in crate::api) async fn livez() -> Json {
    Json::of(&Alive { status: "alive" })
}
