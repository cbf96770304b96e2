//! Listings out of the snapshot: newest first, with cursors that stay valid while rows are added, because a cursor is the
//! id that the page before ended with.

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::{
    Api,
    extract::{Query, cursor, limit},
    problem::Problem,
};

/// A page of a listing.
#[derive(Serialize, ToSchema)]
pub struct Page<T> {
    pub data: Vec<T>,
    /// Give it as `cursor` for the next page; null on the last.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

/// Which page is meant.
#[derive(Clone, Copy, Debug)]
pub struct Listing {
    before: Option<Uuid>,
    limit: usize,
}

impl FromRequestParts<Api> for Listing {
    type Rejection = Problem;

    /// Of a listing that has no filters: whatever else stands in the query is refused.
    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let Ok(mut query) = Query::from_request_parts(parts, api).await;
        let listing = Self::read(&mut query);
        query.finish()?;
        Ok(listing)
    }
}

impl Listing {
    /// Reads `limit` and `cursor` beside the filters of a listing that has some.
    pub fn read(query: &mut Query) -> Self {
        Self { limit: limit(query), before: cursor(query) }
    }

    /// The page of `items`; only what is on it is made into views.
    pub fn page<S, V>(self, items: impl Iterator<Item = S>, id: impl Fn(&S) -> Uuid, view: impl Fn(&S) -> V) -> Page<V> {
        let mut rows: Vec<(Uuid, S)> =
            items.map(|item| (id(&item), item)).filter(|(id, _)| self.before.is_none_or(|before| *id < before)).collect();
        rows.sort_unstable_by_key(|(id, _)| std::cmp::Reverse(*id));
        let next_cursor = rows.get(self.limit).and_then(|_| rows.get(self.limit - 1)).map(|(id, _)| id.to_string());
        Page { data: rows.iter().take(self.limit).map(|(_, item)| view(item)).collect(), next_cursor }
    }
}
