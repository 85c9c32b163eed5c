//! The demo people, doing what the plan says: nothing here writes a row that they could not write
//! themselves.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use futures_util::future::try_join_all;
use imaging::landscape::Picture;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::plan::{Person, Place, Plan};
use super::size::{DEMO_PASSWORD, Size};
use super::words;
use crate::domain::Domain;
use crate::domain::account::session::Origin;
use crate::domain::account::{NewAccount, ProfileChange};
use crate::domain::conversation::message::{NewMessage, Target};
use crate::domain::media::ImageType;
use crate::domain::patch::Patch;
use crate::domain::post::NewPost;
use crate::domain::post::comment::NewComment;
use crate::domain::viewer::Viewer;
use crate::model::contact::ContactPolicy;
use crate::model::id::{MediaId, PostId, SessionId};
use crate::model::idempotency::IdempotencyKey;
use crate::model::idempotency::Request;
use crate::model::media::State;
use crate::model::page::{MAX_PAGE, Page};
use crate::model::{Error, Result};
use crate::store::user;

/// How many images are drawn at once: the machine has other things to do.
const PAINTERS: usize = 2;
const READY_PERIOD: Duration = Duration::from_millis(200);
const READY_TIMEOUT: Duration = Duration::from_mins(2);
/// A name that an interrupted sign-up holds is free after a minute.
const NAME_PERIOD: Duration = Duration::from_secs(3);
const NAME_TRIES: usize = 30;

/// The plan and what it is carried out with. Cheap to clone.
#[derive(Clone)]
pub struct Seeder {
    domain: Domain,
    plan: Arc<Plan>,
    painters: Arc<Semaphore>,
    /// What the idempotency keys begin with.
    keys: Arc<str>,
}

impl Seeder {
    pub fn new(domain: &Domain, plan: Arc<Plan>, size: &Size) -> Self {
        Self {
            domain: domain.clone(),
            plan,
            painters: Arc::new(Semaphore::new(PAINTERS)),
            keys: format!("seed-{}-{}-{}-{}", size.seed, size.users, size.posts, size.images).into(),
        }
    }

    /// Signs somebody of the plan up, with a profile.
    pub async fn join(self, person: usize) -> anyhow::Result<Viewer> {
        let person = &self.plan.people[person];
        let (viewer, user) = self.sign_up(person).await?;
        let has_profile = user.bio.is_some() || user.avatar().is_some();
        if has_profile || (person.bio.is_none() && person.avatar.is_none()) {
            return Ok(viewer);
        }
        let avatar = match person.avatar {
            Some(picture) => Patch::Set(self.image(&viewer, picture).await?),
            None => Patch::Keep,
        };
        let bio = person.bio.clone().map_or(Patch::Keep, Patch::Set);
        let change = ProfileChange { bio, avatar, ..ProfileChange::default() };
        self.domain.update_profile(&viewer, change).await?;
        Ok(viewer)
    }

    /// Makes the account, or finds it where it was made before.
    pub async fn sign_up(&self, person: &Person) -> anyhow::Result<(Viewer, Arc<user::Model>)> {
        let email = format!("{}@fowergram.example", person.username);
        for _ in 0..NAME_TRIES {
            if let Some(user) = self.domain.user_by_name(None, &person.username).await? {
                if user.email != email {
                    bail!("the username {} is somebody else's", person.username);
                }
                return Ok((viewer_of(&self.domain, &user), user));
            }
            let account = NewAccount {
                email: email.clone(),
                username: person.username.clone(),
                password: DEMO_PASSWORD.into(),
                full_name: Some(person.full_name.clone()),
            };
            match self.domain.sign_up(account, &Origin::default()).await {
                Ok(signed_in) => return Ok((signed_in.viewer, signed_in.user)),
                Err(Error::UsernameTaken | Error::EmailTaken) => sleep(NAME_PERIOD).await,
                Err(error) => return Err(error.into()),
            }
        }
        Err(anyhow!("the username {} stays taken", person.username))
    }

    /// An image that can be shown.
    async fn image(&self, owner: &Viewer, picture: Picture) -> anyhow::Result<MediaId> {
        let painter = self.painters.clone().acquire_owned().await?;
        let drawn = tokio::task::spawn_blocking(move || {
            let _painter = painter;
            picture.jpeg()
        });
        let file = drawn.await??;
        let mime = ImageType::Jpeg.as_mime();
        let id =
            self.domain.upload_media(owner, mime, file.into(), Some(words::alt(picture.scenery))).await?;
        timeout(READY_TIMEOUT, self.ready(id))
            .await
            .context("no image becomes ready; is a worker running?")?
    }

    async fn ready(&self, id: MediaId) -> anyhow::Result<MediaId> {
        loop {
            let row = self.domain.tables.media.get(id).await?.context("an upload is gone")?;
            match State::from_row(row.state) {
                State::Ready => return Ok(id),
                State::Failed => {
                    bail!("an image was refused: {}", row.failure.as_deref().unwrap_or_default())
                }
                State::AwaitingUpload | State::Processing => sleep(READY_PERIOD).await,
            }
        }
    }

    /// The author's posts by their captions.
    pub async fn posts_of(self, author: Viewer) -> anyhow::Result<HashMap<String, PostId>> {
        let mut posts = HashMap::new();
        let mut page = Page { size: MAX_PAGE, after: None, before: None, from_end: false };
        loop {
            let found = self.domain.posts_of(Some(&author), author.user, &page).await?;
            let found = found.context("an author does not see their own posts")?;
            let slice = found.slice;
            page.after = found.end.or_else(|| slice.items.last().map(|(place, _)| *place));
            posts.extend(slice.items.into_iter().filter_map(|(_, seen)| {
                let seen = seen?;
                Some((seen.post.caption.clone()?, PostId::from_row(seen.post.id)))
            }));
            if !slice.has_next {
                return Ok(posts);
            }
        }
    }

    /// Makes a post of the plan.
    pub async fn post(self, index: usize, author: Viewer) -> anyhow::Result<PostId> {
        let planned = &self.plan.posts[index];
        let images = planned.pictures.iter().map(|picture| self.image(&author, *picture));
        let new = NewPost {
            media: try_join_all(images).await?,
            caption: Some(planned.caption.clone()),
            location: planned.location.map(str::to_owned),
            comment_policy: ContactPolicy::Everyone,
            likes_disabled: false,
            sensitive: false,
        };
        // Not the whole input: taken up again, the same post has other images.
        let request = Request::new("createPost", self.key(&format!("p{index}"))?, &planned.caption)?;
        Ok(self.domain.create_post(&author, new.check()?, request).await?.id)
    }

    pub async fn follow(self, person: Viewer, followed: Viewer) -> anyhow::Result<()> {
        Ok(ignore_gone(self.domain.follow_user(&person, followed.user).await)?)
    }

    pub async fn like(self, person: Viewer, post: PostId) -> anyhow::Result<()> {
        Ok(ignore_gone(self.domain.set_like(&person, post, true).await)?)
    }

    /// Writes the comments of a post, one after the other, because some answer others. `index` is their
    /// place in the plan.
    pub async fn comments(self, index: usize, post: PostId, people: Arc<[Viewer]>) -> anyhow::Result<()> {
        let (_, comments) = &self.plan.comments[index];
        let mut written = Vec::with_capacity(comments.len());
        for (number, comment) in comments.iter().enumerate() {
            let parent = comment.answers.map(|answered| written[answered]);
            let new = NewComment { post, parent, text: comment.text.clone() }.check()?;
            let request = Request::new("createComment", self.key(&format!("c{index}-{number}"))?, &new)?;
            match self.domain.create_comment(&people[comment.author], new, request).await {
                Ok(created) => written.push(created.id),
                Err(error) => return Ok(ignore_gone(Err(error))?),
            }
        }
        Ok(())
    }

    /// Holds a conversation of the plan.
    pub async fn talk(self, index: usize, posts: Arc<[PostId]>, people: Arc<[Viewer]>) -> anyhow::Result<()> {
        let talk = &self.plan.talks[index];
        for (number, (speaker, text)) in talk.lines.iter().enumerate() {
            let to = match talk.place {
                Place::Direct(one, other) => {
                    Target::User(people[if *speaker == one { other } else { one }].user)
                }
                Place::Thread(post) => Target::Post(posts[post]),
            };
            let message = NewMessage::parse(to, Some(text), Vec::new(), None, None)?;
            let key = self.key(&format!("m{index}-{number}"))?;
            if let Err(error) = self.domain.send_message(&people[*speaker], key, message).await {
                return Ok(ignore_gone(Err(error))?);
            }
        }
        Ok(())
    }

    fn key(&self, name: &str) -> Result<IdempotencyKey> {
        IdempotencyKey::parse("key", &format!("{}-{name}", self.keys))
    }
}

/// The viewer that somebody would be who has signed in; no session is needed to act inside the process.
fn viewer_of(domain: &Domain, user: &user::Model) -> Viewer {
    let id = user.id();
    Viewer {
        user: id,
        session: SessionId::make(&domain.clock, id.slot()),
        expires_at: domain.clock.now() + time::Duration::days(1),
    }
}

/// People use the network while it is being filled: what they have deleted or closed is passed over.
fn ignore_gone(result: Result<()>) -> Result<()> {
    match result {
        Err(Error::NotFound(_) | Error::Forbidden(_)) => Ok(()),
        other => other,
    }
}
