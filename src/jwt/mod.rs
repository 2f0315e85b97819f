//! JWT and Cognito authorizers.

mod algorithm;
mod authorizer;
mod cache;
mod cognito;
mod engine;
mod error;
mod future;
mod hash;
mod jwk;
mod jwk_set;
mod layer;
mod refusal;
mod roca;
mod segments;
mod service;
mod signature;
mod source;
mod token_source;
mod verifier;

pub use crate::context::{ClaimStyle, Claims};
pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use authorizer::{JwtAuthorizer, JwtAuthorizerBuilder};
pub use cognito::{CognitoAuthorizer, CognitoAuthorizerBuilder, UserPool};
pub use error::{AlgorithmName, JwtError};
pub use future::TokenFuture;
pub use jwk::JwkProblem;
pub use jwk_set::{JwkSet, UnusedJwk};
pub use layer::{CognitoAuthorizerLayer, JwtAuthorizerLayer};
pub use refusal::TokenRefusal;
pub use service::TokenService;
pub use source::{JwkSource, JwksClient, RemoteJwks};
pub use verifier::{JwtVerifier, JwtVerifierBuilder};
