/* Handlers: faults that a handler repairs, calls that a signal interrupts, a stack of their own. */
#include "suite.h"
#include <setjmp.h>

static char *guarded;
static volatile int faults, taken;
static volatile uintptr_t fault_at;
static volatile int fault_code;

static void repair(int signo, siginfo_t *info, void *context)
{
	(void)signo, (void)context;
	faults++;
	fault_at = (uintptr_t)info->si_addr;
	fault_code = info->si_code;
	mprotect(guarded, sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE);
}

/* A handler that opens the page: the store is done again, and every register is as it was. */
void test_segv(void)
{
	size_t size = sysconf(_SC_PAGESIZE);
	double a = 1.25, b = 3.5;

	guarded = pages(1);
	on_signal(SIGSEGV, repair, 0);
	for (int round = 0; round < 5; round++) {
		guarded[8] = 'x';
		CHECK(mprotect(guarded, size, round % 2 ? PROT_READ : PROT_NONE) == 0);
		volatile double sum = a * round + b;
		guarded[round] = 'a' + round;
		CHECK(faults == round + 1);
		CHECK(fault_at == (uintptr_t)guarded + round && fault_code == SEGV_ACCERR);
		CHECK(sum == a * round + b);
	}
	SAY("%.5s after %d faults", guarded, faults);
	faults = 0;
	munmap(guarded, size);
	pid_t child = fork();
	if (child == 0) {
		signal(SIGSEGV, SIG_DFL);
		*(volatile char *)guarded = 1;
		_exit(0);
	}
	int status;
	CHECK(waitpid(child, &status, 0) == child);
	SAY("a child without handler: signal %d", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

static void count(int signo, siginfo_t *info, void *context)
{
	(void)signo, (void)info, (void)context;
	taken++;
}

struct reader {
	int fd, got, error;
	char byte;
	pthread_t thread;
};

static void *read_one(void *arg)
{
	struct reader *r = arg;
	r->got = read(r->fd, &r->byte, 1);
	r->error = r->got < 0 ? errno : 0;
	return NULL;
}

/* Signals a reader of an empty pipe until the handler has run at least once, then feeds it. */
static void interrupt_reader(int flags)
{
	int ends[2], want = taken + 1;
	struct reader r = { 0 };

	on_signal(SIGUSR1, count, flags);
	CHECK(pipe(ends) == 0);
	r.fd = ends[0];
	CHECK(pthread_create(&r.thread, NULL, read_one, &r) == 0);
	sleep_ms(100);
	CHECK(pthread_kill(r.thread, SIGUSR1) == 0);
	while (taken < want)
		sleep_ms(1);
	sleep_ms(20);
	CHECK(write(ends[1], "z", 1) == 1);
	CHECK(pthread_join(r.thread, NULL) == 0);
	if (r.got == 1)
		SAY("read %c", r.byte);
	else
		SAY("read gave %s", strerror(r.error));
	close(ends[0]);
	close(ends[1]);
}

void test_restart(void)
{
	interrupt_reader(0);
	interrupt_reader(SA_RESTART);
	sigset_t set, old, pending;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK(sigprocmask(SIG_BLOCK, &set, &old) == 0);
	raise(SIGUSR1);
	int before = taken;
	CHECK(sigpending(&pending) == 0 && sigismember(&pending, SIGUSR1));
	CHECK(taken == before);
	CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
	SAY("blocked, then taken %d time", taken - before);
	CHECK(sigprocmask(SIG_BLOCK, &set, &old) == 0);
	raise(SIGUSR1);
	CHECK(sigsuspend(&old) == -1 && errno == EINTR);
	SAY("sigsuspend let %d in", taken - before - 1);
	raise(SIGUSR1);
	siginfo_t info;
	struct timespec zero = { 0, 0 };
	CHECK(sigtimedwait(&set, &info, &zero) == SIGUSR1 && info.si_pid == getpid());
	CHECK(sigtimedwait(&set, &info, &zero) == -1 && errno == EAGAIN);
	SAY("sigtimedwait took it before the handler: %d", taken - before - 2);
}

static stack_t alternative;
static volatile int on_alternative, depth;

static void where(int signo, siginfo_t *info, void *context)
{
	char here;
	(void)info, (void)context;
	uintptr_t sp = (uintptr_t)&here, low = (uintptr_t)alternative.ss_sp;
	on_alternative += sp >= low && sp < low + alternative.ss_size;
	if (depth++ == 0)
		raise(signo == SIGUSR1 ? SIGUSR2 : SIGUSR1);
}

static sigjmp_buf out;
static void escape(int signo, siginfo_t *info, void *context)
{
	(void)signo, (void)info, (void)context;
	siglongjmp(out, 1);
}

static int overflow(int n)
{
	volatile char frame[65536];
	frame[0] = frame[sizeof frame - 1] = n;
	return n < 1 << 20 ? overflow(n + 1) + frame[0] : 0;
}

void test_altstack(void)
{
	alternative.ss_size = 65536;
	alternative.ss_sp = malloc(alternative.ss_size);
	CHECK(sigaltstack(&alternative, NULL) == 0);
	on_signal(SIGUSR1, where, SA_ONSTACK);
	on_signal(SIGUSR2, where, SA_ONSTACK);
	raise(SIGUSR1);
	SAY("%d handlers on the other stack, %d deep", on_alternative, depth);
	on_signal(SIGSEGV, escape, SA_ONSTACK);
	if (sigsetjmp(out, 1) == 0)
		overflow(0);
	SAY("came back from a stack overflow");
	on_signal(SIGUSR1, count, SA_RESETHAND);
	taken = 0;
	raise(SIGUSR1);
	struct sigaction now;
	CHECK(sigaction(SIGUSR1, NULL, &now) == 0);
	SAY("taken %d, handler is default again: %d", taken, now.sa_handler == SIG_DFL);
}

static void *sleep_undisturbed(void *arg)
{
	struct timespec t = { 0, 60000000 };
	*(int *)arg = nanosleep(&t, NULL);
	return NULL;
}

/* A signal to the process is taken by one thread; the others do not notice. A thread that blocks it never takes it. */
void test_group(void)
{
	pthread_t threads[2];
	sigset_t set;
	int results[2] = { 7, 7 };

	on_signal(SIGUSR1, count, 0);
	for (int i = 0; i < 2; i++)
		CHECK(pthread_create(&threads[i], NULL, sleep_undisturbed, &results[i]) == 0);
	sleep_ms(10);
	for (int i = 1; i <= 3; i++) {
		CHECK(kill(getpid(), SIGUSR1) == 0);
		CHECK(taken == i);
	}
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
	for (int i = 0; i < 2; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	SAY("sleeps gave %d and %d, taken %d", results[0], results[1], taken);
	CHECK(kill(getpid(), SIGUSR1) == 0);
	CHECK(taken == 3);
	CHECK(pthread_sigmask(SIG_UNBLOCK, &set, NULL) == 0);
	SAY("taken %d", taken);
}
