//! Any message is answered, or not, without harm; both ways of answering agree.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| input::name_server::ask(bytes));
