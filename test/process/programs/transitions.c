/* A key that returns a value and one that does not, each called from every form of site that a compiler or linker makes. */
#include <static_call.h>

int one(int a) { return a + 1; }
int two(int a) { return a + 2; }
DEFINE_STATIC_CALL(value, one);
STATIC_CALL_TARGET(value, two);
STATIC_CALL_TARGET_RET0(value);

static long events;
void add(int a) { events += a; }
void sub(int a) { events -= a; }
DEFINE_STATIC_CALL(event, add);
STATIC_CALL_TARGET(event, sub);
STATIC_CALL_TARGET_NULL(event);

long take_events(void)
{
	long taken = events;

	events = 0;
	return taken;
}

/* The empty assembly after a call keeps it from becoming a jump. */
#define KEPT(a) \
	({ \
		int result = static_call(value)(a); \
		__asm__ volatile("" : "+r"(result)); \
		result; \
	})
int value_call(int a) { return KEPT(a); }
int value_tail(int a) { return static_call(value)(a); }
__attribute__((cold, noinline)) int value_cold(int a) { return KEPT(a); }
__attribute__((section(".init.text"))) int value_init(int a) { return KEPT(a); }

void event_call(int a) { static_call_cond(event)(a); __asm__ volatile(""); }
void event_tail(int a) { static_call_cond(event)(a); }
__attribute__((cold, noinline)) void event_cold(int a) { static_call_cond(event)(a); __asm__ volatile(""); }
__attribute__((section(".init.text"))) void event_init(int a) { static_call_cond(event)(a); __asm__ volatile(""); }

/* What this compiler does not make of C: clang's conditional tail call, and the six-byte forms of -fno-plt. */
#define SITE(name, body) \
	__asm__(".pushsection .text\n.globl " name "\n.type " name ",@function\n" name ":\n" body "\n.size " name ",.-" name "\n.popsection")
#define SITES(key) \
	SITE(#key "_jcc", "testl %edi,%edi\njne __SCT__" #key "\nmovl $-7,%eax\nret"); \
	SITE(#key "_addr32", "subq $8,%rsp\n.byte 0x67\ncall __SCT__" #key "\naddq $8,%rsp\nret"); \
	SITE(#key "_got", "subq $8,%rsp\ncall *__SCT__" #key "@GOTPCREL(%rip)\naddq $8,%rsp\nret"); \
	SITE(#key "_gottail", "jmp *__SCT__" #key "@GOTPCREL(%rip)")
SITES(value);
SITES(event);
