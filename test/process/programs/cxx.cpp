/*
 * C++ code with sites: an inline function and a template that several translation units would share, an exception
 * that goes through the site, and a constructor that runs before anybody can have opened the object.
 */
#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <stdexcept>

#include "static_call.h"

static long work_one(long x) { return x + 1; }
static long work_two(long x) { return x + 2; }
static long work_throw(long x)
{
	if (x % 4 == 0)
		throw std::runtime_error("four");
	return x + 3;
}
DEFINE_STATIC_CALL(work, work_one);
STATIC_CALL_TARGET(work, work_two);
STATIC_CALL_TARGET(work, work_throw);

static void hook_add(long *x) { *x += 10; }
DEFINE_STATIC_CALL_NULL(hook, hook_add);
STATIC_CALL_TARGET(hook, hook_add);

inline __attribute__((noinline)) long inlined(long x) { return static_call(work)(x); }

template <typename T> __attribute__((noinline)) T templated(T x)
{
	static_call_cond(hook)(reinterpret_cast<long *>(&x));
	return static_cast<T>(static_call(work)(static_cast<long>(x)));
}

struct Early {
	long seen;
	Early() : seen(static_call(work)(100)) {}
};
static Early early;

struct Guard {
	std::atomic<long> &left;
	~Guard() { left++; }
};

static std::atomic<long> passes, wrong, thrown, left_, stop, entered;

static __attribute__((noinline)) long guarded(long x)
{
	Guard g{left_};
	entered++;
	return inlined(x);
}

static void *run(void *)
{
	for (long x = 1; !stop; x++) {
		try {
			long got = guarded(x);
			wrong += got != x + 1 && got != x + 2 && (got != x + 3 || x % 4 == 0);
		} catch (const std::runtime_error &) {
			thrown++;
			wrong += x % 4 != 0;
		}
		try {
			long odd = 2 * x + 1, got = templated<long>(odd);
			wrong += !((got >= odd + 1 && got <= odd + 3) || (got >= odd + 11 && got <= odd + 13));
			templated<unsigned long>(static_cast<unsigned long>(odd) & ~3ul);
		} catch (const std::runtime_error &) {
			thrown++;
		}
		passes++;
	}
	return nullptr;
}

extern "C" {
static pthread_t threads[2];
void cxx_start(void)
{
	stop = 0;
	for (auto &t : threads)
		pthread_create(&t, nullptr, run, nullptr);
}
void cxx_stop(void)
{
	stop = 1;
	for (auto &t : threads)
		pthread_join(t, nullptr);
}
long cxx_passes(void) { return passes; }
long cxx_thrown(void) { return thrown; }
/* Wrong results and guards that were not left. */
long cxx_wrong(void) { return wrong + (left_ != entered); }
long cxx_early(void) { return early.seen; }
}
