use super::*;

/// Reads a head and as much of a body as it says.
async fn answer(client: &mut DuplexStream) -> String {
    let mut said = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&said).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            if body.len() >= length.parse().unwrap() {
                return text;
            }
        }
        assert!(client.read_buf(&mut said).await.unwrap() > 0, "cut after {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_after_a_stop_is_answered_and_told_that_it_was_the_last() {
    for way in ["fast", "general", "slow"] {
        let (echo, stop) = (Arc::<Echo>::default(), Stop::new());
        let (mut client, driven) = connect_until(&echo, 65_536, stop.clone());
        let request = format!("GET /{way}/20 HTTP/1.1\r\nhost: a\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        let first = answer(&mut client).await;
        assert!(!first.contains("connection: close"), "{first}");
        stop.stop();
        tokio::time::sleep(limits::HTTP_FAREWELL / 2).await;
        client.write_all(request.as_bytes()).await.unwrap();
        let last = answer(&mut client).await;
        assert!(last.contains("\r\nconnection: close\r\n"), "{last}");
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0, "{way}");
        driven.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_nothing_after_a_stop_is_left_after_a_while() {
    for (said, hurries, expected) in [
        ("", false, limits::HTTP_FAREWELL),
        ("GET /general/2 HT", false, limits::HTTP_FAREWELL),
        ("", true, Duration::ZERO),
        ("GET /general/2 HT", true, Duration::ZERO),
    ] {
        let (echo, stop) = (Arc::<Echo>::default(), Stop::new());
        let (mut client, driven) = connect_until(&echo, 65_536, stop.clone());
        client.write_all(said.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let start = tokio::time::Instant::now();
        if hurries {
            stop.hurry();
        } else {
            stop.stop();
        }
        driven.await.unwrap();
        let took = start.elapsed();
        assert!(took >= expected && took < expected + Duration::from_millis(100), "{said} {hurries}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_at_a_stop_has_its_time() {
    for method in ["GET", "POST"] {
        let (echo, stop) = (Arc::<Echo>::default(), Stop::new());
        let (mut client, driven) = connect_until(&echo, 1_024, stop.clone());
        client.write_all(format!("{method} /never/1 HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let start = tokio::time::Instant::now();
        stop.stop();
        driven.await.unwrap();
        let took = start.elapsed();
        assert!(took >= limits::HTTP_DRAIN && took < limits::HTTP_DRAIN + Duration::from_secs(1), "{method}: {took:?}");
        assert_eq!(echo.waiting.load(Ordering::Relaxed), 0, "{method}");
    }
}
