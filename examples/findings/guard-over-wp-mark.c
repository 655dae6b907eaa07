/* MADV_GUARD_INSTALL over a write-protect mark on shared memory does not return: see docs/findings.md. Needs root. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

#define SECONDS 2
#define PAGE 4096UL

static void fail(const char *what)
{
	perror(what);
	exit(2);
}

static char *marked_page(void)
{
	char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
	};
	struct uffdio_register reg = {
		.range = { (unsigned long)page, PAGE },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};
	struct uffdio_writeprotect wp = {
		.range = { (unsigned long)page, PAGE },
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};

	if (page == MAP_FAILED || fd < 0)
		fail("userfaultfd");
	if (ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &reg) ||
	    ioctl(fd, UFFDIO_WRITEPROTECT, &wp))
		fail("ioctl");
	return page;
}

int main(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct rlimit limit = { SECONDS, SECONDS };
		char *page = marked_page();

		setrlimit(RLIMIT_CPU, &limit);
		_exit(madvise(page, PAGE, MADV_GUARD_INSTALL) == 0 ? 0 : errno);
	}
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status))
		printf("MADV_GUARD_INSTALL has used %d s of processor time and not returned\n", SECONDS);
	else
		printf("MADV_GUARD_INSTALL returned: %s\n", strerror(WEXITSTATUS(status)));
	return 0;
}
