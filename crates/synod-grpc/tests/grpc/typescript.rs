//! The client in TypeScript.

use super::python::follows;

/// To make it run: `npm ci` in `clients/typescript`, whose script `prepare` compiles it.
#[ignore = "needs packages of Node"]
#[tokio::test(flavor = "multi_thread")]
async fn a_client_in_typescript_that_knows_the_founders_goes_on_when_all_of_them_are_replaced() {
    follows(["node", "../../clients/typescript/build/tests/follows.js"]).await;
}
