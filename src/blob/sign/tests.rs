//! Against the example of the manual, and with keys that change.

use time::macros::datetime;

use super::*;

fn signer(settings: &[&str], token: Option<&str>) -> Signer {
    #[derive(clap::Parser)]
    struct Parsed {
        #[command(flatten)]
        config: StorageConfig,
    }
    let settings = std::iter::once(&"test").chain(settings);
    let config = <Parsed as clap::Parser>::try_parse_from(settings).unwrap().config;
    let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    let keys = Credentials::new("AKIAIOSFODNN7EXAMPLE", secret, token.map(str::to_owned), None, "test");
    Signer::new(&config, &keys).unwrap()
}

const MANUAL: [&str; 3] =
    ["--s3-endpoint=https://s3.amazonaws.com", "--s3-bucket=examplebucket", "--s3-addressing=host"];

/// The example of the S3 manual, "Authenticating Requests: Using Query Parameters".
#[test]
fn the_manuals_example_comes_out() {
    insta::assert_snapshot!(
        signer(&MANUAL, None).sign("GET", "test.txt", &[], datetime!(2013-05-24 0:00 UTC), 86_400),
        @"https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    );
}

#[test]
fn new_keys_are_used_at_once() {
    let at = datetime!(2026-01-01 0:00 UTC);
    let signer = signer(&MANUAL, Some("a+b/c="));
    let first = signer.sign("GET", "k", &[], at, 60);
    assert!(first.contains("&X-Amz-Expires=60&X-Amz-Security-Token=a%2Bb%2Fc%3D&X-Amz-Signed"), "{first}");
    signer.use_keys(&Credentials::new("other", "secret", None, None, "test"));
    let second = signer.sign("GET", "k", &[], at, 60);
    assert!(second.contains("Credential=other%2F") && !second.contains("Security-Token"), "{second}");
}

#[test]
fn the_secret_is_in_no_debug_output() {
    let signer = signer(&["--s3-endpoint=http://127.0.0.1:9000/base/", "--s3-bucket=b"], Some("token"));
    signer.sign("GET", "k", &[], datetime!(2026-01-01 0:00 UTC), 1);
    let text = format!("{signer:?}");
    assert!(text.contains("/base/b/"), "{text}");
    assert!(!text.contains("wJalr") && !text.contains("AKIA") && !text.contains("token"), "{text}");
}
