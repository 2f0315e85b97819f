//! Lambda-style authorizers.

mod answer;
mod builder;
mod cache;
mod error;
mod event;
mod flight;
mod function;
mod future;
mod handle;
mod identity;
mod judge;
mod key;
mod lambda;
mod layer;
mod query;

pub use answer::AuthorizerAnswer;
pub use builder::{AuthorizerBuilder, PayloadFormat};
pub use error::AuthorizerError;
pub use event::AuthorizerEvent;
pub use function::{AuthorizerFn, authorizer_fn};
pub use future::AuthorizerFuture;
pub use handle::Authorizer;
pub use lambda::LambdaInvoke;
pub use layer::{AuthorizerLayer, AuthorizerService};
