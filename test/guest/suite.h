/*
 * Small programs that ask a kernel for one thing each and print what they got: the same on every Linux, at every seed.
 * `suite NAME` runs one of them.
 * SPDX-License-Identifier: MIT
 */
#ifndef SUITE_H
#define SUITE_H
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef UFFD_USER_MODE_ONLY /* since Linux 5.11 */
#define UFFD_USER_MODE_ONLY 1
#endif

#define SAY(...) (printf(__VA_ARGS__), printf("\n"))
#define CHECK(condition) ((condition) ? (void)0 : failed(__FILE__, __LINE__, #condition))

_Noreturn void failed(const char *file, int line, const char *what);
void on_signal(int signo, void (*handler)(int, siginfo_t *, void *), int flags);
void *pages(size_t count);
void sleep_ms(int ms);
int64_t now_ns(clockid_t clock);

void test_segv(void);
void test_restart(void);
void test_altstack(void);
void test_fork(void);
void test_mutex(void);
void test_cond(void);
void test_pipe(void);
void test_eventfd(void);
void test_futex(void);
void test_clock(void);
void test_maps(void);
void test_pagemap(void);
void test_shared(void);
void test_names(void);
void test_mapped(void);
void test_sockets(void);
void test_exec(void);
void test_malloc(void);
void test_float(void);
void test_jump(void);
void test_tls(void);
void test_group(void);
void test_fair(void);
void test_calls(void);
void test_touch(void);
void test_roundtrip(void);
void test_loop(void);

void way_hang(void);
void way_spin(void);
void way_cat(void);
void way_yes(void);
void way_unknown(void);
void way_who(void);
void way_child(void);
void way_larger(void);
void way_too_large(void);
#endif
