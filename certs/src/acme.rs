//! Getting a certificate from an authority (ACME, RFC 8555).

use std::path::Path;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use config::{Acme, limits, write_private};
use data_encoding::BASE64URL_NOPAD;
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, CertificateIdentifier, ChallengeType, Error, ExternalAccountKey,
    Identifier, NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::due::Renewal;
use crate::held::Held;
use crate::wanted::Wanted;

/// How an authority is shown that a name is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// By a TXT record of this name, in a zone of ours (RFC 8555 §8.4).
    Dns(String),
    /// At the name itself, over clear HTTP (RFC 8555 §8.3).
    Http,
    /// At the name itself, which this is, in a TLS handshake (RFC 8737).
    Tls(String),
}

/// What an authority will look for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Challenge {
    /// A TXT record.
    Dns {
        /// Its name.
        name: String,
        /// Its text.
        value: String,
    },
    /// A file at `/.well-known/acme-challenge/TOKEN`.
    Http {
        /// The last segment of its path.
        token: String,
        /// Its text.
        authorization: String,
    },
    /// A certificate that is shown to who asks for one of this kind.
    Tls {
        /// The name that it is for.
        name: String,
        /// What it holds, in base64url.
        digest: String,
    },
}

/// Puts an answer wherever an authority may ask.
pub trait Publish: Send + Sync {
    /// Resolves once every node has it that can be reached; an error says who does not take it.
    fn publish(&self, challenge: Challenge) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>>;
}

/// An account at an authority.
pub struct Authority {
    directory: String,
    account: Account,
}

/// Authorities take up to a minute to look.
const PATIENCE: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(500)).backoff(1.5).timeout(Duration::from_secs(120));

impl Authority {
    /// Opens the account that is kept in a directory, or makes one and keeps it.
    ///
    /// Beside it why it cannot be kept, if so.
    ///
    /// # Errors
    /// The authority cannot be reached, or makes no account.
    pub async fn open(acme: &Acme, contact: &str, dir: &Path) -> Result<(Self, Option<String>), String> {
        let builder = Account::builder_with_http(Box::new(Client::new(acme)?));
        let name: String =
            acme.directory.chars().map(|char| if char.is_ascii_alphanumeric() { char } else { '_' }).collect();
        let path = dir.join(format!("{name}.json"));
        let kept =
            std::fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str::<AccountCredentials>(&text).ok());
        if let Some(kept) = kept {
            let account = builder.from_credentials(kept).await.map_err(|error| told(&error))?;
            return Ok((Self { directory: acme.directory.clone(), account }, None));
        }
        let external = acme.account.as_ref().map(|account| {
            let key = BASE64URL_NOPAD.decode(account.key.as_bytes());
            key.map(|key| ExternalAccountKey::new(account.id.clone(), &key))
        });
        let external =
            external.transpose().map_err(|error| format!("`key` of [acme.account] is no base64url: {error}"))?;
        let contact = format!("mailto:{contact}");
        let new = NewAccount { contact: &[&contact], terms_of_service_agreed: true, only_return_existing: false };
        let made = builder.create(&new, acme.directory.clone(), external.as_ref()).await;
        let (account, credentials) = made.map_err(|error| told(&error))?;
        let text = serde_json::to_string(&credentials).map_err(|error| error.to_string())?;
        let unwritten = write_private(&path, &text).map_err(|error| format!("{}: {error}", path.display())).err();
        Ok((Self { directory: acme.directory.clone(), account }, unwritten))
    }

    /// Gets a certificate for a name; `before` is the one it replaces.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn issue(
        &self,
        wanted: &Wanted,
        before: Option<&Held>,
        way: &Way,
        publish: &dyn Publish,
    ) -> Result<Held, String> {
        let mut order = self.order(wanted, before).await.map_err(|error| told(&error))?;
        self.prove(&mut order, way, publish).await?;
        let status = order.poll_ready(&PATIENCE).await.map_err(|error| told(&error))?;
        if status != OrderStatus::Ready {
            return Err(refusal(&mut order).await);
        }
        let key = order.finalize().await.map_err(|error| told(&error))?;
        let chain = order.poll_certificate(&PATIENCE).await.map_err(|error| told(&error))?;
        Held::of(&wanted.name, &self.directory, &chain, &key)
            .map_err(|error| format!("the certificate that came cannot be used: {error}"))
    }

    async fn order(&self, wanted: &Wanted, before: Option<&Held>) -> Result<Order, Error> {
        let names = [Identifier::Dns(wanted.name.clone())];
        if let Some(replaced) = before.and_then(identifier) {
            // RFC 9773 §5: an order that says so is not counted where authorities count.
            match self.account.new_order(&NewOrder::new(&names).replaces(replaced)).await {
                // Of one more it would say the same.
                Err(Error::Api(problem)) if problem.to_string().contains("rateLimited") => {
                    return Err(Error::Api(problem));
                }
                // An authority without that, or for which it is no longer what is replaced.
                Err(_) => {}
                ordered => return ordered,
            }
        }
        self.account.new_order(&NewOrder::new(&names)).await
    }

    async fn prove(&self, order: &mut Order, way: &Way, publish: &dyn Publish) -> Result<(), String> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(|error| told(&error))?;
            match authorization.status {
                AuthorizationStatus::Pending => {}
                // Proved lately.
                AuthorizationStatus::Valid => continue,
                status => return Err(format!("the authority has this name's authorization as {status:?}")),
            }
            let (kind, name) = match way {
                Way::Dns(_) => (ChallengeType::Dns01, "dns-01"),
                Way::Http => (ChallengeType::Http01, "http-01"),
                Way::Tls(_) => (ChallengeType::TlsAlpn01, "tls-alpn-01"),
            };
            let challenge = authorization.challenge(kind);
            let mut challenge =
                challenge.ok_or_else(|| format!("the authority does not offer {name} for this name"))?;
            let answer = challenge.key_authorization();
            let published = match way {
                Way::Dns(name) => Challenge::Dns { name: name.clone(), value: answer.dns_value() },
                Way::Http => {
                    Challenge::Http { token: challenge.token.clone(), authorization: answer.as_str().to_owned() }
                }
                // RFC 8737 §3: the same digest as in a TXT record.
                Way::Tls(name) => Challenge::Tls { name: name.clone(), digest: answer.dns_value() },
            };
            publish.publish(published).await?;
            challenge.set_ready().await.map_err(|error| told(&error))?;
        }
        Ok(())
    }

    /// How long an authority is not asked again that has said nothing (RFC 9773 §4.3.3).
    pub const RENEWAL_UNKNOWN: Duration = Duration::from_secs(6 * 3_600);

    /// When a certificate is to be renewed, as its authority says, and when to ask again.
    pub async fn renewal(&self, held: &Held) -> (Renewal, Duration) {
        let Some(identifier) = identifier(held) else { return (Renewal::Own, Self::RENEWAL_UNKNOWN) };
        match self.account.renewal_info(&identifier).await {
            Ok((info, wait)) => {
                let window = info.suggested_window;
                let told = Renewal::Told(SystemTime::from(window.start), SystemTime::from(window.end));
                // RFC 9773 §4.3.2: within limits of ours, "one minute" and "one day" are reasonable.
                (told, wait.clamp(Duration::from_secs(60), Duration::from_secs(86_400)))
            }
            Err(_) => (Renewal::Own, Self::RENEWAL_UNKNOWN),
        }
    }
}

/// What an order failed of.
async fn refusal(order: &mut Order) -> String {
    let mut told = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        if let Ok(state) = authorization.refresh().await {
            told.extend(state.challenges.iter().filter_map(|challenge| Some(challenge.error.as_ref()?.to_string())));
        }
    }
    if told.is_empty() { "the authority has refused it, and does not say why".to_owned() } else { told.join("; ") }
}

/// By what an authority knows a certificate again (RFC 9773 §4.1).
fn identifier(held: &Held) -> Option<CertificateIdentifier<'static>> {
    CertificateIdentifier::try_from(held.key.cert.first()?).ok().map(CertificateIdentifier::into_owned)
}

/// Errors of libraries have their cause behind them.
fn told(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text.chars().take(limits::ACME_TOLD).collect()
}
