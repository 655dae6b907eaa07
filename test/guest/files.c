/* Files by name, mapped files, sockets with descriptors in them, other programs in the same process. */
#include "suite.h"
#include <dirent.h>
#include <setjmp.h>
#include <sys/socket.h>
#include <sys/stat.h>

static sigjmp_buf beyond;

static void on_bus(int signo, siginfo_t *info, void *context)
{
	(void)context;
	siglongjmp(beyond, signo == SIGBUS ? info->si_code : -1);
}

static int load(volatile int *word, int *value)
{
	int code = sigsetjmp(beyond, 1);

	if (code == 0)
		*value = *word;
	return code;
}

/* A directory of our own, which the caller removes. */
static char *directory(void)
{
	static char name[] = "/tmp/suite-XXXXXX";

	memcpy(name + sizeof name - 7, "XXXXXX", 6);
	CHECK(mkdtemp(name) == name && chdir(name) == 0);
	return name;
}

void test_names(void)
{
	char *home = directory(), line[64];
	struct stat st;
	int fd = open("a", O_CREAT | O_EXCL | O_RDWR, 0640), entries = 0;

	CHECK(fd >= 0 && write(fd, "hello", 5) == 5 && lseek(fd, 0, SEEK_CUR) == 5);
	CHECK(open("a", O_CREAT | O_EXCL, 0600) < 0 && errno == EEXIST);
	CHECK(open("none", O_RDWR) < 0 && errno == ENOENT);
	CHECK(open("a/b", O_RDWR) < 0 && errno == ENOTDIR);
	CHECK(mkdir("d", 0755) == 0 && rename("a", "d/b") == 0 && link("d/b", "c") == 0);
	CHECK(symlink("d/b", "l") == 0 && stat("l", &st) == 0);
	SAY("mode %o links %d size %d", st.st_mode & 0777, (int)st.st_nlink, (int)st.st_size);
	CHECK(rmdir("d") < 0 && errno == ENOTEMPTY);
	CHECK(unlink("d") < 0 && errno == EISDIR);

	DIR *dir = opendir(".");
	while (readdir(dir))
		entries++;
	closedir(dir);
	SAY("%d entries", entries);

	CHECK(unlink("l") == 0 && unlink("c") == 0 && unlink("d/b") == 0 && rmdir("d") == 0);
	CHECK(fstat(fd, &st) == 0);
	SAY("unlinked: links %d size %d", (int)st.st_nlink, (int)st.st_size);
	CHECK(pread(fd, line, 5, 0) == 5 && !memcmp(line, "hello", 5) && close(fd) == 0);

	FILE *temporary = tmpfile();
	CHECK(temporary && fprintf(temporary, "%d words\n", 3) > 0);
	rewind(temporary);
	CHECK(fgets(line, sizeof line, temporary));
	printf("tmpfile: %s", line);
	fclose(temporary);
	CHECK(chdir("/") == 0 && rmdir(home) == 0);
	CHECK(getcwd(line, sizeof line) == line && !strcmp(line, "/"));
}

void test_mapped(void)
{
	size_t size = sysconf(_SC_PAGESIZE);
	int fd = open("/var/tmp", O_TMPFILE | O_RDWR, 0600), value = 0, word = 0;

	/* A kernel without O_TMPFILE on this file system has mkstemp(3). */
	if (fd < 0) {
		char name[] = "/var/tmp/suite-XXXXXX";
		fd = mkstemp(name);
		CHECK(fd >= 0 && unlink(name) == 0);
	}
	CHECK(ftruncate(fd, 3 * size) == 0);
	volatile int *shared = mmap(NULL, 3 * size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	volatile int *own = mmap(NULL, 3 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	size_t page = size / sizeof *shared;

	CHECK(shared != MAP_FAILED && own != MAP_FAILED);
	shared[0] = 1;
	CHECK(msync((void *)shared, size, MS_SYNC) == 0);
	shared[0] = 2;
	CHECK(pread(fd, &word, sizeof word, 0) == sizeof word);
	SAY("after a store: read says %d, the private mapping %d", word, own[0]);
	own[0] = 9;
	word = 3;
	CHECK(pwrite(fd, &word, sizeof word, 0) == sizeof word && fsync(fd) == 0);
	SAY("after a write: shared %d, private %d", shared[0], own[0]);

	own[2 * page] = 5;
	shared[page + 1] = 7;
	on_signal(SIGBUS, on_bus, 0);
	CHECK(ftruncate(fd, size + 4) == 0);
	SAY("beyond the end: shared %d, private %d", load(shared + 2 * page, &value),
	    load(own + 2 * page, &value));
	CHECK(load(shared + page + 1, &value) == 0);
	SAY("behind the end, in its page: %d", value);
	CHECK(ftruncate(fd, 3 * size) == 0);
	SAY("grown again: %d %d", shared[page + 1], shared[2 * page]);

	shared[0] = 4;
	CHECK(madvise((void *)shared, size, MADV_DONTNEED) == 0 && shared[0] == 4);
	CHECK(fallocate(fd, 3 /* punch, keep size */, 0, size) == 0);
	SAY("punched: shared %d, private %d", shared[0], own[0]);
}

static int send_fd(int socket, int fd)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { "!", 1 };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control,
	};

	control.header.cmsg_len = CMSG_LEN(sizeof(int));
	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
	return sendmsg(socket, &message, 0);
}

static int receive_fd(int socket)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &byte, 1 };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control,
	};
	int fd;

	CHECK(recvmsg(socket, &message, MSG_CMSG_CLOEXEC) == 1 && CMSG_FIRSTHDR(&message));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
	CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	return fd;
}

void test_sockets(void)
{
	int s[2], status, word = 0;
	char text[8] = "";

	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		close(s[0]);
		int fd = receive_fd(s[1]);
		word = 42;
		CHECK(pwrite(fd, &word, sizeof word, 0) == sizeof word);
		_exit(write(s[1], "done", 4) == 4 ? 0 : 1);
	}
	close(s[1]);
	int fd = syscall(SYS_memfd_create, "sent", 0);
	CHECK(send_fd(s[0], fd) == 1 && read(s[0], text, sizeof text) == 4);
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	CHECK(pread(fd, &word, sizeof word, 0) == sizeof word);
	SAY("%s: %d; then %d bytes", text, word, (int)read(s[0], text, sizeof text));
	signal(SIGPIPE, SIG_IGN);
	CHECK(write(s[0], "x", 1) < 0 && errno == EPIPE);
}

static void *wait_for_ever(void *argument)
{
	for (;;)
		pause();
	return argument;
}

static void *run_again(void *argument)
{
	char *argv[] = { "suite", "child", NULL }, *envp[] = { "WORD=kept", NULL };

	(void)argument;
	execve("/proc/self/exe", argv, envp);
	return NULL;
}

void test_exec(void)
{
	pthread_t thread;
	int status, fd = open("/dev/null", O_RDONLY);

	signal(SIGUSR1, SIG_IGN);
	on_signal(SIGUSR2, on_bus, 0);
	CHECK(dup3(fd, 40, 0) == 40 && dup3(fd, 41, O_CLOEXEC) == 41);
	CHECK(execl("/dev/null", "null", NULL) < 0 && errno == EACCES);
	CHECK(execl("/none", "none", NULL) < 0 && errno == ENOENT);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		CHECK(pthread_create(&thread, NULL, wait_for_ever, NULL) == 0);
		CHECK(pthread_create(&thread, NULL, run_again, NULL) == 0);
		wait_for_ever(NULL);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	SAY("status %d", WEXITSTATUS(status));
	fflush(stdout);
	pid = vfork();
	if (pid == 0) {
		run_again(NULL);
		_exit(1);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 7);
}

/* What test_exec runs: says what it was given. */
void way_child(void)
{
	struct sigaction ignored, handled;
	char *word = getenv("WORD");

	CHECK(sigaction(SIGUSR1, NULL, &ignored) == 0 && sigaction(SIGUSR2, NULL, &handled) == 0);
	SAY("child: %s; ignored %d, default %d; descriptors %d %d; leads %d", word ? word : "-",
	    ignored.sa_handler == SIG_IGN, handled.sa_handler == SIG_DFL, fcntl(40, F_GETFD),
	    fcntl(41, F_GETFD), getpid() == syscall(SYS_gettid));
	fflush(stdout);
	_exit(7);
}
