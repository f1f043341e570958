//! What is measured: `synod` itself.

pub mod commit;
pub mod decree;
