//! Where access keys are looked up: the trait, the one in memory, and functions.

use super::{credentials::Credentials, id_hash::IdHasher};
use crate::body::BoxError;
use arc_swap::ArcSwap;
use std::{
    collections::HashMap,
    fmt,
    future::Future,
    hash::BuildHasherDefault,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

/// The future of a look-up that has to wait. An error is no answer: the request is refused with 500.
pub type LookupFuture = Pin<Box<dyn Future<Output = Result<Option<Credentials>, BoxError>> + Send>>;

/// What a store answers.
#[allow(missing_debug_implementations, reason = "a future has no debug form")]
#[non_exhaustive]
pub enum Lookup {
    /// The access key is known.
    Found(Credentials),
    /// It is not, or no longer.
    Unknown,
    /// The answer has to be fetched.
    Pending(LookupFuture),
}

impl From<Option<Credentials>> for Lookup {
    fn from(found: Option<Credentials>) -> Self {
        found.map_or(Self::Unknown, Self::Found)
    }
}

/// Where [`SigV4AuthLayer`](super::SigV4AuthLayer) looks access keys up. An `Arc` of a store is a store.
///
/// It is asked only about requests whose date and scope are right. A store that knows the answer gives it at once:
/// then nothing is allocated and nothing awaited. See [`Credentials`] for why it should keep the values it gives out.
pub trait CredentialsStore: Send + Sync + 'static {
    /// The credentials of an access key.
    fn lookup(&self, access_key_id: &str) -> Lookup;
}

impl<T: CredentialsStore + ?Sized> CredentialsStore for Arc<T> {
    fn lookup(&self, access_key_id: &str) -> Lookup {
        (**self).lookup(access_key_id)
    }
}

/// Access keys in memory. A clone is a reference count, and the run-time API: add, rotate and remove keys, or
/// replace them all, while traffic flows. Readers never wait.
///
/// ```
/// use tower_gateway::sigv4::{Credentials, MemoryCredentialsStore};
///
/// let arn = "arn:aws:iam::111122223333:user/ada";
/// let store = MemoryCredentialsStore::new([Credentials::builder("AKIDEXAMPLE", "secret", arn).build()?]);
/// store.put(Credentials::builder("AKIDEXAMPLE", "rotated", arn).build()?);
/// assert_eq!(store.access_key_ids(), ["AKIDEXAMPLE"]);
/// assert!(store.remove("AKIDEXAMPLE"));
/// # Ok::<(), tower_gateway::ConfigError>(())
/// ```
#[derive(Clone, Default)]
pub struct MemoryCredentialsStore(Arc<Shared>);

/// By access key id.
type Table = HashMap<Box<str>, Credentials, BuildHasherDefault<IdHasher>>;

#[derive(Default)]
struct Shared {
    table: ArcSwap<Table>,
    /// Edits copy the table one after the other.
    edits: Mutex<()>,
}

impl MemoryCredentialsStore {
    /// Starts with these. Of two with one access key id the last counts.
    pub fn new(credentials: impl IntoIterator<Item = Credentials>) -> Self {
        let store = Self::default();
        store.replace_all(credentials);
        store
    }

    /// Adds an access key, or takes the place of the one with its id: a rotation.
    pub fn put(&self, credentials: Credentials) {
        self.edit(|table| drop(table.insert(credentials.access_key_id().into(), credentials)));
    }

    /// Removes an access key; `false` if there was none.
    pub fn remove(&self, access_key_id: &str) -> bool {
        self.edit(|table| table.remove(access_key_id).is_some())
    }

    /// Hot reload: from now on these and no others are known.
    pub fn replace_all(&self, credentials: impl IntoIterator<Item = Credentials>) {
        let keyed = |credentials: Credentials| (credentials.access_key_id().into(), credentials);
        let fresh = credentials.into_iter().map(keyed).collect();
        self.edit(|table| *table = fresh);
    }

    /// The ids of all access keys, sorted.
    pub fn access_key_ids(&self) -> Vec<String> {
        let mut ids: Vec<_> = self.0.table.load().keys().map(|id| id.to_string()).collect();
        ids.sort();
        ids
    }

    fn edit<T>(&self, change: impl FnOnce(&mut Table) -> T) -> T {
        let _one_at_a_time = self.0.edits.lock().unwrap_or_else(PoisonError::into_inner);
        let mut table = HashMap::clone(&self.0.table.load());
        let result = change(&mut table);
        self.0.table.store(Arc::new(table));
        result
    }
}

impl CredentialsStore for MemoryCredentialsStore {
    fn lookup(&self, access_key_id: &str) -> Lookup {
        self.0.table.load().get(access_key_id).cloned().into()
    }
}

impl fmt::Debug for MemoryCredentialsStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemoryCredentialsStore").field(&self.access_key_ids()).finish()
    }
}

/// A function as a store; it should be quick, and it must not block.
///
/// ```
/// use tower_gateway::sigv4::{Credentials, CredentialsFn};
///
/// let ada = Credentials::builder("AKIDEXAMPLE", "secret", "arn:aws:iam::111122223333:user/ada").build()?;
/// let store = CredentialsFn::new(move |id| (id == ada.access_key_id()).then(|| ada.clone()));
/// # Ok::<(), tower_gateway::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct CredentialsFn<F>(F);

impl<F> CredentialsFn<F>
where
    F: Fn(&str) -> Option<Credentials> + Send + Sync + 'static,
{
    /// Asks `find` about every access key.
    pub fn new(find: F) -> Self {
        Self(find)
    }
}

impl<F> CredentialsStore for CredentialsFn<F>
where
    F: Fn(&str) -> Option<Credentials> + Send + Sync + 'static,
{
    fn lookup(&self, access_key_id: &str) -> Lookup {
        (self.0)(access_key_id).into()
    }
}

impl<F> fmt::Debug for CredentialsFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CredentialsFn(fn)")
    }
}

/// An asynchronous function as a store. It is asked about every request: where that is dear, keep answers in a
/// store of your own.
#[derive(Clone)]
pub struct CredentialsAsyncFn<F>(F);

impl<F, Fut> CredentialsAsyncFn<F>
where
    F: Fn(String) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Option<Credentials>, BoxError>> + Send + 'static,
{
    /// Awaits `find` for every access key. An error refuses the request with 500.
    pub fn new(find: F) -> Self {
        Self(find)
    }
}

impl<F, Fut> CredentialsStore for CredentialsAsyncFn<F>
where
    F: Fn(String) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Option<Credentials>, BoxError>> + Send + 'static,
{
    fn lookup(&self, access_key_id: &str) -> Lookup {
        Lookup::Pending(Box::pin((self.0)(access_key_id.to_owned())))
    }
}

impl<F> fmt::Debug for CredentialsAsyncFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CredentialsAsyncFn(fn)")
    }
}
