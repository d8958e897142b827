//! The published schemas, `docs/reference/schemas/`.

use std::{fs, path::Path};

use jsonschema::Resource;
use serde_json::Value;

fn schema(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/reference/schemas/{name}.schema.json"));
    serde_json::from_slice(&fs::read(path).unwrap_or_else(|e| panic!("{name}: {e}"))).unwrap()
}

/// Holds a message against the schema of this name.
pub fn conforms(name: &str, message: &Value) {
    let envelope = schema("envelope");
    let id = envelope["$id"].as_str().unwrap().to_owned();
    let options = jsonschema::options().with_resource(id, Resource::from_contents(envelope).unwrap());
    if let Err(e) = options.build(&schema(name)).unwrap().validate(message) {
        panic!("{name}: {e} at {}: {message}", e.instance_path);
    }
}
