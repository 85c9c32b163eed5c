//! What happens after the answer: the relay, the effects of events, and periodic jobs.

pub mod backfill;
pub mod consumer;
pub mod dead;
pub mod jobs;
pub mod media;
pub mod reconcile;
pub mod relay;

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::MediaConfig;
use crate::domain::{Domain, notification};
use crate::model::Result;
use crate::model::event::Event;
use crate::store::migrate::backfill::ALL;
use consumer::Effect;
use media::ImageProcessor;

/// How many events are handled at once where several are handled together.
const IN_GROUPS: usize = 256;
/// The same for conversations, of which each has several members.
const CONVERSATIONS: usize = 64;

/// What follows from events, one entry each.
fn effects(processor: &ImageProcessor) -> Vec<Effect> {
    let feed = |event: &Event| matches!(event, Event::PostCreated { .. } | Event::PostDeleted { .. });
    let opened = |event: &Event| matches!(event, Event::AccountOpened { .. });
    let mirror = |event: &Event| matches!(event, Event::PostLiked { .. } | Event::UserFollowed { .. });
    let inbox = |event: &Event| matches!(event, Event::ConversationChanged { .. });
    let read = |event: &Event| matches!(event, Event::ConversationRead { .. });
    let uploaded = |event: &Event| matches!(event, Event::MediaUploaded { .. });
    let deleted = |event: &Event| matches!(event, Event::PostDeleted { .. });
    let permits = processor.permits();
    let processor = processor.clone();
    vec![
        Effect::new("feed", feed, |domain, _, event| async move {
            match event {
                Event::PostCreated { post, author, .. } => domain.fan_out(author, post).await,
                Event::PostDeleted { post, author, .. } => domain.withdraw(author, post).await,
                _ => Ok(()),
            }
        })
        .only("post.>")
        .at_once(IN_GROUPS),
        Effect::new("follow", opened, |domain, _, event| async move {
            match event {
                Event::AccountOpened { user } => domain.accept_all(user).await,
                _ => Ok(()),
            }
        })
        .only("user.opened"),
        Effect::new("hashtag", crate::domain::post::hashtag::concerns, |domain, _, event| async move {
            domain.index_hashtags(&event).await
        })
        .only("post.>"),
        Effect::new("inbox", inbox, |domain, _, event| async move {
            match event {
                Event::ConversationChanged { conversation, change, left, .. } => {
                    domain.follow_conversation(conversation, change, &left).await
                }
                _ => Ok(()),
            }
        })
        .only("conversation.>")
        .at_once(CONVERSATIONS),
        Effect::new("media", uploaded, move |domain, _, event| {
            let processor = processor.clone();
            async move {
                match event {
                    Event::MediaUploaded { media } => processor.work(&domain, media).await,
                    _ => Ok(()),
                }
            }
        })
        .only("media.>")
        .at_once(permits),
        Effect::new("mirror", mirror, |domain, _, event| async move {
            match event {
                Event::PostLiked { post, user, active, version, .. } => {
                    domain.mirror_like(post, user, active, version).await
                }
                Event::UserFollowed { user, follower, active, version, .. } => {
                    domain.mirror_follow(user, follower, active, version).await
                }
                _ => Ok(()),
            }
        })
        .at_once(IN_GROUPS),
        Effect::new("notification", notification::concerns, |domain, id, event| async move {
            domain.notify(id, &event).await
        })
        .at_once(IN_GROUPS),
        Effect::new("read", read, |domain, _, event| async move {
            match event {
                Event::ConversationRead { conversation, user, seq, at } => {
                    domain.show_read(conversation, user, seq, at).await
                }
                _ => Ok(()),
            }
        })
        .only("read.>"),
        Effect::new("purge", deleted, |domain, _, event| async move {
            match event {
                Event::PostDeleted { post, author, .. } => domain.purge_post(post, author).await,
                _ => Ok(()),
            }
        })
        .only("post.deleted"),
    ]
}

/// Starts the worker's parts; they end after `stopping`. The relay is not among them: it runs in every
/// process, for its own commits.
pub fn start(tasks: &TaskTracker, domain: &Domain, config: &MediaConfig, stopping: &CancellationToken) {
    tasks.spawn(domain.bus.clone().keep_streams(stopping.clone()));
    for effect in effects(&ImageProcessor::new(config)) {
        tasks.spawn(consumer::run(effect, domain.clone(), domain.bus.clone(), stopping.clone()));
    }
    // A loop for each shard, so that one that is down keeps no other waiting.
    for shard in 0..domain.store.shards().len() {
        let sweep = move |domain: Domain, stopping: CancellationToken| -> BoxFuture<'static, Result<()>> {
            Box::pin(async move { relay::sweep(&domain.store, &domain.bus, shard, &stopping).await })
        };
        schedule(tasks, domain, stopping, ("outbox", Duration::from_secs(1)), sweep);
        let collect = move |domain: Domain, _| -> BoxFuture<'static, Result<()>> {
            Box::pin(async move { domain.collect_media(shard).await.map(|_| ()) })
        };
        schedule(tasks, domain, stopping, ("media", Duration::from_mins(1)), collect);
        let rewrite = move |domain: Domain, stopping: CancellationToken| -> BoxFuture<'static, Result<()>> {
            Box::pin(async move { backfill::run(&domain.store.shards()[shard], ALL, &stopping).await })
        };
        schedule(tasks, domain, stopping, ("backfill", Duration::from_mins(1)), rewrite);
        let forget = move |domain: Domain, stopping: CancellationToken| -> BoxFuture<'static, Result<()>> {
            Box::pin(async move {
                stopping.run_until_cancelled(domain.purge_ended(shard)).await.unwrap_or(Ok(()))
            })
        };
        schedule(tasks, domain, stopping, ("groups", Duration::from_mins(5)), forget);
        tasks.spawn(reconcile::run(domain.clone(), shard, stopping.clone()));
    }
    let count_dead = |domain: Domain, _| -> BoxFuture<'static, Result<()>> {
        Box::pin(async move { dead::record(&domain.bus).await })
    };
    schedule(tasks, domain, stopping, ("dead", Duration::from_secs(15)), count_dead);
    let purge = |domain: Domain, _| -> BoxFuture<'static, Result<()>> {
        Box::pin(async move { jobs::purge(&domain.store).await })
    };
    schedule(tasks, domain, stopping, ("purge", Duration::from_mins(5)), purge);
}

fn schedule<F>(
    tasks: &TaskTracker,
    domain: &Domain,
    stopping: &CancellationToken,
    (name, period): (&'static str, Duration),
    work: F,
) where
    F: Fn(Domain, CancellationToken) -> BoxFuture<'static, Result<()>> + Send + Sync + 'static,
{
    let (domain, stop) = (domain.clone(), stopping.clone());
    let work = move || work(domain.clone(), stop.clone());
    tasks.spawn(jobs::every(period, name, stopping.clone(), work));
}
