/* Threads: mutexes, condition variables, thread-local storage. */
#include "suite.h"

#define THREADS 4
#define ROUNDS 400
#define ITEMS 200

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long counter, atomic_counter;

static void *add(void *unused)
{
	for (int i = 0; i < ROUNDS; i++) {
		pthread_mutex_lock(&lock);
		long seen = counter;
		if (i % 50 == 0)
			sched_yield();
		counter = seen + 1;
		pthread_mutex_unlock(&lock);
		__atomic_fetch_add(&atomic_counter, 3, __ATOMIC_SEQ_CST);
	}
	return unused;
}

void test_mutex(void)
{
	pthread_t threads[THREADS];
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < THREADS; i++)
			CHECK(pthread_create(&threads[i], NULL, add, NULL) == 0);
		for (int i = 0; i < THREADS; i++)
			CHECK(pthread_join(threads[i], NULL) == 0);
		SAY("counter %ld, atomic %ld", counter, atomic_counter);
	}
}

static pthread_cond_t not_full = PTHREAD_COND_INITIALIZER, not_empty = PTHREAD_COND_INITIALIZER;
static int ring[8], head, filled, taken_items;
static long taken_sum;

static void *produce(void *arg)
{
	for (int i = 0; i < ITEMS; i++) {
		pthread_mutex_lock(&lock);
		while (filled == 8)
			pthread_cond_wait(&not_full, &lock);
		ring[(head + filled++) % 8] = (intptr_t)arg * 1000 + i;
		pthread_cond_signal(&not_empty);
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

static void *consume(void *unused)
{
	for (;;) {
		pthread_mutex_lock(&lock);
		while (filled == 0 && taken_items < 2 * ITEMS)
			pthread_cond_wait(&not_empty, &lock);
		if (filled == 0) {
			pthread_mutex_unlock(&lock);
			return unused;
		}
		taken_sum += ring[head];
		head = (head + 1) % 8;
		filled--;
		if (++taken_items == 2 * ITEMS)
			pthread_cond_broadcast(&not_empty);
		pthread_cond_signal(&not_full);
		pthread_mutex_unlock(&lock);
	}
}

void test_cond(void)
{
	pthread_t threads[5];
	for (intptr_t i = 0; i < 5; i++)
		CHECK(pthread_create(&threads[i], NULL, i < 2 ? produce : consume, (void *)(i + 1)) == 0);
	for (int i = 0; i < 5; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	SAY("%d items, sum %ld", taken_items, taken_sum);
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += 20000000;
	if (until.tv_nsec >= 1000000000)
		until.tv_sec++, until.tv_nsec -= 1000000000;
	pthread_mutex_lock(&lock);
	SAY("timed wait: %s", strerror(pthread_cond_timedwait(&not_full, &lock, &until)));
	pthread_mutex_unlock(&lock);
}

static __thread int own = 5;
static pthread_key_t key;
static int destroyed;
static pthread_barrier_t barrier;

static void destroy(void *value)
{
	__atomic_fetch_add(&destroyed, (int)(intptr_t)value, __ATOMIC_SEQ_CST);
}

static void *with_own(void *arg)
{
	own += (intptr_t)arg;
	pthread_setspecific(key, (void *)(intptr_t)own);
	pthread_barrier_wait(&barrier);
	return (void *)(intptr_t)own;
}

void test_tls(void)
{
	pthread_t threads[3];
	void *result;
	CHECK(pthread_key_create(&key, destroy) == 0);
	CHECK(pthread_barrier_init(&barrier, NULL, 4) == 0);
	for (intptr_t i = 0; i < 3; i++)
		CHECK(pthread_create(&threads[i], NULL, with_own, (void *)(i * 10)) == 0);
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < 3; i++) {
		CHECK(pthread_join(threads[i], &result) == 0);
		SAY("thread %d had %d", i, (int)(intptr_t)result);
	}
	SAY("main has %d, destructors saw %d", own, destroyed);
}

static int go_on, calls;
static void *call_until_told(void *unused)
{
	while (!__atomic_load_n(&go_on, __ATOMIC_SEQ_CST)) {
		syscall(SYS_getppid);
		__atomic_fetch_add(&calls, 1, __ATOMIC_SEQ_CST);
	}
	return unused;
}

/* A thread that never waits, only calls, does not keep the others from running. */
void test_fair(void)
{
	pthread_t thread;
	CHECK(pthread_create(&thread, NULL, call_until_told, NULL) == 0);
	while (__atomic_load_n(&calls, __ATOMIC_SEQ_CST) == 0)
		sched_yield();
	__atomic_store_n(&go_on, 1, __ATOMIC_SEQ_CST);
	CHECK(pthread_join(thread, NULL) == 0);
	SAY("told");
}
