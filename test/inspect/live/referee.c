// Inside the guest, by /proc/kallsyms and /proc/kcore: `referee keys` prints what each static call
// key holds, `referee headers` the headers and notes of /proc/kcore as hexadecimal digits.
// Independent of what it is compared with.

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static Elf64_Phdr segments[256];
static int count, core;

static int read_at(unsigned long at, void *to, unsigned long size)
{
	for (int i = 0; i < count; i++) {
		Elf64_Phdr *s = &segments[i];
		if (s->p_type == PT_LOAD && at >= s->p_vaddr && at - s->p_vaddr + size <= s->p_memsz)
			return pread(core, to, size, s->p_offset + (at - s->p_vaddr)) == (long)size;
	}
	return 0;
}

static unsigned char piece[1 << 16];

// The kernel makes all of its headers anew for each read, so they are read at once.
static void digits(const char *what, unsigned long from, unsigned long size)
{
	long got = pread(core, piece, size < sizeof piece ? size : sizeof piece, from);
	printf("%s ", what);
	for (long i = 0; i < got; i++)
		printf("%02x", piece[i]);
	printf("\n");
}

static void keys(void)
{
	char line[1024], name[512], type;
	unsigned long at, func;
	FILE *symbols = fopen("/proc/kallsyms", "r");
	while (symbols && fgets(line, sizeof line, symbols)) {
		if (strstr(line, "__SCK__") && sscanf(line, "%lx %c %511s", &at, &type, name) == 3 &&
		    !strncmp(name, "__SCK__", 7) && read_at(at, &func, sizeof func))
			printf("key %lx %lx\n", at, func);
	}
}

int main(int argc, char **argv)
{
	Elf64_Ehdr header;

	core = open("/proc/kcore", O_RDONLY);
	if (argc < 2 || core < 0 || pread(core, &header, sizeof header, 0) != sizeof header)
		return 1;
	count = header.e_phnum < 256 ? header.e_phnum : 256;
	if (pread(core, segments, count * sizeof *segments, header.e_phoff) < 0)
		return 1;
	if (!strcmp(argv[1], "keys")) {
		keys();
		return 0;
	}
	digits("headers", 0, header.e_phoff + count * sizeof *segments);
	for (int i = 0; i < count; i++)
		if (segments[i].p_type == PT_NOTE)
			digits("notes", segments[i].p_offset, segments[i].p_filesz);
	return 0;
}
