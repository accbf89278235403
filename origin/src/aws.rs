//! Signing requests for S3 and what speaks like it: AWS Signature Version 4.
//!
//! Only the Host and the `x-amz-` fields are signed, so that what changes on the way (ranges, conditions, fields of the
//! connection) breaks nothing; bodies are sent as they come, and not signed.

use std::fmt;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningParams, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use config::Aws;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Request, Uri, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

/// Signs in the name of one key.
pub(crate) struct Signer {
    identity: Identity,
    region: String,
    service: String,
}

/// What is left as it is in a path that is signed: RFC 3986's unreserved characters, and the slash.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// What a signature brings itself.
const OWN: [&str; 4] = ["authorization", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token"];

impl Signer {
    /// One with a config's key.
    pub(crate) fn of(aws: &Aws) -> Self {
        let secret = String::from_utf8_lossy(aws.secret.as_bytes()).into_owned();
        let identity = Credentials::new(aws.key_id.clone(), secret, None, None, "hither").into();
        Self { identity, region: aws.region.clone(), service: aws.service.clone() }
    }

    /// Signs a request that is complete but for this. What it said of a signature before goes. What does more than read
    /// is not signed: whatever the key may do, no client does it by ours.
    pub(crate) fn sign<B>(&self, request: &mut Request<B>, now: SystemTime) {
        OWN.into_iter().for_each(|name| drop(request.headers_mut().remove(name)));
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return;
        }
        // What is asked by it, of a store that trusts who asks, is never the object as it is: another version, its rights, a
        // type of the client's choice.
        if let Ok(path) = PathAndQuery::try_from(request.uri().path()) {
            *request.uri_mut() = Uri::from(path);
        }
        let is_signed = |name: &HeaderName| *name == header::HOST || name.as_str().starts_with("x-amz-");
        let fields = request.headers().iter().filter(|(name, _)| is_signed(name));
        let signed: Vec<(&str, &str)> =
            fields.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect();
        let asked = (request.method().as_str(), request.uri());
        let fields = self.fields(asked, &signed, SignableBody::UnsignedPayload, now);
        // Without it the origin refuses the request, and says so.
        for (name, value) in fields.unwrap_or_default() {
            request.headers_mut().insert(name, value);
        }
    }

    /// The fields that a signature consists of.
    fn fields(
        &self,
        (method, uri): (&str, &Uri),
        signed: &[(&str, &str)],
        body: SignableBody<'_>,
        now: SystemTime,
    ) -> Option<Vec<(HeaderName, HeaderValue)>> {
        let params = v4::SigningParams::builder()
            .identity(&self.identity)
            .region(&self.region)
            .name(&self.service)
            .time(now)
            .settings(self.settings());
        let params: SigningParams<'_> = params.build().ok()?.into();
        let request = SignableRequest::new(method, canonical(uri), signed.iter().copied(), body).ok()?;
        let (instructions, _) = sign(request, &params).ok()?.into_parts();
        let field = |(name, value): (&str, &str)| {
            let mut value = HeaderValue::try_from(value).ok()?;
            value.set_sensitive(true);
            Some((HeaderName::try_from(name).ok()?, value))
        };
        instructions.headers().map(field).collect()
    }

    fn settings(&self) -> SigningSettings {
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        // Alone among Amazon's services S3 takes paths as they are.
        if self.service.starts_with("s3") {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        }
        settings
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("region", &self.region).field("service", &self.service).finish_non_exhaustive()
    }
}

/// A target whose path is encoded as it is signed, whichever way a client has written it.
fn canonical(uri: &Uri) -> String {
    let path: Vec<u8> = percent_decode_str(uri.path()).collect();
    let path = percent_encode(&path, PATH);
    uri.query().map_or_else(|| path.to_string(), |query| format!("{path}?{query}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use config::Secret;

    use super::*;

    /// 24 May 2013, as in the examples of "Authenticating Requests (AWS Signature Version 4)" of the S3 API Reference.
    const DAY: Duration = Duration::from_secs(1_369_353_600);
    const HOST: (&str, &str) = ("host", "examplebucket.s3.amazonaws.com");

    fn signer() -> Signer {
        Signer::of(&Aws {
            region: "us-east-1".to_owned(),
            service: "s3".to_owned(),
            key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret: Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        })
    }

    #[test]
    fn requests_are_signed_as_in_amazons_examples() {
        let put = [HOST, ("date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")];
        let table = [
            (
                "GET",
                "/test.txt",
                &[HOST, ("range", "bytes=0-9")][..],
                &b""[..],
                "host;range;x-amz-content-sha256;x-amz-date",
                "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            ),
            (
                "PUT",
                "/test$file.text",
                &put,
                b"Welcome to Amazon S3.",
                "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
                "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
            ),
            (
                "GET",
                "/?lifecycle",
                &[HOST],
                b"",
                "host;x-amz-content-sha256;x-amz-date",
                "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
            ),
            (
                "GET",
                "/?max-keys=2&prefix=J",
                &[HOST],
                b"",
                "host;x-amz-content-sha256;x-amz-date",
                "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            ),
        ];
        for (method, target, signed, body, names, signature) in table {
            let uri: Uri = target.parse().unwrap();
            let now = SystemTime::UNIX_EPOCH + DAY;
            let fields = signer().fields((method, &uri), signed, SignableBody::Bytes(body), now).unwrap();
            let (_, said) = fields.iter().find(|(name, _)| name == header::AUTHORIZATION).unwrap();
            let expected = format!(
                "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, \
                 SignedHeaders={names}, Signature={signature}"
            );
            assert_eq!(said.to_str().unwrap(), expected, "{method} {target}");
            assert!(said.is_sensitive());
        }
    }

    #[test]
    fn a_request_is_signed_anew_and_only_what_stays_is_signed() {
        let mut request = Request::builder()
            .uri("/a,b%20c'd?x=1%2C2&y")
            .header("host", HOST.1)
            .header("range", "bytes=0-9")
            .header("if-none-match", "\"v1\"")
            .header("authorization", "Basic of-a-client")
            .header("x-amz-security-token", "of a client")
            .header("x-amz-date", "20010101T000000Z")
            .header("x-amz-request-payer", "requester")
            .body(())
            .unwrap();
        signer().sign(&mut request, SystemTime::UNIX_EPOCH + DAY);
        let field = |name: &str| {
            let lines: Vec<&str> = request.headers().get_all(name).iter().map(|line| line.to_str().unwrap()).collect();
            lines.join(" | ")
        };
        assert_eq!(field("x-amz-date"), "20130524T000000Z");
        assert_eq!(field("x-amz-content-sha256"), "UNSIGNED-PAYLOAD");
        assert_eq!(field("x-amz-security-token"), "");
        assert_eq!(
            field("authorization"),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, \
             SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-request-payer, \
             Signature=de9c3ef6295dcd991e38535217a4008b61ac34606df8b450d499c8e904db4d6b"
        );
        assert_eq!(
            (field("range").as_str(), request.uri().to_string().as_str()),
            ("bytes=0-9", "/a,b%20c'd"),
            "the rest is sent as it is, but for the query"
        );
        assert!(!format!("{:?}", signer()).contains("EXAMPLE"));
    }

    #[test]
    fn what_does_more_than_read_is_not_signed() {
        for (method, is_signed) in [("GET", true), ("HEAD", true), ("PUT", false), ("POST", false), ("DELETE", false)] {
            let request = Request::builder().method(method).uri("/a").header("host", HOST.1);
            let mut request = request.header("authorization", "of a client").body(()).unwrap();
            signer().sign(&mut request, SystemTime::UNIX_EPOCH + DAY);
            assert_eq!(request.headers().contains_key("authorization"), is_signed, "{method}");
        }
    }
}
