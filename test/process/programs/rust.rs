// A Rust static library with a target of a key and a site of it.
#![crate_type = "staticlib"]
extern "C" {
    fn __SCT__work(x: i64) -> i64;
}
#[no_mangle]
pub extern "C" fn rust_work(x: i64) -> i64 {
    x + 9
}
#[no_mangle]
pub extern "C" fn rust_pass(x: i64) -> i64 {
    unsafe { __SCT__work(x) + 1000 }
}
