/* A library that is preloaded into a rank and makes reads of files fail or hang. A file of the test controls it: it
 * contains "ok", "stall" (reads create the file ".stalled" next to it, and wait until the content changes) or "eio N"
 * (N reads fail). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static atomic_long failed;

static void Command(char* text, size_t size) {
  const char* path = getenv("FAULTY_DISK");
  FILE* file = path ? fopen(path, "r") : NULL;
  if (!file || !fgets(text, (int)size, file)) strcpy(text, "ok");
  if (file) fclose(file);
}

static void ReportStalled(void) {
  char path[4096];
  snprintf(path, sizeof path, "%s.stalled", getenv("FAULTY_DISK"));
  FILE* file = fopen(path, "w");
  if (file) fclose(file);
}

static ssize_t Read(const char* name, int fd, const struct iovec* vectors, int count, off_t offset) {
  char text[64];
  for (Command(text, sizeof text); strncmp(text, "stall", 5) == 0; Command(text, sizeof text)) {
    ReportStalled();
    const struct timespec pause = {0, 10000000};
    nanosleep(&pause, NULL);
  }
  if (strncmp(text, "eio ", 4) != 0) {
    atomic_store(&failed, 0);
  } else if (atomic_fetch_add(&failed, 1) < atol(text + 4)) {
    errno = EIO;
    return -1;
  }
  ssize_t (*real)(int, const struct iovec*, int, off_t) = dlsym(RTLD_NEXT, name);
  return real(fd, vectors, count, offset);
}

ssize_t preadv(int fd, const struct iovec* vectors, int count, off_t offset) {
  return Read("preadv", fd, vectors, count, offset);
}

ssize_t preadv64(int fd, const struct iovec* vectors, int count, off64_t offset) {
  return Read("preadv64", fd, vectors, count, offset);
}
