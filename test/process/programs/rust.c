/* A key that Rust code calls (rust_pass) and whose second target is Rust's. */
#include "static_call.h"

static long c_work(long x) { return x + 1; }
long rust_work(long x);
long rust_pass(long x);
DEFINE_STATIC_CALL(work, c_work);
STATIC_CALL_TARGET(work, rust_work);

long c_pass(long x) { return static_call(work)(x) + 100; }
long through_rust(long x) { return rust_pass(x); }
