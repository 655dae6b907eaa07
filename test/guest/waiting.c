/* Pipes and poll, eventfd, futex time-outs, clocks. */
#include "suite.h"
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>

static int data_pipe[2];

static void *feed(void *unused)
{
	char block[5000];
	memset(block, 'q', sizeof block);
	for (int i = 0; i < 40; i++)
		CHECK(write(data_pipe[1], block, sizeof block) == sizeof block);
	close(data_pipe[1]);
	return unused;
}

void test_pipe(void)
{
	pthread_t thread;
	int other[2];
	long total = 0;
	char block[3000];

	CHECK(pipe(data_pipe) == 0 && pipe2(other, O_NONBLOCK) == 0);
	struct pollfd fds[2] = { { data_pipe[0], POLLIN, 0 }, { other[0], POLLIN, 0 } };
	CHECK(poll(fds, 2, 0) == 0);
	CHECK(read(other[0], block, 1) == -1 && errno == EAGAIN);
	int64_t before = now_ns(CLOCK_MONOTONIC);
	CHECK(poll(fds, 2, 30) == 0);
	CHECK(now_ns(CLOCK_MONOTONIC) - before >= 30000000);
	CHECK(pthread_create(&thread, NULL, feed, NULL) == 0);
	for (;;) {
		CHECK(poll(fds, 2, -1) == 1);
		ssize_t got = read(data_pipe[0], block, sizeof block);
		CHECK(got >= 0);
		if (got == 0)
			break;
		total += got;
	}
	CHECK(pthread_join(thread, NULL) == 0);
	SAY("%ld bytes came through", total);
	CHECK(poll(fds, 1, -1) == 1 && fds[0].revents == POLLHUP);
	struct iovec out[2] = { { "scatter", 7 }, { " gather", 7 } };
	CHECK(writev(other[1], out, 2) == 14);
	char a[5] = "", b[16] = "";
	struct iovec in[2] = { { a, 4 }, { b, 15 } };
	CHECK(readv(other[0], in, 2) == 14);
	SAY("%s|%s", a, b);
	long fits = 0, got;
	while ((got = write(other[1], block, 1000)) > 0)
		fits += got;
	CHECK(errno == EAGAIN);
	SAY("a pipe takes %ld whole thousands", fits / 1000);
	close(other[0]);
	signal(SIGPIPE, SIG_IGN);
	CHECK(write(other[1], "x", 1) == -1);
	SAY("no reader: %s", strerror(errno));
	CHECK(read(77, block, 1) == -1 && errno == EBADF);
	CHECK(syscall(SYS_write, 1, 8, 1) == -1);
	SAY("no memory there: %s", strerror(errno));
}

static int bell, ticket;

static void *ring_bell(void *unused)
{
	uint64_t one = 1;
	for (int i = 0; i < 50; i++)
		CHECK(write(bell, &one, 8) == 8);
	return unused;
}

void test_eventfd(void)
{
	pthread_t threads[2];
	uint64_t value, sum = 0;

	CHECK((bell = eventfd(0, 0)) >= 0);
	for (int i = 0; i < 2; i++)
		CHECK(pthread_create(&threads[i], NULL, ring_bell, NULL) == 0);
	while (sum < 100) {
		CHECK(read(bell, &value, 8) == 8);
		sum += value;
	}
	for (int i = 0; i < 2; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	SAY("rang %d times", (int)sum);
	CHECK((ticket = eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK)) >= 0);
	int taken = 0;
	while (read(ticket, &value, 8) == 8)
		taken += value;
	SAY("%d tickets, then %s", taken, strerror(errno));
	value = UINT64_MAX;
	CHECK(write(ticket, &value, 8) == -1 && errno == EINVAL);
	CHECK(read(ticket, &value, 4) == -1 && errno == EINVAL);
}

static long futex(int *word, int op, int value, const struct timespec *timeout, int value3)
{
	return syscall(SYS_futex, word, op, value, timeout, NULL, value3);
}

static int word;
static void *wait_word(void *unused)
{
	while (__atomic_load_n(&word, __ATOMIC_SEQ_CST) == 0)
		futex(&word, FUTEX_WAIT_PRIVATE, 0, NULL, 0);
	return unused;
}

void test_futex(void)
{
	struct timespec t = { 0, 25000000 };
	int64_t before = now_ns(CLOCK_MONOTONIC);

	CHECK(futex(&word, FUTEX_WAIT, 0, &t, 0) == -1 && errno == ETIMEDOUT);
	CHECK(now_ns(CLOCK_MONOTONIC) - before >= 25000000);
	CHECK(futex(&word, FUTEX_WAIT, 1, &t, 0) == -1 && errno == EAGAIN);
	clock_gettime(CLOCK_MONOTONIC, &t);
	CHECK(futex(&word, FUTEX_WAIT_BITSET, 0, &t, -1) == -1 && errno == ETIMEDOUT);
	t.tv_nsec = 1000000000;
	CHECK(futex(&word, FUTEX_WAIT, 0, &t, 0) == -1 && errno == EINVAL);
	CHECK(futex((int *)((char *)&word + 1), FUTEX_WAIT, 0, NULL, 0) == -1 && errno == EINVAL);
	CHECK(futex((int *)64, FUTEX_WAIT, 0, NULL, 0) == -1 && errno == EFAULT);
	SAY("errors as they should be");
	CHECK(futex(&word, FUTEX_WAKE, 1, NULL, 0) == 0);
	pthread_t threads[3];
	for (int i = 0; i < 3; i++)
		CHECK(pthread_create(&threads[i], NULL, wait_word, NULL) == 0);
	sleep_ms(50);
	__atomic_store_n(&word, 1, __ATOMIC_SEQ_CST);
	long woken = futex(&word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, 0);
	CHECK(woken >= 0 && woken <= 3);
	for (int i = 0; i < 3; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	SAY("all waiters went on");
}

static volatile int alarms;
static void on_usr1(int signo, siginfo_t *info, void *context)
{
	(void)signo, (void)info, (void)context;
	alarms++;
}

static void *poke(void *arg)
{
	sleep_ms(30);
	pthread_kill(*(pthread_t *)arg, SIGUSR1);
	return NULL;
}

void test_clock(void)
{
	int64_t mono = now_ns(CLOCK_MONOTONIC), real = now_ns(CLOCK_REALTIME);
	CHECK(real > 1700000000ll * 1000000000ll);
	sleep_ms(40);
	int64_t passed = now_ns(CLOCK_MONOTONIC) - mono;
	CHECK(passed >= 40000000 && passed < 4000000000ll);
	CHECK(now_ns(CLOCK_REALTIME) - real >= 40000000);
	struct timespec until = { (mono + 90000000) / 1000000000, (mono + 90000000) % 1000000000 };
	CHECK(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == 0);
	CHECK(now_ns(CLOCK_MONOTONIC) - mono >= 90000000);
	pthread_t self = pthread_self(), thread;
	on_signal(SIGUSR1, on_usr1, SA_RESTART);
	CHECK(pthread_create(&thread, NULL, poke, &self) == 0);
	struct timespec request = { 2, 0 }, left = { 9, 9 };
	CHECK(nanosleep(&request, &left) == -1 && errno == EINTR);
	CHECK(left.tv_sec == 1 && alarms == 1);
	CHECK(pthread_join(thread, NULL) == 0);
	request.tv_nsec = -1;
	CHECK(nanosleep(&request, NULL) == -1 && errno == EINVAL);
	SAY("time passes");
}
