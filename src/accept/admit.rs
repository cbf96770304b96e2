//! What takes something that has to be given back: caps, rate and quotas, room.

use std::time::Duration;

use tidings_core::{id::AppId, message::Message, time::Timestamp};

use super::{Accept, Refusal, limits::Counted, limits::Purse};
use crate::{
    control::{
        auth::Machine,
        model::{App, RecipientCap},
    },
    shared::allowance::{Calendar, Sent},
    store::Filter,
};

/// Messages to one recipient that are looked at, at most: a larger cap is hardly one.
const MOST_COUNTED: usize = 1_000;

impl Accept {
    pub(super) async fn admit(&self, sender: &Machine, message: &Message, purse: &mut Purse, now: Timestamp) -> Result<(), Refusal> {
        let app = &sender.app;
        self.heed_caps(app, message, now).await?;
        let refusal = match self.limits.take(app, purse, self, now).await {
            Ok(()) if self.room.enter(message.lane()) => return Ok(()),
            Ok(()) => {
                purse.put_back();
                self.metrics.shed(message.lane());
                Refusal::Overloaded
            }
            Err(refusal) => refusal,
        };
        self.not_sent_to(app, message);
        Err(refusal)
    }

    /// The message was admitted and is not sent after all.
    pub(super) fn not_admitted(&self, app: &App, message: &Message, purse: &mut Purse) {
        purse.put_back();
        self.not_sent_to(app, message);
    }

    fn caps<'a>(app: &'a App, message: &Message) -> impl Iterator<Item = &'a RecipientCap> + use<'a> {
        let category = message.category;
        app.recipient_caps.iter().filter(move |cap| cap.category == category)
    }

    async fn heed_caps(&self, app: &App, message: &Message, now: Timestamp) -> Result<(), Refusal> {
        for (taken, cap) in Self::caps(app, message).enumerate() {
            let stored = self.written_to(app.id, message, cap, now).await?;
            let recipient = self.capped(message)?;
            if let Err(refusal) = self.limits.take_recipient(app.id, cap, recipient, stored, now) {
                Self::caps(app, message).take(taken).for_each(|cap| self.limits.give_back_recipient(app.id, cap, recipient));
                return Err(refusal);
            }
        }
        Ok(())
    }

    fn not_sent_to(&self, app: &App, message: &Message) {
        for cap in Self::caps(app, message) {
            if let Ok(recipient) = self.capped(message) {
                self.limits.give_back_recipient(app.id, cap, recipient);
            }
        }
    }

    fn capped(&self, message: &Message) -> Result<[u8; 16], Refusal> {
        let snapshot = self.control.snapshot();
        let lookup = snapshot.opened().lookup().ok_or(Refusal::NoRights)?;
        Ok(lookup.hash(&[b"recipient cap", message.to.expose().as_bytes()]))
    }

    /// How often the store says that the recipient was written to within a cap's window, and when first.
    async fn written_to(
        &self,
        app: AppId,
        message: &Message,
        cap: &RecipientCap,
        now: Timestamp,
    ) -> Result<(u32, Option<Timestamp>), Refusal> {
        let filter = Filter {
            app: Some(app),
            to: Some(message.to.clone()),
            category: Some(cap.category),
            from: Some(now - Duration::from_secs(cap.window_s.into())),
            ..Filter::default()
        };
        let most = usize::try_from(cap.max).unwrap_or(MOST_COUNTED).min(MOST_COUNTED);
        let page = self.messages.list(&filter, None, most).await?;
        Ok((u32::try_from(page.rows.len()).unwrap_or(u32::MAX), page.rows.last().map(|record| record.message.accepted_at)))
    }
}

impl Counted for Accept {
    async fn count(&self, app: AppId) -> Option<Sent> {
        let calendar = Calendar::of(self.clock.now());
        let count = async |since| match self.messages.count_accepted(app, since).await {
            Ok(count) => Some(count),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "what an app has sent could not be counted: it counts from now");
                None
            }
        };
        Some(Sent { today: count(calendar.day_began()).await?, this_month: count(calendar.month_began()).await? })
    }
}
