//! Typing indicators: sent to current listeners, never stored.

use time::Duration;

use crate::domain::Domain;
use crate::domain::viewer::Viewer;
use crate::model::event::typing_subject;
use crate::model::id::ConversationId;
use crate::model::typing::Typing;
use crate::model::{Error, Result, clock};

/// How long a typing signal lasts.
const LASTS: Duration = Duration::seconds(6);

impl Domain {
    /// Signals that the viewer, who must be able to read the conversation, is typing. Lost if there is no
    /// listener or NATS is down.
    pub async fn set_typing(&self, viewer: &Viewer, id: ConversationId) -> Result<()> {
        self.require_conversation(Some(viewer), id).await?;
        let typing = Typing { user: viewer.user, until: clock::to_millis(self.clock.now() + LASTS) };
        let payload = serde_json::to_string(&typing).map_err(Error::internal)?;
        self.bus.publish_core(&typing_subject(id), payload).await;
        Ok(())
    }
}
