//! Any options of a well-formed query are answered, or refused, without harm; both ways of answering agree.

#![no_main]

use input::Input;
use libfuzzer_sys::fuzz_target;

const NAMES: &[&str] = &[
    "shop.example",
    "www.shop.example",
    "a.img.shop.example",
    "shop.cdn.example",
    "nothing.shop.example",
    "shop.old.shop.example",
    "x.w.shop.example",
    "a.sub.shop.example",
];
const TYPES: &[u16] = &[1, 28, 65, 16, 6, 2, 5, 255, 43, 39];

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input::new(bytes);
    let (name, kind, flags) = (input.one_of(NAMES), input.one_of(TYPES), input.byte());
    let payload = u16::try_from(input.number() & 0xffff).unwrap_or(0);
    let options = input.rest();
    let mut message = vec![0, 4, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).unwrap_or(0));
        message.extend(label.bytes());
    }
    message.push(0);
    message.extend(kind.to_be_bytes());
    message.extend([0, 1, 0, 0, 41]);
    message.extend(payload.to_be_bytes());
    message.extend([0, 0, flags, 0]);
    message.extend(u16::try_from(options.len()).unwrap_or(u16::MAX).to_be_bytes());
    message.extend(options);
    input::name_server::ask(&message);
});
