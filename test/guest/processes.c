/* fork with copy on write, waiting for children. */
#include "suite.h"

#define PAGES 64

static int sum(const int *words, size_t per_page)
{
	int total = 0;
	for (int i = 0; i < PAGES; i++)
		total += words[i * per_page];
	return total;
}

void test_fork(void)
{
	size_t per_page = sysconf(_SC_PAGESIZE) / sizeof(int);
	int *words = pages(PAGES), results[2], status;
	pid_t children[4];

	fflush(stdout);
	CHECK(pipe(results) == 0);
	for (int i = 0; i < PAGES; i++)
		words[i * per_page] = i;
	for (int c = 0; c < 4; c++) {
		children[c] = fork();
		CHECK(children[c] >= 0);
		if (children[c] == 0) {
			for (int i = c; i < PAGES; i += 4)
				words[i * per_page] += 1000;
			pid_t grandchild = fork();
			if (grandchild == 0) {
				words[0] += 7;
				_exit(sum(words, per_page) == 2016 + 16000 + 7 ? 11 : 1);
			}
			CHECK(waitpid(grandchild, &status, 0) == grandchild);
			CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 11);
			int mine[2] = { c, sum(words, per_page) };
			CHECK(write(results[1], mine, sizeof mine) == sizeof mine);
			_exit(40 + c);
		}
	}
	for (int i = 0; i < PAGES; i++)
		words[i * per_page] += 1;
	int totals[4];
	for (int c = 0; c < 4; c++) {
		int got[2];
		CHECK(read(results[0], got, sizeof got) == sizeof got);
		totals[got[0]] = got[1];
	}
	for (int c = 0; c < 4; c++) {
		CHECK(waitpid(children[c], &status, 0) == children[c]);
		SAY("child %d: sum %d, status %d", c, totals[c], WEXITSTATUS(status));
	}
	SAY("parent: sum %d", sum(words, per_page));
	CHECK(waitpid(-1, &status, 0) == -1 && errno == ECHILD);
	pid_t killed = fork();
	if (killed == 0)
		for (;;)
			pause();
	CHECK(waitpid(killed, &status, WNOHANG) == 0);
	CHECK(kill(killed, SIGTERM) == 0);
	CHECK(waitpid(killed, &status, 0) == killed);
	SAY("killed by %d", WTERMSIG(status));
	int ends[2];
	CHECK(pipe(ends) == 0);
	pid_t vforked = vfork();
	if (vforked == 0) {
		words[0] = 4711;
		_exit(3);
	}
	SAY("after vfork: %d", words[0]);
	CHECK(waitpid(vforked, &status, 0) == vforked && WEXITSTATUS(status) == 3);
}
