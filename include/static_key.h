/* SPDX-License-Identifier: MIT
 *
 * Static keys for x86-64 Linux programs, in C11 and in C++17 and later, with gcc or clang.
 *
 * A static key is a flag that changes rarely and is tested all the time. Each test is one
 * instruction of five bytes that loads nothing: while the branch is not taken it is `test eax,
 * imm32`, which only sets flags; taken it is `jmp rel32`. When the key changes, one byte of each
 * test is rewritten while every thread keeps running. Names and meanings are those of Linux
 * (include/linux/jump_label.h).
 *
 *
 * What there is
 *
 *   DECLARE_STATIC_KEY_TRUE(name);     in a header: there is a key `name`, which is on at first
 *   DECLARE_STATIC_KEY_FALSE(name);    the same, off at first
 *   DEFINE_STATIC_KEY_TRUE(name);      in one source file: the key; `static` may stand before it
 *   DEFINE_STATIC_KEY_FALSE(name);
 *
 *   static_branch_likely(&name)        whether the key is on; the code for "on" is laid out to follow
 *   static_branch_unlikely(&name)      the same; the code for "on" is laid out of the way
 *
 *   static_branch_enable(&name)        switches it on, in a program that a runtime has opened: 0 when it is done
 *   static_branch_disable(&name)       switches it off; -EBUSY while several users count on it
 *   static_branch_inc(&name)           one user more: the first one switches it on
 *   static_branch_dec(&name)           one user fewer: the last one switches it off; -EINVAL where there was none
 *                                      All four: -ENOSYS without a runtime, with nothing changed; other negative
 *                                      errno values as the runtime says.
 *   static_key_enable(&name.key), static_key_disable, static_key_slow_inc, static_key_slow_dec    the same
 *   static_key_enabled(&name), static_key_count(&name.key)    by a load: whether it is on, and how many users it has
 *
 *   EXPORT_STATIC_KEY(name);           after DEFINE: other objects may test and switch the key
 *
 *
 * Example
 *
 *   #include <static_key.h>
 *
 *   DEFINE_STATIC_KEY_FALSE(tracing);
 *
 *   int step(int a)
 *   {
 *           if (static_branch_unlikely(&tracing))
 *                   trace(a);
 *           return a + 1;
 *   }
 *
 *
 * How it is made
 *
 *   name                the key: struct static_key_true or static_key_false around a struct static_key. Data, 16-byte
 *                       aligned.
 *   static_keys         a record for each key that the object defines (struct static_key_record).
 *   static_key_sites    a record for each test (struct static_key_site), in the code's order of compilation.
 *                       Both names are C identifiers, so that a program finds its own sections by __start_ and __stop_.
 *
 *     a9 rel32    test eax, imm32     falls through; the displacement is kept, and not used
 *     e9 rel32    jmp                 goes to the code for the other answer
 *
 *   A test whose record has bit 0 clear jumps while the key is on (static_branch_unlikely); with bit 0 set it jumps
 *   while the key is off (static_branch_likely).
 *
 *
 * Awkward cases
 *
 * - A key is private to the program or shared object that defines it. To export one, say so before
 *   the first macro that names it, in the header that both sides include:
 *       #define STATIC_KEY_EXPORTED_tracing 1
 *   With clang a test of an exported key is written &name, with the name that DECLARE had.
 * - The argument of a test is the address of a key as the program names it: no pointer that is
 *   computed at run time, and no key inside an array or another structure.
 * - A key's name is one for the whole program: a call (static_call.h) and a key of one name are
 *   refused.
 * - In C, clang before 17 takes the target of one test for one of all tests of the function, and
 *   refuses a test behind the declaration of a variable-length array or of a variable with
 *   __attribute__((cleanup)).
 */
#ifndef STATIC_KEY_H
#define STATIC_KEY_H

#include <static_call.h>

#pragma GCC system_header

#if defined(__cplusplus) && __cplusplus < 201703L && defined(__clang__)
#error "static_key.h: needs C++17 or later: compile with -std=c++17 or newer"
#endif

/* A runtime that has opened the object stores itself in `update`; until then it is 0. */
struct static_key {
	int enabled; /* how many users, or 1: on; 0: off */
	int reserved;
	int (*update)(struct static_key *key, void *verb);
} __attribute__((aligned(16)));

struct static_key_true {
	struct static_key key;
};
struct static_key_false {
	struct static_key key;
};
/* What clang sees of a key that another object may define; see __STATIC_KEY_ADDRESS. */
struct static_key_true_exported {
	struct static_key key;
};
struct static_key_false_exported {
	struct static_key key;
};

/* ---- Declaring and defining ------------------------------------------------------------------ */

#define DECLARE_STATIC_KEY_TRUE(name) __STATIC_KEY_DECLARE(name, static_key_true)
#define DECLARE_STATIC_KEY_FALSE(name) __STATIC_KEY_DECLARE(name, static_key_false)
#define __STATIC_KEY_DECLARE(name, type)                                                                  \
	__STATIC_KEY_ALIAS(name)                                                                          \
	extern __STATIC_CALL_STRUCT __STATIC_KEY_TYPE(name, type) name                                    \
		__attribute__((visibility(__STATIC_KEY_VISIBILITY(name))))

#define DEFINE_STATIC_KEY_TRUE(name) __STATIC_KEY_DEFINE(name, static_key_true, 1)
#define DEFINE_STATIC_KEY_FALSE(name) __STATIC_KEY_DEFINE(name, static_key_false, 0)
/* The key comes first, so that `static` before the macro belongs to it. */
#define __STATIC_KEY_DEFINE(name, type, initial)                                                          \
	__STATIC_KEY_ALIAS(name)                                                                          \
	__STATIC_CALL_STRUCT __STATIC_KEY_TYPE(name, type) name                                           \
		__attribute__((used, visibility(__STATIC_KEY_VISIBILITY(name)))) = {                      \
			{initial, 0, __STATIC_CALL_NOTHING}};                                             \
	static __STATIC_CALL_STRUCT static_key_record __static_key_record_##name                          \
		__STATIC_CALL_RECORD("static_keys") = {                                                   \
			&name.key, #name, __STATIC_KEY_RECORD_VERSION, initial,                           \
			__STATIC_CALL_IF(STATIC_KEY_EXPORTED_##name, 1, 0), 0}

#define EXPORT_STATIC_KEY(name)                                                                           \
	__STATIC_CALL_ASSERT(__STATIC_CALL_IF(STATIC_KEY_EXPORTED_##name, 1, 0),                          \
			     "static_key: to export key " #name ", write #define STATIC_KEY_EXPORTED_"    \
			     #name " 1 before the first macro that names it")

#define __STATIC_KEY_VISIBILITY(name) __STATIC_CALL_IF(STATIC_KEY_EXPORTED_##name, "default", "hidden")

/* ---- Testing --------------------------------------------------------------------------------- */

#define static_branch_likely(x) (__builtin_expect(__STATIC_KEY_BRANCH(x, 1), 1))
#define static_branch_unlikely(x) (__builtin_expect(__STATIC_KEY_BRANCH(x, 0), 0))

/* ---- Switching from C ------------------------------------------------------------------------ */

#define static_branch_enable(x) static_key_enable(&(x)->key)
#define static_branch_disable(x) static_key_disable(&(x)->key)
#define static_branch_inc(x) static_key_slow_inc(&(x)->key)
#define static_branch_dec(x) static_key_slow_dec(&(x)->key)
#define static_key_enabled(x) (__STATIC_KEY_LOAD(x) > 0)
#define __STATIC_KEY_LOAD(x) __atomic_load_n((const int *)(const void *)(x), __ATOMIC_RELAXED)

/* What `update` is asked for. The runtime does each of them under its lock. */
#define __STATIC_KEY_OFF 0
#define __STATIC_KEY_ON 1
#define __STATIC_KEY_INC 2
#define __STATIC_KEY_DEC 3

static __inline__ int static_key_count(const struct static_key *key)
{
	return __STATIC_KEY_LOAD(key);
}

/*
 * Inside the functions, not at file scope: an object that switches nothing needs no thread that
 * serves it.
 */
static __inline__ int __static_key_update(struct static_key *key, unsigned long verb)
{
	int (*update)(struct static_key *, void *) = __atomic_load_n(&key->update, __ATOMIC_ACQUIRE);

	__STATIC_CALL_MARK_UPDATE;
	return update ? update(key, (void *)verb) : -ENOSYS;
}

/* One more or one fewer where that switches nothing: `least` users remain. */
static __inline__ int __static_key_count_by(struct static_key *key, int by, int least)
{
	int users = __STATIC_KEY_LOAD(key);

	while (users >= least)
		if (__atomic_compare_exchange_n(&key->enabled, &users, users + by, 1, __ATOMIC_RELAXED,
						__ATOMIC_RELAXED))
			return 1;
	return 0;
}

static __inline__ int static_key_enable(struct static_key *key)
{
	return __STATIC_KEY_LOAD(key) > 0 ? 0 : __static_key_update(key, __STATIC_KEY_ON);
}

static __inline__ int static_key_disable(struct static_key *key)
{
	int users = __STATIC_KEY_LOAD(key);

	if (users == 0)
		return 0;
	return users > 1 ? -EBUSY : __static_key_update(key, __STATIC_KEY_OFF);
}

static __inline__ int static_key_slow_inc(struct static_key *key)
{
	return __static_key_count_by(key, 1, 1) ? 0 : __static_key_update(key, __STATIC_KEY_INC);
}

static __inline__ int static_key_slow_dec(struct static_key *key)
{
	if (__STATIC_KEY_LOAD(key) == 0)
		return -EINVAL;
	return __static_key_count_by(key, -1, 2) ? 0 : __static_key_update(key, __STATIC_KEY_DEC);
}

/* ---- What the file says of itself ------------------------------------------------------------ */

/* One in static_keys for each key that the object defines. */
struct static_key_record {
	struct static_key *key;
	const char *name;
	unsigned int version;    /* __STATIC_KEY_RECORD_VERSION */
	unsigned char initial;   /* 1: on at first */
	unsigned char exported;
	unsigned short reserved;
};
#define __STATIC_KEY_RECORD_VERSION 1

/*
 * One in static_key_sites for each test: the fields of the kernel's struct jump_entry. Distances
 * count from their own fields. The key is an address, because another object may define it, and the
 * dynamic linker fills it in.
 */
struct static_key_site {
	int code;          /* to the five-byte instruction */
	int target;        /* to where it jumps */
	unsigned long key; /* address of the struct static_key; bit 0: jumps while the key is off */
};

/* ---- From here on, what the macros above are made of ----------------------------------------- */

#ifdef __cplusplus
#define __STATIC_KEY_IS(x, kind)                                                                          \
	(std::is_same<typename std::remove_reference<decltype(*(x))>::type, kind>::value)
#define __STATIC_KEY_UNLESS(condition, x) ((condition) ? nullptr : (x))
#else
#define __STATIC_KEY_IS(x, kind)                                                                          \
	(__extension__ __builtin_types_compatible_p(__typeof__(*(x)), struct kind))
#define __STATIC_KEY_UNLESS(condition, x) __extension__ __builtin_choose_expr(condition, 0, x)
#endif
#define __STATIC_KEY_IS_TRUE(x) (__STATIC_KEY_IS(x, static_key_true) || __STATIC_KEY_IS(x, static_key_true_exported))
#define __STATIC_KEY_IS_FALSE(x) (__STATIC_KEY_IS(x, static_key_false) || __STATIC_KEY_IS(x, static_key_false_exported))
#define __STATIC_KEY_IS_EXPORTED(x)                                                                       \
	(__STATIC_KEY_IS(x, static_key_true_exported) || __STATIC_KEY_IS(x, static_key_false_exported))

#define __STATIC_KEY_JUMP 0xe9
#define __STATIC_KEY_TEST 0xa9

/*
 * A label with a name, because `1b` is a number where the assembler reads Intel's syntax
 * (-masm=intel).
 *
 * The record is in the section group of the code (`?`), if that is in one: linkers refuse an entry
 * that outlives a C++ inline function's discarded copy.
 */
#define __STATIC_KEY_TEXT(address)                                                                        \
	".Lstatic_key%=:\t.byte\t%c[opcode]\n\t"                                                          \
	".long\t%l[static_key_yes] - . - 4\n\t"                                                           \
	".pushsection static_key_sites,\"aw?" __STATIC_CALL_RETAIN_FLAG "\",@progbits\n\t"                 \
	".balign\t8\n\t"                                                                                  \
	".long\t.Lstatic_key%= - ., %l[static_key_yes] - .\n\t"                                           \
	address                                                                                           \
	".popsection"

/* Any pointer that is none to a key would be compiled, and never switched. */
#define __STATIC_KEY_CHECK(x)                                                                             \
	__STATIC_CALL_ASSERT(__STATIC_KEY_IS_TRUE(x) || __STATIC_KEY_IS_FALSE(x),                         \
			     "static_key: " #x " is no address of a key made by DEFINE_STATIC_KEY_TRUE "  \
			     "or DEFINE_STATIC_KEY_FALSE")

#if defined(__clang__)
/*
 * In position-independent code clang has no constraint for the address of a variable that may be
 * another object's: "i" refuses it, and "X" loads it. So DECLARE gives an exported key a second
 * name for the assembler, `"&name"`, which is what the test's argument spells. Its type tells it
 * from a private key, which "i" takes.
 */
#define __STATIC_KEY_ADDRESS(x)                                                                           \
	".if %c[exported]\n\t"                                                                            \
	".quad\t\"" #x "\" + %c[bit]\n\t"                                                                 \
	".else\n\t"                                                                                       \
	".quad\t%c[key] + %c[bit]\n\t"                                                                    \
	".endif\n\t"
#define __STATIC_KEY_OPERAND(x)                                                                           \
	[exported] "i"(__STATIC_KEY_IS_EXPORTED(x) ? 1 : 0),                                              \
		[key] "i"(__STATIC_KEY_UNLESS(__STATIC_KEY_IS_EXPORTED(x), x))
#define __STATIC_KEY_TYPE(name, type) __STATIC_CALL_IF(STATIC_KEY_EXPORTED_##name, type##_exported, type)
#define __STATIC_KEY_ALIAS(name) __STATIC_CALL_IF(STATIC_KEY_EXPORTED_##name, __STATIC_KEY_ALIAS_OF(name), )
#define __STATIC_KEY_ALIAS_OF(name) __asm__(".set \"&" #name "\", " #name);
#else
/*
 * "X": "i" refuses, in position-independent code, a symbol that may be preempted, though this is
 * only a relocation.
 */
#define __STATIC_KEY_ADDRESS(x) ".quad\t%p[key] + %c[bit]\n\t"
#define __STATIC_KEY_OPERAND(x) [key] "X"(x)
#define __STATIC_KEY_TYPE(name, type) type
#define __STATIC_KEY_ALIAS(name)
#endif

/*
 * A test that jumps while the key is off (`negated`) holds the jump where the key is off at first.
 */
#define __STATIC_KEY_ASM(x, negated)                                                                      \
	__STATIC_KEY_CHECK(x);                                                                            \
	__asm__ goto(__STATIC_KEY_TEXT(__STATIC_KEY_ADDRESS(x))                                           \
		     :                                                                                    \
		     : [opcode] "i"(__STATIC_KEY_IS_TRUE(x) != (negated) ? __STATIC_KEY_JUMP              \
									 : __STATIC_KEY_TEST),            \
		       [bit] "i"(negated), __STATIC_KEY_OPERAND(x)                                        \
		     :                                                                                    \
		     : static_key_yes)

#if defined(__cplusplus) && defined(__clang__)
/*
 * clang before 17 takes the label of one `asm goto` for a target of every one in the function, and
 * refuses those behind an initialised variable. A function of its own has one label.
 */
#define __STATIC_KEY_BRANCH(x, negated)                                                                   \
	([]() __attribute__((always_inline)) -> bool {                                                    \
		__STATIC_KEY_ASM(x, negated);                                                             \
		return (negated) != 0;                                                                    \
	static_key_yes:                                                                                   \
		return (negated) == 0;                                                                    \
	}())
#else
#define __STATIC_KEY_BRANCH(x, negated)                                                                   \
	(__extension__({                                                                                  \
		__label__ static_key_yes;                                                                 \
		int __static_key_on = !(negated);                                                         \
		__STATIC_KEY_ASM(x, negated);                                                             \
		__static_key_on = (negated);                                                              \
	static_key_yes:                                                                                   \
		__static_key_on;                                                                          \
	}))
#endif

#endif
