//! Who is typing: told to those who are there, and never stored.

use time::Duration;

use crate::domain::Domain;
use crate::domain::viewer::Viewer;
use crate::model::event::typing_subject;
use crate::model::id::ConversationId;
use crate::model::typing::Typing;
use crate::model::{Error, Result, clock};

/// For how long somebody counts as typing who has said so once.
const LASTS: Duration = Duration::seconds(6);

impl Domain {
    /// Says that the viewer is typing in a conversation; whoever may read it may. Lost where nobody listens,
    /// or NATS is away.
    pub async fn set_typing(&self, viewer: &Viewer, id: ConversationId) -> Result<()> {
        self.require_conversation(Some(viewer), id).await?;
        let typing = Typing { user: viewer.user, until: clock::to_millis(self.clock.now() + LASTS) };
        let payload = serde_json::to_string(&typing).map_err(Error::internal)?;
        self.bus.publish_core(&typing_subject(id), payload).await;
        Ok(())
    }
}
