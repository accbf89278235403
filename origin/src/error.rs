//! Why a fetch failed, by the names of RFC 9209 §2.3.

use std::error::Error;
use std::io::{self, ErrorKind};

use http::StatusCode;

/// A failed fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchError {
    /// The name was not resolved in time.
    DnsTimeout,
    /// The name could not be resolved.
    DnsError,
    /// It resolves only to addresses the site may not use.
    DestinationIpProhibited,
    /// No way leads there.
    DestinationIpUnroutable,
    /// Nobody listens there.
    ConnectionRefused,
    /// The connection ended before the response began.
    ConnectionTerminated,
    /// No connection in time.
    ConnectionTimeout,
    /// Every server is left alone: fetches from it have just failed.
    DestinationUnavailable,
    /// As many fetches as may be are under way.
    ConnectionLimitReached,
    /// The origin took nothing more of the request's body.
    ConnectionWriteTimeout,
    /// The TLS handshake failed.
    TlsProtocolError,
    /// The certificate does not hold.
    TlsCertificateError,
    /// The origin refused the TLS handshake.
    TlsAlertReceived,
    /// The client broke off its request's body, or framed it wrongly.
    HttpRequestError,
    /// The client sent nothing more of its request's body.
    HttpRequestTimeout,
    /// The body ended early.
    HttpResponseIncomplete,
    /// It is sent in a transfer coding that is not read here.
    HttpResponseTransferCoding,
    /// No response in time, or a pause in its body was too long.
    HttpResponseTimeout,
    /// Not HTTP, or not as it must be.
    HttpProtocolError,
    /// The origin said that it switches to another protocol, and went.
    HttpUpgradeFailed,
    /// Ours.
    ProxyInternalError,
}

impl FetchError {
    /// The registered name. Both faults of the client's have one.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DnsTimeout => "dns_timeout",
            Self::DnsError => "dns_error",
            Self::DestinationIpProhibited => "destination_ip_prohibited",
            Self::DestinationIpUnroutable => "destination_ip_unroutable",
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectionTerminated => "connection_terminated",
            Self::ConnectionTimeout => "connection_timeout",
            Self::DestinationUnavailable => "destination_unavailable",
            Self::ConnectionLimitReached => "connection_limit_reached",
            Self::ConnectionWriteTimeout => "connection_write_timeout",
            Self::TlsProtocolError => "tls_protocol_error",
            Self::TlsCertificateError => "tls_certificate_error",
            Self::TlsAlertReceived => "tls_alert_received",
            Self::HttpRequestError | Self::HttpRequestTimeout => "http_request_error",
            Self::HttpResponseIncomplete => "http_response_incomplete",
            Self::HttpResponseTransferCoding => "http_response_transfer_coding",
            Self::HttpResponseTimeout => "http_response_timeout",
            Self::HttpProtocolError => "http_protocol_error",
            Self::HttpUpgradeFailed => "http_upgrade_failed",
            Self::ProxyInternalError => "proxy_internal_error",
        }
    }

    /// The status a client gets for it, as RFC 9209 §2.3 recommends: 504 for time, 4xx for the client's
    /// own fault, 503 where there are too many, 500 for ours, 502 for the rest.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::DnsTimeout | Self::ConnectionTimeout | Self::ConnectionWriteTimeout | Self::HttpResponseTimeout => {
                StatusCode::GATEWAY_TIMEOUT
            }
            Self::HttpRequestError => StatusCode::BAD_REQUEST,
            Self::HttpRequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::DestinationUnavailable | Self::ConnectionLimitReached => StatusCode::SERVICE_UNAVAILABLE,
            Self::ProxyInternalError => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_GATEWAY,
        }
    }

    /// Whether it speaks against the server, whatever it was asked: it cannot be reached, or is silent. One that breaks off
    /// may do so at one URL alone, of which anybody could ask again and again.
    pub(crate) fn is_the_servers(self) -> bool {
        matches!(
            self,
            Self::DnsTimeout
                | Self::DnsError
                | Self::DestinationIpUnroutable
                | Self::ConnectionRefused
                | Self::ConnectionTimeout
                | Self::TlsProtocolError
                | Self::TlsCertificateError
                | Self::TlsAlertReceived
                | Self::HttpResponseTimeout
        )
    }

    /// The reason why no connection came about.
    pub(crate) fn of_connecting(error: &io::Error) -> Self {
        // What the system gives no better word for is a want of our own: of ports, files or memory.
        Self::of(error, Self::ProxyInternalError)
    }

    /// The reason why a TLS handshake failed.
    pub(crate) fn of_handshake(error: &io::Error) -> Self {
        Self::of(error, Self::TlsProtocolError)
    }

    /// The reason why no response's head came.
    pub(crate) fn of_head(error: &hyper::Error) -> Self {
        Self::of(error, Self::HttpProtocolError)
    }

    /// The reason why a response's body ended early.
    pub(crate) fn of_body(error: &hyper::Error) -> Self {
        match Self::of(error, Self::HttpResponseIncomplete) {
            Self::HttpProtocolError => Self::HttpProtocolError,
            _ => Self::HttpResponseIncomplete,
        }
    }

    /// Reads the reason out of an error and its sources, the innermost that tells one.
    fn of(error: &(dyn Error + 'static), otherwise: Self) -> Self {
        let mut at: Option<&(dyn Error + 'static)> = Some(error);
        let mut found = otherwise;
        while let Some(error) = at {
            if let Some(tls) = error.downcast_ref::<rustls::Error>() {
                return Self::of_tls(tls);
            }
            if let Some(io) = error.downcast_ref::<io::Error>() {
                found = Self::of_kind(io.kind()).unwrap_or(found);
                at = io.get_ref().map(|inner| inner as &(dyn Error + 'static)).or_else(|| io.source());
                continue;
            }
            if let Some(h2) = error.downcast_ref::<h2::Error>() {
                return Self::of_h2(h2).unwrap_or(found);
            }
            if let Some(hyper) = error.downcast_ref::<hyper::Error>() {
                if hyper.is_incomplete_message() || hyper.is_canceled() || hyper.is_closed() {
                    found = Self::ConnectionTerminated;
                } else if hyper.is_body_write_aborted() {
                    found = Self::HttpRequestError;
                } else if hyper.is_user() {
                    found = Self::ProxyInternalError;
                }
            }
            at = error.source();
        }
        found
    }

    /// What a server does by itself ends a stream or a connection; what we find wrong with its frames is its fault.
    fn of_h2(error: &h2::Error) -> Option<Self> {
        match error.get_io() {
            Some(io) => Self::of_kind(io.kind()),
            None if error.is_remote() => Some(Self::ConnectionTerminated),
            None if error.is_library() => Some(Self::HttpProtocolError),
            None => None,
        }
    }

    fn of_tls(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(_) => Self::TlsCertificateError,
            rustls::Error::AlertReceived(_) => Self::TlsAlertReceived,
            _ => Self::TlsProtocolError,
        }
    }

    fn of_kind(kind: ErrorKind) -> Option<Self> {
        match kind {
            ErrorKind::ConnectionRefused => Some(Self::ConnectionRefused),
            ErrorKind::TimedOut => Some(Self::ConnectionTimeout),
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Some(Self::DestinationIpUnroutable),
            ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof => Some(Self::ConnectionTerminated),
            // So a decoder calls what it cannot read.
            ErrorKind::InvalidInput | ErrorKind::InvalidData => Some(Self::HttpProtocolError),
            _ => None,
        }
    }
}

/// Whether the server says that it has not looked at the request (RFC 9113 §8.7: REFUSED_STREAM, and a GOAWAY of one that
/// ends for no fault, are such).
pub(crate) fn is_refused(error: &hyper::Error) -> bool {
    of_http2(error).is_some_and(|error| {
        let is_over = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
        error.is_remote() && (is_over || error.reason() == Some(h2::Reason::REFUSED_STREAM))
    })
}

/// Whether one request alone has failed, and its connection goes on.
pub(crate) fn is_of_stream(error: &hyper::Error) -> bool {
    of_http2(error).is_some_and(h2::Error::is_reset)
}

fn of_http2(error: &hyper::Error) -> Option<&h2::Error> {
    let mut at: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = at {
        if let Some(found) = error.downcast_ref::<h2::Error>() {
            return Some(found);
        }
        at = error.source();
    }
    None
}

impl std::fmt::Display for FetchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Error for FetchError {}

#[cfg(test)]
mod tests {
    use rustls::{AlertDescription, CertificateError};

    use super::*;

    #[test]
    fn each_failure_has_its_registered_name_and_status() {
        use FetchError::*;
        let table = [
            (DnsTimeout, "dns_timeout", 504),
            (DnsError, "dns_error", 502),
            (DestinationIpProhibited, "destination_ip_prohibited", 502),
            (DestinationIpUnroutable, "destination_ip_unroutable", 502),
            (ConnectionRefused, "connection_refused", 502),
            (ConnectionTerminated, "connection_terminated", 502),
            (ConnectionTimeout, "connection_timeout", 504),
            (ConnectionLimitReached, "connection_limit_reached", 503),
            (DestinationUnavailable, "destination_unavailable", 503),
            (ConnectionWriteTimeout, "connection_write_timeout", 504),
            (TlsProtocolError, "tls_protocol_error", 502),
            (TlsCertificateError, "tls_certificate_error", 502),
            (TlsAlertReceived, "tls_alert_received", 502),
            (HttpRequestError, "http_request_error", 400),
            (HttpRequestTimeout, "http_request_error", 408),
            (HttpResponseIncomplete, "http_response_incomplete", 502),
            (HttpResponseTimeout, "http_response_timeout", 504),
            (HttpProtocolError, "http_protocol_error", 502),
            (ProxyInternalError, "proxy_internal_error", 500),
        ];
        for (error, name, status) in table {
            assert_eq!((error.name(), error.status().as_u16()), (name, status));
        }
    }

    #[test]
    fn no_connection_has_the_system_s_reason() {
        let table = [
            (ErrorKind::ConnectionRefused, FetchError::ConnectionRefused),
            (ErrorKind::TimedOut, FetchError::ConnectionTimeout),
            (ErrorKind::HostUnreachable, FetchError::DestinationIpUnroutable),
            (ErrorKind::NetworkUnreachable, FetchError::DestinationIpUnroutable),
            (ErrorKind::ConnectionReset, FetchError::ConnectionTerminated),
            (ErrorKind::AddrNotAvailable, FetchError::ProxyInternalError),
            (ErrorKind::OutOfMemory, FetchError::ProxyInternalError),
        ];
        for (kind, error) in table {
            assert_eq!(FetchError::of_connecting(&kind.into()), error, "{kind:?}");
        }
    }

    #[test]
    fn a_handshake_fails_by_certificate_alert_end_or_else_by_protocol() {
        let table: [(io::Error, FetchError); 6] = [
            (tls(CertificateError::Expired.into()), FetchError::TlsCertificateError),
            (tls(CertificateError::UnknownIssuer.into()), FetchError::TlsCertificateError),
            (tls(rustls::Error::AlertReceived(AlertDescription::HandshakeFailure)), FetchError::TlsAlertReceived),
            (tls(rustls::Error::DecryptError), FetchError::TlsProtocolError),
            (ErrorKind::UnexpectedEof.into(), FetchError::ConnectionTerminated),
            (ErrorKind::Other.into(), FetchError::TlsProtocolError),
        ];
        for (io, error) in table {
            assert_eq!(FetchError::of_handshake(&io), error, "{io}");
        }
    }

    fn tls(error: rustls::Error) -> io::Error {
        io::Error::new(ErrorKind::InvalidData, error)
    }
}
