// A plugin of QEMU's translator that records how a guest's kernel changes its own text: each store,
// by physical address, to the text or to the words of text_poke's table; each synchronising iretq;
// each trap on a patched address, and where the CPU went on. Stores are seen whatever their virtual
// address, because the kernel writes its text through a mapping of its own.
//
//   gcc -O2 -shared -fPIC -o poke.so poke.c
//   qemu-system-x86_64 -plugin ./poke.so,ram=FILE,log=FILE,text=LO,etext=HI,words=AT,sync=AT,iret=AT
//
// `ram` is the file behind the guest's memory (memory-backend-file, share=on): the interface tells
// where a store went and not what it stored. Addresses are those of a kernel that was not slid
// (nokaslr). The log is shared memory; record.mjs turns recording on in it and reads it.
//
// QEMU's packages bring no header for plugins. These are the prototypes of version 1 of the
// interface that are used (include/qemu/qemu-plugin.h of QEMU 4.2 to 8).

#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef uint64_t qemu_plugin_id_t;
typedef uint32_t qemu_plugin_meminfo_t;
typedef struct qemu_info_t qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_hwaddr;
enum { NO_REGS = 0, MEM_STORE = 2 };

extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t,
	void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *,
	void (*)(unsigned, void *), int, void *);
extern void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *,
	void (*)(unsigned, void *), int, void *);
extern void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *,
	void (*)(unsigned, qemu_plugin_meminfo_t, uint64_t, void *), int, int, void *);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
extern uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
extern uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
extern const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
extern size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
extern bool qemu_plugin_mem_is_store(qemu_plugin_meminfo_t);
extern unsigned qemu_plugin_mem_size_shift(qemu_plugin_meminfo_t);
extern struct qemu_plugin_hwaddr *qemu_plugin_get_hwaddr(qemu_plugin_meminfo_t, uint64_t);
extern bool qemu_plugin_hwaddr_is_io(const struct qemu_plugin_hwaddr *);
extern uint64_t qemu_plugin_hwaddr_phys_addr(const struct qemu_plugin_hwaddr *);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

#define START_KERNEL_MAP 0xffffffff80000000ull
#define CPUS 64
#define RECORDS (1u << 22)

enum op { STORE = 1, SYNC, TRAP, RESUME };
struct record {
	uint64_t at;
	uint8_t bytes[8];
	uint16_t cpu;
	uint8_t op, width;
	uint32_t filled;
};
struct log {
	_Atomic uint32_t on, count;
	uint64_t unused[7];
	struct record records[RECORDS];
};

static struct log *log_;
static const uint8_t *ram;
static uint64_t ram_size, text, etext, words, sync_at, iret_at;
/* Per CPU: 1 from a trap to its iretq, 2 from there to the next block. */
static uint8_t trapped[CPUS];

static void record(unsigned cpu, enum op op, uint64_t at, unsigned width, const void *bytes)
{
	uint32_t slot = atomic_fetch_add(&log_->count, 1);
	if (slot >= RECORDS)
		return;
	struct record *r = &log_->records[slot];
	r->at = at;
	r->cpu = cpu;
	r->op = op;
	r->width = width;
	if (bytes)
		memcpy(r->bytes, bytes, width);
	atomic_thread_fence(memory_order_release);
	r->filled = 1;
}

static void stored(unsigned cpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *unused)
{
	if (!atomic_load_explicit(&log_->on, memory_order_relaxed) || !qemu_plugin_mem_is_store(info))
		return;
	struct qemu_plugin_hwaddr *where = qemu_plugin_get_hwaddr(info, vaddr);
	if (!where || qemu_plugin_hwaddr_is_io(where))
		return;
	uint64_t at = qemu_plugin_hwaddr_phys_addr(where);
	unsigned width = 1u << qemu_plugin_mem_size_shift(info);
	bool watched = (at >= text && at < etext) || (at >= words && at < words + 16);
	if (watched && width <= 8 && at + width <= ram_size)
		record(cpu, STORE, at + START_KERNEL_MAP, width, ram + at);
}

static void synchronised(unsigned cpu, void *at)
{
	if (atomic_load_explicit(&log_->on, memory_order_relaxed))
		record(cpu, SYNC, (uintptr_t)at, 0, NULL);
}

static void trap(unsigned cpu, void *at)
{
	if (!atomic_load_explicit(&log_->on, memory_order_relaxed) || cpu >= CPUS)
		return;
	trapped[cpu] = 1;
	record(cpu, TRAP, (uintptr_t)at, 0, NULL);
}

static void returns(unsigned cpu, void *unused)
{
	if (cpu < CPUS && trapped[cpu] == 1)
		trapped[cpu] = 2;
}

static void block(unsigned cpu, void *at)
{
	if (cpu >= CPUS || trapped[cpu] != 2)
		return;
	trapped[cpu] = 0;
	record(cpu, RESUME, (uintptr_t)at, 0, NULL);
}

/* `iretq` is 48 cf. */
static bool is_iretq(const struct qemu_plugin_insn *insn)
{
	const uint8_t *bytes = qemu_plugin_insn_data(insn);
	return qemu_plugin_insn_size(insn) == 2 && bytes[0] == 0x48 && bytes[1] == 0xcf;
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	qemu_plugin_register_vcpu_tb_exec_cb(tb, block, NO_REGS,
		(void *)(uintptr_t)qemu_plugin_tb_vaddr(tb));
	for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		uint64_t at = qemu_plugin_insn_vaddr(insn);
		void *data = (void *)(uintptr_t)at;
		if (at < START_KERNEL_MAP)
			continue;
		qemu_plugin_register_vcpu_mem_cb(insn, stored, NO_REGS, MEM_STORE, NULL);
		if (*(const uint8_t *)qemu_plugin_insn_data(insn) == 0xcc)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, trap, NO_REGS, data);
		if (!is_iretq(insn))
			continue;
		if (at >= sync_at && at < sync_at + 128)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, synchronised, NO_REGS, data);
		if (at >= iret_at && at < iret_at + 64)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, returns, NO_REGS, data);
	}
}

static void *mapped(const char *path, uint64_t size, int protection)
{
	int file = open(path, protection & PROT_WRITE ? O_RDWR | O_CREAT : O_RDONLY, 0600);
	if (file < 0 || ((protection & PROT_WRITE) && ftruncate(file, size) < 0))
		return NULL;
	void *at = mmap(NULL, size, protection, MAP_SHARED, file, 0);
	close(file);
	return at == MAP_FAILED ? NULL : at;
}

__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id,
	const qemu_info_t *info, int argc, char **argv)
{
	const char *ram_path = NULL, *log_path = NULL;
	for (int i = 0; i < argc; i++) {
		char *value = strchr(argv[i], '=');
		if (!value)
			continue;
		*value++ = 0;
		if (!strcmp(argv[i], "ram"))
			ram_path = value;
		else if (!strcmp(argv[i], "log"))
			log_path = value;
		else if (!strcmp(argv[i], "size"))
			ram_size = strtoull(value, NULL, 0);
		else if (!strcmp(argv[i], "text"))
			text = strtoull(value, NULL, 0) - START_KERNEL_MAP;
		else if (!strcmp(argv[i], "etext"))
			etext = strtoull(value, NULL, 0) - START_KERNEL_MAP;
		else if (!strcmp(argv[i], "words"))
			words = strtoull(value, NULL, 0) - START_KERNEL_MAP;
		else if (!strcmp(argv[i], "sync"))
			sync_at = strtoull(value, NULL, 0);
		else if (!strcmp(argv[i], "iret"))
			iret_at = strtoull(value, NULL, 0);
	}
	ram = ram_path ? mapped(ram_path, ram_size, PROT_READ) : NULL;
	log_ = log_path ? mapped(log_path, sizeof *log_, PROT_READ | PROT_WRITE) : NULL;
	if (!ram || !log_) {
		fprintf(stderr, "poke: the guest's memory or the log cannot be mapped\n");
		return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
