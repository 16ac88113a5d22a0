//! Builds Kenger's image where no registry of images can be reached: the base images are made from
//! Debian's packages and this machine's own Rust toolchain, and handed to the Dockerfile as build
//! arguments. The Dockerfile's own stages run as they are.

mod base;
mod engine;

use std::path::Path;

use engine::Engine;
pub(crate) use engine::engine_answers;

/// The name of the image that the tests start.
const IMAGE: &str = "kenger-test/kenger:latest";

/// Builds the image from the repository's Dockerfile and returns its name.
///
/// # Errors
///
/// When a base image or the image itself cannot be built.
pub(crate) fn build_image(root: &Path, target: &Path) -> Result<String, String> {
    let cache = target.join("docker");
    std::fs::create_dir_all(&cache).map_err(|error| format!("{}: {error}", cache.display()))?;
    let engine = Engine;
    let runtime = base::runtime(&engine, &cache)?;
    let builder = base::builder(&engine, root, &cache)?;
    let arguments = [("BUILD_IMAGE", builder.as_str()), ("RUNTIME_IMAGE", &runtime), ("PROFILE", "dev")];
    engine.build(root, IMAGE, &arguments)?;
    Ok(IMAGE.to_owned())
}
