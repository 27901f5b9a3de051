/* SPDX-License-Identifier: MIT
 *
 * Static calls for x86-64 Linux programs, in C and in C++11 and later, with gcc or clang.
 *
 * A static call is a function pointer that changes rarely, called by a direct `call`. When the pointer
 * changes, the call instructions themselves are rewritten while every thread keeps running. This header is
 * all that a program needs, and there is nothing to link. A program built with it runs unchanged until a
 * runtime retargets it: its calls go through a trampoline, one `jmp`, to the initial target.
 *
 *
 * What there is
 *
 *   DECLARE_STATIC_CALL(name, func);          in a header: there is a key `name`; its functions have func's type
 *   DEFINE_STATIC_CALL(name, func);           in one source file: the key, calling func at first
 *   DEFINE_STATIC_CALL_NULL(name, func);      the same, calling nothing at first; func gives the type: it returns void
 *   DEFINE_STATIC_CALL_RET0(name, func);      the same, returning 0 at first; func gives the type: it returns an
 *                                             integer or a pointer
 *
 *   STATIC_CALL_TARGET(name, func);           func may become the key's target
 *   STATIC_CALL_TARGET_NULL(name);            the key may be empty, so that calling it does nothing
 *   STATIC_CALL_TARGET_RET0(name);            the key may return 0
 *                                             The initial target is declared by DEFINE, also where it is nothing or 0.
 *
 *   static_call(name)(args...)                calls the target
 *   static_call_cond(name)(args...)           the same for a key that may be empty; its value cannot be used
 *   static_call_mod(name)(args...)            the same where only the trampoline is visible (EXPORT_STATIC_CALL_TRAMP)
 *   static_call_query(name)                   the current target, a pointer; 0 when the key is empty
 *   static_call_update(name, func)            retargets the key in a program that a runtime has opened: 0 when
 *                                             it is done; -ENOSYS without a runtime; other negative errno
 *                                             values as the runtime says
 *                                             A program has a runtime of its own where it links the file that
 *                                             `static-call runtime` writes (static-call cc --runtime does it);
 *                                             then there are STATIC_CALL_CHANGE(), static_call_update_batch()
 *                                             and static_call_state() too, and docs/runtime.md tells of them.
 *   STATIC_CALL_RETURN0(name)                 what to pass as func for "return 0"; NULL is for "nothing"
 *
 *   EXPORT_STATIC_CALL(name);                 after DEFINE: other objects may call and retarget the key
 *   EXPORT_STATIC_CALL_TRAMP(name);           after DEFINE: other objects may call it
 *
 * `func` is a function, a function type, or, where there is a type of pointers to functions, *(type)0:
 *
 *   typedef int (*op_t)(int, int);
 *   DECLARE_STATIC_CALL(op, *(op_t)0);
 *
 * A name may come out of a macro, as a function may: it is expanded first, and recorded as what it became.
 *
 *
 * Example
 *
 *   #include <static_call.h>
 *
 *   int blend_scalar(int a, int b) { return (a + b) / 2; }
 *   int blend_first(int a, int b)  { (void)b; return a; }
 *
 *   DEFINE_STATIC_CALL(blend, blend_scalar);
 *   STATIC_CALL_TARGET(blend, blend_first);
 *
 *   int mix(int a, int b) { return static_call(blend)(a, b); }
 *
 *   gcc -O2 -shared -fPIC -I"$(static-call include)" mix.c -o libmix.so
 *
 * docs/adopting.md has the recipes for existing projects: tables of functions, build systems, sanitizers.
 *
 *
 * How it is made
 *
 *   __SCK__name   the key: the current target, and who performs updates. Writable data, 16-byte aligned.
 *   __SCT__name   the trampoline, in .static_call.text: eight aligned bytes, so that it can always be
 *                 changed by one store. The last three are its signature (ud1 %esp,%ecx).
 *                     e9 rel32        0f b9 cc      jmp target
 *                     c3 cc 90 90 90  0f b9 cc      ret: the key is empty
 *   .static_call_keys, .static_call_targets    what the program declared, for the runtime; see below.
 *   .static_call_updates                       present where the program itself calls static_call_update().
 *
 * A call site is compiled as a call of the trampoline. The tool finds it by its relocation, or in a linked
 * file by decoding, and the runtime makes it call the target directly. Names, sections and bytes are those of
 * Linux, so that tools for the one read the other.
 *
 *
 * Awkward cases
 *
 * - Arguments are evaluated whether or not the key is empty: `static_call_cond(trace)(expensive())` is not
 *   `if (trace) trace(expensive())`.
 * - A key is private to the program or shared object that defines it: its symbols are hidden, so that calls
 *   are direct and never go through a PLT. To export one, say so before the first macro that names it, in
 *   the header that both sides include, because visibility cannot be changed later:
 *       #define STATIC_CALL_EXPORTED_blend 1                (key and trampoline: EXPORT_STATIC_CALL)
 *       #define STATIC_CALL_EXPORTED_TRAMP_blend 1          (trampoline alone:   EXPORT_STATIC_CALL_TRAMP)
 * - A trampoline has no ENDBR64, because only direct branches reach it: do not call it through a pointer;
 *   static_call_query() gives a function that you may. With indirect-branch tracking on, export no
 *   trampoline, because a PLT reaches it by an indirect jump.
 * - In C++ a target may be a member of a namespace or a template instance; an overloaded name must be
 *   cast to the type that is meant. A member function that is not static has no type that fits. The macros belong
 *   at namespace scope, not inside a function or a class. A key's name is one for the whole program, whatever
 *   the namespace. A name with a comma goes into parentheses: STATIC_CALL_TARGET(name, (pick<int, long>)).
 * - Whether functions return void, an integer or a pointer is seen exactly in C++, and by gcc in C for void and
 *   pointers. C up to C17 shows the rest only where no parameter is a float or narrower than int; where it cannot
 *   be seen, DEFINE_STATIC_CALL_NULL, STATIC_CALL_TARGET_NULL and their return-0 forms take your word.
 * - static_call_update() takes what the type allows, declared or not: the declarations say what others may
 *   choose. In C a `void *` given to it is not checked, so that NULL can be given.
 * - What a function's attributes promise (const, noreturn, nonnull, ...) becomes the key's promise, and so must hold
 *   for every target: define a key by a plain function.
 */
#ifndef STATIC_CALL_H
#define STATIC_CALL_H

#if !defined(__x86_64__) || defined(__ILP32__)
#error "static_call.h: static calls are for x86-64 with 64-bit pointers"
#endif
#if !defined(__GNUC__)
#error "static_call.h: needs gcc or clang"
#endif

#if defined(__cplusplus) && __cplusplus < 201103L
#error "static_call.h: needs C++11 or later: compile with -std=c++11 or newer"
#endif

/*
 * What a macro of a system header makes is not warned of. A key that is declared in a header and defined in a source
 * file would otherwise not pass -Wredundant-decls, nor a cast -Wold-style-cast, in a program that asks for them.
 */
#pragma GCC system_header

#include <errno.h>
#ifdef __cplusplus
/* The header may itself be included inside extern "C". */
extern "C++" {
#include <type_traits>
}
#endif

/* The key. A runtime that has opened the object stores itself in `update`; until then it is 0. */
struct static_call_key {
	void *func;
	int (*update)(struct static_call_key *key, void *func);
} __attribute__((aligned(16)));

/*
 * Each macro below hands its arguments to another one, and so they are expanded before they become part of a name or
 * a string.
 */
#define STATIC_CALL_KEY(name) __STATIC_CALL_KEY(name)
#define __STATIC_CALL_KEY(name) __SCK__##name
#define STATIC_CALL_TRAMP(name) __STATIC_CALL_TRAMP(name)
#define __STATIC_CALL_TRAMP(name) __SCT__##name

/* ---- Declaring and calling ------------------------------------------------------------------------ */

#define DECLARE_STATIC_CALL(name, func) __STATIC_CALL_DECLARE(name, func)
#define __STATIC_CALL_DECLARE(name, func)                                                                 \
	__STATIC_CALL_PROBE(name, func)                                                                   \
	__STATIC_CALL_EXTERN __attribute__((visibility(__STATIC_CALL_KEY_VISIBILITY(name))))              \
	__STATIC_CALL_STRUCT static_call_key STATIC_CALL_KEY(name);                                       \
	__STATIC_CALL_ANY_RESULT_BEGIN                                                                    \
	__STATIC_CALL_EXTERN __attribute__((visibility(__STATIC_CALL_TRAMP_VISIBILITY(name))))            \
	__typeof__(func) STATIC_CALL_TRAMP(name);                                                         \
	__STATIC_CALL_ANY_RESULT_END                                                                      \
	__STATIC_CALL_ASSERT(__STATIC_CALL_IS_FUNCTION(STATIC_CALL_TRAMP(name)),                          \
			     "static_call: key " #name " needs the type of a function, and " #func            \
			     " is a pointer to one: write *(" #func ")0 in its place")

/*
 * The comma keeps the trampoline a function designator: through a statement expression's value an
 * unoptimised build would call it by a register, and there would be no site.
 */
#define static_call(name) (__STATIC_CALL_NAME_KEY(name), STATIC_CALL_TRAMP(name))
#define static_call_mod(name) (STATIC_CALL_TRAMP(name))
/* The trampoline of an empty key returns, so nothing needs to be tested. */
#define static_call_cond(name) (void)static_call(name)

#define static_call_query(name)                                                                           \
	(__extension__ (__typeof__(&STATIC_CALL_TRAMP(name)))__atomic_load_n(&STATIC_CALL_KEY(name).func, __ATOMIC_RELAXED))

/* ---- Defining ------------------------------------------------------------------------------------- */

#define DEFINE_STATIC_CALL(name, function) __STATIC_CALL_DEFINE_FUNCTION(name, function)
#define __STATIC_CALL_DEFINE_FUNCTION(name, function)                                                     \
	__STATIC_CALL_DECLARE(name, function);                                                            \
	__STATIC_CALL_DEFINE(name, function, #function, __STATIC_CALL_INITIAL_TARGET,                     \
			     __STATIC_CALL_RETURNS(name),                                                 \
			     "jmp\t" __STATIC_CALL_SYMBOL, "", [func] "X"(function));                     \
	__STATIC_CALL_DECLARE_TARGET(name, function)

#define DEFINE_STATIC_CALL_NULL(name, function) __STATIC_CALL_DEFINE_NULL(name, function)
#define __STATIC_CALL_DEFINE_NULL(name, function)                                                         \
	__STATIC_CALL_DECLARE(name, function);                                                            \
	__STATIC_CALL_ASSERT_VOID(name);                                                                  \
	__STATIC_CALL_DEFINE(name, __STATIC_CALL_NOTHING, __STATIC_CALL_NOTHING,                          \
			     __STATIC_CALL_INITIAL_NULL, __STATIC_CALL_VOID,                              \
			     "ret\n\tint3\n\tnop\n\tnop\n\tnop", "", __STATIC_CALL_NO_SYMBOL)

#define DEFINE_STATIC_CALL_RET0(name, function) __STATIC_CALL_DEFINE_RET0(name, function)
#define __STATIC_CALL_DEFINE_RET0(name, function)                                                         \
	__STATIC_CALL_DECLARE(name, function);                                                            \
	__STATIC_CALL_ASSERT_WORD(name);                                                                  \
	__STATIC_CALL_DEFINE(name, __static_call_return0, __STATIC_CALL_NOTHING,                          \
			     __STATIC_CALL_INITIAL_RET0, __STATIC_CALL_WORD,                              \
			     "jmp\t__static_call_return0", __STATIC_CALL_RETURN0_TEXT,                   \
			     __STATIC_CALL_NO_SYMBOL)

#define STATIC_CALL_TARGET(name, function) __STATIC_CALL_DECLARE_TARGET(name, function)
#define __STATIC_CALL_DECLARE_TARGET(name, function)                                                      \
	__STATIC_CALL_ASSERT(__STATIC_CALL_FITS(name, function),                                          \
			     "static_call: " #function " cannot be a target of key " #name                \
			     ": it has another type");                                                    \
	__STATIC_CALL_TARGET_RECORD(name, (void (*)(void))(function), #function)

/* Without a function, and by the name that the key's target then has. */
#define STATIC_CALL_TARGET_NULL(name)                                                                     \
	__STATIC_CALL_ASSERT_VOID(name);                                                                  \
	__STATIC_CALL_TARGET_RECORD(name, __STATIC_CALL_NOTHING, "null")
#define STATIC_CALL_TARGET_RET0(name)                                                                     \
	__STATIC_CALL_ASSERT_WORD(name);                                                                  \
	__STATIC_CALL_TARGET_RECORD(name, __STATIC_CALL_NOTHING, "ret0")

#define EXPORT_STATIC_CALL(name) __STATIC_CALL_EXPORT(name)
#define __STATIC_CALL_EXPORT(name)                                                                        \
	__STATIC_CALL_ASSERT(__STATIC_CALL_IF(STATIC_CALL_EXPORTED_##name, 1, 0),                         \
			     "static_call: to export key " #name ", write #define STATIC_CALL_EXPORTED_"  \
			     #name " 1 before the first macro that names it")

#define EXPORT_STATIC_CALL_TRAMP(name) __STATIC_CALL_EXPORT_TRAMP(name)
#define __STATIC_CALL_EXPORT_TRAMP(name)                                                                  \
	__STATIC_CALL_ASSERT(__STATIC_CALL_IF(STATIC_CALL_EXPORTED_TRAMP_##name, 1, 0),                   \
			     "static_call: to export the trampoline of key " #name                        \
			     ", write #define STATIC_CALL_EXPORTED_TRAMP_" #name                          \
			     " 1 before the first macro that names it");                                  \
	__asm__(".pushsection .static_call_tramp_key,\"a" __STATIC_CALL_RETAIN_FLAG "\",@progbits\n\t"     \
		".balign 4\n\t"                                                                           \
		".long __SCT__" #name " - .\n\t"                                                          \
		".long __SCK__" #name " - .\n\t"                                                          \
		".popsection")

/* ---- Updating from C ------------------------------------------------------------------------------ */

/*
 * NULL empties the key, STATIC_CALL_RETURN0(name) makes it return 0. `function` is evaluated once.
 */
#define static_call_update(name, function) __STATIC_CALL_UPDATE(name, function)
#define __STATIC_CALL_UPDATE(name, function)                                                              \
	(__extension__({                                                                                  \
		__STATIC_CALL_AUTO __static_call_func = (function);                                              \
		__STATIC_CALL_ASSERT(__STATIC_CALL_UPDATES(name, __static_call_func),                     \
				     "static_call: " #function " cannot be the target of key " #name      \
				     ": it has another type");                                            \
		__STATIC_CALL_MARK_UPDATE;                                                                \
		__static_call_update(&STATIC_CALL_KEY(name), (void *)__static_call_func);                 \
	}))

/* Tells a runtime that this object needs a thread to serve its updates: a byte for each place that asks. */
#ifdef STATIC_CALL_RUNTIME
#define __STATIC_CALL_MARK_UPDATE (void)0
#else
#define __STATIC_CALL_MARK_UPDATE                                                                         \
	__asm__ volatile(".pushsection .static_call_updates,\"a" __STATIC_CALL_RETAIN_FLAG "\",@progbits\n\t" \
			 ".byte 1\n\t"                                                                    \
			 ".popsection")
#endif

#define STATIC_CALL_RETURN0(name)                                                                         \
	(__extension__({                                                                                  \
		__STATIC_CALL_ASSERT_WORD(name);                                                          \
		__asm__ volatile(__STATIC_CALL_RETURN0_TEXT : :);                                         \
		(__typeof__(&STATIC_CALL_TRAMP(name)))(void (*)(void))__static_call_return0;              \
	}))

/* ---- What the file says of itself ----------------------------------------------------------------- */

/*
 * Records hold addresses, not distances: a target may be a function of another object, which has
 * no distance before the program runs, and C has no constant for the distance to a static one. So the sections are
 * writable data, relocated by the dynamic linker. Names are strings, for symbols may be stripped and C++
 * mangles them. `retain` keeps the records through --gc-sections, though nothing refers to them.
 */

/* One in .static_call_keys for each key that the object defines. */
struct static_call_key_record {
	struct static_call_key *key;
	void (*tramp)(void);
	void (*initial)(void);    /* 0: empty; the return-0 function where `kind` says so */
	const char *name;
	const char *initial_name; /* 0 where there is none */
	unsigned int version;     /* __STATIC_CALL_RECORD_VERSION */
	unsigned char kind;       /* __STATIC_CALL_INITIAL_... */
	unsigned char returns;    /* __STATIC_CALL_VOID, ... */
	unsigned char exported;   /* 1: key and trampoline; 2: trampoline alone */
	unsigned char reserved;
};

/* One in .static_call_targets for each permitted target; the same pair may be there several times. Without a
 * function: "null" where the key may be empty, "ret0" where it may return 0.
 */
struct static_call_target_record {
	struct static_call_key *key;
	void (*func)(void);
	const char *key_name;
	const char *func_name;
};

/*
 * 2: null and return 0 are permitted where the program says so. A record of version 1 has no such declarations, and
 * every key may have what its type allows.
 */
#define __STATIC_CALL_RECORD_VERSION 2

#define __STATIC_CALL_INITIAL_TARGET 0
#define __STATIC_CALL_INITIAL_NULL 1
#define __STATIC_CALL_INITIAL_RET0 2

#define __STATIC_CALL_UNSEEN 0 /* C did not show it */
#define __STATIC_CALL_VOID 1
#define __STATIC_CALL_WORD 2   /* an integer or a pointer of at most eight bytes */
#define __STATIC_CALL_OTHER 3

/* ---- From here on, what the macros above are made of ---------------------------------------------- */

/* `struct X` would declare another X inside a C++ module. */
#ifdef __cplusplus
#define __STATIC_CALL_EXTERN extern "C"
#define __STATIC_CALL_C_LINKAGE(...) extern "C" { __VA_ARGS__ }
#define __STATIC_CALL_STRUCT
#define __STATIC_CALL_NOTHING nullptr
#define __STATIC_CALL_AUTO auto
#define __STATIC_CALL_ASSERT(condition, message) static_assert(condition, message)
#else
#define __STATIC_CALL_EXTERN extern
#define __STATIC_CALL_C_LINKAGE(...) __VA_ARGS__
#define __STATIC_CALL_STRUCT struct
#define __STATIC_CALL_NOTHING 0
#define __STATIC_CALL_AUTO __auto_type
#define __STATIC_CALL_ASSERT(condition, message) __extension__ _Static_assert(condition, message)
#endif

/* The trampoline is no C function: what it returns is its targets' business, a C++ class too. */
#if defined(__cplusplus) && defined(__clang__)
#define __STATIC_CALL_ANY_RESULT_BEGIN                                                                    \
	_Pragma("clang diagnostic push") _Pragma("clang diagnostic ignored \"-Wreturn-type-c-linkage\"")
#define __STATIC_CALL_ANY_RESULT_END _Pragma("clang diagnostic pop")
#else
#define __STATIC_CALL_ANY_RESULT_BEGIN
#define __STATIC_CALL_ANY_RESULT_END
#endif

/* yes if the macro `flag` is defined as 1, no if it is not defined. */
#define __STATIC_CALL_IF(flag, yes, no) __STATIC_CALL_IF_(flag, yes, no)
#define __STATIC_CALL_IF_(flag, yes, no) __STATIC_CALL_IF__(__STATIC_CALL_SET_##flag yes, no, ~)
#define __STATIC_CALL_IF__(...) __STATIC_CALL_SECOND(__VA_ARGS__)
#define __STATIC_CALL_SECOND(first, second, ...) second
#define __STATIC_CALL_SET_1 ~,

#define __STATIC_CALL_UNIQUE(prefix) __STATIC_CALL_UNIQUE_(prefix, __COUNTER__)
#define __STATIC_CALL_UNIQUE_(prefix, number) __STATIC_CALL_UNIQUE__(prefix, number)
#define __STATIC_CALL_UNIQUE__(prefix, number) prefix##number

#define __STATIC_CALL_KEY_VISIBILITY(name) __STATIC_CALL_IF(STATIC_CALL_EXPORTED_##name, "default", "hidden")
#define __STATIC_CALL_TRAMP_VISIBILITY(name)                                                              \
	__STATIC_CALL_IF(STATIC_CALL_EXPORTED_##name, "default",                                          \
			 __STATIC_CALL_IF_INNER(STATIC_CALL_EXPORTED_TRAMP_##name, "default", "hidden"))
/* An exported trampoline is protected where it is defined, so that its own object still calls it directly. */
#define __STATIC_CALL_TRAMP_DIRECTIVE(name)                                                               \
	__STATIC_CALL_IF(STATIC_CALL_EXPORTED_##name, ".protected",                                       \
			 __STATIC_CALL_IF_INNER(STATIC_CALL_EXPORTED_TRAMP_##name, ".protected", ".hidden"))
#define __STATIC_CALL_EXPORT_CODE(name)                                                                   \
	__STATIC_CALL_IF(STATIC_CALL_EXPORTED_##name, 1,                                                  \
			 __STATIC_CALL_IF_INNER(STATIC_CALL_EXPORTED_TRAMP_##name, 2, 0))
/* A macro does not expand inside itself, so the inner question has a name of its own. */
#define __STATIC_CALL_IF_INNER(flag, yes, no) __STATIC_CALL_IF_INNER_(flag, yes, no)
#define __STATIC_CALL_IF_INNER_(flag, yes, no) __STATIC_CALL_IF_INNER__(__STATIC_CALL_SET_##flag yes, no, ~)
#define __STATIC_CALL_IF_INNER__(...) __STATIC_CALL_INNER_SECOND(__VA_ARGS__)
#define __STATIC_CALL_INNER_SECOND(first, second, ...) second

#if defined(__has_attribute)
#if __has_attribute(retain)
#define __STATIC_CALL_RETAIN_FLAG "R"
#define __STATIC_CALL_RETAIN , retain
#endif
#endif
#ifndef __STATIC_CALL_RETAIN
#define __STATIC_CALL_RETAIN_FLAG ""
#define __STATIC_CALL_RETAIN
#endif

/*
 * A program that links a runtime finds its records itself: linkers tell where a section begins and ends whose name is
 * a word of C. `annotate` knows by these names what to call the table of sites.
 */
#ifdef STATIC_CALL_RUNTIME
#define __STATIC_CALL_SECTION ""
#define __STATIC_CALL_NAMES ".discard.static_call_runtime"
#else
#define __STATIC_CALL_SECTION "."
#define __STATIC_CALL_NAMES ".discard.static_call"
#endif

/* The alignment is said so that no compiler widens it: the records of a section form an array. */
#if defined(__clang__)
/* Redzones of the address sanitizer would come between the records. gcc leaves named sections alone. */
#define __STATIC_CALL_RECORD(name)                                                                        \
	__attribute__((section(name), used, aligned(8), no_sanitize("address") __STATIC_CALL_RETAIN))
#else
#define __STATIC_CALL_RECORD(name) __attribute__((section(name), used, aligned(8) __STATIC_CALL_RETAIN))
#endif

/*
 * Puts the key's symbol beside the trampoline's in the object's symbol table, where `annotate` looks for
 * it. The section is excluded from every linked file. `inline`: the compiler shall not think it large.
 */
#define __STATIC_CALL_NAME_KEY(name) __STATIC_CALL_NAME_KEY_(name)
#define __STATIC_CALL_NAME_KEY_(name)                                                                     \
	(__extension__({                                                                                  \
		__asm__ volatile __inline__(".pushsection " __STATIC_CALL_NAMES ",\"e\",@progbits\n\t"         \
					    ".long\t__SCK__" #name " - .\n\t"                             \
					    ".popsection");                                               \
	}))

/*
 * "X" with the bare symbol: position-independent code may not use "i" for a function that could be
 * preempted, though a jump to one is only a relocation. The assembler makes it jmp rel32, never rel8,
 * because no target is in .static_call.text.
 */
#if defined(__clang__)
#define __STATIC_CALL_SYMBOL "%P[func]"
#else
#define __STATIC_CALL_SYMBOL "%p[func]"
#endif

/* In C90 no argument of a macro may be empty, and so there is an operand. */
#define __STATIC_CALL_NO_SYMBOL [func] "i"(0)

/*
 * The trampoline is written in a function's assembly, which never runs, because there the compiler knows
 * what a static, mangled or link-time optimised function is called.
 */
#define __STATIC_CALL_DEFINE(name, first, first_name, first_kind, class, instruction, before, operand)    \
	static void __attribute__((used, noinline)) __static_call_define_##name(void)                     \
	{                                                                                                 \
		__asm__ volatile(before : :);                                                             \
		__asm__ volatile(".ifdef\t__SCT__" #name "\n\t"                                           \
				 ".error\t\"static_call: key " #name " is defined twice in this file: a "  \
				 "key's name is one for the whole program, whatever its namespace\"\n\t"  \
				 ".endif\n\t"                                                            \
				 ".pushsection .static_call.text,\"ax\",@progbits\n\t"                    \
				 ".balign\t8\n\t"                                                         \
				 ".globl\t__SCT__" #name "\n\t"                                           \
				 __STATIC_CALL_TRAMP_DIRECTIVE(name) "\t__SCT__" #name "\n\t"             \
				 ".type\t__SCT__" #name ", @function\n"                                   \
				 "__SCT__" #name ":\n\t"                                                  \
				 instruction "\n\t"                                                       \
				 ".byte\t0x0f, 0xb9, 0xcc\n\t"                                            \
				 ".size\t__SCT__" #name ", . - __SCT__" #name "\n\t"                      \
				 ".popsection"                                                            \
				 :                                                                        \
				 : operand);                                                              \
	}                                                                                                 \
	__STATIC_CALL_C_LINKAGE(                                                                          \
		__attribute__((used)) __STATIC_CALL_STRUCT static_call_key STATIC_CALL_KEY(name) = {      \
			__extension__(void *)(first), __STATIC_CALL_NOTHING};)                            \
	static __STATIC_CALL_STRUCT static_call_key_record __static_call_key_##name                       \
		__STATIC_CALL_RECORD(__STATIC_CALL_SECTION "static_call_keys") = {                                             \
			&STATIC_CALL_KEY(name),                                                           \
			(void (*)(void))STATIC_CALL_TRAMP(name),                                          \
			(void (*)(void))(first),                                                          \
			#name,                                                                            \
			first_name,                                                                       \
			__STATIC_CALL_RECORD_VERSION,                                                     \
			first_kind,                                                                       \
			class,                                                                            \
			__STATIC_CALL_EXPORT_CODE(name),                                                  \
			0}

#define __STATIC_CALL_TARGET_RECORD(name, function, word) __STATIC_CALL_TARGET_RECORD_(name, function, word)
#define __STATIC_CALL_TARGET_RECORD_(name, function, word)                                                \
	static __STATIC_CALL_STRUCT static_call_target_record __STATIC_CALL_UNIQUE(__static_call_target_) \
		__STATIC_CALL_RECORD(__STATIC_CALL_SECTION "static_call_targets") = {                                          \
			&STATIC_CALL_KEY(name), function, #name, word}

/*
 * endbr64; xor %eax,%eax; ret. As bytes, for -masm=intel reads other words. ENDBR64 because static_call_query() hands the
 * address out, and it may be called indirectly.
 */
#define __STATIC_CALL_RETURN0_TEXT                                                                        \
	".ifndef __static_call_return0\n\t"                                                               \
	".pushsection .text.__static_call_return0,\"axG\",@progbits,__static_call_return0,comdat\n\t"     \
	".weak\t__static_call_return0\n\t"                                                                \
	".hidden\t__static_call_return0\n\t"                                                              \
	".type\t__static_call_return0, @function\n"                                                       \
	"__static_call_return0:\n\t"                                                                      \
	".byte\t0xf3, 0x0f, 0x1e, 0xfa, 0x31, 0xc0, 0xc3\n\t"                                              \
	".size\t__static_call_return0, . - __static_call_return0\n\t"                                     \
	".popsection\n\t"                                                                                 \
	".endif\n\t"

__STATIC_CALL_EXTERN __attribute__((visibility("hidden"))) long __static_call_return0(void);

static __inline__ int __static_call_update(struct static_call_key *key, void *func)
{
	int (*update)(struct static_call_key *, void *) = __atomic_load_n(&key->update, __ATOMIC_ACQUIRE);

	return update ? update(key, func) : -ENOSYS;
}

/* ---- A runtime of the program's own ---------------------------------------------------------------- */

#ifdef STATIC_CALL_RUNTIME
/* One key's part of an update of several. */
struct static_call_change {
	struct static_call_key *key;
	void *func;
};

/* As static_call_update(), for a row of what static_call_update_batch() takes: {STATIC_CALL_CHANGE(name, func), ...} */
#define STATIC_CALL_CHANGE(name, function) __STATIC_CALL_CHANGE(name, function)
#define __STATIC_CALL_CHANGE(name, function)                                                              \
	(__extension__({                                                                                  \
		__STATIC_CALL_AUTO __static_call_func = (function);                                       \
		__STATIC_CALL_STRUCT static_call_change __static_call_change;                             \
		__STATIC_CALL_ASSERT(__STATIC_CALL_UPDATES(name, __static_call_func),                     \
				     "static_call: " #function " cannot be the target of key " #name      \
				     ": it has another type");                                            \
		__static_call_change.key = &STATIC_CALL_KEY(name);                                        \
		__static_call_change.func = (void *)__static_call_func;                                   \
		__static_call_change;                                                                     \
	}))

/* All of them or none, for as many synchronisations of the CPUs as one update needs: 0, or a negative errno. */
__STATIC_CALL_EXTERN __attribute__((visibility("hidden")))
int static_call_update_batch(const struct static_call_change *changes, __SIZE_TYPE__ count);

/* How the calls of a key are made at this moment, or a negative errno: why no runtime has them. */
#define static_call_state(name) __static_call_state(&STATIC_CALL_KEY(name))
enum static_call_state {
	/* Every call site calls the target itself. */
	STATIC_CALL_DIRECT,
	/* Some site calls the trampoline, which jumps to the target: no update has gone through yet. */
	STATIC_CALL_THROUGH_TRAMPOLINE,
	/* An update could be neither completed nor taken back: some sites are emulated, or have the other target, until one
	 * goes through. */
	STATIC_CALL_PARKED
};
__STATIC_CALL_EXTERN __attribute__((visibility("hidden")))
int __static_call_state(const struct static_call_key *key);
#endif

/* ---- Types: what fits, and what a key's functions return ------------------------------------------ */

#define __STATIC_CALL_MAY_RETURN(name, class)                                                             \
	(__STATIC_CALL_RETURNS(name) == (class) || __STATIC_CALL_RETURNS(name) == __STATIC_CALL_UNSEEN)

#define __STATIC_CALL_ASSERT_VOID(name) __STATIC_CALL_ASSERT_VOID_(name)
#define __STATIC_CALL_ASSERT_VOID_(name)                                                                  \
	__STATIC_CALL_ASSERT(__STATIC_CALL_MAY_RETURN(name, __STATIC_CALL_VOID),                          \
			     "static_call: key " #name " cannot be empty: its functions return a value")
#define __STATIC_CALL_ASSERT_WORD(name) __STATIC_CALL_ASSERT_WORD_(name)
#define __STATIC_CALL_ASSERT_WORD_(name)                                                                  \
	__STATIC_CALL_ASSERT(__STATIC_CALL_MAY_RETURN(name, __STATIC_CALL_WORD),                          \
			     "static_call: key " #name                                                    \
			     " cannot return 0: its functions return neither an integer nor a pointer")

#ifdef __cplusplus

extern "C++" {
namespace static_call_types {
template <class F> struct result;
/* Refused in words; without this, in the compiler's words as well. */
template <class F> struct result<F *> : result<F> {};
/* From C++17 on noexcept is part of a function's type. */
#ifdef __cpp_noexcept_function_type
template <class R, class... A, bool N> struct result<R(A...) noexcept(N)> { using type = R; };
template <class R, class... A, bool N> struct result<R(A..., ...) noexcept(N)> { using type = R; };
#else
template <class R, class... A> struct result<R(A...)> { using type = R; };
template <class R, class... A> struct result<R(A..., ...)> { using type = R; };
#endif

template <class R, bool scalar = std::is_integral<R>::value || std::is_enum<R>::value || std::is_pointer<R>::value>
struct classified {
	static constexpr unsigned char as = std::is_void<R>::value ? __STATIC_CALL_VOID : __STATIC_CALL_OTHER;
};
template <class R> struct classified<R, true> {
	static constexpr unsigned char as = sizeof(R) <= 8 ? __STATIC_CALL_WORD : __STATIC_CALL_OTHER;
};
}
}

#define __STATIC_CALL_IS_FUNCTION(symbol) (std::is_function<__typeof__(symbol)>::value)
#define __STATIC_CALL_RETURNS(name)                                                                       \
	(static_call_types::classified<                                                                   \
		typename static_call_types::result<__typeof__(STATIC_CALL_TRAMP(name))>::type>::as)
#define __STATIC_CALL_CONVERTS(name, function)                                                            \
	(std::is_convertible<typename std::decay<decltype(function)>::type,                               \
			     __typeof__(STATIC_CALL_TRAMP(name)) *>::value)
#define __STATIC_CALL_IS_NULLPTR(function)                                                                \
	(std::is_same<typename std::decay<decltype(function)>::type, decltype(nullptr)>::value)
#define __STATIC_CALL_FITS(name, function)                                                                \
	(__STATIC_CALL_CONVERTS(name, function) && !__STATIC_CALL_IS_NULLPTR(function))
#define __STATIC_CALL_UPDATES(name, function)                                                             \
	(__STATIC_CALL_IS_NULLPTR(function) ? __STATIC_CALL_RETURNS(name) == __STATIC_CALL_VOID           \
					    : __STATIC_CALL_CONVERTS(name, function))

#else

/* What a function's name is dereferenced to is the function again. */
#define __STATIC_CALL_IS_FUNCTION(symbol)                                                                 \
	(__extension__ __builtin_types_compatible_p(__typeof__(symbol), __typeof__(*symbol)))
/* The types of the functions, not of pointers to them: an attribute `const` would count as a qualifier there. */
#define __STATIC_CALL_FITS(name, function)                                                                \
	(__extension__ __builtin_types_compatible_p(__typeof__(*(function)), __typeof__(STATIC_CALL_TRAMP(name))))
/* A number has no type to point to; the key's own, which fits nothing, stands in for it. 5 is "pointer". */
#define __STATIC_CALL_UPDATES(name, function)                                                             \
	(__STATIC_CALL_FITS(name, __builtin_choose_expr(__builtin_classify_type(function) == 5, function, \
							&STATIC_CALL_KEY(name))) ||                       \
	 __builtin_types_compatible_p(__typeof__(function), void *))

/*
 * C cannot name the type that a function type returns. A type without a prototype is compatible with one that
 * has the same result, if no parameter changes when passed to it (float, and all narrower than int).
 */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#define __STATIC_CALL_RESULTS(list)                                                                       \
	list(void_, void) list(bool_, _Bool) list(char_, char) list(schar, signed char)                   \
	list(uchar, unsigned char) list(short_, short) list(ushort, unsigned short) list(int_, int)       \
	list(uint, unsigned) list(long_, long) list(ulong, unsigned long) list(llong, long long)          \
	list(ullong, unsigned long long) list(pointer, void *) list(cpointer, const void *)               \
	list(string, char *) list(cstring, const char *) list(float_, float) list(double_, double)        \
	list(ldouble, long double) list(int128, __int128) list(uint128, unsigned __int128)
#define __STATIC_CALL_RESULT_TYPE(word, type) __extension__ typedef type __static_call_result_##word();
__STATIC_CALL_RESULTS(__STATIC_CALL_RESULT_TYPE)
#pragma GCC diagnostic pop

#define __STATIC_CALL_GIVES(name, word)                                                                   \
	__builtin_types_compatible_p(__typeof__(STATIC_CALL_TRAMP(name)), __static_call_result_##word)
#define __STATIC_CALL_RETURNS_BY_LIST(name)                                                               \
	(__STATIC_CALL_GIVES(name, void_) ? __STATIC_CALL_VOID                                            \
	 : __STATIC_CALL_GIVES(name, bool_) || __STATIC_CALL_GIVES(name, char_) ||                        \
			 __STATIC_CALL_GIVES(name, schar) || __STATIC_CALL_GIVES(name, uchar) ||          \
			 __STATIC_CALL_GIVES(name, short_) || __STATIC_CALL_GIVES(name, ushort) ||        \
			 __STATIC_CALL_GIVES(name, int_) || __STATIC_CALL_GIVES(name, uint) ||            \
			 __STATIC_CALL_GIVES(name, long_) || __STATIC_CALL_GIVES(name, ulong) ||          \
			 __STATIC_CALL_GIVES(name, llong) || __STATIC_CALL_GIVES(name, ullong) ||         \
			 __STATIC_CALL_GIVES(name, pointer) || __STATIC_CALL_GIVES(name, cpointer) ||     \
			 __STATIC_CALL_GIVES(name, string) || __STATIC_CALL_GIVES(name, cstring)          \
		 ? __STATIC_CALL_WORD                                                                     \
	 : __STATIC_CALL_GIVES(name, float_) || __STATIC_CALL_GIVES(name, double_) ||                     \
			 __STATIC_CALL_GIVES(name, ldouble) || __STATIC_CALL_GIVES(name, int128) ||       \
			 __STATIC_CALL_GIVES(name, uint128)                                               \
		 ? __STATIC_CALL_OTHER                                                                    \
		 : __STATIC_CALL_UNSEEN)

#if defined(__clang__) || __GNUC__ < 9
#define __STATIC_CALL_RETURNS(name) __STATIC_CALL_RETURNS_BY_LIST(name)
#else
/*
 * gcc drops warn_unused_result from a function that returns nothing and malloc from one that returns no
 * pointer, and says afterwards what it kept.
 */
#define __STATIC_CALL_RETURNS(name)                                                                       \
	(!__builtin_has_attribute(__static_call_probe_##name, warn_unused_result) ? __STATIC_CALL_VOID    \
	 : __builtin_has_attribute(__static_call_probe_##name, malloc)            ? __STATIC_CALL_WORD    \
										  : __STATIC_CALL_RETURNS_BY_LIST(name))
#define __STATIC_CALL_PROBE(name, func)                                                                   \
	_Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wattributes\"")                 \
	extern __typeof__(func) __static_call_probe_##name __attribute__((warn_unused_result, malloc));   \
	_Pragma("GCC diagnostic pop")
#endif
#endif

#ifndef __STATIC_CALL_PROBE
#define __STATIC_CALL_PROBE(name, func)
#endif

#endif
