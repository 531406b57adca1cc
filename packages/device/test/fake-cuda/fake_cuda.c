// A FAKE of libcuda.so.1, for tests on machines without a GPU. Device memory is a memfd, which the kernel frees with
// its process even if the process is killed; its IPC handle is the memfd's path in /proc. A stream is a thread. It is
// stricter than the driver: misuse that the driver tolerates or answers with undefined behavior (freeing memory that a
// copy still uses, leaving a context with memory in it) aborts the process with a line on standard error.
//
//   FAKE_CUDA_DEVICES   number of devices                                  [2]
//   FAKE_CUDA_BYTES     memory of each                                     [256 MiB]
//   FAKE_CUDA_DELAY_US  minimum time of each copy                          [0]
//   FAKE_CUDA_FAIL      symbol:n:status,... makes the n-th call (from 1) of a function fail
//   FAKE_CUDA_LOG       file that gets a line for each call
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
enum {
  OK = 0,
  INVALID_VALUE = 1,
  OUT_OF_MEMORY = 2,
  NO_DEVICE = 100,
  INVALID_DEVICE = 101,
  INVALID_CONTEXT = 201,
  ALREADY_REGISTERED = 712,
  NOT_REGISTERED = 713,
  NOT_READY = 600
};

typedef struct Range {
  struct Range* next;
  uint8_t* data;
  size_t size;
  int device;  // -1: registered host memory
  bool opened;
  int fd;         // For device memory allocated here, open while it exists.
  char name[64];  // Path by which other processes open it.
} Range;

typedef struct Event {
  bool recorded;
  bool done;
} Event;

typedef struct Operation {
  struct Operation* next;
  uint8_t* to;
  const uint8_t* from;
  size_t size;
  Event* event;
  void (*function)(void*);  // Called with `to`.
} Operation;

typedef struct Stream {
  struct Stream* next;
  int device;
  bool ending;
  Operation* first;  // Runs now.
  pthread_t thread;
} Stream;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static Range* ranges;
static Stream* streams;
static int retained[16];
static size_t used[16];
static _Thread_local int current = -1;

static void die(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fprintf(stderr, "fake-cuda: ");
  vfprintf(stderr, format, arguments);
  fprintf(stderr, "\n");
  abort();
}

static long setting(const char* name, long otherwise) {
  const char* text = getenv(name);
  return text ? atol(text) : otherwise;
}

static int device_count(void) { return (int)setting("FAKE_CUDA_DEVICES", 2); }
static size_t device_bytes(void) { return (size_t)setting("FAKE_CUDA_BYTES", 256L << 20); }

// Logs the call and returns the status with which the test makes it fail.
static int enter(const char* symbol) {
  static struct {
    const char* symbol;
    int calls;
  } counts[64];
  pthread_mutex_lock(&mutex);
  const char* log = getenv("FAKE_CUDA_LOG");
  if (log) {
    FILE* file = fopen(log, "a");
    fprintf(file, "%s\n", symbol);
    fclose(file);
  }
  int i = 0;
  while (counts[i].symbol && strcmp(counts[i].symbol, symbol) != 0) i++;
  counts[i].symbol = symbol;
  const int call = ++counts[i].calls;
  int status = OK;
  const char* plan = getenv("FAKE_CUDA_FAIL");
  while (plan && *plan) {
    char name[64];
    int wanted_call, wanted_status;
    if (sscanf(plan, "%63[^:]:%d:%d", name, &wanted_call, &wanted_status) == 3 && strcmp(name, symbol) == 0 &&
        wanted_call == call) {
      status = wanted_status;
    }
    plan = strchr(plan, ',');
    if (plan) plan++;
  }
  pthread_mutex_unlock(&mutex);
  return status;
}
#define ENTER(symbol)                  \
  do {                                 \
    const int status_ = enter(symbol); \
    if (status_ != OK) return status_; \
  } while (0)
#define ENTER_CONTEXT(symbol)              \
  ENTER(symbol);                           \
  if (current < 0) return INVALID_CONTEXT; \
  if (retained[current] == 0) die("%s in a context that was released", symbol)

static bool overlaps(const uint8_t* a, size_t a_size, const uint8_t* b, size_t b_size) {
  return a < b + b_size && b < a + a_size;
}

// With the mutex held.
static void refuse_while_in_use(const char* symbol, const Range* range) {
  for (Stream* stream = streams; stream; stream = stream->next) {
    for (Operation* op = stream->first; op; op = op->next) {
      if (op->event) continue;
      if (overlaps(op->to, op->size, range->data, range->size) ||
          overlaps(op->from, op->size, range->data, range->size))
        die("%s while a copy uses the memory", symbol);
    }
  }
}

static void drop(Range* range) {
  Range** link = &ranges;
  while (*link != range) link = &(*link)->next;
  *link = range->next;
  free(range);
}

static Range* find(const void* data, bool host) {
  for (Range* range = ranges; range; range = range->next) {
    if (range->data == data && (range->device < 0) == host) return range;
  }
  return NULL;
}

static Range* keep(uint8_t* data, size_t size, int device) {
  Range* range = calloc(1, sizeof *range);
  *range = (Range){ranges, data, size, device, false, -1, ""};
  ranges = range;
  return range;
}

__attribute__((destructor)) static void unlink_all(void) {
  for (Range* range = ranges; range; range = range->next) {
    if (range->device >= 0 && !range->opened) shm_unlink(range->name);
  }
}

EXPORT int cuInit(unsigned flags) {
  (void)flags;
  ENTER("cuInit");
  return device_count() == 0 ? NO_DEVICE : OK;
}
EXPORT int cuDriverGetVersion(int* version) {
  ENTER("cuDriverGetVersion");
  *version = 12080;
  return OK;
}
EXPORT int cuGetErrorName(int status, const char** text) {
  *text = status == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY"
          : status == NO_DEVICE   ? "CUDA_ERROR_NO_DEVICE"
                                  : "CUDA_ERROR_FAKE";
  return OK;
}
EXPORT int cuGetErrorString(int status, const char** text) {
  *text = status == OUT_OF_MEMORY ? "out of memory" : status == NO_DEVICE ? "no CUDA-capable device" : "made up";
  return OK;
}
EXPORT int cuDeviceGetCount(int* count) {
  ENTER("cuDeviceGetCount");
  *count = device_count();
  return OK;
}
EXPORT int cuDeviceGet(int* device, int ordinal) {
  ENTER("cuDeviceGet");
  *device = ordinal;
  return ordinal < device_count() ? OK : INVALID_DEVICE;
}
EXPORT int cuDeviceGetName(char* name, int length, int device) {
  ENTER("cuDeviceGetName");
  snprintf(name, (size_t)length, "Fake GPU %d", device);
  return OK;
}
EXPORT int cuDeviceGetUuid_v2(unsigned char* uuid, int device) {
  ENTER("cuDeviceGetUuid_v2");
  for (int i = 0; i < 16; i++) uuid[i] = (unsigned char)(16 * device + i);
  return OK;
}
EXPORT int cuDeviceTotalMem_v2(size_t* bytes, int device) {
  (void)device;
  ENTER("cuDeviceTotalMem_v2");
  *bytes = device_bytes();
  return OK;
}
EXPORT int cuDevicePrimaryCtxRetain(void** context, int device) {
  ENTER("cuDevicePrimaryCtxRetain");
  pthread_mutex_lock(&mutex);
  retained[device]++;
  pthread_mutex_unlock(&mutex);
  *context = (void*)(intptr_t)(device + 1);
  return OK;
}
EXPORT int cuDevicePrimaryCtxRelease_v2(int device) {
  ENTER("cuDevicePrimaryCtxRelease_v2");
  pthread_mutex_lock(&mutex);
  if (--retained[device] == 0) {
    for (Range* range = ranges; range; range = range->next) {
      if (range->device == device) die("the context was released before its memory");
      if (range->device < 0) die("the context was released before host memory was unregistered");
    }
    for (Stream* stream = streams; stream; stream = stream->next) {
      if (stream->device == device) die("the context was released before its streams");
    }
  }
  pthread_mutex_unlock(&mutex);
  return OK;
}
EXPORT int cuCtxSetCurrent(void* context) {
  current = (int)(intptr_t)context - 1;
  return OK;
}
EXPORT int cuMemGetInfo_v2(size_t* free_bytes, size_t* total_bytes) {
  ENTER_CONTEXT("cuMemGetInfo_v2");
  *total_bytes = device_bytes();
  *free_bytes = *total_bytes - used[current];
  return OK;
}
EXPORT int cuMemAlloc_v2(unsigned long long* pointer, size_t size) {
  ENTER_CONTEXT("cuMemAlloc_v2");
  pthread_mutex_lock(&mutex);
  if (used[current] + size > device_bytes()) {
    pthread_mutex_unlock(&mutex);
    return OUT_OF_MEMORY;
  }
  used[current] += size;
  const int fd = memfd_create("fake-cuda", MFD_CLOEXEC);
  if (fd < 0 || ftruncate(fd, (off_t)size) != 0) die("no memory for device memory");
  uint8_t* data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  Range* range = keep(data, size, current);
  range->fd = fd;
  snprintf(range->name, sizeof range->name, "/proc/%d/fd/%d", getpid(), fd);
  pthread_mutex_unlock(&mutex);
  *pointer = (unsigned long long)(uintptr_t)data;
  return OK;
}
EXPORT int cuMemFree_v2(unsigned long long pointer) {
  ENTER_CONTEXT("cuMemFree_v2");
  pthread_mutex_lock(&mutex);
  Range* range = find((void*)(uintptr_t)pointer, false);
  if (!range || range->opened || range->device != current) die("cuMemFree of memory that was not allocated here");
  refuse_while_in_use("cuMemFree", range);
  munmap(range->data, range->size);
  close(range->fd);
  used[current] -= range->size;
  drop(range);
  pthread_mutex_unlock(&mutex);
  return OK;
}
EXPORT int cuMemGetAddressRange_v2(unsigned long long* base, size_t* size, unsigned long long pointer) {
  ENTER_CONTEXT("cuMemGetAddressRange_v2");
  pthread_mutex_lock(&mutex);
  Range* range = find((void*)(uintptr_t)pointer, false);
  if (range) *base = pointer, *size = range->size;
  pthread_mutex_unlock(&mutex);
  return range ? OK : INVALID_VALUE;
}
typedef struct {
  char name[64];
} Handle;
EXPORT int cuIpcGetMemHandle(Handle* handle, unsigned long long pointer) {
  ENTER_CONTEXT("cuIpcGetMemHandle");
  pthread_mutex_lock(&mutex);
  Range* range = find((void*)(uintptr_t)pointer, false);
  memset(handle, 0, sizeof *handle);
  if (range) strcpy(handle->name, range->name);
  pthread_mutex_unlock(&mutex);
  return range ? OK : INVALID_VALUE;
}
EXPORT int cuIpcOpenMemHandle_v2(unsigned long long* pointer, Handle handle, unsigned flags) {
  ENTER_CONTEXT("cuIpcOpenMemHandle_v2");
  int owner = 0;
  if (flags != 1 || sscanf(handle.name, "/proc/%d/fd/", &owner) != 1) return INVALID_VALUE;
  if (owner == getpid()) return INVALID_CONTEXT;
  const int fd = open(handle.name, O_RDWR | O_CLOEXEC);
  if (fd < 0) return INVALID_VALUE;
  struct stat info;
  fstat(fd, &info);
  uint8_t* data = mmap(NULL, (size_t)info.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  pthread_mutex_lock(&mutex);
  keep(data, (size_t)info.st_size, current)->opened = true;
  pthread_mutex_unlock(&mutex);
  *pointer = (unsigned long long)(uintptr_t)data;
  return OK;
}
EXPORT int cuIpcCloseMemHandle(unsigned long long pointer) {
  ENTER_CONTEXT("cuIpcCloseMemHandle");
  pthread_mutex_lock(&mutex);
  Range* range = find((void*)(uintptr_t)pointer, false);
  if (!range || !range->opened) die("cuIpcCloseMemHandle of memory that was not opened");
  refuse_while_in_use("cuIpcCloseMemHandle", range);
  munmap(range->data, range->size);
  drop(range);
  pthread_mutex_unlock(&mutex);
  return OK;
}
EXPORT int cuMemHostRegister_v2(uint8_t* data, size_t size, unsigned flags) {
  ENTER_CONTEXT("cuMemHostRegister_v2");
  (void)flags;
  for (size_t i = 0; i < size; i += 4096) *(volatile uint8_t*)(data + i);
  pthread_mutex_lock(&mutex);
  int status = OK;
  for (Range* range = ranges; range; range = range->next) {
    if (range->device < 0 && overlaps(range->data, range->size, data, size)) status = ALREADY_REGISTERED;
  }
  if (status == OK) keep(data, size, -1);
  pthread_mutex_unlock(&mutex);
  return status;
}
EXPORT int cuMemHostUnregister(uint8_t* data) {
  ENTER_CONTEXT("cuMemHostUnregister");
  *(volatile uint8_t*)data;  // Crashes when it is unmapped already.
  pthread_mutex_lock(&mutex);
  Range* range = find(data, true);
  if (range) {
    refuse_while_in_use("cuMemHostUnregister", range);
    drop(range);
  }
  pthread_mutex_unlock(&mutex);
  return range ? OK : NOT_REGISTERED;
}

static void* run(void* argument) {
  Stream* stream = argument;
  const useconds_t delay = (useconds_t)setting("FAKE_CUDA_DELAY_US", 0);
  pthread_mutex_lock(&mutex);
  for (;;) {
    while (!stream->first && !stream->ending) pthread_cond_wait(&changed, &mutex);
    Operation* op = stream->first;
    if (!op) break;
    if (op->event) {
      op->event->done = true;
    } else {
      pthread_mutex_unlock(&mutex);
      if (delay) usleep(delay);
      if (op->function)
        op->function(op->to);
      else
        memmove(op->to, op->from, op->size);
      pthread_mutex_lock(&mutex);
    }
    stream->first = op->next;
    free(op);
    pthread_cond_broadcast(&changed);
  }
  pthread_mutex_unlock(&mutex);
  return NULL;
}

// With the mutex held.
static void append(Stream* stream, Operation operation) {
  Operation* op = malloc(sizeof *op);
  *op = operation;
  Operation** link = &stream->first;
  while (*link) link = &(*link)->next;
  *link = op;
  pthread_cond_broadcast(&changed);
}

EXPORT int cuStreamCreate(Stream** stream, unsigned flags) {
  ENTER_CONTEXT("cuStreamCreate");
  if (flags != 1) die("a stream that waits for others");
  *stream = calloc(1, sizeof **stream);
  pthread_mutex_lock(&mutex);
  **stream = (Stream){.next = streams, .device = current};
  streams = *stream;
  pthread_create(&(*stream)->thread, NULL, run, *stream);
  pthread_mutex_unlock(&mutex);
  return OK;
}
EXPORT int cuStreamSynchronize(Stream* stream) {
  ENTER_CONTEXT("cuStreamSynchronize");
  pthread_mutex_lock(&mutex);
  while (stream->first) pthread_cond_wait(&changed, &mutex);
  pthread_mutex_unlock(&mutex);
  return OK;
}
EXPORT int cuStreamDestroy_v2(Stream* stream) {
  ENTER_CONTEXT("cuStreamDestroy_v2");
  pthread_mutex_lock(&mutex);
  if (stream->first) die("cuStreamDestroy while copies are in progress");
  Stream** link = &streams;
  while (*link != stream) link = &(*link)->next;
  *link = stream->next;
  stream->ending = true;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&mutex);
  pthread_join(stream->thread, NULL);
  free(stream);
  return OK;
}

// The driver wants a host range within one registration, or in none.
static bool splits_registration(const uint8_t* host, size_t size) {
  for (Range* range = ranges; range; range = range->next) {
    if (range->device >= 0 || !overlaps(range->data, range->size, host, size)) continue;
    return host < range->data || host + size > range->data + range->size;
  }
  return false;
}
static bool on_device(const uint8_t* data, size_t size) {
  for (Range* range = ranges; range; range = range->next) {
    if (range->device >= 0 && data >= range->data && data + size <= range->data + range->size) return true;
  }
  return false;
}
static int copy(uint8_t* to, const uint8_t* from, size_t size, Stream* stream, bool to_device, bool from_device) {
  pthread_mutex_lock(&mutex);
  int status = OK;
  if (to_device ? !on_device(to, size) : splits_registration(to, size)) status = INVALID_VALUE;
  if (from_device ? !on_device(from, size) : splits_registration(from, size)) status = INVALID_VALUE;
  if (status == OK) append(stream, (Operation){.to = to, .from = from, .size = size});
  pthread_mutex_unlock(&mutex);
  return status;
}
EXPORT int cuMemcpyHtoDAsync_v2(unsigned long long to, const void* from, size_t size, Stream* stream) {
  ENTER_CONTEXT("cuMemcpyHtoDAsync_v2");
  return copy((uint8_t*)(uintptr_t)to, from, size, stream, true, false);
}
EXPORT int cuMemcpyDtoHAsync_v2(void* to, unsigned long long from, size_t size, Stream* stream) {
  ENTER_CONTEXT("cuMemcpyDtoHAsync_v2");
  return copy(to, (uint8_t*)(uintptr_t)from, size, stream, false, true);
}
EXPORT int cuMemcpyDtoDAsync_v2(unsigned long long to, unsigned long long from, size_t size, Stream* stream) {
  ENTER_CONTEXT("cuMemcpyDtoDAsync_v2");
  return copy((uint8_t*)(uintptr_t)to, (uint8_t*)(uintptr_t)from, size, stream, true, true);
}

EXPORT int cuLaunchHostFunc(Stream* stream, void (*function)(void*), void* argument) {
  ENTER_CONTEXT("cuLaunchHostFunc");
  pthread_mutex_lock(&mutex);
  append(stream, (Operation){.function = function, .to = argument});
  pthread_mutex_unlock(&mutex);
  return OK;
}

EXPORT int cuEventCreate(Event** event, unsigned flags) {
  ENTER_CONTEXT("cuEventCreate");
  (void)flags;
  *event = calloc(1, sizeof **event);
  return OK;
}
EXPORT int cuEventRecord(Event* event, Stream* stream) {
  ENTER_CONTEXT("cuEventRecord");
  pthread_mutex_lock(&mutex);
  if (event->recorded && !event->done) die("an event is recorded again while a caller waits for it");
  event->recorded = true;
  event->done = false;
  append(stream, (Operation){.event = event});
  pthread_mutex_unlock(&mutex);
  return OK;
}
EXPORT int cuEventQuery(Event* event) {
  ENTER_CONTEXT("cuEventQuery");
  pthread_mutex_lock(&mutex);
  const bool done = event->done || !event->recorded;
  pthread_mutex_unlock(&mutex);
  return done ? OK : NOT_READY;
}
EXPORT int cuEventSynchronize(Event* event) {
  ENTER_CONTEXT("cuEventSynchronize");
  pthread_mutex_lock(&mutex);
  while (event->recorded && !event->done) pthread_cond_wait(&changed, &mutex);
  pthread_mutex_unlock(&mutex);
  return OK;
}
EXPORT int cuEventDestroy_v2(Event* event) {
  ENTER_CONTEXT("cuEventDestroy_v2");
  if (event->recorded && !event->done) die("cuEventDestroy before it was reached");
  free(event);
  return OK;
}
