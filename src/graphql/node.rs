//! Anything by its id: the id itself says what it is and where it lies.

use async_graphql::{Context, ID, Interface, Object, Result};
use futures_util::future::join_all;
use uuid::Uuid;

use super::comment::{self, Comment};
use super::context::ContextExt;
use super::conversation::{self, Conversation};
use super::error::add_error;
use super::media::Media;
use super::message::{self, Message};
use super::notification::{self, Notification};
use super::nullable::{Nullable, nullable};
use super::post::{self, Post};
use super::user::{self, User};
use crate::model::Error;
use crate::model::id::{CommentId, ConversationId, Kind, MediaId, MessageId, NotificationId, PostId, UserId};
use crate::model::page::MAX_PAGE;

/// An object that can be read by its id.
#[derive(Interface)]
#[graphql(field(name = "id", ty = "ID"))]
pub enum Node {
    User(User),
    Post(Post),
    Media(Media),
    Comment(Comment),
    Conversation(Conversation),
    Message(Message),
    Notification(Notification),
}

#[derive(Default)]
pub struct NodeQuery;

#[Object]
impl NodeQuery {
    async fn node(&self, ctx: &Context<'_>, id: ID) -> Nullable<Node> {
        nullable(async { load(ctx, parse("id", &id)?).await }).await
    }

    /// Up to 100 objects, in the order of the ids; null for one that does not exist or can't be read at the moment.
    async fn nodes(&self, ctx: &Context<'_>, ids: Vec<ID>) -> Nullable<Vec<Option<Node>>> {
        nullable(async {
            if ids.len() > MAX_PAGE as usize {
                return Err(Error::invalid("ids", format!("has more than {MAX_PAGE} ids")));
            }
            let ids: Vec<Uuid> = ids.iter().map(|id| parse("ids", id)).collect::<Result<_, Error>>()?;
            let mut away = None;
            let mut nodes = Vec::with_capacity(ids.len());
            for node in join_all(ids.into_iter().map(|id| load(ctx, id))).await {
                nodes.push(match node {
                    Err(error @ Error::ShardUnavailable) => {
                        away = Some(error);
                        None
                    }
                    node => node?,
                });
            }
            add_error(ctx, away);
            Ok(Some(nodes))
        })
        .await
    }
}

fn parse(field: &'static str, id: &str) -> Result<Uuid, Error> {
    let id = Uuid::try_parse(id.trim()).ok().filter(|id| Kind::of(*id).is_some());
    id.ok_or_else(|| Error::invalid(field, "is not an id"))
}

async fn load(ctx: &Context<'_>, id: Uuid) -> Result<Option<Node>, Error> {
    Ok(match Kind::of(id) {
        Some(Kind::User) => user::load(ctx, UserId::from_row(id)).await?.map(Node::User),
        Some(Kind::Post) => post::load(ctx, PostId::from_row(id)).await?.map(Node::Post),
        Some(Kind::Comment) => comment::load(ctx, CommentId::from_row(id)).await?.map(Node::Comment),
        Some(Kind::Conversation) => {
            conversation::load(ctx, ConversationId::from_row(id)).await?.map(Node::Conversation)
        }
        Some(Kind::Message) => message::load(ctx, MessageId::from_row(id)).await?.map(Node::Message),
        Some(Kind::Notification) => {
            notification::load(ctx, NotificationId::from_row(id)).await?.map(Node::Notification)
        }
        Some(Kind::Media) => own_media(ctx, MediaId::from_row(id)).await?.map(Node::Media),
        Some(Kind::Session | Kind::Event) | None => None,
    })
}

/// By itself an image is seen by its owner; others see it in what shows it.
async fn own_media(ctx: &Context<'_>, id: MediaId) -> Result<Option<Media>, Error> {
    let Some(viewer) = ctx.viewer() else { return Ok(None) };
    let row = ctx.loader().load_one(id).await?;
    Ok(row.filter(|row| row.owner() == viewer.user).map(Media::from))
}
