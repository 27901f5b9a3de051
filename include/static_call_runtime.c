/*
 * Static calls without Node: the runtime that a C or C++ program links.
 *
 * The program's own calls to static_call_update() rewrite its call sites, on the thread that calls.
 * One object file of an executable or shared library is this one. It finds the sites by the table
 * that `static-call annotate` wrote into each object file, so it reads no file but those of /proc.
 *
 *
 * What is machine code and what is C
 *
 * What another thread may run into at any moment is machine code: the handler of the trap, the
 * handlers around fork, and the walk over a key's sites. It is the page of bytes above, which is
 * the same in every process that static-call patches and the same that its checker explored. What
 * decides is C: which sites there are, what may be refused, in which order the steps of an update
 * are done. The steps themselves are a table above, as the checker explored them.
 *
 *
 * Who else may be there
 *
 * A process has one page of that code, with one block of data behind it. The first that
 * needs it makes it: this file in the program, the same file in a shared library, Node, or a tool
 * that attached to the process. Each finds it in /proc/self/maps by the name of its mapping. Keys and sites are listed
 * in that block, so that every one of them can update every key. The layouts above are shared by
 * all, and a runtime of another version is refused (-EPROTO).
 *
 *
 * Rules that everything here keeps
 *
 * - No thread waits for another but by the lock, and only inside an update or a fork.
 * - Every system call is made here and not by libc: none is a cancellation point, none touches
 *   errno, and a sanitizer sees none of them. The clock is read by libc, without a system call.
 * - Nothing that the trap handler reads is freed, moved or used again.
 */

#include <elf.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <time.h>

/* ---- The kernel ------------------------------------------------------------------------------ */

/*
 * Nothing here is so hot that it is worth its size twice. A compiler that is asked for a small file
 * makes a copy of a function in each of its callers none the less: of these it would be larger.
 */
#define SC_APART __attribute__((noinline))
/* clang's -Os is less than that of gcc: it means -Oz here. */
#if defined(__clang__) && defined(__OPTIMIZE_SIZE__)
#pragma clang attribute push(__attribute__((minsize)), apply_to = function)
#endif

/* A test makes system calls fail by a function of its own. */
#ifdef STATIC_CALL_SYSTEM
long STATIC_CALL_SYSTEM(long number, long a, long b, long c, long d, long e, long f);
#define sc_system6 STATIC_CALL_SYSTEM
#else
SC_APART static long sc_system6(long number, long a, long b, long c, long d,
						 long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}
#endif

SC_APART static long sc_system(long number, long a, long b, long c, long d)
{
	return sc_system6(number, a, b, c, d, 0, 0);
}

SC_APART static long sc_call(long number, long a)
{
	return sc_system(number, a, 0, 0, 0);
}

static long sc_address(const void *at)
{
	return (long)(uintptr_t)at;
}

static void *sc_at(uint64_t address)
{
	return (void *)(uintptr_t)address;
}

enum {
	SC_PAGE = 4096,
	SC_READ = 1,
	SC_WRITE = 2,
	SC_EXEC = 4,
	SC_PRIVATE = 2,
	SC_ANONYMOUS = 0x20,
	SC_FIXED_NOREPLACE = 0x100000,
	SC_MREMAP_FIXED = 1 | 2,
	SC_CLOEXEC = 02000000,
	SC_FUTEX_WAIT = 128,
	SC_FUTEX_WAKE = 129,
	SC_SEEK_SET = 0,
	SC_SEEK_CURRENT = 1,
	SC_WIPE_ON_FORK = 18,
	SC_MEMBARRIER_SYNC_CORE = 1 << 5,
	SC_MEMBARRIER_REGISTER = 1 << 6,
	/* The kernel refuses with the last page of numbers. */
	SC_ERRORS = 4096
};

static bool sc_refused(long result)
{
	return (unsigned long)result > (unsigned long)-SC_ERRORS;
}

static long sc_map(long near, size_t size, long access, long flags, int file)
{
	return sc_system6(SYS_mmap, near, (long)size, access, SC_PRIVATE | flags, file, 0);
}

/* Zeroed; NULL where it is refused. */
static void *sc_map_memory(size_t size)
{
	long at = sc_map(0, size, SC_READ | SC_WRITE, SC_ANONYMOUS, -1);

	return sc_refused(at) ? NULL : (void *)(uintptr_t)at;
}

static void sc_unmap(void *at, size_t size)
{
	sc_system(SYS_munmap, sc_address(at), (long)size, 0, 0);
}

/* A page of code, written: from here on it can be run and not be written. */
static bool sc_seal(void *page)
{
	return sc_system(SYS_mprotect, sc_address(page), SC_PAGE, SC_READ | SC_EXEC, 0) == 0;
}

static int sc_open(const char *path, long flags)
{
	return (int)sc_system(SYS_open, sc_address(path), flags | SC_CLOEXEC, 0, 0);
}

static void sc_close(int file)
{
	sc_call(SYS_close, file);
}

/* As much of a file of /proc as fits, with a 0 behind it; 0 where there is nothing to read. */
static size_t sc_read_file(const char *path, char *into, size_t size)
{
	int file = sc_open(path, 0);
	long length;

	into[0] = 0;
	if (file < 0)
		return 0;
	length = sc_system(SYS_read, file, sc_address(into), (long)size - 1, 0);
	sc_close(file);
	if (length < 0)
		return 0;
	into[length] = 0;
	return (size_t)length;
}

/* By libc, which asks no kernel for it: a system call costs as much as a store into text. */
static uint64_t sc_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void sc_sleep_ms(int64_t ms)
{
	int64_t time[2] = {0, ms * 1000000};

	sc_call(SYS_nanosleep, sc_address(time));
}

/* ---- Mappings -------------------------------------------------------------------------------- */

struct sc_mapping {
	uint64_t start, end, offset;
	char access[4];
	const char *path; /* until the next is read */
};

/* /proc/self/maps, a line at a time. */
struct sc_maps {
	int file;
	size_t from, to;
	char text[1024];
};

static uint64_t sc_hex(const char **text)
{
	uint64_t value = 0;

	for (;; (*text)++) {
		unsigned digit = (unsigned char)**text;

		if (digit - '0' < 10)
			value = 16 * value + (digit - '0');
		else if (digit - 'a' < 6)
			value = 16 * value + (digit - 'a' + 10);
		else
			return value;
	}
}

static bool sc_next_line(struct sc_maps *maps, char **line)
{
	for (;;) {
		char *begin = maps->text + maps->from;
		char *end = memchr(begin, '\n', maps->to - maps->from);
		long more;

		if (end) {
			*end = 0;
			*line = begin;
			maps->from = (size_t)(end + 1 - maps->text);
			return true;
		}
		memmove(maps->text, begin, maps->to - maps->from);
		maps->to -= maps->from;
		maps->from = 0;
		/* A path that is longer than the buffer is none that is looked for: its end becomes
		 * a line. */
		if (maps->to == sizeof maps->text)
			maps->to = sizeof maps->text / 2;
		more = sc_system(SYS_read, maps->file, sc_address(maps->text + maps->to),
				 (long)(sizeof maps->text - maps->to), 0);
		if (more <= 0)
			return false;
		maps->to += (size_t)more;
	}
}

static bool sc_next_mapping(struct sc_maps *maps, struct sc_mapping *mapping)
{
	char *line;
	const char *text;

	while (sc_next_line(maps, &line)) {
		text = line;
		mapping->start = sc_hex(&text);
		if (*text++ != '-')
			continue;
		mapping->end = sc_hex(&text);
		if (strlen(text) < 6)
			continue;
		memcpy(mapping->access, text + 1, 4);
		text += 6;
		mapping->offset = sc_hex(&text);
		mapping->path = strchr(text, '/');
		if (!mapping->path)
			mapping->path = "";
		return true;
	}
	sc_close(maps->file);
	return false;
}

static bool sc_open_maps(struct sc_maps *maps)
{
	maps->from = maps->to = 0;
	maps->file = sc_open("/proc/self/maps", 0);
	return maps->file >= 0;
}

static bool sc_is(const struct sc_mapping *mapping, const char *name, const char *access)
{
	return strncmp(mapping->path, name, strlen(name)) == 0 &&
	       memcmp(mapping->access, access, 4) == 0;
}

/* A private mapping of a memory file: only that has a name in /proc/self/maps on every kernel. */
static long sc_map_named(const char *name, size_t size)
{
	int file = (int)sc_system(SYS_memfd_create, sc_address(name), 1, 0, 0);
	long at;

	if (file < 0)
		return file;
	at = sc_system(SYS_ftruncate, file, (long)size, 0, 0);
	if (at == 0)
		at = sc_map(0, size, SC_READ | SC_WRITE, 0, file);
	sc_close(file);
	return at;
}

/* ---- The process's one runtime --------------------------------------------------------------- */

#define SC_RUNTIME_NAME "/memfd:static-call "
#define SC_CLAIM_NAME "/memfd:static-call-claim "

/* A key of this object, static call or static key, in the order of their addresses. */
struct sc_key {
	uint64_t address;
	uint64_t trampoline; /* 0 for a static key */
	uint64_t initial;    /* the function, where that is the target's kind */
	enum sc_target_kind kind;
	uint32_t sites; /* in one text, that have no place in a group yet */
	uint64_t returns;
	struct sc_record *record;
};

/* Code near a text: pages that hold what its sites cannot reach otherwise. */
struct sc_near {
	struct sc_near *next;
	unsigned char *page;
	size_t used;
};

/* A text that some key has sites in. */
struct sc_place {
	struct sc_place *next;
	uint64_t start, end;
	struct sc_near *near;
};

/* What this object knows. The rest is in the process's block of data, where every runtime finds it.
 */
static struct {
	/* 0: not yet; 1: in order; else the negative errno of every update. */
	int state;
	int busy;
	struct sc_data *data;
	unsigned char *page;
	struct sc_key *keys;
	size_t key_count;
	struct sc_place *places;
	int procmem;
	uint64_t looked_at;
} sc;

/* Takes a word of which 0 is free, for the thread. A thread that ended with it is followed by the
 * next. */
SC_APART static void sc_take_claim(int32_t *word, int32_t thread)
{
	for (;;) {
		int32_t owner = 0;
		bool gone;

		if (__atomic_compare_exchange_n(word, &owner, thread, false, __ATOMIC_SEQ_CST,
						__ATOMIC_SEQ_CST) ||
		    owner == thread)
			return;
		gone = sc_system(SYS_tgkill, sc_call(SYS_getpid, 0), owner, 0, 0) ==
		       -ESRCH;
		if (gone && __atomic_compare_exchange_n(word, &owner, thread, false,
							__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			return;
		sc_sleep_ms(1);
	}
}

/*
 * Which thread makes the runtime, where several come at once and share nothing yet. A thread that
 * finds no claim maps one, looks again, and takes every claim that it sees, in the order of their
 * addresses. Of two threads that each mapped their own, the one that looked later sees both. Claims
 * are never unmapped.
 */
static int sc_claim(bool take)
{
	int32_t thread = (int32_t)sc_call(SYS_gettid, 0);
	struct sc_maps maps;
	struct sc_mapping mapping;
	bool found = false;

	if (!sc_open_maps(&maps))
		return -ENOSYS;
	while (sc_next_mapping(&maps, &mapping)) {
		if (!sc_is(&mapping, SC_CLAIM_NAME, "rw-p"))
			continue;
		found = true;
		if (take)
			sc_take_claim(sc_at(mapping.start), thread);
		else if (__atomic_load_n((int32_t *)sc_at(mapping.start), __ATOMIC_RELAXED) ==
			 thread)
			__atomic_store_n((int32_t *)sc_at(mapping.start), 0, __ATOMIC_SEQ_CST);
	}
	if (found || !take)
		return 0;
	if (sc_refused(sc_map_named("static-call-claim", SC_PAGE)))
		return -ENOMEM;
	return sc_claim(true);
}

/*
 * The runtime of this process: two pages of one memory file, the code and behind it the data. One
 * whose maker ended before it was complete is found where `begun` is asked for.
 */
static int sc_find(bool begun, uint64_t *found)
{
	struct sc_maps maps;
	struct sc_mapping mapping;
	uint64_t code = 0;
	int result = 0;

	*found = 0;
	if (!sc_open_maps(&maps))
		return -ENOSYS;
	while (sc_next_mapping(&maps, &mapping)) {
		const struct sc_data *data;

		if (sc_is(&mapping, SC_RUNTIME_NAME, "r-xp") && mapping.offset == 0) {
			code = mapping.start;
			continue;
		}
		if (code == 0 || mapping.start != code + SC_PAGE ||
		    !sc_is(&mapping, SC_RUNTIME_NAME, "rw-p"))
			continue;
		data = sc_at(mapping.start);
		if (data->magic != SC_MAGIC || data->version != SC_VERSION)
			result = -EPROTO;
		else if (*found == 0 && (begun || data->ready == 1))
			*found = code;
	}
	return result;
}

static int sc_map_runtime(uint64_t *made)
{
	long at = sc_map_named("static-call", 2 * SC_PAGE);
	unsigned char *page;
	struct sc_data *data;
	uint64_t address;
	size_t i;

	if (sc_refused(at))
		return -ENOMEM;
	page = sc_at((uint64_t)at);
	data = (struct sc_data *)(void *)(page + SC_PAGE);
	address = (uint64_t)at + SC_PAGE;
	memset(page, SC_INT3, SC_PAGE);
	memcpy(page, sc_code, sizeof sc_code);
	for (i = 0; i < sizeof sc_data_words / sizeof *sc_data_words; i++)
		memcpy(page + sc_data_words[i], &address, sizeof address);
	data->magic = SC_MAGIC;
	data->version = SC_VERSION;
	if (!sc_seal(page)) {
		sc_unmap(page, 2 * SC_PAGE);
		return -ENOMEM;
	}
	*made = (uint64_t)at;
	return 0;
}

/*
 * glibc forgets what pthread_atfork() registered when the object that called it is unloaded, and
 * the runtime outlives it: so it is registered for no object.
 */
#if defined(__GLIBC__)
int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void),
		      void *object);
#define sc_atfork(prepare, parent, child) __register_atfork(prepare, parent, child, NULL)
#else
#define sc_atfork(prepare, parent, child) pthread_atfork(prepare, parent, child)
#endif

typedef void (*sc_handler)(void);

/* Call it with the claims held. Each part is made once, so one that a thread left half made is
 * completed. */
static int sc_complete(uint64_t page)
{
	struct sc_data *data = sc_at(page + SC_PAGE);

	if (data->key == 0) {
		pthread_key_t key;

		if (pthread_key_create(&key, (void (*)(void *))(uintptr_t)(page + SC_AT_GONE)) != 0)
			return -ENOMEM;
		data->key = (uint64_t)key + 1;
	}
	if (data->forks == 0) {
		if (sc_atfork((sc_handler)(uintptr_t)(page + SC_AT_PREPARE),
			      (sc_handler)(uintptr_t)(page + SC_AT_PARENT),
			      (sc_handler)(uintptr_t)(page + SC_AT_CHILD)) != 0)
			return -ENOMEM;
		data->forks = 1;
	}
	__atomic_store_n(&data->ready, 1, __ATOMIC_SEQ_CST);
	return 0;
}

/* Finds the runtime of this process or makes it. */
static int sc_have_runtime(void)
{
	uint64_t page;
	int failed = sc_find(false, &page);

	if (failed == 0 && page == 0) {
		failed = sc_claim(true);
		if (failed == 0) {
			failed = sc_find(true, &page);
			if (failed == 0 && page == 0)
				failed = sc_map_runtime(&page);
			if (failed == 0)
				failed = sc_complete(page);
			sc_claim(false);
		}
	}
	if (failed != 0)
		return failed;
	sc.page = sc_at(page);
	sc.data = sc_at(page + SC_PAGE);
	return 0;
}

/* ---- The lock and permanent memory ----------------------------------------------------------- */

static void sc_read_back_all(void);

/* -EDEADLK where this very thread has it: the update was begun by a signal handler on top of
 * another one. */
static int sc_lock(void)
{
	int32_t thread = (int32_t)sc_call(SYS_gettid, 0);
	struct sc_data *data = sc.data;

	for (;;) {
		int32_t owner = 0;

		if (__atomic_compare_exchange_n((int32_t *)&data->lock, &owner, thread, false,
						__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			break;
		if (owner == thread)
			return -EDEADLK;
		/* The kernel compares the word again under its own lock, so no wake-up is lost in
		 * between. */
		__atomic_add_fetch(&data->waiters, 1, __ATOMIC_SEQ_CST);
		sc_system(SYS_futex, sc_address(&data->lock), SC_FUTEX_WAIT, owner, 0);
		__atomic_sub_fetch(&data->waiters, 1, __ATOMIC_SEQ_CST);
	}
	/* A thread of another runtime ended in the middle of an update. */
	if (data->stale != 0) {
		sc_read_back_all();
		data->stale = 0;
	}
	return 0;
}

static void sc_unlock(void)
{
	struct sc_data *data = sc.data;

	__atomic_store_n(&data->lock, 0, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&data->waiters, __ATOMIC_SEQ_CST) > 0)
		sc_system(SYS_futex, sc_address(&data->lock), SC_FUTEX_WAKE, 1, 0);
}

/* An update that another process has drawn meanwhile is drawn again, where this word is another
 * one. */
static void sc_count_change(void)
{
	__atomic_add_fetch(&sc.data->epoch, 1, __ATOMIC_SEQ_CST);
}

/* Never freed, zeroed. Call it with the lock held. */
static void *sc_allocate(size_t size, size_t align)
{
	const size_t chunk = 1 << 20;
	struct sc_data *data = sc.data;
	uint64_t at = (data->free + align - 1) / align * align;
	size_t length = size > chunk ? (size + SC_PAGE - 1) / SC_PAGE * SC_PAGE : chunk;
	unsigned char *fresh;

	if (at != 0 && at + size <= data->free_end) {
		data->free = at + size;
		return sc_at(at);
	}
	fresh = sc_map_memory(length);
	if (fresh && length == chunk) {
		data->free = (uintptr_t)fresh + size;
		data->free_end = (uintptr_t)fresh + length;
	}
	return fresh;
}

/* ---- Columns: the sites of one key in one text ----------------------------------------------- */

struct sc_columns {
	size_t count;
	double *at; /* addresses; the walk over them is shared with JavaScript */
	unsigned char (*original)[8];
	unsigned char (*old)[8]; /* what stands there */
	unsigned char (*new)[8]; /* what the update at hand wants there */
	unsigned char *length;
	unsigned char *kind;
	unsigned char *condition;
	unsigned char *way; /* bits: how the update at hand writes it */
};

static size_t sc_columns_size(size_t count)
{
	return count * (4 * 8 + 4);
}

SC_APART static struct sc_columns sc_columns(struct sc_group *group)
{
	size_t count = group->count;
	unsigned char *memory = (unsigned char *)group + sizeof *group;
	struct sc_columns columns;

	columns.count = count;
	columns.at = (double *)(void *)memory;
	columns.original = (unsigned char(*)[8])(memory + 8 * count);
	columns.old = (unsigned char(*)[8])(memory + 16 * count);
	columns.new = (unsigned char(*)[8])(memory + 24 * count);
	columns.length = memory + 32 * count;
	columns.kind = columns.length + count;
	columns.condition = columns.kind + count;
	columns.way = columns.condition + count;
	return columns;
}

SC_APART static unsigned char *sc_site(const struct sc_columns *columns, size_t i)
{
	/* No address of a process has the highest bit. */
	return sc_at((uint64_t)(int64_t)columns->at[i]);
}

static struct sc_group *sc_groups(const struct sc_record *record)
{
	return sc_at(__atomic_load_n(&record->groups, __ATOMIC_ACQUIRE));
}

static struct sc_group *sc_next(const struct sc_group *group)
{
	return sc_at(group->next);
}

/*
 * What an update that did not come to its end left at the sites: at each byte the one of before or
 * the new one, or a trap. Other bytes were written by other code, and the next update refuses to
 * touch them.
 */
static void sc_read_back(struct sc_group *group)
{
	struct sc_columns columns = sc_columns(group);
	size_t i, b;

	for (i = 0; i < columns.count; i++) {
		const unsigned char *site = sc_site(&columns, i);

		for (b = 0; b < columns.length[i]; b++)
			if (site[b] != columns.old[i][b] && site[b] != columns.new[i][b] &&
			    !(b == 0 && site[b] == SC_INT3))
				break;
		if (b == columns.length[i])
			memcpy(columns.old[i], site, b);
	}
}

static void sc_read_back_all(void)
{
	struct sc_record *record;
	struct sc_group *group;

	for (record = sc_at(sc.data->records); record; record = sc_at(record->next))
		for (group = sc_groups(record); group; group = sc_next(group))
			sc_read_back(group);
}

/* ---- Registering this object's keys and sites ------------------------------------------------ */

/* The linker's names for the ends of a section whose name is a word of C. There is none where
 * nothing was put in. */
#define SC_SECTION(type, name)                                                                     \
	extern type __start_##name[] __attribute__((weak, visibility("hidden")));                  \
	extern type __stop_##name[] __attribute__((weak, visibility("hidden")))
SC_SECTION(const struct static_call_key_record, static_call_keys);
SC_SECTION(const unsigned char, static_call_sites);
SC_SECTION(const struct static_key_record, static_keys);
SC_SECTION(const struct static_key_site, static_key_sites);
/* In bytes: a division by the length of a record is longer than what is done with its result. */
#define SC_BYTES(name) ((size_t)((const char *)__stop_##name - (const char *)__start_##name))

/* A site as the table tells it, or a trampoline, which is one too: the first bytes of it are a
 * jump. */
struct sc_row {
	uint64_t at;
	struct sc_key *key;
	uint8_t length, kind, condition, is_trampoline;
};

/* The executable parts of the object that an address lies in. */
struct sc_object {
	uint64_t address;
	uint64_t low, high;
	bool is_program;
	size_t text_count;
	struct {
		uint64_t start, end;
	} texts[4];
};

static int sc_see_object(struct dl_phdr_info *info, size_t size, void *wanted)
{
	struct sc_object *object = wanted;
	uint64_t low = UINT64_MAX, high = 0;
	size_t i, texts = 0;

	(void)size;
	for (i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
		uint64_t start = (info->dlpi_addr + segment->p_vaddr) / SC_PAGE * SC_PAGE;
		uint64_t end =
			(info->dlpi_addr + segment->p_vaddr + segment->p_memsz + SC_PAGE - 1) /
			SC_PAGE * SC_PAGE;

		if (segment->p_type != PT_LOAD)
			continue;
		if (start < low)
			low = start;
		if (end > high)
			high = end;
		if ((segment->p_flags & PF_X) &&
		    texts < sizeof object->texts / sizeof *object->texts) {
			object->texts[texts].start = start;
			object->texts[texts++].end = end;
		}
	}
	if (object->address < low || object->address >= high)
		return 0;
	object->low = low;
	object->high = high;
	object->text_count = texts;
	object->is_program = (uint64_t)(uintptr_t)info->dlpi_phdr == getauxval(AT_PHDR);
	return 1;
}

static bool sc_object_of(uint64_t address, struct sc_object *object)
{
	object->address = address;
	return dl_iterate_phdr(sc_see_object, object) == 1;
}

static int sc_by_key(const void *a, const void *b)
{
	uint64_t one = ((const struct sc_key *)a)->address;
	uint64_t other = ((const struct sc_key *)b)->address;

	return (one > other) - (one < other);
}

static int sc_by_address(const void *a, const void *b)
{
	uint64_t one = ((const struct sc_row *)a)->at;
	uint64_t other = ((const struct sc_row *)b)->at;

	return (one > other) - (one < other);
}

/* The key of this object at an address. */
static struct sc_key *sc_own_key(uint64_t address)
{
	size_t low = 0, high = sc.key_count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		uint64_t at = sc.keys[middle].address;

		if (at == address)
			return &sc.keys[middle];
		if (at < address)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* What a compiler put at a site, and whether it leads to the key's trampoline. */
SC_APART static bool sc_recognise(struct sc_row *row)
{
	const unsigned char *site = sc_at(row->at);
	size_t f, b;

	for (f = 0; f < sizeof sc_compiled / sizeof *sc_compiled; f++) {
		int32_t distance;
		uint64_t to;

		for (b = 0; b < sc_compiled[f].length; b++)
			if ((site[b] & sc_compiled[f].mask[b]) != sc_compiled[f].bytes[b])
				break;
		if (b < sc_compiled[f].length)
			continue;
		memcpy(&distance, site + sc_compiled[f].displacement, sizeof distance);
		to = row->at + sc_compiled[f].length + (uint64_t)(int64_t)distance;
		if (sc_compiled[f].indirect)
			memcpy(&to, sc_at(to), sizeof to);
		row->length = sc_compiled[f].length;
		row->kind = sc_compiled[f].kind;
		row->condition = row->kind == SC_KIND_JCC ? site[row->length - 5] & 15 : 0;
		return to == row->key->trampoline;
	}
	return false;
}

/* The table of `static-call annotate`: pairs of distances, each from its own place; two bits of a
 * key's are flags. Returns the row after the last; NULL where the table does not fit the code. */
static struct sc_row *sc_read_sites(struct sc_row *row)
{
	const unsigned char *entry;

	for (entry = __start_static_call_sites; entry < __stop_static_call_sites; entry += 8) {
		int32_t site, key;

		memcpy(&site, entry, sizeof site);
		memcpy(&key, entry + 4, sizeof key);
		row->at = (uintptr_t)entry + (uint64_t)(int64_t)site;
		row->key = sc_own_key(((uintptr_t)(entry + 4) + (uint64_t)(int64_t)key) &
				      ~(uint64_t)3);
		if (!row->key || !sc_recognise(row))
			return NULL;
		row++;
	}
	return row;
}

static struct sc_row *sc_add_trampolines(struct sc_row *row)
{
	size_t k;

	for (k = 0; k < sc.key_count; k++) {
		if (sc.keys[k].trampoline == 0)
			continue;
		row->at = sc.keys[k].trampoline;
		row->key = &sc.keys[k];
		row->length = 5;
		row->kind = SC_KIND_JMP;
		row->is_trampoline = 1;
		row++;
	}
	return row;
}

/* The branches that static_key.h made. One on a key that another object defines is left to that
 * object's runtime. */
static struct sc_row *sc_add_branches(struct sc_row *row)
{
	const struct static_key_site *site;

	for (site = __start_static_key_sites; site < __stop_static_key_sites; site++) {
		row->key = sc_own_key(site->key & ~(uint64_t)1);
		if (!row->key)
			continue;
		row->at = (uintptr_t)&site->code + (uint64_t)(int64_t)site->code;
		row->length = 5;
		row->kind = (site->key & 1) != 0 ? SC_KIND_UNLESS : SC_KIND_IF;
		row++;
	}
	return row;
}

/* One group for each key that has sites in the rows, which lie in one text and ascend. */
SC_APART static bool sc_make_groups(const struct sc_row *rows, size_t count, uint64_t start,
				    uint64_t end)
{
	struct sc_group *group;
	size_t i;

	for (i = 0; i < count; i++)
		rows[i].key->sites++;
	for (i = 0; i < sc.key_count; i++) {
		struct sc_key *key = &sc.keys[i];

		if (key->sites == 0)
			continue;
		group = sc_allocate(sizeof *group + sc_columns_size(key->sites), 8);
		if (!group)
			return false;
		group->next = key->record->groups;
		group->count = key->sites;
		group->trampoline = UINT64_MAX;
		group->start = start;
		group->end = end;
		key->record->groups = (uintptr_t)group;
	}
	/* From the last, so that no site is without a place in the end, and the next text begins
	 * with none. */
	for (i = count; i-- > 0;) {
		const struct sc_row *row = &rows[i];
		struct sc_columns columns;
		uint32_t n = --row->key->sites;

		group = sc_groups(row->key->record);
		columns = sc_columns(group);
		columns.at[n] = (double)(int64_t)row->at;
		columns.length[n] = row->length;
		columns.kind[n] = row->kind;
		columns.condition[n] = row->condition;
		memcpy(columns.original[n], sc_at(row->at), row->length);
		memcpy(columns.old[n], columns.original[n], sizeof *columns.old);
		if (row->is_trampoline)
			group->trampoline = n;
	}
	return true;
}

/* By which the trap handler gets from a site to the word of its key. */
static struct sc_table *sc_make_table(const struct sc_row *rows, size_t count)
{
	struct sc_table *table = sc_allocate(sizeof *table + count * sizeof(struct sc_slot), 64);
	struct sc_slot *slots;
	size_t i;

	if (!table)
		return NULL;
	slots = (struct sc_slot *)(table + 1);
	table->next = sc.data->tables;
	table->first = rows[0].at;
	table->end = rows[count - 1].at + 1;
	table->count = count;
	for (i = 0; i < count; i++) {
		const struct sc_row *row = &rows[i];

		slots[i].site = row->at;
		slots[i].word = ((uintptr_t)row->key->record + sc_word_of[row->kind]) |
				(uint64_t)row->length << 48 | (uint64_t)row->condition << 52;
	}
	return table;
}

static bool sc_initialise(struct sc_key *key);

/* Everything is made first and published last, by one store each: a thread finds a key whole or not
 * at all. */
SC_APART static int sc_publish(const struct sc_row *rows, size_t count)
{
	struct sc_object object;
	struct sc_table *table;
	size_t k, t, from = 0, to;
	uint64_t head = sc.data->records;

	if (!sc_object_of((uintptr_t)&sc, &object))
		return -ENOEXEC;
	for (k = 0; k < sc.key_count; k++) {
		struct sc_record *record = sc_allocate(sizeof *record, sizeof *record);

		if (!record)
			return -ENOMEM;
		record->key = sc.keys[k].address;
		record->returns = sc.keys[k].returns;
		record->users = 1;
		record->next = head;
		head = (uintptr_t)record;
		sc.keys[k].record = record;
	}
	/* In no text, or over another site: whatever is written at the one would be read at the
	 * other. */
	for (t = 0; t < object.text_count; t++, from = to) {
		for (to = from; to < count && rows[to].at < object.texts[t].end; to++)
			if (rows[to].at < object.texts[t].start ||
			    (to > 0 && rows[to].at < rows[to - 1].at + rows[to - 1].length))
				return -ENOEXEC;
		if (!sc_make_groups(rows + from, to - from, object.texts[t].start,
				    object.texts[t].end))
			return -ENOMEM;
	}
	if (from != count)
		return -ENOEXEC;
	for (k = 0; k < sc.key_count; k++)
		if (!sc_initialise(&sc.keys[k]))
			return -ENOMEM;
	table = count > 0 ? sc_make_table(rows, count) : sc_at(sc.data->tables);
	if (count > 0 && !table)
		return -ENOMEM;
	sc_count_change();
	__atomic_store_n(&sc.data->records, head, __ATOMIC_RELEASE);
	__atomic_store_n(&sc.data->tables, (uintptr_t)table, __ATOMIC_RELEASE);
	return 0;
}

static bool sc_list_keys(void)
{
	static const enum sc_target_kind kinds[] = {SC_TARGET_FUNCTION, SC_TARGET_NULL,
						    SC_TARGET_RET0};
	const struct static_call_key_record *told;
	const struct static_key_record *branch;
	/* A record of a static key is half as long as what is kept of it. */
	struct sc_key *key =
		sc_allocate(SC_BYTES(static_call_keys) + 2 * SC_BYTES(static_keys), 8);

	_Static_assert(sizeof *key <= sizeof *told && sizeof *key <= 2 * sizeof *branch,
		       "each key has room");
	sc.keys = key;
	sc.key_count = 0;
	if (!key)
		return false;
	for (told = __start_static_call_keys; told < __stop_static_call_keys; told++, key++) {
		key->address = (uintptr_t)told->key;
		key->trampoline = (uintptr_t)told->tramp;
		key->kind = kinds[told->kind];
		if (key->kind == SC_TARGET_FUNCTION)
			key->initial = (uintptr_t)told->initial;
		key->returns = told->returns;
		sc.key_count++;
	}
	for (branch = __start_static_keys; branch < __stop_static_keys; branch++, key++) {
		key->address = (uintptr_t)branch->key;
		key->kind = branch->initial ? SC_TARGET_ON : SC_TARGET_OFF;
		sc.key_count++;
	}
	qsort(sc.keys, sc.key_count, sizeof *sc.keys, sc_by_key);
	return true;
}

/* Call it with the lock held. -ENOEXEC: the object has no table of its sites, or one that does not
 * fit its code. */
SC_APART static int sc_register(void)
{
	/* No record is shorter than 8 bytes. The kernel gives no page that no row reaches. */
	size_t size = SC_PAGE + (SC_BYTES(static_call_sites) + SC_BYTES(static_call_keys) +
				 SC_BYTES(static_key_sites)) /
					8 * sizeof(struct sc_row);
	struct sc_row *rows, *end;
	size_t count;
	int failed = -ENOEXEC;

	if (!sc_list_keys())
		return -ENOMEM;
	rows = sc_map_memory(size);
	if (!rows)
		return -ENOMEM;
	end = sc_read_sites(rows);
	if (end) {
		count = (size_t)(sc_add_branches(sc_add_trampolines(end)) - rows);
		qsort(rows, count, sizeof *rows, sc_by_address);
		failed = sc_publish(rows, count);
	}
	sc_unmap(rows, size);
	return failed;
}

/* ---- Code near a text ------------------------------------------------------------------------ */

/* A 32-bit displacement reaches 2 GiB; a page less spares every off-by-one. */
#define SC_REACH (((uint64_t)1 << 31) - SC_PAGE)

static uint64_t sc_between(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

static bool sc_reaches(const struct sc_place *place, uint64_t target)
{
	return sc_between(target, place->start) <= SC_REACH &&
	       sc_between(target, place->end) <= SC_REACH;
}

static struct sc_place *sc_place_of(const struct sc_group *group)
{
	struct sc_place *place;

	for (place = sc.places; place; place = place->next)
		if (place->start == group->start && place->end == group->end)
			return place;
	place = sc_allocate(sizeof *place, 8);
	if (!place)
		return NULL;
	place->next = sc.places;
	place->start = group->start;
	place->end = group->end;
	sc.places = place;
	return place;
}

/* A page that nothing else is mapped to, nearest first; a page is left between neighbours, for
 * stacks grow. */
static uint64_t sc_free_near(const struct sc_place *place)
{
	struct sc_maps maps;
	struct sc_mapping mapping;
	uint64_t free = 16 * SC_PAGE, best = 0;
	bool more;

	if (!sc_open_maps(&maps))
		return 0;
	do {
		uint64_t choices[2];
		int i;

		more = sc_next_mapping(&maps, &mapping);
		if (!more)
			mapping.start = mapping.end = 0x7ffffffff000;
		choices[0] = mapping.start - 2 * SC_PAGE;
		choices[1] = free + SC_PAGE;
		for (i = 0; i < 2 && mapping.start >= free + 3 * SC_PAGE; i++)
			if (sc_reaches(place, choices[i]) &&
			    (best == 0 ||
			     sc_between(choices[i], place->start) < sc_between(best, place->start)))
				best = choices[i];
		if (mapping.end > free)
			free = mapping.end;
	} while (more);
	return best;
}

static struct sc_near *sc_new_near(struct sc_place *place)
{
	struct sc_near *near = sc_allocate(sizeof *near, 8);

	while (near) {
		uint64_t at = sc_free_near(place);
		long mapped;

		if (at == 0)
			return NULL;
		mapped = sc_map((long)at, SC_PAGE, 0, SC_ANONYMOUS | SC_FIXED_NOREPLACE, -1);
		if (mapped == (long)at) {
			near->page = sc_at(at);
			near->used = 0;
			near->next = place->near;
			place->near = near;
			return near;
		}
		/* Another thread was given the place first: look again. */
		if (mapped != -EEXIST)
			return NULL;
	}
	return NULL;
}

static int sc_sync(void)
{
	long result = sc_call(SYS_membarrier, SC_MEMBARRIER_SYNC_CORE);

	/* A child of fork has lost the registration of its parent. */
	if (result == -EPERM && sc_call(SYS_membarrier, SC_MEMBARRIER_REGISTER) == 0)
		result = sc_call(SYS_membarrier, SC_MEMBARRIER_SYNC_CORE);
	return (int)result;
}

/*
 * A page of code is written before it is executable and never after. One more piece makes a new
 * page, which holds what the old one held and takes its place in one system call.
 */
static uint64_t sc_add_near(struct sc_place *place, const unsigned char code[SC_VENEER_SIZE])
{
	struct sc_near *near = place->near;
	unsigned char *next;

	if (!near || near->used + SC_VENEER_SIZE > SC_PAGE)
		near = sc_new_near(place);
	if (!near)
		return 0;
	next = sc_map_memory(SC_PAGE);
	if (!next)
		return 0;
	memset(next, SC_INT3, SC_PAGE);
	memcpy(next, near->page, near->used);
	memcpy(next + near->used, code, SC_VENEER_SIZE);
	if (!sc_seal(next) ||
	    sc_refused(sc_system6(SYS_mremap, sc_address(next), SC_PAGE, SC_PAGE, SC_MREMAP_FIXED,
				  sc_address(near->page), 0))) {
		sc_unmap(next, SC_PAGE);
		return 0;
	}
	near->used += SC_VENEER_SIZE;
	/* A CPU may have fetched ahead into what was something else a moment ago. */
	if (sc_sync() != 0)
		return 0;
	return (uintptr_t)near->page + near->used - SC_VENEER_SIZE;
}

/* Where a piece of code lies within reach of a text: the one that is there, or a new one; 0 where
 * there is no room. */
static uint64_t sc_near_code(struct sc_place *place, const unsigned char code[SC_VENEER_SIZE])
{
	const struct sc_near *near;
	size_t at;

	for (near = place->near; near; near = near->next)
		for (at = 0; at < near->used; at += SC_VENEER_SIZE)
			if (memcmp(near->page + at, code, SC_VENEER_SIZE) == 0)
				return (uintptr_t)near->page + at;
	return sc_add_near(place, code);
}

/* ---- Where a key's calls go ------------------------------------------------------------------ */

struct sc_target {
	enum sc_target_kind kind;
	uint64_t address;
};

/* A target as the sites of one text reach it. */
struct sc_destination {
	enum sc_target_kind kind;
	/* By enum sc_to: nowhere, the target itself, code that returns, code that returns 0. */
	uint64_t to[SC_TO_COUNT];
	/* What a displacement leads to where the target is meant: the target, or the jump to it. */
	uint64_t way;
};

/* The words of a key, as one update publishes them and takes them back. */
struct sc_words {
	uint64_t func, call, tail, jcc;
};

/* What the trap handler does for a site of that kind. */
static uint64_t sc_word(const struct sc_destination *destination, enum sc_kind kind)
{
	const struct sc_transform *row = &sc_transforms[kind][destination->kind];

	return row->emulate << 48 | destination->to[row->to];
}

static bool sc_is_branch(enum sc_target_kind kind)
{
	return kind == SC_TARGET_ON || kind == SC_TARGET_OFF;
}

/* A static key has a word for each of its two kinds of branches, and nothing to do for a jcc. */
static void sc_words_of(const struct sc_destination *destination, struct sc_words *words)
{
	bool branch = sc_is_branch(destination->kind);

	words->call = sc_word(destination, branch ? SC_KIND_IF : SC_KIND_CALL);
	words->tail = sc_word(destination, branch ? SC_KIND_UNLESS : SC_KIND_JMP);
	words->jcc = sc_word(destination, SC_KIND_JCC);
}

/* How the sites of a group reach a target. Only a static key may have no sites, and it needs no
 * code near them. */
static bool sc_reach(const struct sc_group *group, const struct sc_target *target,
		     struct sc_destination *destination)
{
	struct sc_place *place = group ? sc_place_of(group) : NULL;
	unsigned char veneer[SC_VENEER_SIZE];

	if (group && !place)
		return false;
	memset(destination, 0, sizeof *destination);
	destination->kind = target->kind;
	switch (target->kind) {
	case SC_TARGET_FUNCTION:
		destination->to[SC_TO_TARGET] = destination->way = target->address;
		if (sc_reaches(place, target->address))
			return true;
		memcpy(veneer, sc_veneer, sizeof veneer);
		memcpy(veneer + SC_VENEER_TARGET, &target->address, sizeof target->address);
		destination->way = sc_near_code(place, veneer);
		return destination->way != 0;
	case SC_TARGET_ON:
	case SC_TARGET_OFF:
		return true;
	case SC_TARGET_NULL:
		destination->to[SC_TO_RETURN] = sc_near_code(place, sc_return);
		return destination->to[SC_TO_RETURN] != 0;
	default:
		destination->to[SC_TO_RETURN0] = sc_near_code(place, sc_return0);
		return destination->to[SC_TO_RETURN0] != 0;
	}
}

/* The words of a record that is new. */
static bool sc_initialise(struct sc_key *key)
{
	struct sc_record *record = key->record;
	struct sc_destination destination;
	struct sc_target target;
	struct sc_words words;

	target.kind = key->kind;
	target.address = key->initial;
	if (!sc_reach(sc_groups(record), &target, &destination))
		return false;
	sc_words_of(&destination, &words);
	record->call = record->initial = words.call;
	record->tail = words.tail;
	record->jcc = words.jcc;
	return true;
}

static bool sc_is_static_key(const struct sc_record *record)
{
	uint64_t form = record->call >> 48;

	return form == sc_transforms[SC_KIND_IF][SC_TARGET_ON].emulate ||
	       form == sc_transforms[SC_KIND_IF][SC_TARGET_OFF].emulate;
}

/*
 * What C means by a function pointer. Returning 0 is known by its code, with and without a landing
 * pad: each object has a copy of that function.
 */
static int sc_target_for(const struct sc_record *record, uint64_t func, struct sc_target *target)
{
	static const unsigned char return0[] = {0xf3, 0x0f, 0x1e, 0xfa, 0x31, 0xc0, 0xc3};

	target->address = func;
	target->kind = SC_TARGET_FUNCTION;
	if (sc_is_static_key(record)) {
		target->kind = func != 0 ? SC_TARGET_ON : SC_TARGET_OFF;
		return 0;
	}
	if (func == 0) {
		target->kind = SC_TARGET_NULL;
		return record->returns == __STATIC_CALL_VOID ||
				       record->returns == __STATIC_CALL_UNSEEN
			       ? 0
			       : -EINVAL;
	}
	if (record->returns == __STATIC_CALL_WORD &&
	    (memcmp(sc_at(func), return0, sizeof return0) == 0 ||
	     memcmp(sc_at(func), return0 + 4, sizeof return0 - 4) == 0)) {
		target->kind = SC_TARGET_RET0;
		target->address = 0;
	}
	return 0;
}

/* ---- Drawing: what shall stand at each site -------------------------------------------------- */

struct sc_change {
	struct sc_record *record;
	uint64_t ways; /* that its sites go */
	struct sc_words before, after;
};

typedef int64_t (*sc_routine)(void *);

static sc_routine sc_routine_at(size_t offset)
{
	return (sc_routine)(uintptr_t)(sc.page + offset);
}

/* A row of instructions for each kind and length of site, as they lead to the destination. */
static void sc_form_rows(const struct sc_destination *destination, struct sc_form *rows)
{
	size_t kind, l;

	for (kind = 0; kind < SC_KIND_COUNT; kind++) {
		const struct sc_transform *row = &sc_transforms[kind][destination->kind];
		uint64_t away =
			row->to == SC_TO_TARGET ? destination->way : destination->to[row->to];

		for (l = 0; l < SC_LENGTHS; l++) {
			struct sc_form *form = &rows[SC_LENGTHS * kind + l];
			int at = row->forms[l].displacement;

			form->template = row->forms[l].bytes;
			form->kept = row->forms[l].kept;
			form->off = sc_hiding[kind][l].off;
			form->head = sc_hiding[kind][l].head;
			form->prefix = sc_hiding[kind][l].prefix;
			form->tail = (uint8_t)(8 * (l + SC_SHORTEST - 4));
			/* Without a displacement the mask takes the other two away. */
			form->mask = at < 0 ? 0 : UINT32_MAX;
			form->shift = (uint8_t)(8 * at);
			form->from = away - (uint64_t)at - 4;
		}
	}
}

/* The code compares each site with what shall be there before it says what will be. */
static int sc_draw_group(struct sc_group *group, const struct sc_destination *destination,
			 uint64_t *ways)
{
	struct sc_columns columns = sc_columns(group);
	struct sc_form rows[SC_KIND_COUNT * SC_LENGTHS];
	struct sc_survey survey;
	int64_t stopped;

	sc_form_rows(destination, rows);
	memset(&survey, 0, sizeof survey);
	survey.at = (uintptr_t)columns.at;
	survey.count = columns.count;
	survey.forms = (uintptr_t)rows;
	survey.outer = UINT64_MAX;
	survey.unit = UINT64_MAX;
	survey.allowed = SC_WAYS;
	survey.trampoline = group->trampoline == UINT64_MAX ? 0 : survey.at + 8 * group->trampoline;
	stopped = sc_routine_at(SC_AT_DRAW)(&survey);
	*ways |= survey.ways;
	if (stopped < 0)
		return 0;
	return *sc_site(&columns, (size_t)stopped) == SC_INT3 ? -EBUSY : -EIO;
}

static struct sc_record *sc_record_of(const struct static_call_key *key)
{
	struct sc_key *own = sc_own_key((uintptr_t)key);
	struct sc_record *record;

	if (own)
		return own->record;
	for (record = sc_at(sc.data->records); record; record = sc_at(record->next))
		if (record->key == (uintptr_t)key)
			return record;
	return NULL;
}

static struct static_call_key *sc_key_of(const struct sc_record *record)
{
	return sc_at(record->key);
}

/* Everything that one key's update will write, computed and checked; nothing is changed. */
static int sc_draw(const struct static_call_key *key, uint64_t func, struct sc_change *change)
{
	struct sc_record *record = sc_record_of(key);
	struct sc_destination destination;
	struct sc_target target;
	struct sc_group *group;
	int failed;

	if (!record || record->users == 0)
		return -ENOENT;
	failed = sc_target_for(record, func, &target);
	if (failed != 0)
		return failed;
	change->record = record;
	change->ways = 0;
	group = sc_groups(record);
	do {
		if (!sc_reach(group, &target, &destination))
			return -ENOMEM;
		/* A record has one set of words: those by which its first text reaches the target.
		 */
		if (group == sc_groups(record)) {
			sc_words_of(&destination, &change->after);
			change->after.func = target.kind == SC_TARGET_RET0
						     ? destination.to[SC_TO_RETURN0]
						     : target.address;
		}
		if (!group)
			break;
		failed = sc_draw_group(group, &destination, &change->ways);
		if (failed != 0)
			return failed;
		group = sc_next(group);
	} while (group);
	change->before.func =
		(uintptr_t)__atomic_load_n(&sc_key_of(record)->func, __ATOMIC_RELAXED);
	change->before.call = record->call;
	change->before.tail = record->tail;
	change->before.jcc = record->jcc;
	return 0;
}

/* ---- May a trap be planted now? -------------------------------------------------------------- */

/* The kernel's struct sigaction. */
struct sc_action {
	uint64_t handler, flags, restorer, blocked;
};

static uint64_t sc_bit(int signal)
{
	return (uint64_t)1 << (signal - 1);
}

static int sc_handler_now(struct sc_action *action)
{
	return (int)sc_system(SYS_rt_sigaction, SIGTRAP, 0, sc_address(action), 8);
}

/*
 * Puts the handler in front of the present one, once in a process. One that comes over it later is
 * left alone: it may call ours, and ours would call it.
 */
static int sc_claim_trap(void)
{
	struct sc_action now, ours;

	if (sc.data->installed != 0)
		return 0;
	if (sc_handler_now(&now) != 0)
		return -EBUSY;
	sc.data->previous = now.handler;
	memset(&ours, 0, sizeof ours);
	ours.handler = (uintptr_t)sc.page + SC_AT_HANDLER;
	ours.flags = SC_HANDLER_FLAGS;
	ours.restorer = (uintptr_t)sc.page + SC_AT_RESTORER;
	if (sc_system(SYS_rt_sigaction, SIGTRAP, sc_address(&ours), 0, 8) != 0)
		return -EBUSY;
	sc.data->installed = 1;
	return 0;
}

/*
 * Node, where this is a library in it: its handlers block every signal and call nothing of the
 * program, and it has a thread that blocks every signal and waits to start the inspector.
 */
extern void napi_create_function(void) __attribute__((weak));
extern void uv_signal_start(void) __attribute__((weak));

static bool sc_is_of_node(uint64_t address)
{
	void (*const landmarks[])(void) = {napi_create_function, uv_signal_start};
	struct sc_object object;
	size_t i;

	for (i = 0; i < sizeof landmarks / sizeof *landmarks; i++)
		if (landmarks[i] && sc_object_of((uintptr_t)landmarks[i], &object) &&
		    address >= object.low && address < object.high)
			return true;
	return false;
}

/* A thread that would be killed by a trap. */
struct sc_suspect {
	int32_t id;
	/* It blocks libc's own signals too: libc is creating, ending or forking it, and puts the
	 * mask back. */
	bool all_blocked;
	bool asleep;
	char ran[24]; /* the time that it has run, as the kernel prints it */
};

enum {
	SC_SUSPECTS = 16
};

struct sc_look {
	size_t count;
	struct sc_suspect suspects[SC_SUSPECTS];
	uint64_t caught; /* signals that have a handler */
	bool seen;
	bool shadow_stack;
};

static const char *sc_field(const char *status, const char *name)
{
	const char *at = strstr(status, name);

	return at ? at + strlen(name) : "";
}

static uint64_t sc_hex_field(const char *status, const char *name)
{
	const char *at = sc_field(status, name);

	return sc_hex(&at);
}

/* /proc/self/task/ID/NAME, as sc_read_file(). */
static size_t sc_read_task(const char *id, const char *name, char *into, size_t size)
{
	char path[64];

	strcpy(path, "/proc/self/task/");
	strncat(path, id, 12);
	strcat(path, name);
	return sc_read_file(path, into, size);
}

/* The kernel's own threads for io_uring (PF_IO_WORKER) are listed too, and run nothing of the
 * program. */
static bool sc_is_kernel_worker(const char *id)
{
	char text[512];
	const char *field;
	int skip;

	sc_read_task(id, "/stat", text, sizeof text);
	field = strrchr(text, ')');
	for (skip = 0; field && skip < 7; skip++)
		field = strchr(field + 1, ' ');
	return field && (strtoul(field, NULL, 10) & 0x10) != 0;
}

/* The inspector's thread has a name in later versions of Node. Before, it is known by the semaphore
 * in Node's data that it awaits. */
static bool sc_is_inspector(const char *id, const char *status)
{
	char text[128];
	const char *word = text + 6;

	if (strncmp(status, "Name:\tSignalInspector", 21) == 0)
		return true;
	sc_read_task(id, "/syscall", text, sizeof text);
	return strncmp(text, "202 0x", 6) == 0 && sc_is_of_node(sc_hex(&word));
}

/* The thread sanitizer starts a thread of its own before the program's first, and the kernel lists
 * them by age. */
extern void __tsan_init(void) __attribute__((weak));

/* A thread that blocks every signal for ever and runs nothing of the program; remembered for the
 * whole process. */
static bool sc_is_of_a_tool(const char *id, int32_t thread, const char *status)
{
	uint64_t number = (uint64_t)thread;

	if (sc.data->inspector != 0)
		return sc.data->inspector == number;
	if (!(__tsan_init && (long)number != sc_call(SYS_getpid, 0)) &&
	    !sc_is_inspector(id, status))
		return false;
	sc.data->inspector = number;
	return true;
}

SC_APART static void sc_look_at(struct sc_look *look, const char *id)
{
	const uint64_t libc_only = sc_bit(32) | sc_bit(33);
	char status[4096];
	struct sc_suspect *suspect;
	uint64_t blocked;
	char state;

	if (sc_read_task(id, "/status", status, sizeof status) == 0)
		return; /* it ended meanwhile */
	if (!look->seen)
		look->caught = sc_hex_field(status, "\nSigCgt:\t");
	look->seen = true;
	if (strstr(sc_field(status, "\nx86_Thread_features:"), "shstk"))
		look->shadow_stack = true;
	blocked = sc_hex_field(status, "\nSigBlk:\t");
	if ((blocked & sc_bit(SIGTRAP)) == 0 || look->count == SC_SUSPECTS)
		return;
	suspect = &look->suspects[look->count];
	suspect->id = (int32_t)strtol(id, NULL, 10);
	suspect->all_blocked = (blocked & libc_only) == libc_only;
	state = *sc_field(status, "\nState:\t");
	suspect->asleep = state != 'R' && state != 'D';
	if (suspect->all_blocked ? sc_is_kernel_worker(id) : sc_is_of_a_tool(id, suspect->id, status))
		return;
	sc_read_task(id, "/schedstat", suspect->ran, sizeof suspect->ran);
	suspect->ran[strcspn(suspect->ran, " ")] = 0;
	look->count++;
}

static int sc_look_at_threads(struct sc_look *look)
{
	char entries[1024];
	int folder = sc_open("/proc/self/task", 0200000);
	long length, at;

	memset(look, 0, sizeof *look);
	if (folder < 0)
		return -ENOSYS;
	while ((length = sc_system(SYS_getdents64, folder, sc_address(entries), sizeof entries,
				   0)) > 0) {
		for (at = 0; at < length;) {
			const char *entry = entries + at;
			uint16_t size;

			memcpy(&size, entry + 16, sizeof size);
			if (entry[19] != '.')
				sc_look_at(look, entry + 19);
			at += size;
		}
	}
	sc_close(folder);
	return 0;
}

/* Those of the look before that the new one finds again. `waits`: one of them wanted to run and was
 * not let. */
static void sc_keep_known(struct sc_look *look, const struct sc_look *before, bool *waits)
{
	size_t i, j, kept = 0;

	for (i = 0; i < look->count; i++) {
		const struct sc_suspect *now = &look->suspects[i];

		for (j = 0; j < before->count && before->suspects[j].id != now->id; j++)
			;
		if (j == before->count)
			continue;
		if (!now->asleep && strcmp(now->ran, before->suspects[j].ran) == 0)
			*waits = true;
		else if (now->all_blocked && before->suspects[j].all_blocked)
			continue;
		look->suspects[kept++] = *now;
	}
	look->count = kept;
}

/*
 * A thread that starts a program, or is just created, blocks every signal for a moment; one that
 * still does after some 20 ms means it. A thread that waits for a CPU cannot put its mask back, so
 * such a look counts for nothing.
 */
static int sc_check_threads(uint64_t *caught)
{
	const uint64_t patience_ms = 2000, began = sc_now_ms();
	struct sc_look before, look;
	int looks;

	if (sc_look_at_threads(&look) != 0)
		return -ENOSYS;
	*caught = look.caught;
	for (looks = 1; look.count > 0 && !look.shadow_stack && looks < 7;) {
		bool waits = false;

		sc_sleep_ms(looks);
		before = look;
		if (sc_look_at_threads(&look) != 0)
			return -ENOSYS;
		sc_keep_known(&look, &before, &waits);
		if (!waits || sc_now_ms() - began > patience_ms)
			looks++;
	}
	return look.count > 0 || look.shadow_stack ? -EBUSY : 0;
}

/* A handler runs with its sa_mask blocked, and the kernel kills a thread that meets a trap then. */
static int sc_check_handlers(uint64_t caught)
{
	int signal;

	for (signal = 1; signal <= 64; signal++) {
		struct sc_action action;

		/* Between 32 and SIGRTMIN are libc's own, whose handlers call nothing of the
		 * program. */
		if (signal == SIGTRAP || (signal >= 32 && signal < SIGRTMIN) ||
		    (caught & sc_bit(signal)) == 0)
			continue;
		if (sc_system(SYS_rt_sigaction, signal, 0, sc_address(&action), 8) != 0)
			continue;
		if ((action.blocked & sc_bit(SIGTRAP)) != 0 && action.handler > 1 &&
		    !sc_is_of_node(action.handler))
			return -EBUSY;
	}
	return 0;
}

/* Reading /proc costs more than a whole update, so a look is good for a while. The handler is asked
 * for every time. */
static int sc_check_process(void)
{
	const uint64_t look_again_ms = 100;
	uint64_t now = sc_now_ms(), caught;
	struct sc_action action;
	int failed;

	failed = sc_claim_trap();
	if (failed == 0 && (sc.looked_at == 0 || now - sc.looked_at >= look_again_ms)) {
		failed = sc_check_threads(&caught);
		if (failed == 0)
			failed = sc_check_handlers(caught);
		if (failed == 0)
			sc.looked_at = now;
	}
	if (failed != 0)
		return failed;
	return sc_handler_now(&action) == 0 && action.handler == (uintptr_t)sc.page + SC_AT_HANDLER
		       ? 0
		       : -EBUSY;
}

/* ---- Writing text ---------------------------------------------------------------------------- */

/*
 * The descriptor of /proc/self/mem is kept, because the file cannot be opened any more once the
 * process has given up its credentials or used up its descriptors. A program that closes all
 * descriptors closes this one too, and the number then belongs to another file. In a child of a raw
 * clone() the number is its parent's memory. Fork's handler closes it in the child.
 *
 * So its position is a mark: a number that no other file is at, which also stands in a page that
 * every copy of the process finds zeroed. To ask for both touches no memory of the file, where a
 * word that is read through it costs as much as one that is written.
 */

/* A descriptor without its mark, which another runtime opened or where the page is refused: it must
 * read back what only this process has. */
static bool sc_is_own_memory(int file)
{
	uint64_t read = 0, nonce = (uintptr_t)&read ^ __builtin_ia32_rdtsc() ^ SC_MAGIC;

	return sc_system(SYS_pread64, file, sc_address(&read), 8, sc_address(&nonce)) == 8 &&
	       read == nonce;
}

/* Only what is opened here is marked: a descriptor that the program itself opened stays where it
 * is. An update does without the page. */
static void sc_mark(int file)
{
	struct sc_data *data = sc.data;
	uint64_t *page = sc_at(data->alone);

	if (!page) {
		page = sc_map_memory(SC_PAGE);
		if (!page)
			return;
		if (sc_system(SYS_madvise, sc_address(page), SC_PAGE, SC_WIPE_ON_FORK, 0) != 0) {
			sc_unmap(page, SC_PAGE);
			return;
		}
		data->alone = (uintptr_t)page;
	}
	/* Behind every address of a program, so that a stray read of the file finds nothing. */
	if (*page == 0)
		*page = (uint64_t)1 << 48 | (uint32_t)__builtin_ia32_rdtsc();
	sc_system(SYS_lseek, file, (long)*page, SC_SEEK_SET, 0);
}

/* Whether this is the process that made the mark, and the number still means its file. */
static bool sc_is_marked(int file)
{
	const uint64_t *page = sc_at(sc.data->alone);

	return page && *page != 0 &&
	       sc_system(SYS_lseek, file, 0, SC_SEEK_CURRENT, 0) == (long)*page;
}

/* Call it with the lock held, so that no fork comes between the opening and the entry. */
static int sc_have_procmem(void)
{
	int file = (int)sc.data->procmem - 1;

	if (!sc_is_marked(file) && !sc_is_own_memory(file)) {
		file = sc_open("/proc/self/mem", 2);
		if (file < 0)
			return -ENOSYS;
		sc.data->procmem = (uint64_t)file + 1;
		sc_mark(file);
	}
	sc.procmem = file;
	return 0;
}

static int sc_write(const unsigned char *at, const unsigned char *bytes, size_t size)
{
	long written = sc_system(SYS_pwrite64, sc.procmem, sc_address(bytes), (long)size,
				 sc_address(at));

	if (written == (long)size)
		return 0;
	return written < 0 ? (int)written : -EIO;
}

static int sc_store(const struct sc_columns *columns, size_t i, const struct sc_step *step)
{
	static const unsigned char trap[] = {SC_INT3};
	size_t length = columns->length[i], first = 0, size = 1;
	const unsigned char *bytes =
		step->bytes == SC_BYTES_OLD ? columns->old[i] : columns->new[i];

	if (step->bytes == SC_BYTES_TRAP)
		bytes = trap;
	if (step->part == SC_PART_BYTE)
		while (columns->old[i][first] == columns->new[i][first])
			first++;
	if (step->part == SC_PART_OPCODE)
		first = length - SC_DISPLACEMENT - 1;
	if (step->part == SC_PART_DISPLACEMENT)
		first = length - SC_DISPLACEMENT;
	if (step->part == SC_PART_REST)
		first = 1;
	if (step->part == SC_PART_DISPLACEMENT || step->part == SC_PART_REST)
		size = length - first;
	return sc_write(sc_site(columns, i) + first, bytes + first, size);
}

/* ---- Running a protocol ---------------------------------------------------------------------- */

struct sc_batch {
	struct sc_change *changes;
	size_t count;
	uint64_t ways;
};

typedef int (*sc_act)(const struct sc_columns *, size_t, const struct sc_step *);

/* For every site that the update changes by one of these ways; stops at the first that `act`
 * refuses. A site that stays as it is was drawn without a way. */
static int sc_each(const struct sc_batch *batch, unsigned ways, const struct sc_step *step,
		   sc_act act)
{
	struct sc_group *group;
	size_t c, i;

	for (c = 0; c < batch->count; c++) {
		for (group = sc_groups(batch->changes[c].record); group; group = sc_next(group)) {
			struct sc_columns columns = sc_columns(group);

			for (i = 0; i < columns.count; i++) {
				int failed = (columns.way[i] & ways) != 0 ? act(&columns, i, step) : 0;

				if (failed != 0)
					return failed;
			}
		}
	}
	return 0;
}

static void sc_publish_words(const struct sc_batch *batch, bool back)
{
	size_t c;

	for (c = 0; c < batch->count; c++) {
		const struct sc_change *change = &batch->changes[c];
		const struct sc_words *words = back ? &change->before : &change->after;
		struct sc_record *record = change->record;

		__atomic_store_n(&sc_key_of(record)->func, sc_at(words->func), __ATOMIC_RELEASE);
		__atomic_store_n(&record->call, words->call, __ATOMIC_RELEASE);
		__atomic_store_n(&record->tail, words->tail, __ATOMIC_RELEASE);
		__atomic_store_n(&record->jcc, words->jcc, __ATOMIC_RELEASE);
	}
}

static int sc_perform(const struct sc_batch *batch, const struct sc_step *step, sc_act store)
{
	if (step->ways != 0 && (step->ways & batch->ways) == 0)
		return 0;
	switch (step->do_) {
	case SC_DO_PUBLISH:
		sc_publish_words(batch, false);
		return 0;
	case SC_DO_STORE:
		return sc_each(batch, step->ways, step, store);
	default:
		return sc_sync();
	}
}

/* Returns the step that failed, or the number of them. */
static size_t sc_run(const struct sc_batch *batch, size_t from, int *failed)
{
	size_t s;

	for (s = from; s < SC_STEP_COUNT; s++) {
		*failed = sc_perform(batch, &sc_steps[s], sc_store);
		if (*failed != 0)
			break;
	}
	return s;
}

/* What holds its old bytes was not written yet. */
static int sc_store_back(const struct sc_columns *columns, size_t i, const struct sc_step *step)
{
	return memcmp(sc_site(columns, i), columns->old[i], columns->length[i]) != 0
		       ? sc_store(columns, i, step)
		       : 0;
}

/* The old words first, then each site by the way that it came. */
static void sc_go_back(const struct sc_batch *batch)
{
	size_t s;
	int failed = 0;

	sc_publish_words(batch, true);
	for (s = 0; s < SC_BACK_COUNT && failed == 0; s++)
		failed = sc_perform(batch, &sc_back[s], sc_store_back);
}

/* Whether the update can only go on. Without a trapped site, what was switched is switched back,
 * and only the synchronisation behind the last store is tried again. */
static bool sc_is_switched(const struct sc_batch *batch, size_t step)
{
	return (batch->ways & SC_WAY_TRAP) != 0 ? step >= SC_SWITCHED : step > SC_LAST_STORE;
}

static int sc_keep_new(const struct sc_columns *columns, size_t i, const struct sc_step *step)
{
	(void)step;
	memcpy(columns->old[i], columns->new[i], sizeof *columns->old);
	return 0;
}

/*
 * The update ends all old or all new. Where neither can be written any more, trapped sites stay
 * parked: the handler takes each thread on to what the words say. Others are whole each, some old
 * and some new.
 */
static int sc_transact(const struct sc_batch *batch)
{
	struct sc_group *group;
	int failed = 0;
	size_t c, step;

	if (sc.data->unsynced != 0 && sc_sync() != 0)
		return -EIO;
	sc.data->unsynced = 0;
	step = sc_run(batch, 0, &failed);

	if (step == SC_STEP_COUNT) {
		sc_each(batch, SC_WAYS, NULL, sc_keep_new);
		return 0;
	}
	/* A CPU may hold bytes that no synchronisation has taken from it: the next update by one
	 * byte begins with one. */
	__atomic_store_n(&sc.data->unsynced, 1, __ATOMIC_SEQ_CST);
	if (sc_is_switched(batch, step))
		step = sc_run(batch, step, &failed);
	else
		sc_go_back(batch);
	for (c = 0; c < batch->count; c++)
		for (group = sc_groups(batch->changes[c].record); group; group = sc_next(group))
			sc_read_back(group);
	/* The second attempt went through, so the update has. */
	return step == SC_STEP_COUNT ? 0 : -EIO;
}

/* ---- Starting -------------------------------------------------------------------------------- */

static int sc_update(struct static_call_key *key, void *func);
static int sc_update_switch(struct static_key *key, void *verb);
static int sc_update_locked(const struct static_call_change *changes, size_t count);

/* Every site calls its target itself from now on. Where that is refused now, each key's next update
 * does it. */
static void sc_inline_all(void)
{
	const size_t at_once = 64;
	struct static_call_change changes[64];
	size_t k, n;

	for (k = 0; k < sc.key_count; k += n) {
		for (n = 0; n < at_once && k + n < sc.key_count; n++) {
			changes[n].key = sc_at(sc.keys[k + n].address);
			changes[n].func = changes[n].key->func;
		}
		if (sc_update_locked(changes, n) != 0)
			return;
	}
}

static int sc_begin(void)
{
	long offered = sc_call(SYS_membarrier, 0);
	int failed;

	if (sc_refused(offered) || (offered & SC_MEMBARRIER_SYNC_CORE) == 0 ||
	    sc_call(SYS_membarrier, SC_MEMBARRIER_REGISTER) != 0)
		return -ENOSYS;
	failed = sc_have_runtime();
	if (failed != 0)
		return failed;
	pthread_setspecific((pthread_key_t)(sc.data->key - 1), sc.data);
	failed = sc_lock();
	if (failed != 0)
		return failed;
	failed = sc_have_procmem();
	if (failed == 0)
		failed = sc_register();
	if (failed == 0) {
		sc.data->procmem_users++;
		sc_inline_all();
	}
	sc_unlock();
	return failed;
}

/* Once, and once more at the first update where it failed before main(). */
static int sc_started(void)
{
	int state;

	while (__atomic_exchange_n(&sc.busy, 1, __ATOMIC_ACQUIRE) != 0)
		sc_call(SYS_sched_yield, 0);
	state = sc.state;
	if (state == 0) {
		state = sc_begin();
		sc.state = state == 0 ? 1 : state;
	}
	__atomic_store_n(&sc.busy, 0, __ATOMIC_RELEASE);
	return state > 0 ? 0 : state;
}

__attribute__((constructor(101))) static void sc_constructor(void)
{
	const struct static_call_key_record *told;
	const struct static_key_record *branch;

	if (SC_BYTES(static_call_keys) + SC_BYTES(static_keys) == 0)
		return;
	for (told = __start_static_call_keys; told < __stop_static_call_keys; told++)
		told->key->update = sc_update;
	for (branch = __start_static_keys; branch < __stop_static_keys; branch++)
		branch->key->update = sc_update_switch;
	if (sc_started() != 0)
		sc.state = 0;
}

/*
 * The object is being unloaded, or the process ends. Its code is whole and stays as it is; the
 * lists forget it, because its memory may soon hold something else. What the handler reads stays
 * too, and says of its sites that they are none.
 */
__attribute__((destructor)) static void sc_destructor(void)
{
	struct sc_object object;
	uint64_t *link;

	if (sc.state != 1 || !sc_object_of((uintptr_t)&sc, &object) || object.is_program ||
	    sc_lock() != 0)
		return;
	sc.state = -ENOSYS;
	sc_count_change();
	for (link = &sc.data->records; *link;) {
		struct sc_record *record = sc_at(*link);

		if (record->key < object.low || record->key >= object.high) {
			link = &record->next;
			continue;
		}
		*link = record->next;
		record->users = 0;
		record->groups = 0;
		__atomic_store_n(&record->call, 0, __ATOMIC_RELEASE);
		__atomic_store_n(&record->tail, 0, __ATOMIC_RELEASE);
		__atomic_store_n(&record->jcc, 0, __ATOMIC_RELEASE);
	}
	sc_unlock();
}

/* ---- Updating -------------------------------------------------------------------------------- */

/* Nothing is written before everything is drawn and nothing stands against it. */
static int sc_update_with(const struct static_call_change *changes, size_t count,
			  struct sc_change *room)
{
	struct sc_batch batch;
	bool changes_words = false;
	size_t c;
	int failed = sc_have_procmem();

	batch.changes = room;
	batch.count = count;
	batch.ways = 0;
	if (failed != 0)
		return failed;
	for (c = 0; c < count; c++) {
		failed = sc_draw(changes[c].key, (uintptr_t)changes[c].func, &room[c]);
		if (failed != 0)
			return failed;
		batch.ways |= room[c].ways;
		changes_words |= memcmp(&room[c].before, &room[c].after, sizeof room->after) != 0;
	}
	if (!changes_words && batch.ways == 0)
		return 0;
	/* Without a site to be trapped no handler is needed, and it does not matter which thread
	 * blocks SIGTRAP. */
	failed = (batch.ways & SC_WAY_TRAP) != 0 ? sc_check_process() : 0;
	if (failed != 0)
		return failed;
	sc_count_change();
	return sc_transact(&batch);
}

static int sc_update_locked(const struct static_call_change *changes, size_t count)
{
	struct sc_change few[8], *room;
	size_t size = count * sizeof *few;
	int failed;

	if (count <= sizeof few / sizeof *few)
		return sc_update_with(changes, count, few);
	room = sc_map_memory(size);
	if (!room)
		return -ENOMEM;
	failed = sc_update_with(changes, count, room);
	sc_unmap(room, size);
	return failed;
}

/* The lock of a runtime that has started. */
static int sc_enter(void)
{
	int failed = sc_started();

	return failed != 0 ? failed : sc_lock();
}

int static_call_update_batch(const struct static_call_change *changes, size_t count)
{
	int failed = sc_enter();

	if (failed != 0)
		return failed;
	failed = sc_update_locked(changes, count);
	sc_unlock();
	return failed;
}

static int sc_update(struct static_call_key *key, void *func)
{
	struct static_call_change change;

	change.key = key;
	change.func = func;
	return static_call_update_batch(&change, 1);
}

/* From one number of users to another; false where they are not so many. */
static bool sc_count_users(struct static_key *key, int from, int to)
{
	return __atomic_compare_exchange_n(&key->enabled, &from, to, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_SEQ_CST);
}

static int sc_switch(struct static_key *key, bool on)
{
	struct static_call_change change;
	int failed;

	change.key = (struct static_call_key *)(void *)key;
	change.func = sc_at(on);
	/* The last user goes first: from then on C does not change the number by itself, and comes
	 * here. */
	if (!on && !sc_count_users(key, 1, 0))
		return -EAGAIN;
	failed = sc_update_locked(&change, 1);
	if (!on && failed != 0)
		sc_count_users(key, 0, 1);
	return failed;
}

/* static_key_enable() and the others, where they switch something. Call it with the lock held. */
static int sc_switch_locked(struct static_key *key, uint64_t verb)
{
	bool on = verb == __STATIC_KEY_ON || verb == __STATIC_KEY_INC;
	bool counts = verb == __STATIC_KEY_INC || verb == __STATIC_KEY_DEC;

	/* Other threads count meanwhile, where that switches nothing. */
	for (;;) {
		int users = __atomic_load_n(&key->enabled, __ATOMIC_SEQ_CST);

		if (users == 0 && !on)
			return counts ? -EINVAL : 0;
		if (users == (on ? 0 : 1)) {
			int failed = sc_switch(key, on);

			if (failed != -EAGAIN)
				return failed;
		} else if (!counts) {
			return on ? 0 : -EBUSY;
		} else if (sc_count_users(key, users, on ? users + 1 : users - 1)) {
			return 0;
		}
	}
}

static int sc_update_switch(struct static_key *key, void *verb)
{
	int failed = sc_enter();

	if (failed != 0)
		return failed;
	failed = sc_switch_locked(key, (uintptr_t)verb);
	sc_unlock();
	return failed;
}

int __static_call_state(const struct static_call_key *key)
{
	struct sc_change change;
	struct sc_group *group;
	int state = sc_enter();
	size_t i;

	if (state != 0)
		return state;
	state = sc_draw(key, (uintptr_t)key->func, &change);
	for (group = state == 0 ? sc_groups(change.record) : NULL; group; group = sc_next(group)) {
		struct sc_columns columns = sc_columns(group);

		for (i = 0; i < columns.count; i++) {
			if (columns.way[i] == 0)
				continue;
			if (memcmp(columns.old[i], columns.original[i], columns.length[i]) != 0)
				state = STATIC_CALL_PARKED;
			else if (state == STATIC_CALL_DIRECT && i != group->trampoline)
				state = STATIC_CALL_THROUGH_TRAMPOLINE;
		}
	}
	sc_unlock();
	return state;
}

#if defined(__clang__) && defined(__OPTIMIZE_SIZE__)
#pragma clang attribute pop
#endif
