//! The paths as OpenAPI 3.1, made of the table that is served and of the types that are told.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::console;
use crate::gather::{Event, FlowsSeen, Overview, Point};
use crate::paths::{Answer, Path, Row, TABLE, Type, Verb, Where};

/// The last events.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct EventsTold {
    /// The newest first.
    pub(crate) events: Vec<Event>,
}

/// How much went on.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct HistoryTold {
    /// Of what.
    pub(crate) of: String,
    /// Over how many seconds.
    pub(crate) span_s: u64,
    /// So many seconds lie between two points.
    pub(crate) step_s: u64,
    /// The oldest first.
    pub(crate) points: Vec<Point>,
}

/// What edges said to a purge: for the description alone, they are told as they come.
#[derive(Serialize, JsonSchema)]
struct Receipts {
    /// Whether every edge that clients are sent to has acknowledged it.
    complete: bool,
    /// Every edge.
    edges: Vec<Receipt>,
}

/// What an edge said to a purge.
#[derive(Serialize, JsonSchema)]
struct Receipt {
    /// The edge.
    edge: String,
    /// Where the purge stands in its log.
    position: Option<u64>,
    /// Why it has not acknowledged.
    error: Option<String>,
    /// How long it took, milliseconds.
    ms: u64,
}

/// What has become of a drain.
#[derive(Serialize, JsonSchema)]
struct Drained {
    /// The edge.
    edge: String,
    /// Whether it asks for no new clients.
    draining: bool,
}

/// What is ordered to be purged: at least one of the first four.
#[derive(Serialize, JsonSchema)]
struct Order {
    /// URLs: every variant, over both schemes, with exactly this query.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<Vec<String>>,
    /// URLs without a query: what lies there and below.
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<Vec<String>>,
    /// Tags that origins gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<Vec<String>>,
    /// A site: alone all of it, else only what of the others is its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    site: Option<String>,
    /// Whether what is reached becomes stale instead of going.
    #[serde(skip_serializing_if = "Option::is_none")]
    soft: Option<bool>,
}

/// Which edge.
#[derive(Serialize, JsonSchema)]
struct Whom {
    /// Its id; this node's where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    edge: Option<String>,
}

/// The whole description.
pub(crate) fn describe() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.for_serialize().into_generator();
    let mut paths = Map::new();
    for row in &TABLE {
        let own = paths.entry(row.at).or_insert_with(|| json!({}));
        let method = if row.method == Verb::Get { "get" } else { "post" };
        if let Some(own) = own.as_object_mut() {
            own.insert(method.to_owned(), operation(row, &mut generator));
        }
    }
    for at in console::paths() {
        let answer = json!({ "200": { "description": "A file of the console." } });
        paths.insert(at, json!({ "get": { "summary": "The console.", "security": [], "responses": answer } }));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "hither",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What the admin address of a node, or of a whole fleet, answers. On loopback reading needs no token. \
                            Host must be an address or `localhost`.",
        },
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "The text of the file that `[admin] token` names." },
                "fleet": { "type": "apiKey", "in": "header", "name": fleet::HEADER, "description": "What nodes sign requests to each other with." },
            },
        },
    })
}

fn operation(row: &Row, generator: &mut SchemaGenerator) -> Value {
    let is_gap = |name: &str| row.at.contains(&format!("{{{name}}}"));
    let parameter = |name: &str, is_required: bool, meaning: &str| {
        let place = if is_gap(name) { "path" } else { "query" };
        json!({ "name": name, "in": place, "required": is_required, "description": meaning, "schema": { "type": "string" } })
    };
    let mut parameters: Vec<Value> =
        row.parameters.iter().map(|one| parameter(one.name, one.is_required, one.meaning)).collect();
    if is_gap("name") {
        parameters.push(parameter("name", true, "Which."));
    }
    let security = match (row.method, row.place) {
        (_, Where::Peer) => json!([{ "fleet": [] }, { "token": [] }]),
        (Verb::Post, _) => json!([{ "token": [] }, { "fleet": [] }]),
        // Free on loopback.
        (Verb::Get, _) => json!([{}, { "token": [] }, { "fleet": [] }]),
    };
    let mut operation = json!({
        "summary": row.meaning,
        "security": security,
        "responses": {
            "200": { "description": "It is done, or told.", "content": content(row.answer, generator) },
            "default": {
                "description": "It is refused, or failed: JSON with `error`, or a line of text.",
                "content": { "application/json": { "schema": { "type": "object", "properties": { "error": { "type": "string" } } } } },
            },
        },
    });
    if let Some(fields) = operation.as_object_mut() {
        if !parameters.is_empty() {
            fields.insert("parameters".to_owned(), parameters.into());
        }
        if let Some(schema) = body(row.path, generator) {
            let content = json!({ "application/json": { "schema": schema } });
            fields.insert("requestBody".to_owned(), json!({ "required": true, "content": content }));
        }
    }
    operation
}

fn body(path: Path, generator: &mut SchemaGenerator) -> Option<Schema> {
    match path {
        Path::Purge => Some(generator.subschema_for::<Order>()),
        Path::Drain | Path::Undrain => Some(generator.subschema_for::<Whom>()),
        Path::Challenge => Some(Schema::default()),
        _ => None,
    }
}

fn content(answer: Answer, generator: &mut SchemaGenerator) -> Value {
    let json_of = |schema: Schema| json!({ "application/json": { "schema": schema } });
    match answer {
        Answer::Json(kind) => json_of(schema(kind, generator)),
        Answer::AnyJson => json_of(Schema::default()),
        Answer::Text(kind) => json!({ kind: { "schema": { "type": "string" } } }),
        Answer::EventsOrStream => json!({
            "application/json": { "schema": generator.subschema_for::<EventsTold>() },
            "text/event-stream": { "schema": { "type": "string" } },
        }),
    }
}

fn schema(kind: Type, generator: &mut SchemaGenerator) -> Schema {
    match kind {
        Type::Overview => generator.subschema_for::<Overview>(),
        Type::Flows => generator.subschema_for::<FlowsSeen>(),
        Type::History => generator.subschema_for::<HistoryTold>(),
        Type::Receipts => generator.subschema_for::<Receipts>(),
        Type::Drained => generator.subschema_for::<Drained>(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn what_is_served_is_described_and_the_reverse() {
        let described = describe();
        let paths = described["paths"].as_object().unwrap();
        let told: BTreeSet<(String, String)> = paths
            .iter()
            .flat_map(|(at, own)| own.as_object().unwrap().keys().map(move |method| (at.clone(), method.clone())))
            .collect();
        let method = |row: &Row| row.method.method().as_str().to_lowercase();
        let served = TABLE.iter().map(|row| (row.at.to_owned(), method(row)));
        let files = console::paths().map(|at| (at, "get".to_owned()));
        assert_eq!(told, served.chain(files).collect());
    }

    #[test]
    fn every_type_that_is_named_is_described() {
        let described = describe();
        let schemas = described["components"]["schemas"].as_object().unwrap();
        for name in ["Overview", "EdgeSeen", "Rates", "Event", "Flow", "Order", "Receipt"] {
            assert!(schemas.contains_key(name), "{name}: {:?}", schemas.keys());
        }
        let text = described.to_string();
        for reference in text.split("\"$ref\":\"").skip(1) {
            let named = reference.split('"').next().unwrap();
            let name = named.strip_prefix("#/components/schemas/").unwrap_or_else(|| panic!("{named}"));
            assert!(schemas.contains_key(name), "{name}");
        }
        assert!(schemas["EdgeSeen"]["properties"]["unreachable"].is_object(), "{:#}", schemas["EdgeSeen"]);
        let plot = &described["paths"]["/plots/{name}.svg"]["get"]["parameters"];
        assert!(plot.as_array().unwrap().iter().any(|one| one["in"] == "path" && one["required"] == true), "{plot}");
    }
}
