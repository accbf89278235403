use super::*;
use std::thread;

fn ram(capacity_bytes: u64) -> Ram<u32, u64> {
    Ram::new(capacity_bytes, |_, _| 1)
}

fn put(ram: &Ram<u32, u64>, key: u32, value: u64) {
    ram.update(key, |_| Change::Put(value));
}

#[test]
fn what_was_put_is_found_until_it_is_removed() {
    let ram = ram(100);
    assert_eq!(ram.get(&1), None);
    put(&ram, 1, 10);
    assert_eq!(ram.get(&1), Some(10));
    ram.update(1, |value| Change::Put(value.map_or(0, |value| value + 1)));
    assert_eq!(ram.get(&1), Some(11));
    ram.update(1, |value| {
        assert_eq!(value, Some(&11));
        Change::Keep
    });
    assert_eq!((ram.weight(), ram.count()), (1, 1));
    ram.update(1, |_| Change::Remove);
    assert_eq!((ram.get(&1), ram.weight(), ram.count()), (None, 0, 0));
    ram.update(1, |value| {
        assert_eq!(value, None);
        Change::Remove
    });
    assert_eq!((ram.weight(), ram.count()), (0, 0));
}

#[test]
fn changes_reach_what_went_on_to_moka() {
    let ram = ram(100);
    for key in 0..60 {
        put(&ram, key, 1);
    }
    assert!(ram.main.contains_key(&0), "moka has room");
    ram.update(0, |value| {
        assert_eq!(value, Some(&1));
        Change::Put(2)
    });
    assert_eq!(ram.get(&0), Some(2));
    ram.update(0, |_| Change::Remove);
    assert_eq!(ram.get(&0), None);
    assert_eq!((ram.weight(), ram.count()), (59, 59));
}

#[test]
fn a_full_cache_keeps_the_newcomers_that_were_asked_for() {
    let ram = ram(100);
    for key in 0..200 {
        put(&ram, key, 0);
    }
    for _ in 0..4 {
        ram.get(&199);
        ram.get(&198);
    }
    for key in 200..300 {
        put(&ram, key, 0);
    }
    assert_eq!((ram.get(&199), ram.get(&198)), (Some(0), Some(0)));
    assert_eq!(ram.get(&200), None, "nobody asked");
    assert_eq!((ram.weight(), ram.count()), (100, 100));
}

#[test]
fn what_is_asked_for_often_outlasts_a_scan() {
    let ram = ram(1_000);
    for key in 0..500 {
        put(&ram, key, 0);
    }
    for round in 0..20 {
        for key in 0..500 {
            assert!(round == 0 || ram.get(&key).is_some() || key > 490, "{key} in round {round}");
            ram.get(&key);
        }
        for key in 0..1_000 {
            put(&ram, 1_000 + round * 1_000 + key, 0);
        }
    }
}

#[test]
fn weights_are_within_the_capacity_whatever_their_sizes() {
    let ram = Ram::new(1_000_000, |_: &u64, bytes: &u32| *bytes);
    let mut seed = 1_u64;
    for _ in 0..50_000 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (key, bytes) = (seed >> 52, u32::try_from(seed >> 24 & 0x7fff).unwrap());
        ram.get(&key);
        ram.update(key, |_| Change::Put(bytes));
        let weight =
            ram.main.iter().map(|(_, bytes)| u64::from(bytes)).sum::<u64>() + ram.queue_weight.load(Ordering::Relaxed);
        assert!(weight <= 1_050_000, "{weight}");
    }
    assert!(ram.weight() > 800_000);
    let waiting: u64 =
        ram.shards.iter().flat_map(|shard| shard.read().unwrap().values().map(|n| n.weight).collect::<Vec<_>>()).sum();
    assert_eq!(waiting, ram.queue_weight.load(Ordering::Relaxed));
}

#[test]
fn what_would_fill_the_queue_goes_to_moka_and_what_fits_nowhere_goes() {
    let ram = Ram::new(1_000, |_: &u8, bytes: &u32| *bytes);
    ram.update(0, |_| Change::Put(10));
    ram.update(1, |_| Change::Put(500));
    assert_eq!((ram.get(&0), ram.get(&1)), (Some(10), Some(500)));
    ram.update(0, |_| Change::Put(900));
    assert_eq!(ram.weight(), 500);
    assert_eq!((ram.get(&0), ram.get(&1)), (None, Some(500)));
}

#[test]
fn changes_of_one_key_are_never_lost() {
    let ram = ram(10_000);
    thread::scope(|scope| {
        for thread in 0..4_u32 {
            let ram = &ram;
            scope.spawn(move || {
                for round in 0..20_000_u32 {
                    ram.update(round % 50, |value| Change::Put(value.map_or(1, |value| value + 1)));
                    put(ram, 100 + thread * 1_000 + round % 1_000, 0);
                }
            });
        }
    });
    assert_eq!((0..50).filter_map(|key| ram.get(&key)).sum::<u64>(), 80_000);
}

#[test]
fn what_is_stored_is_found_while_it_goes_on_to_moka() {
    let ram = ram(100_000);
    put(&ram, 0, 7);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !ram.main.contains_key(&0) {
                assert_eq!(ram.get(&0), Some(7));
            }
        });
        for key in 1..60_000 {
            put(&ram, key, 0);
        }
        reader.join().unwrap();
    });
    assert_eq!(ram.get(&0), Some(7));
}

#[test]
fn threads_that_put_and_remove_leave_the_counts_right() {
    let ram = ram(500);
    thread::scope(|scope| {
        for thread in 0..4_u64 {
            let ram = &ram;
            scope.spawn(move || {
                let mut seed = thread + 1;
                for _ in 0..50_000 {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let key = u32::try_from(seed >> 54).unwrap();
                    ram.get(&key);
                    let change = if seed >> 40 & 7 == 0 { Change::Remove } else { Change::Put(seed) };
                    ram.update(key, |_| change);
                }
            });
        }
    });
    let waiting: usize = ram.shards.iter().map(|shard| shard.read().unwrap().len()).sum();
    assert_eq!(waiting, ram.queue.lock().unwrap().len());
    assert_eq!(u64::try_from(waiting).unwrap(), ram.queue_weight.load(Ordering::Relaxed));
    assert!(ram.weight() <= 500);
    for key in 0..1_024 {
        ram.update(key, |_| Change::Remove);
    }
    assert_eq!((ram.weight(), ram.count()), (0, 0));
}
