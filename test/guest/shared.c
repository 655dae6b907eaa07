/* Shared memory between processes: memfds, MAP_SHARED|MAP_ANONYMOUS, what is private, where a file ends. */
#include "suite.h"
#include <setjmp.h>
#include <stdatomic.h>
#include <sys/stat.h>

static sigjmp_buf beyond;

static void on_bus(int signo, siginfo_t *info, void *context)
{
	(void)context;
	siglongjmp(beyond, signo == SIGBUS ? info->si_code : -1);
}

static int memfd(const char *name, unsigned flags)
{
	return syscall(SYS_memfd_create, name, flags);
}

static void child_of(void (*work)(void *), void *argument)
{
	int status;
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (pid == 0) {
		work(argument);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

struct views {
	volatile int *shared, *own;
};

static void write_both(void *argument)
{
	struct views *views = argument;

	views->shared[0] += 10;
	views->own[0] += 100;
}

static void count_up(void *argument)
{
	for (int i = 0; i < 500; i++) atomic_fetch_add((atomic_int *)argument, 1);
}

void test_shared(void)
{
	size_t size = sysconf(_SC_PAGESIZE);
	int fd = memfd("words", 2 /* MFD_ALLOW_SEALING */), word = 0;
	struct stat st;

	CHECK(fd >= 0 && ftruncate(fd, 2 * size) == 0);
	struct views views = {
		mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0),
		mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0),
	};
	CHECK(views.shared != MAP_FAILED && views.own != MAP_FAILED);
	views.shared[0] = 1;
	SAY("private sees the file: %d", views.own[0]);
	views.own[0] = 2;
	child_of(write_both, &views);
	CHECK(pread(fd, &word, sizeof word, 0) == sizeof word);
	SAY("after a child: shared %d, private %d, file %d", views.shared[0], views.own[0], word);

	word = 7;
	CHECK(pwrite(fd, &word, sizeof word, size) == sizeof word);
	SAY("written to the file: %d", views.shared[size / sizeof(int)]);
	CHECK(fallocate(fd, 3 /* PUNCH_HOLE|KEEP_SIZE */, 0, size) == 0);
	SAY("punched: shared %d, private %d", views.shared[0], views.own[0]);
	CHECK(ftruncate(fd, size) == 0 && fstat(fd, &st) == 0);
	on_signal(SIGBUS, on_bus, SA_NODEFER);
	int code = sigsetjmp(beyond, 1);
	if (code == 0) views.shared[size / sizeof(int)] = 1;
	SAY("beyond the end of %ld page: SIGBUS, si_code %d", (long)(st.st_size / size), code);

	CHECK(fcntl(fd, 1033 /* F_ADD_SEALS */, 0x2 | 0x4) == 0);
	CHECK(ftruncate(fd, 3 * size) == -1);
	SAY("sealed: %s, seals %d", strerror(errno), fcntl(fd, 1034 /* F_GET_SEALS */));
	CHECK(close(fd) == 0);
	views.shared[0] = 5;
	SAY("closed and still mapped: %d", views.shared[0]);

	atomic_int *counter = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(counter != MAP_FAILED);
	pid_t pid = fork();
	CHECK(pid >= 0);
	count_up(counter);
	if (pid == 0) _exit(0);
	CHECK(waitpid(pid, NULL, 0) == pid);
	SAY("two processes counted to %d", *counter);

	/* A word in shared memory is one futex for both. */
	atomic_int *turn = counter + 1;
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		atomic_store(turn, 1);
		syscall(SYS_futex, turn, 1 /* WAKE */, 1, NULL, NULL, 0);
		_exit(0);
	}
	while (atomic_load(turn) == 0) syscall(SYS_futex, turn, 0 /* WAIT */, 0, NULL, NULL, 0);
	CHECK(waitpid(pid, NULL, 0) == pid);
	SAY("woken by the other process: %d", *turn);
}
