/* Reads programs, runs each in a process of its own, and ends those that stop. */
#include "executor.h"
#include <poll.h>
#include <dirent.h>
#include <sys/wait.h>
#include <time.h>

#define LOOK_MS 10
/* Every thread asleep for so many looks in a row: nothing will wake them. */
#define ASLEEP_LOOKS 40
/* So much processor time for one operation: it goes round and round. */
#define SPINS_MS 600
/* The machine gives it no time, and nothing can be said. */
#define PATIENCE_MS 60000
/* So often a program is performed again when somebody else's swap device came in between. */
#define DISTURBED_TIMES 20

struct op ops[MAX_OPS];
int op_count, arena_pages;
struct shared *shared;
unsigned char *source;
__thread struct text *out;

void flush(void) {
  shared->flushed = 1;
  for (size_t done = 0; done < out->size;) {
    ssize_t n = write(1, out->bytes + done, out->size - done);
    if (n <= 0) _exit(99);
    done += n;
  }
  out->size = 0;
}

static long milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Adds the processor time of a process in milliseconds. Returns whether one of its threads wants to run. */
static int look_at(pid_t pid, long *used) {
  char path[64], text[512];
  int runs = 0;
  snprintf(path, sizeof path, "/proc/%d/task", pid);
  DIR *tasks = opendir(path);
  for (struct dirent *entry; tasks != NULL && (entry = readdir(tasks)) != NULL;) {
    snprintf(path, sizeof path, "/proc/%d/task/%.16s/stat", pid, entry->d_name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0) close(fd);
    if (n <= 0) continue;
    text[n] = 0;
    char state, *rest = strrchr(text, ')');
    long user, kernel;
    if (rest == NULL || sscanf(rest + 2, "%c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %ld %ld",
                               &state, &user, &kernel) != 3)
      continue;
    runs |= state != 'S' && state != 'D' && state != 'Z';
    *used += (user + kernel) * 1000 / sysconf(_SC_CLK_TCK);
  }
  if (tasks != NULL) closedir(tasks);
  return runs;
}

/* Until it ends, or cannot go on by itself. Returns how it stopped, or NULL. */
static const char *watch(int pidfd) {
  struct pollfd p = {.fd = pidfd, .events = POLLIN};
  long before = -1, began = 0, used_before = 0;
  for (int asleep = 0; poll(&p, 1, LOOK_MS) == 0;) {
    long used = 0, now = milliseconds();
    int runs = look_at(shared->pids[0], &used);
    if (shared->pids[1] != 0) runs |= look_at(shared->pids[1], &used);
    if (shared->progress != before) {
      before = shared->progress, began = now, used_before = used, asleep = 0;
      continue;
    }
    asleep = runs || used != used_before ? 0 : asleep + 1;
    if (asleep >= ASLEEP_LOOKS) return "stops waits";
    if (used - used_before >= SPINS_MS) return "stops spins";
    if (now - began >= PATIENCE_MS) return "unfinished";
    if (asleep > 0) used_before = used;
  }
  return NULL;
}

int asks_for(const char *name) {
  for (int i = 0; i < op_count; i++)
    if (strcmp(ops[i].name, name) == 0) return 1;
  return 0;
}

/* Returns how it stopped; NULL: its last status is in `status`. */
static const char *run_once(void (*program)(void), int *status) {
  shared->progress = shared->text.size = 0;
  shared->pids[0] = shared->pids[1] = 0;
  out = &shared->text;
  pid_t pid = fork();
  if (pid == 0) {
    signal(SIGTERM, SIG_DFL);
    shared->pids[0] = getpid();
    program();
  }
  int pidfd = syscall(434, pid, 0); /* pidfd_open */
  const char *stopped = watch(pidfd);
  close(pidfd);
  if (stopped != NULL) kill(pid, SIGKILL);
  waitpid(pid, status, 0);
  while (waitpid(-1, NULL, 0) > 0); /* its children: they die with it and are ours then */
  return stopped;
}

static void run_watched(void (*program)(void)) {
  int swaps = asks_for("swapon"), status = 0, disturbed;
  const char *stopped;
  arena_pages = asks_for("thp") ? BIG_PAGES : PAGES;
  printf("program\n");
  fflush(stdout);
  shared->flushed = 0;
  for (int i = 0; i < DISTURBED_TIMES; i++) {
    shared->swap = begin_swap(swaps);
    stopped = run_once(program, &status);
    disturbed = end_swap(swaps);
    if (!disturbed || shared->flushed) break;
  }
  flush();
  if (disturbed) printf("unfinished\n");
  else if (stopped != NULL) printf("%s\n", stopped);
  else if (status != 0) printf("died %d\n", status);
  else printf("end\n");
  fflush(stdout);
}

static void ended(int signo) {
  remove_swap();
  _exit(128 + signo);
}

int main(void) {
  char line[256];
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  signal(SIGTERM, ended);
  signal(SIGINT, ended);
  signal(SIGPIPE, ended);
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  source = mmap((void *)SOURCE, SOURCE_PAGES * PAGE, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (shared == MAP_FAILED || source != (unsigned char *)SOURCE) return 90;
  for (unsigned i = 0; i < SOURCE_PAGES * PAGE / 4; i++) ((unsigned *)source)[i] = 0xc0000000u + i;
  while (fgets(line, sizeof line, stdin) != NULL) {
    if (strncmp(line, "program", 7) == 0) {
      op_count = 0;
    } else if (strncmp(line, "end", 3) == 0) {
      run_watched(run_program);
    } else if (op_count < MAX_OPS) {
      struct op *o = &ops[op_count++];
      memset(o, 0, sizeof *o);
      long *a = o->arg;
      sscanf(line, "%23s %ld %ld %ld %ld %ld %ld %ld %ld %ld", o->name, a, a + 1, a + 2, a + 3,
             a + 4, a + 5, a + 6, a + 7, a + 8);
    }
  }
  remove_swap();
  return 0;
}
