//! What people change about themselves.

use std::sync::Arc;

use url::Url;

use super::sign_up::FULL_NAME;
use crate::domain::Domain;
use crate::domain::media::upload::why_unusable;
use crate::domain::patch::Patch;
use crate::domain::text::{self, Username};
use crate::domain::viewer::Viewer;
use crate::model::claim::Name;
use crate::model::event::Event;
use crate::model::id::{MediaId, UserId};
use crate::model::{Error, Result};
use crate::store::{Tx, media, user};

/// Characters in a text about oneself.
const BIO: usize = 500;
/// Characters in the address of a website.
const WEBSITE: usize = 200;

/// What is to be changed.
#[derive(Debug, Default)]
pub struct ProfileChange {
    pub username: Patch<String>,
    pub full_name: Patch<String>,
    pub bio: Patch<String>,
    pub website: Patch<String>,
    pub avatar: Patch<MediaId>,
    pub is_private: Patch<bool>,
}

/// The same, checked.
struct Checked {
    username: Option<Username>,
    full_name: Patch<String>,
    bio: Patch<String>,
    website: Patch<String>,
    avatar: Patch<MediaId>,
    is_private: Option<bool>,
}

/// A change of name under way: what the user's row was when it began.
struct Rename {
    from: String,
    fence: i32,
}

impl Domain {
    /// Changes the fields that are mentioned; all of them or none.
    pub async fn update_profile(&self, viewer: &Viewer, change: ProfileChange) -> Result<Arc<user::Model>> {
        let change = &check(change, &self.accounts.reserved_usernames)?;
        let Some(username) = &change.username else {
            return self.write_profile(viewer.user, change, None).await;
        };
        let user = self.viewer_account(viewer).await?;
        let rename = Rename { from: user.username.clone(), fence: user.name_fence };
        let name = Name::username(username);
        if name.is_of(&user) {
            // Another spelling of the same name: its claim stays as it is.
            return self.write_profile(viewer.user, change, Some(&rename)).await;
        }
        let held = self.hold(&name, viewer.user, Some(rename.fence)).await?;
        if let Some(former) = former_name(&user)
            && let Err(error) = self.rest(&former, viewer.user).await
        {
            self.release(&held).await;
            return Err(error);
        }
        match self.write_profile(viewer.user, change, Some(&rename)).await {
            Ok(user) => {
                self.confirm(&held).await;
                Ok(user)
            }
            // Whether it was written is not known; the reconciler looks.
            Err(error) if error.is_transient() => Err(error),
            Err(error) => {
                self.release(&held).await;
                Err(error)
            }
        }
    }

    async fn write_profile(
        &self,
        id: UserId,
        change: &Checked,
        rename: Option<&Rename>,
    ) -> Result<Arc<user::Model>> {
        self.write(id, id.slot(), |tx| async move {
            let mut user = user::lock(&tx, id).await?.ok_or(Error::Unauthenticated)?;
            if let (Some(rename), Some(username)) = (rename, &change.username) {
                if user.name_fence != rename.fence || user.username != rename.from {
                    return Err(Error::Conflict("The username was changed by another request; try again."));
                }
                username.as_str().clone_into(&mut user.username);
                user.name_fence += 1;
            }
            change.full_name.apply(&mut user.full_name);
            change.bio.apply(&mut user.bio);
            change.website.apply(&mut user.website);
            check_avatar(&tx, &mut user, change.avatar).await?;
            let was_private = user.is_private;
            user.is_private = change.is_private.unwrap_or(was_private);
            user::update_profile(&tx, &user).await?;
            if was_private && !user.is_private {
                tx.emit(&Event::AccountOpened { user: id })?;
            }
            Ok(Arc::new(user))
        })
        .await
    }
}

/// Takes a ready image of the user that nothing else shows, and lets go of the one before.
async fn check_avatar(tx: &Tx, user: &mut user::Model, change: Patch<MediaId>) -> Result<()> {
    let next = match change {
        Patch::Keep => return Ok(()),
        Patch::Clear => None,
        Patch::Set(media) => Some(media),
    };
    if next == user.avatar() {
        return Ok(());
    }
    if let Some(image) = next
        && !media::use_all(tx, user.id(), &[image], user.id).await?
    {
        return Err(why_unusable(tx, user.id(), &[image], "input.avatarId").await?);
    }
    if let Some(former) = user.avatar_id {
        media::release(tx, user.id, &[former]).await?;
    }
    user.avatar_id = next.map(MediaId::uuid);
    Ok(())
}

fn former_name(user: &user::Model) -> Option<Name> {
    Username::parse("username", &user.username).ok().map(|username| Name::username(&username))
}

fn check(change: ProfileChange, reserved: &[String]) -> Result<Checked> {
    let username = match change.username {
        Patch::Keep => None,
        Patch::Clear => return Err(Error::invalid("input.username", "can't be removed")),
        Patch::Set(text) => Some(Username::parse_new("input.username", &text, reserved)?),
    };
    Ok(Checked {
        username,
        full_name: change
            .full_name
            .read(|text| text::optional_line("input.fullName", Some(text), FULL_NAME))?,
        bio: change.bio.read(|text| text::optional("input.bio", Some(text), BIO))?,
        website: change.website.read(website)?,
        avatar: change.avatar,
        is_private: match change.is_private {
            Patch::Keep => None,
            Patch::Clear => return Err(Error::invalid("input.isPrivate", "must be true or false")),
            Patch::Set(is_private) => Some(is_private),
        },
    })
}

/// The address as the parser writes it, so that it can't be read in two ways.
fn website(text: &str) -> Result<Option<String>> {
    let bad = || Error::invalid("input.website", "is not an http(s) address");
    let Some(text) = text::optional_line("input.website", Some(text), WEBSITE)? else { return Ok(None) };
    let url = Url::parse(&text).map_err(|_| bad())?;
    if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some() {
        return Err(bad());
    }
    let text = String::from(url);
    if text.len() > WEBSITE {
        return Err(Error::invalid("input.website", format!("is longer than {WEBSITE} characters")));
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_website_is_http_and_names_no_one() {
        assert_eq!(website("https://Ada.ORG").expect("good").as_deref(), Some("https://ada.org/"));
        assert_eq!(website("  ").expect("blank"), None);
        let long = format!("https://a.org/{}", "é".repeat(100));
        for bad in ["ada.org", "javascript:alert(1)", "ftp://a.org", "https://a:b@c.org", "http://", &long] {
            assert!(website(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_not_mentioned_stays() {
        let kept = check(ProfileChange::default(), &[]).expect("nothing");
        assert!(kept.username.is_none() && kept.bio == Patch::Keep);
        let change = ProfileChange { bio: Patch::Set("  ".to_owned()), ..ProfileChange::default() };
        assert_eq!(check(change, &[]).expect("blank").bio, Patch::Clear);
        let change = ProfileChange { username: Patch::Clear, ..ProfileChange::default() };
        assert!(check(change, &[]).is_err());
    }
}
