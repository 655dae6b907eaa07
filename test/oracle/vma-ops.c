// Answers test/oracle/vma-ops.txt on a live kernel: reads operations on 64 pages, prints the result of each and the
// mappings after it as smaps has them. Pages are relative to the area.
//   m START PAGES PROT FLAGS   mmap          u START PAGES          munmap      p START PAGES PROT   mprotect
//   a START PAGES ADVICE       madvise       e START OLD NEW        mremap      w START              write a page
//   r                          begin again with nothing mapped
// Build and run: gcc -O1 -o vma-ops vma-ops.c && sed 's/ = .*//' vma-ops.txt | ./vma-ops
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE 4096UL
#define PAGES 64
static const unsigned long area = 0x200000000000;

static void *at(int page)
{
	return (void *)(area + page * PAGE);
}

static void show(void)
{
	FILE *smaps = fopen("/proc/self/smaps", "r");
	const char *separator = "";
	char line[512], prot[8];
	unsigned long start, end;
	int inside = 0;

	while (fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%lx-%lx %4s ", &start, &end, prot) == 3) {
			inside = start < area + PAGES * PAGE && end > area;
			if (inside)
				printf("%s%ld-%ld ", separator, (long)(start - area) / 4096,
				       (long)(end - area) / 4096);
		} else if (inside && !strncmp(line, "VmFlags:", 8)) {
			line[strlen(line) - 2] = 0;
			printf("%s", line + 9);
			separator = " | ";
		}
	}
	printf("\n");
	fclose(smaps);
}

static long perform(char op, int start, int n, int x, int y)
{
	long result = 0;

	errno = 0;
	switch (op) {
	case 'm':
		result = mmap(at(start), n * PAGE, x, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | y, -1, 0) ==
			 MAP_FAILED;
		break;
	case 'u':
		result = munmap(at(start), n * PAGE);
		break;
	case 'p':
		result = mprotect(at(start), n * PAGE, x);
		break;
	case 'a':
		result = madvise(at(start), n * PAGE, x);
		break;
	case 'w':
		result = madvise(at(start), PAGE, MADV_POPULATE_WRITE);
		break;
	case 'e':
		result = mremap(at(start), n * PAGE, x * PAGE, 0) == MAP_FAILED;
		break;
	}
	return result ? -errno : 0;
}

int main(void)
{
	char line[100];

	while (fgets(line, sizeof(line), stdin)) {
		int start = 0, n = 0, x = 0, y = 0;
		char op;

		sscanf(line, "%c %d %d %d %d", &op, &start, &n, &x, &y);
		if (op == 'r') {
			munmap(at(0), PAGES * PAGE);
			printf("r\n");
			continue;
		}
		line[strcspn(line, "\n")] = 0;
		printf("%s = %ld ", line, perform(op, start, n, x, y));
		show();
	}
	return 0;
}
