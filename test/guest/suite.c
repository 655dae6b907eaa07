/* The table of programs and what they share. SPDX-License-Identifier: MIT */
#include "suite.h"

static const struct {
	const char *name;
	void (*run)(void);
} tests[] = {
	{ "segv", test_segv },       { "restart", test_restart }, { "altstack", test_altstack },
	{ "fork", test_fork },       { "mutex", test_mutex },     { "cond", test_cond },
	{ "pipe", test_pipe },       { "eventfd", test_eventfd }, { "futex", test_futex },
	{ "clock", test_clock },     { "maps", test_maps },       { "pagemap", test_pagemap },
	{ "malloc", test_malloc },   { "float", test_float },     { "jump", test_jump },
	{ "tls", test_tls },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
		if (argc != 2) {
			puts(tests[i].name);
		} else if (!strcmp(argv[1], tests[i].name)) {
			tests[i].run();
			SAY("%s: ok", argv[1]);
			return 0;
		}
	}
	return 2;
}

_Noreturn void failed(const char *file, int line, const char *what)
{
	const char *base = strrchr(file, '/');
	SAY("FAILED %s:%d: %s (errno %d)", base ? base + 1 : file, line, what, errno);
	fflush(stdout);
	_exit(1);
}

void on_signal(int signo, void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags };
	CHECK(sigaction(signo, &action, NULL) == 0);
}

void *pages(size_t count)
{
	void *p = mmap(NULL, count * sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED);
	return p;
}

void sleep_ms(int ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };
	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

int64_t now_ns(clockid_t clock)
{
	struct timespec t;
	CHECK(clock_gettime(clock, &t) == 0);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}
