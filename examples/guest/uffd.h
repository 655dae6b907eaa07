/*
 * What the example programs share: opening a userfaultfd, the ioctls with their errors checked, and a fault loop's poll.
 * Only the raw kernel interface is used: userfaultfd(2), ioctl_userfaultfd(2).
 * SPDX-License-Identifier: MIT
 */
#ifndef GUEST_UFFD_H
#define GUEST_UFFD_H

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef UFFD_USER_MODE_ONLY /* since Linux 5.11: no privilege needed, faults of user mode only */
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef UFFD_FEATURE_PAGEFAULT_FLAG_WP /* since Linux 5.7 */
#error "the kernel headers are older than Linux 5.7"
#endif

/* The statuses a caller can tell apart: 1 the program found a wrong result, 2 the machine refused something. */
#define STATUS_WRONG 1
#define STATUS_REFUSED 2

__attribute__((unused, noreturn)) static void refused(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(STATUS_REFUSED);
}

__attribute__((unused, noreturn)) static void wrong(const char *what, long index)
{
	printf("WRONG: %s (%ld)\n", what, index);
	exit(STATUS_WRONG);
}

/* Opens a non-blocking userfaultfd and shakes hands about `features`. */
static inline int uffd_open(uint64_t features)
{
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	if (fd < 0 && errno == EINVAL) /* before Linux 5.11 */
		fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		refused("userfaultfd");
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	if (ioctl(fd, UFFDIO_API, &api))
		refused("UFFDIO_API");
	return fd;
}

/* Registers a range and insists on the ioctls the program is going to use there. */
static inline void uffd_register(int fd, void *start, size_t len, uint64_t mode, uint64_t needed)
{
	struct uffdio_register reg = { .range = { (uintptr_t)start, len }, .mode = mode };
	if (ioctl(fd, UFFDIO_REGISTER, &reg))
		refused("UFFDIO_REGISTER");
	if ((reg.ioctls & needed) != needed) {
		errno = EOPNOTSUPP;
		refused("UFFDIO_REGISTER");
	}
}

static inline void uffd_unregister(int fd, void *start, size_t len)
{
	struct uffdio_range range = { (uintptr_t)start, len };
	if (ioctl(fd, UFFDIO_UNREGISTER, &range))
		refused("UFFDIO_UNREGISTER");
}

/* Write-protects a range, or takes the protection away (which wakes whoever waits there). */
static inline void uffd_protect(int fd, void *start, size_t len, int on)
{
	struct uffdio_writeprotect wp = {
		.range = { (uintptr_t)start, len },
		.mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
	};
	while (ioctl(fd, UFFDIO_WRITEPROTECT, &wp))
		if (errno != EAGAIN) /* EAGAIN: the address space is being changed; the same call again is right */
			refused("UFFDIO_WRITEPROTECT");
}

/* Waits for a message (1) or, when none is left, for `bell` to be rung (0). */
static inline int uffd_wait(int fd, int bell)
{
	struct pollfd fds[2] = { { .fd = fd, .events = POLLIN }, { .fd = bell, .events = POLLIN } };
	while (poll(fds, 2, -1) < 0)
		if (errno != EINTR)
			refused("poll");
	if (fds[0].revents & (POLLERR | POLLHUP)) {
		errno = EIO;
		refused("poll on the userfaultfd");
	}
	return (fds[0].revents & POLLIN) != 0;
}

/* Reads up to `max` messages; 0 when another reader, or a fault resolved meanwhile, left none. */
static inline int uffd_read(int fd, struct uffd_msg *msgs, int max)
{
	ssize_t n = read(fd, msgs, max * sizeof *msgs);
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n < 0 || n % sizeof *msgs)
		refused("read from the userfaultfd");
	return n / sizeof *msgs;
}

static inline void *map_pages(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		refused("mmap");
	/* Small pages only, so that the faults are the same whether the machine likes huge pages or not. */
	if (madvise(p, len, MADV_NOHUGEPAGE) && errno != EINVAL)
		refused("madvise");
	return p;
}

static inline pthread_t start_thread(void *(*body)(void *), void *arg)
{
	pthread_t t;
	if ((errno = pthread_create(&t, NULL, body, arg)))
		refused("pthread_create");
	return t;
}

static inline int bell_new(void)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	if (fd < 0)
		refused("eventfd");
	return fd;
}

static inline void bell_silence(int fd)
{
	uint64_t rung;
	if (read(fd, &rung, sizeof rung) != sizeof rung)
		refused("read from the eventfd");
}

static inline void bell_ring(int fd)
{
	uint64_t one = 1;
	if (write(fd, &one, sizeof one) != sizeof one)
		refused("write to the eventfd");
}

#endif
