//! Images against the objects in the storage.
//!
//! The storage lists keys in their order, which is that of slots; the rows of so many slots are held
//! meanwhile as are to be expected in [`HELD`].

use std::collections::{BTreeSet, HashMap};

use uuid::Uuid;

use super::target::Target;
use crate::blob::Object;
use crate::domain::media::{original_key, variant_key, widths_of};
use crate::model::id::MediaId;
use crate::model::media::State;
use crate::model::{Error, Result};
use crate::store::Slots;
use crate::store::audit::media::{self as audit, Image};

/// About how many images are held at once.
const HELD: usize = 20_000;
/// The most objects that the storage lists at once.
const OBJECTS: u16 = 1_000;
/// What the owner of an image reads whose objects are gone.
const LOST: &str = "its file was lost";

/// What a key says.
struct Key {
    media: MediaId,
    /// None for what was uploaded.
    width: Option<u32>,
}

impl Key {
    /// Only of keys that are exactly as they are made here: others may lie in the bucket, too.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/').skip(1);
        let media = MediaId::try_from(Uuid::try_parse(parts.next()?).ok()?).ok()?;
        let name = parts.next()?;
        let width = name.strip_suffix(".webp").and_then(|width| width.parse().ok());
        let made = width.map_or_else(|| original_key(media), |width| variant_key(media, width));
        (made == text).then_some(Self { media, width })
    }
}

pub(super) async fn look(target: &mut Target<'_>) -> Result<()> {
    let images = target.ask(async |connection| audit::count(&connection).await).await?;
    let owned: Vec<u16> = target.store().slots_of(target.shard).iter().collect();
    let rounds = usize::try_from(images).unwrap_or(0) / HELD + 1;
    for slots in owned.chunks(owned.len().div_ceil(rounds).max(1)) {
        for (first, last) in slots.iter().copied().collect::<Slots>().runs() {
            look_at(target, *first, *last).await?;
        }
    }
    Ok(())
}

/// Compares the images of these slots with the objects of these slots.
async fn look_at(target: &mut Target<'_>, first: u16, last: u16) -> Result<()> {
    let images = target.ask(async |connection| audit::of_slots(&connection, first, last).await).await?;
    target.looked(images.len());
    let mut held: HashMap<Uuid, (Image, BTreeSet<u32>)> =
        images.into_iter().map(|image| (image.id, (image, BTreeSet::new()))).collect();
    let mut after = format!("{first:04}/");
    loop {
        let objects = target.domain.blob.list("", Some(&after), OBJECTS).await?;
        let Some(end) = objects.last() else { break };
        after.clone_from(&end.key);
        // A digit comes behind a slash.
        let bound = format!("{last:04}0");
        let is_last = after >= bound;
        for object in objects.into_iter().filter(|object| object.key < bound) {
            target.looked(1);
            let Some(key) = Key::parse(&object.key) else { continue };
            match (held.get_mut(&key.media.uuid()), key.width) {
                (Some((image, seen)), Some(width)) if has(image, Some(width)) => _ = seen.insert(width),
                (Some((image, _)), width) if has(image, width) => {}
                _ => superfluous(target, &key, &object).await?,
            }
        }
        if is_last {
            break;
        }
    }
    for (image, seen) in held.into_values() {
        if widths(&image).any(|width| !seen.contains(&width)) {
            incomplete(target, image.id).await?;
        }
    }
    Ok(())
}

/// The sizes that an image must have.
fn widths(image: &Image) -> impl Iterator<Item = u32> + use<> {
    let is_ready = State::from_row(image.state) == State::Ready;
    let width = image.width.and_then(|width| u32::try_from(width).ok()).filter(|_| is_ready);
    width.into_iter().flat_map(widths_of)
}

/// Whether an image may have this object: anything until it is worked on, then what is shown.
fn has(image: &Image, width: Option<u32>) -> bool {
    match State::from_row(image.state) {
        State::AwaitingUpload | State::Processing => true,
        State::Ready => width.is_some_and(|width| widths(image).any(|wanted| wanted == width)),
        State::Failed => false,
    }
}

/// An object that no image has, unless it is too young, or went, or its row is somewhere after all.
async fn superfluous(target: &mut Target<'_>, key: &Key, object: &Object) -> Result<()> {
    if object.modified >= target.cutoff() {
        return Ok(());
    }
    let what = match find_anywhere(target, key.media).await? {
        None => "no image has it",
        Some(image) if image.updated_at < target.cutoff() && !has(&image, key.width) => {
            "its image does not need it"
        }
        Some(_) => return Ok(()),
    };
    if target.domain.blob.head(&object.key).await?.is_none() {
        return Ok(());
    }
    let delete = async { target.domain.blob.delete(std::slice::from_ref(&object.key)).await.map(|()| true) };
    let mended = target.mends(delete).await;
    target.fault(object.key.clone(), what.to_owned(), mended);
    Ok(())
}

/// An image's row, also where it lies in a shard that does not own it: its objects are not to be lost for
/// that.
async fn find_anywhere(target: &Target<'_>, id: MediaId) -> Result<Option<Image>> {
    for shard in 0..target.store().shards().len() {
        let find = async |connection| audit::find(&connection, id).await;
        if let Some(image) = target.store().read_shard(shard, find).await? {
            return Ok(Some(image));
        }
    }
    Ok(None)
}

/// An image that lacks a size. One that is lost is made of the nearest that is left; where none is, the
/// image is marked as failed, so that its owner sees it.
async fn incomplete(target: &mut Target<'_>, id: Uuid) -> Result<()> {
    let id = MediaId::from_row(id);
    let Some(image) = target.ask(async |connection| audit::find(&connection, id).await).await? else {
        return Ok(());
    };
    if image.updated_at >= target.cutoff() {
        return Ok(());
    }
    let (mut there, mut lost) = (Vec::new(), Vec::new());
    for width in widths(&image) {
        match target.domain.blob.head(&variant_key(id, width)).await? {
            Some(_) => there.push(width),
            None => lost.push(width),
        }
    }
    if lost.is_empty() {
        return Ok(());
    }
    let mended = target.mends(Box::pin(restore(target, id, &there, &lost))).await;
    target.fault(id.to_string(), format!("has no file for the widths {lost:?}"), mended);
    Ok(())
}

async fn restore(target: &Target<'_>, id: MediaId, there: &[u32], lost: &[u32]) -> Result<bool> {
    for width in lost {
        // A wider one can be shown in the place of a narrower one, and in need the other way round.
        let nearest = there.iter().find(|other| *other > width).or(there.last());
        let Some(nearest) = nearest else {
            let give_up = |tx| async move { audit::give_up(&tx, id, LOST).await };
            return target.store().tx(id.slot(), give_up).await;
        };
        let largest = target.domain.limits.max_image_bytes;
        let file = target.domain.blob.get(&variant_key(id, *nearest), largest).await?;
        let file = file.ok_or(Error::NotFound("object"))?;
        target.domain.put_variant(id, *width, file.to_vec()).await?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Clock;
    use crate::model::id::Slot;

    #[test]
    fn only_keys_as_they_are_made_are_read() {
        let id = MediaId::make(&Clock::system(), Slot::new(7).expect("a slot"));
        assert_eq!(Key::parse(&variant_key(id, 320)).expect("a key").width, Some(320));
        assert_eq!(Key::parse(&original_key(id)).expect("a key").width, None);
        let other = format!("0008/{id}/original");
        for wrong in ["backup.tar", "0007/x/original", &other, &format!("{}x", original_key(id))] {
            assert!(Key::parse(wrong).is_none(), "{wrong}");
        }
    }
}
