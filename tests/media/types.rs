//! What a file is said to be matters as little as it can: its bytes decide.

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::multipart::Part;
use serde_json::json;

use super::{CREATE_UPLOAD, FINISH_UPLOAD, Place, announce, announcement, put, start, worked_on};
use crate::harness::World;
use crate::harness::client::{code, picture, text};

/// As clients say it: phones, browsers, programs that don't know, and ones that are wrong.
const SAID: [&str; 9] = [
    "image/jpg",
    "image/pjpeg",
    "IMAGE/JPEG",
    "image/jpeg; charset=binary",
    "application/octet-stream",
    "Application/Octet-Stream; x=y",
    "binary/octet-stream",
    "image/png",
    "image/webp",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_bytes_of_a_part_decide() {
    let world = World::new().await;
    let (_, person) = start(&world).await;
    let client = &person.client;
    // Types that name no image are no better known than none.
    let said = SAID.into_iter().chain(["text/plain", "image/heic", "", "JPEG image", "image/"]);
    let mut parts: Vec<(String, Part)> = said
        .map(|said| {
            let headers =
                HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_str(said).expect("a header"))]);
            (said.to_owned(), Part::bytes(picture(64, 48)).file_name("IMG_0001").headers(headers))
        })
        .collect();
    parts.push(("nothing".to_owned(), Part::bytes(picture(64, 48)).file_name("IMG_0002")));
    for (said, part) in parts {
        let answer = client.upload_part(part, None).await;
        assert!(answer["errors"].is_null(), "{said}: {answer}");
        let media = text(&answer["data"]["uploadMedia"]["media"]["id"]);
        assert_eq!(worked_on(client, &media).await["state"], "READY", "{said}");
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_says_nothing_and_is_nothing_is_refused_at_once() {
    let world = World::new().await;
    let (app, person) = start(&world).await;
    let client = &person.client;
    for file in [&b"no picture"[..], b"GIF89a\x01\0\x01\0", b"\0\0\0\x18ftypheic"] {
        for said in ["application/octet-stream", "text/plain", "image/heic"] {
            let part = Part::bytes(file.to_vec()).mime_str(said).expect("a type");
            let answer = client.upload_part(part, None).await;
            assert_eq!(code(&answer).as_deref(), Some("MEDIA_REJECTED"), "{said}: {answer}");
        }
        let answer = client.upload_part(Part::bytes(file.to_vec()), None).await;
        assert_eq!(code(&answer).as_deref(), Some("MEDIA_REJECTED"), "{answer}");
    }
    assert!(super::keys(&app).await.is_empty());
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_may_be_announced_as_anything_that_can_be_an_image() {
    let world = World::new().await;
    let (app, person) = start(&world).await;
    let client = &person.client;
    let file = picture(64, 48);
    for said in SAID.into_iter().chain(["", " image/jpg "]) {
        let place = announce(client, said, &file).await;
        // A client that sends its own type is let in, as well as one that sends what it is told.
        let own = said.trim();
        if !own.is_empty() {
            assert_eq!(place.headers[0], ("content-type".to_owned(), own.to_owned()));
        }
        assert!(put(client, &place, &file).await, "{said}");
        client.data(FINISH_UPLOAD, json!({ "id": place.media })).await;
        assert_eq!(worked_on(client, &place.media).await["state"], "READY", "{said}");
        let sql = format!("select content_type from media where id = '{}'", place.media);
        let kept = text(&world.rows(world.owner(&place.media), &sql).await[0]["content_type"]);
        assert!(kept.starts_with("image/") || kept == "application/octet-stream", "{kept}");
    }
    // What was not signed is refused by the storage, whatever the bytes are.
    let place = announce(client, "image/jpg", &file).await;
    let other = Place {
        headers: place
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.replace("image/jpg", "image/jpeg")))
            .collect(),
        ..place
    };
    assert!(!put(client, &other, &file).await);
    for said in ["image/heic", "image/gif", "text/html", "video/mp4", "jpeg"] {
        let variables = json!({ "input": announcement(said, &file) });
        assert_eq!(client.code(CREATE_UPLOAD, variables).await, "MEDIA_REJECTED", "{said}");
    }
    drop(app);
    world.close().await;
}
