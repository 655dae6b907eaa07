/* The table of programs and what they share. SPDX-License-Identifier: MIT */
#include "suite.h"

static const struct {
	const char *name;
	void (*run)(void);
	int listed; /* prints the same on every Linux */
} tests[] = {
	{ "segv", test_segv, 1 },
	{ "restart", test_restart, 1 },
	{ "altstack", test_altstack, 1 },
	{ "fork", test_fork, 1 },
	{ "mutex", test_mutex, 1 },
	{ "cond", test_cond, 1 },
	{ "pipe", test_pipe, 1 },
	{ "eventfd", test_eventfd, 1 },
	{ "futex", test_futex, 1 },
	{ "clock", test_clock, 1 },
	{ "maps", test_maps, 1 },
	{ "pagemap", test_pagemap, 1 },
	{ "shared", test_shared, 1 },
	{ "names", test_names, 1 },
	{ "mapped", test_mapped, 1 },
	{ "sockets", test_sockets, 1 },
	{ "exec", test_exec, 1 },
	{ "malloc", test_malloc, 1 },
	{ "float", test_float, 1 },
	{ "jump", test_jump, 1 },
	{ "tls", test_tls, 1 },
	{ "group", test_group, 1 },
	{ "fair", test_fair, 1 },
	{ "calls", test_calls, 1 },
	{ "touch", test_touch, 1 },
	{ "loop", test_loop, 1 },
	{ "roundtrip", test_roundtrip, 1 },
	{ "hang", way_hang, 0 },
	{ "spin", way_spin, 0 },
	{ "cat", way_cat, 0 },
	{ "yes", way_yes, 0 },
	{ "unknown", way_unknown, 0 },
	{ "who", way_who, 0 },
	{ "child", way_child, 0 },
	{ "larger", way_larger, 0 },
	{ "too-large", way_too_large, 0 },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
		if (argc != 2) {
			if (tests[i].listed)
				puts(tests[i].name);
		} else if (!strcmp(argv[1], tests[i].name)) {
			tests[i].run();
			SAY("%s: ok", argv[1]);
			return 0;
		}
	}
	return argc == 2 ? 2 : 0;
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
