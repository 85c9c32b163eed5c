//! Files: the GraphQL multipart request specification, for one file.

use std::collections::HashMap;
use std::io::Seek as _;

use async_graphql::{Request, UploadValue};
use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use multer::{Constraints, Field, Multipart, SizeLimit};
use tokio::io::AsyncWriteExt as _;

use super::body::{bad, declared};
use super::reply::Answer;
use crate::model::Error;

/// Room for the parts' headers and the map.
const OVERHEAD: u64 = 16 * 1024;
const MAP_BYTES: u64 = 4 * 1024;
/// A page can send multipart without asking first, so one of these headers must be there, which a page
/// can't add without.
const PREFLIGHT: [&str; 3] = ["graphql-require-preflight", "apollo-require-preflight", "x-requested-with"];

/// The parts of such a request: the operation's JSON, the file, and the variable that it goes to.
pub struct Form {
    pub operations: Bytes,
    path: String,
    file: UploadValue,
}

/// The largest parts.
#[derive(Clone, Copy)]
pub struct FormLimits {
    pub json: u64,
    pub file: u64,
}

pub fn is_preflighted(headers: &HeaderMap) -> bool {
    PREFLIGHT.iter().any(|name| headers.contains_key(*name))
}

/// Reads the form; its file goes to a temporary file as it comes in.
pub async fn read(
    headers: &HeaderMap,
    body: Body,
    boundary: String,
    limits: FormLimits,
) -> Result<Form, Answer> {
    let whole = limits.json + limits.file + OVERHEAD;
    if declared(headers).is_some_and(|length| length > whole) {
        return Err(Answer::too_large(limits.file));
    }
    let sizes = SizeLimit::new()
        .whole_stream(whole)
        .per_field(limits.file)
        .for_field("operations", limits.json)
        .for_field("map", MAP_BYTES);
    let stream = body.into_data_stream();
    let mut form = Multipart::with_constraints(stream, boundary, Constraints::new().size_limit(sizes));
    let fault = |error| fault(&error, limits);
    let operations =
        named(form.next_field().await.map_err(fault)?, "operations")?.bytes().await.map_err(fault)?;
    let map = named(form.next_field().await.map_err(fault)?, "map")?.bytes().await.map_err(fault)?;
    let map: HashMap<String, Vec<String>> =
        serde_json::from_slice(&map).map_err(|_| bad("The part map is not an object of lists."))?;
    let Some((name, [path])) = map.iter().next().map(|(name, paths)| (name, &**paths)) else {
        return Err(bad("The part map must give one file to one variable."));
    };
    if map.len() > 1 {
        return Err(bad("A request takes one file."));
    }
    let field = named(form.next_field().await.map_err(fault)?, name)?;
    let file = save(field, limits).await?;
    if form.next_field().await.map_err(fault)?.is_some() {
        return Err(bad("A request takes one file."));
    }
    Ok(Form { operations, path: path.clone(), file })
}

impl Form {
    /// Puts the file where the map says it belongs.
    pub fn attach(
        self,
        incoming: &mut crate::graphql::request::Incoming<'_>,
    ) -> Result<Vec<UploadValue>, Answer> {
        let mut request = Request::new(String::new()).variables(std::mem::take(&mut incoming.variables));
        request.set_upload(&self.path, self.file);
        incoming.variables = request.variables;
        if request.uploads.is_empty() {
            return Err(bad("The part map names no variable of the operation."));
        }
        Ok(request.uploads)
    }
}

fn named<'a>(field: Option<Field<'a>>, name: &str) -> Result<Field<'a>, Answer> {
    field
        .filter(|field| field.name() == Some(name))
        .ok_or_else(|| bad("The parts must be: operations, map, and then the file that the map names."))
}

async fn save(mut field: Field<'_>, limits: FormLimits) -> Result<UploadValue, Answer> {
    let filename = field.file_name().unwrap_or_default().to_owned();
    let content_type = field.content_type().map(ToString::to_string);
    let file = tokio::task::spawn_blocking(tempfile::tempfile).await.map_err(Error::internal)?;
    let mut file = tokio::fs::File::from_std(file.map_err(Error::internal)?);
    while let Some(chunk) = field.chunk().await.map_err(|error| fault(&error, limits))? {
        file.write_all(&chunk).await.map_err(Error::internal)?;
    }
    file.flush().await.map_err(Error::internal)?;
    let mut content = file.into_std().await;
    content.rewind().map_err(Error::internal)?;
    Ok(UploadValue { filename, content_type, content })
}

fn fault(error: &multer::Error, limits: FormLimits) -> Answer {
    match error {
        multer::Error::FieldSizeExceeded { field_name: Some(name), .. } if name == "operations" => {
            Answer::too_large(limits.json)
        }
        multer::Error::FieldSizeExceeded { .. } | multer::Error::StreamSizeExceeded { .. } => {
            Answer::too_large(limits.file)
        }
        _ => bad("The multipart body is broken."),
    }
}
