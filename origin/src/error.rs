//! Why a fetch failed, by the names of RFC 9209 §2.3.

use std::error::Error;
use std::io::ErrorKind;

use http::StatusCode;

/// A failed fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchError {
    /// The name could not be resolved.
    DnsError,
    /// It resolves only to addresses the site may not use.
    DestinationIpProhibited,
    /// Nobody listens there.
    ConnectionRefused,
    /// No connection in time.
    ConnectionTimeout,
    /// The connection ended before the response began.
    ConnectionTerminated,
    /// The TLS handshake failed.
    TlsProtocolError,
    /// The certificate does not hold.
    TlsCertificateError,
    /// No response in time, or a pause in its body was too long.
    HttpResponseTimeout,
    /// The body ended early.
    HttpResponseIncomplete,
    /// Not HTTP, or not as it must be.
    HttpProtocolError,
    /// The request's body could not be sent.
    HttpRequestError,
}

impl FetchError {
    /// The registered name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DnsError => "dns_error",
            Self::DestinationIpProhibited => "destination_ip_prohibited",
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectionTimeout => "connection_timeout",
            Self::ConnectionTerminated => "connection_terminated",
            Self::TlsProtocolError => "tls_protocol_error",
            Self::TlsCertificateError => "tls_certificate_error",
            Self::HttpResponseTimeout => "http_response_timeout",
            Self::HttpResponseIncomplete => "http_response_incomplete",
            Self::HttpProtocolError => "http_protocol_error",
            Self::HttpRequestError => "http_request_error",
        }
    }

    /// The status a client gets for it: 504 for time, 502 for the rest (RFC 9110 §15.6.3, §15.6.5).
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::ConnectionTimeout | Self::HttpResponseTimeout => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        }
    }

    /// Whether the origin cannot have seen the request.
    #[must_use]
    pub fn is_before_request(self) -> bool {
        matches!(
            self,
            Self::DnsError
                | Self::DestinationIpProhibited
                | Self::ConnectionRefused
                | Self::ConnectionTimeout
                | Self::TlsProtocolError
                | Self::TlsCertificateError
        )
    }

    /// Reads the reason out of a client's error.
    pub(crate) fn of(error: &(dyn Error + 'static)) -> Self {
        let mut at: Option<&(dyn Error + 'static)> = Some(error);
        let mut found = Self::HttpProtocolError;
        while let Some(error) = at {
            if let Some(fetch) = error.downcast_ref::<Self>() {
                return *fetch;
            }
            if let Some(tls) = error.downcast_ref::<rustls::Error>() {
                return match tls {
                    rustls::Error::InvalidCertificate(_) => Self::TlsCertificateError,
                    _ => Self::TlsProtocolError,
                };
            }
            if let Some(io) = error.downcast_ref::<std::io::Error>() {
                found = match io.kind() {
                    ErrorKind::ConnectionRefused => Self::ConnectionRefused,
                    ErrorKind::TimedOut => Self::ConnectionTimeout,
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof => {
                        Self::ConnectionTerminated
                    }
                    ErrorKind::ConnectionAborted => Self::ConnectionTerminated,
                    _ => found,
                };
                at = io.get_ref().map(|inner| inner as &(dyn Error + 'static)).or_else(|| io.source());
                continue;
            }
            if let Some(hyper) = error.downcast_ref::<hyper::Error>() {
                if hyper.is_incomplete_message() || hyper.is_canceled() || hyper.is_closed() {
                    found = Self::ConnectionTerminated;
                } else if hyper.is_user() {
                    found = Self::HttpRequestError;
                }
            }
            at = error.source();
        }
        found
    }
}

impl std::fmt::Display for FetchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Error for FetchError {}
