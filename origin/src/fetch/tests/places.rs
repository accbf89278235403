//! How many fetches there are at once.

use super::*;

#[tokio::test]
async fn a_site_without_a_place_fails_until_one_is_free() {
    let server = TestOrigin::new(|mut stream, _| async move {
        while read_until(&mut stream, "\r\n\r\n").await {
            say(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").await;
        }
    })
    .await;
    let all = Places::new(3);
    let site = |most| {
        let mut fetcher = fetcher(&[server.address]);
        (fetcher.places, fetcher.all) = (Places::new(most), all.clone());
        fetcher
    };
    let (small, large) = (site(1), site(9));
    let full = Err(FetchError::ConnectionLimitReached);
    let one = small.fetch(&head("GET"), None).await.unwrap();
    assert_eq!(status(small.fetch(&head("GET"), None).await).await, full, "its own are taken");
    let others = [large.fetch(&head("GET"), None).await.unwrap(), large.fetch(&head("GET"), None).await.unwrap()];
    assert_eq!(status(large.fetch(&head("GET"), None).await).await, full, "all are taken");
    drop(one);
    assert!(small.fetch(&head("GET"), None).await.is_ok());
    drop(others);
}

#[tokio::test(start_paused = true)]
async fn a_server_takes_so_many_and_the_rest_waits() {
    let server = TestOrigin::new(|mut stream, _| async move {
        while read_until(&mut stream, "\r\n\r\n").await {
            say(&mut stream, OK).await;
        }
    })
    .await;
    let told = Origin { max_fetches: Some(2), ..origin(&[server.address], Scheme::Http) };
    let servers = Servers::new("shop", &told);
    // Of two cores.
    let of_core = || Fetcher::with(&told, Arc::clone(&servers), TIMES, &tls::of(&told).unwrap(), Places::of_all());
    let (one, two) = (of_core(), of_core());
    let open = [one.fetch(&head("GET"), None).await.unwrap(), two.fetch(&head("GET"), None).await.unwrap()];
    let began = Instant::now();
    assert_eq!(status(one.fetch(&head("GET"), None).await).await, Err(FetchError::ConnectionLimitReached));
    assert_eq!(began.elapsed(), limits::ORIGIN_PLACE);
    drop(open);
    assert_eq!(status(two.fetch(&head("GET"), None).await).await, Ok(StatusCode::OK));
}
