//! Lists by page. A page token is opaque, and holds the keyset's last key, sealed with a MAC over
//! route, tenant and filters: altered, foreign or forged ones are refused.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::shape::{Text, Whole};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{Call, take};
use crate::problem::{Code, Problem};

/// `pageSize` of a list.
pub type PageSize = Whole<1, 1000>;
/// `pageToken` of a list.
pub type PageToken = Text<1, 1024>;

/// Bytes of the MAC that a token carries.
const MAC_BYTES: usize = 16;

/// The two parameters that every list has.
pub trait PageQuery {
    /// `pageSize`.
    fn page_size(&self) -> PageSize;
    /// `pageToken`.
    fn page_token(&self) -> Option<&PageToken>;
}

/// Gives a query type its page parameters, which must be called `page_size` and `page_token`.
macro_rules! paged {
    ($($query:ty),+) => {$(
        impl $crate::call::PageQuery for $query {
            fn page_size(&self) -> $crate::call::PageSize {
                self.page_size
            }
            fn page_token(&self) -> Option<&$crate::call::PageToken> {
                self.page_token.as_ref()
            }
        }
    )+};
}
pub(crate) use paged;

/// `pageSize` when it is left out.
#[expect(clippy::expect_used, reason = "50 lies in the range")]
pub fn default_page_size() -> PageSize {
    PageSize::new(50).expect("a page size")
}

impl Call {
    /// The token of the page after the one that ends with this key.
    pub(super) fn next_page(&self, last_key: &[u8]) -> String {
        let mut sealed = self.page_mac(last_key).to_vec();
        sealed.extend_from_slice(last_key);
        URL_SAFE_NO_PAD.encode(sealed)
    }

    pub(super) fn open_token(&self, token: &str) -> Result<Vec<u8>, Problem> {
        let opened = URL_SAFE_NO_PAD.decode(token).ok().and_then(|sealed| {
            let (mac, key) = sealed.split_at_checked(MAC_BYTES)?;
            let same = subtle::ConstantTimeEq::ct_eq(mac, self.page_mac(key).as_slice());
            bool::from(same).then(|| key.to_vec())
        });
        opened.ok_or_else(|| {
            let detail =
                "The page token is not one of this list with these filters; begin without it.";
            Problem::new(Code::InvalidPageToken, detail)
        })
    }

    /// The MAC over a key, bound to the route, the tenant, the path and the filters.
    fn page_mac(&self, key: &[u8]) -> [u8; MAC_BYTES] {
        let mut filters =
            take::pairs(self.sent.query.as_deref().unwrap_or_default()).unwrap_or_default();
        filters.retain(|(name, _)| name != "pageToken" && name != "pageSize");
        filters.sort();
        let tenant = self.caller.tenant().map(|tenant| tenant.to_string()).unwrap_or_default();
        let path = self.sent.path.iter().map(|(_, value)| value.as_str());
        let filters = filters.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
        // Any key length is accepted by HMAC, so this cannot fail.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.app.config.server_key) else {
            return [0; MAC_BYTES];
        };
        for part in ["page", self.route.doc.id, &tenant].into_iter().chain(path).chain(filters) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac.update(key);
        let mut out = [0; MAC_BYTES];
        out.copy_from_slice(&mac.finalize().into_bytes()[..MAC_BYTES]);
        out
    }
}
