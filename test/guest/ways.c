/* Programs that only make sense under `faultline run`: they hang, spin, copy, or ask about their surroundings. */
#include "suite.h"
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>

extern char **environ;
static char *registered;
static int never[2];

static void *touch(void *unused)
{
	registered[0] = 1;
	return unused;
}

static void *wait_for_pipe(void *unused)
{
	char byte;
	read(never[0], &byte, 1);
	return unused;
}

/* Three threads that wait for what nobody will do. */
void way_hang(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	pthread_t threads[2];
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);

	registered = pages(1);
	range.range.start = (uintptr_t)registered;
	range.range.len = sysconf(_SC_PAGESIZE);
	CHECK(fd >= 0 && ioctl(fd, UFFDIO_API, &api) == 0 && ioctl(fd, UFFDIO_REGISTER, &range) == 0);
	CHECK(pipe(never) == 0);
	pthread_create(&threads[0], NULL, touch, NULL);
	pthread_create(&threads[1], NULL, wait_for_pipe, NULL);
	pthread_join(threads[0], NULL);
}

void way_spin(void)
{
	CHECK(write(1, "spinning\n", 9) == 9);
	for (volatile unsigned i = 0;; i++)
		;
}

void way_cat(void)
{
	char block[1000];
	ssize_t got;

	if (getenv("SAY_READY"))
		CHECK(write(1, "ready\n", 6) == 6);
	while ((got = read(0, block, sizeof block)) > 0)
		CHECK(write(1, block, got) == got);
	_exit(got < 0);
}

void way_yes(void)
{
	for (;;)
		CHECK(write(1, "y\n", 2) == 2);
}

void way_unknown(void)
{
	CHECK(syscall(1000) == -1);
	const char *first = strerror(errno);
	CHECK(syscall(1000, 1, 2) == -1 && errno == ENOSYS);
	SAY("%s twice", first);
}

void way_who(void)
{
	struct utsname name;

	for (char **e = environ; *e; e++)
		SAY("%s", *e);
	CHECK(uname(&name) == 0);
	SAY("uid %d", (int)getuid());
	SAY("%s %s %s", name.sysname, name.release, name.machine);
}
