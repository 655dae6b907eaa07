/* One program: two processes that take turns, and a helper thread for what may wait. */
#include "executor.h"
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>

/* Two processes at most, which take turns. */
static int me, alive[2] = {1, 0};
static int turn[2][2];
static pid_t child;

/* The helper thread: performs operations that may wait. What it said is in helper_text once its job is done. */
enum { IDLE, RUNS, DONE };
#define SETTLED 2000
static int job = IDLE;
static const struct op *job_op;
static struct text helper_text;
pid_t helper_tid = -1;
static int helper_stat = -1, helper_wchan = -1;

static void *helper_main(void *unused) {
  char path[64];
  (void)unused;
  out = &helper_text;
  helper_tid = syscall(SYS_gettid);
  snprintf(path, sizeof path, "/proc/self/task/%d/wchan", helper_tid);
  helper_wchan = open(path, O_RDONLY | O_CLOEXEC);
  snprintf(path, sizeof path, "/proc/self/task/%d/stat", helper_tid);
  helper_stat = open(path, O_RDONLY | O_CLOEXEC);
  __atomic_store_n(&job, IDLE, __ATOMIC_SEQ_CST);
  for (;;) {
    int now = __atomic_load_n(&job, __ATOMIC_SEQ_CST);
    if (now != RUNS) {
      syscall(SYS_futex, &job, FUTEX_WAIT, now, NULL, NULL, 0);
      continue;
    }
    out->size = 0;
    perform(job_op);
    __atomic_store_n(&job, DONE, __ATOMIC_SEQ_CST);
  }
  return NULL;
}

static char helper_state(void) {
  char text[512];
  ssize_t n = pread(helper_stat, text, sizeof text - 1, 0);
  if (n <= 0) return '?';
  text[n] = 0;
  return strrchr(text, ')')[2];
}

/* How far a look at the sleeping helper settles the matter. */
static int weight(void) {
  char text[64];
  ssize_t n = pread(helper_wchan, text, sizeof text - 1, 0);
  text[n < 0 ? 0 : n] = 0;
  /* These last until the main thread does something. */
  if (strcmp(text, "handle_userfault") == 0 || strcmp(text, "userfaultfd_read_iter") == 0 ||
      strcmp(text, "userfaultfd_event_wait_completion") == 0)
    return SETTLED / 2;
  /* A lock or a work queue, which may take its time; or a kernel that does not say. */
  usleep(1000);
  return n > 1 ? 1 : SETTLED / 100;
}

/* Until the helper has done its job or sleeps in the middle of it. Who wakes it makes it runnable at once. */
static void settle(void) {
  for (int asleep = 0; __atomic_load_n(&job, __ATOMIC_SEQ_CST) == RUNS && asleep < SETTLED;) {
    char state = helper_state();
    asleep = state == 'S' || state == 'D' ? asleep + weight() : 0;
    sched_yield();
  }
}

static void start_helper(void) {
  pthread_t thread;
  job = RUNS;
  if (pthread_create(&thread, NULL, helper_main, NULL) != 0) _exit(91);
  while (__atomic_load_n(&job, __ATOMIC_SEQ_CST) != IDLE) sched_yield();
}

/* "~store 0 1": the helper performs it. */
static void hand_over(const struct op *o) {
  static struct op copy;
  if (me != 0 || job == RUNS) {
    say("= busy\n");
    return;
  }
  copy = *o;
  memmove(copy.name, copy.name + 1, sizeof copy.name - 1);
  job_op = &copy;
  __atomic_store_n(&job, RUNS, __ATOMIC_SEQ_CST);
  syscall(SYS_futex, &job, FUTEX_WAKE, 1, NULL, NULL, 0);
  say("= handed over\n");
}

/* What became of the helper's last job. */
static void say_helper(void) {
  if (me != 0 || helper_stat < 0) return;
  settle();
  if (job == DONE) say("H %s", helper_text.bytes + 2);
  else say("H %s\n", job == RUNS ? "waits" : "idle");
}

static void say_state(void) {
  say_helper();
  say_files();
  say_process();
}

static int await_turn(void) {
  int at;
  if (read(turn[me][0], &at, sizeof at) != sizeof at) _exit(96);
  return at;
}

static void give_turn(int to, int at) {
  if (write(turn[to][1], &at, sizeof at) != sizeof at) _exit(95);
}

/* The child stays behind its parent until it is switched to. */
static int fork_here(int at) {
  if (me == 1 || alive[1]) {
    say("= busy\n");
    return at;
  }
  if (pipe(turn[0]) != 0 || pipe(turn[1]) != 0) _exit(94);
  pid_t parent = getpid();
  child = fork();
  if (child < 0) {
    say_number(-1);
    return at;
  }
  alive[1] = 1;
  if (child > 0) {
    say("= 0\n");
    return at;
  }
  me = 1;
  shared->pids[1] = getpid();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(0);
  close(smaps_fd);
  close(pagemap_fd);
  open_proc();
  return await_turn();
}

static void reap(void) {
  int status;
  waitpid(child, &status, 0);
  shared->pids[1] = 0;
  alive[1] = 0;
}

static int switch_to(int to, int at) {
  if (to == me || !alive[to & 1]) {
    say("= %s\n", to == me ? "here" : "nobody");
    return at;
  }
  say("= 0\n");
  give_turn(to, at);
  at = await_turn();
  if (me == 0 && at < 0) { /* the child ended */
    reap();
    at = -at;
  }
  return at;
}

/* An empty heap inside the arena. Libc's own is not used any more. The other addresses only name parts in maps. */
static void move_heap(void) {
  uint64_t stack = (uint64_t)__builtin_frame_address(0), code = (uint64_t)&ops;
  struct prctl_mm_map map = {
      .start_code = code, .end_code = code + 1, .start_data = code, .end_data = code + 1,
      .start_brk = HEAP, .brk = HEAP, .start_stack = stack, .arg_start = stack,
      .arg_end = stack, .env_start = stack, .env_end = stack, .exe_fd = (uint32_t)-1};
  if (prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0) != 0) _exit(93);
}

/* Performs operations from the first on; forks and switches move the place where it goes on. */
static int perform_all(void) {
  int at = 0;
  for (; at < op_count; at++) {
    const struct op *o = &ops[at];
    shared->progress++;
    if (IS("fork")) at = fork_here(at);
    else if (IS("switch")) at = switch_to(o->arg[0], at);
    else if (IS("exit") && me == 1) {
      say("= 0\n");
      give_turn(0, -at);
      _exit(0);
    } else if (IS("exit")) say("= alone\n");
    else if (o->name[0] == '~') hand_over(o);
    else perform(o);
    if (at < op_count) say_state();
    if (out->size > sizeof out->bytes / 2) flush();
  }
  return at;
}

/* Whoever performed the last operation speaks first, then the other if it is still there. */
static void finish(int at) {
  shared->progress++;
  say_helper();
  say_data();
  say_state();
  if (at > op_count) { /* the second */
    if (me == 1) give_turn(0, op_count);
  } else if (alive[1 - me]) {
    /* A child stays, since the pages it shares show in the parent's pagemap; it dies with its parent. */
    give_turn(1 - me, op_count);
    await_turn();
  }
  _exit(0);
}

/* All on one processor: pages wait in batches of each before they can be paged out. */
static void stay_here(void) {
  cpu_set_t here;
  CPU_ZERO(&here);
  CPU_SET(sched_getcpu(), &here);
  if (sched_setaffinity(0, sizeof here, &here) != 0) _exit(92);
}

void run_program(void) {
  stay_here();
  if (arena_pages == PAGES) prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
  for (int at = 0; at < op_count && helper_stat < 0; at++)
    if (ops[at].name[0] == '~') start_helper();
  move_heap();
  catch_signals();
  open_proc();
  finish(perform_all());
}
