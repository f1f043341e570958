//! What is measured: `synod` itself.

pub mod commit;
pub mod decree;
pub mod wire;
