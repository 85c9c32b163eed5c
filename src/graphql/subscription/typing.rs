//! Who is typing in a conversation.

use async_graphql::{Context, ID, Result, SimpleObject, Subscription};
use futures_util::{Stream, StreamExt};

use crate::domain::Domain;
use crate::domain::viewer::Viewer;
use crate::graphql::context::ContextExt;
use crate::graphql::scalar::DateTime;
use crate::graphql::user::User;
use crate::live::{Signal, SignalEvent, Topic, signals};
use crate::model::Error;
use crate::model::clock::from_millis;
use crate::model::id::ConversationId;

/// A user who is typing. It is sent again while they go on.
#[derive(SimpleObject)]
pub struct Typing {
    user: User,
    until: DateTime,
}

#[derive(Default)]
pub struct TypingSubscription;

#[Subscription]
impl TypingSubscription {
    /// Who else is typing in a conversation; live only. It ends when the viewer may no longer read the conversation.
    async fn typing(
        &self,
        ctx: &Context<'_>,
        conversation_id: ID,
    ) -> Result<impl Stream<Item = Result<Typing>> + use<>> {
        let viewer = ctx.require_viewer()?.clone();
        let id = ConversationId::parse("conversationId", &conversation_id)?;
        let domain = ctx.domain().clone();
        may_read(domain.clone(), viewer.clone(), id).await?;
        let conversation = ctx.hub().attach(Topic::Conversation(id)).await?;
        let listener = ctx.hub().listen(Signal::Typing(id)).await;
        let (asks, asker) = (domain.clone(), viewer.clone());
        let allowed = move || may_read(asks.clone(), asker.clone(), id);
        Ok(signals(listener, Some(conversation), allowed).filter_map(move |said| {
            let (domain, viewer) = (domain.clone(), viewer.clone());
            async move {
                match said {
                    Ok(SignalEvent::Typing(typing)) if typing.user != viewer.user => {
                        shown(&domain, &viewer, typing).await.map(Ok)
                    }
                    Ok(_) => None,
                    Err(error) => Some(Err(error.into())),
                }
            }
        }))
    }
}

async fn may_read(domain: Domain, viewer: Viewer, id: ConversationId) -> Result<(), Error> {
    domain.require_conversation(Some(&viewer), id).await.map(|_| ())
}

/// As the viewer sees it; nothing, where the viewer may not see who it is.
async fn shown(domain: &Domain, viewer: &Viewer, typing: crate::model::typing::Typing) -> Option<Typing> {
    let (mut users, _) = domain.visible_users(Some(viewer), &[typing.user]).await;
    let user = users.remove(&typing.user)?.into();
    Some(Typing { user, until: from_millis(typing.until).into() })
}
