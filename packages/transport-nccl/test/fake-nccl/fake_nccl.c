// A FAKE of libnccl.so.2, for tests on machines without a GPU, on top of the fake driver of the device package. Ranks
// are joined by sockets, each with every other; a broadcast is a function on the stream that moves the bytes. Like in NCCL, a
// broadcast whose peer died is pending until the communicator is aborted, and only ncclCommGetAsyncError reports it.
//
//   FAKE_NCCL_VERSION  result of ncclGetVersion     [22809]
//   FAKE_NCCL_MUTE     1: the death of a peer goes unnoticed, as it does between GPUs that share memory
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
enum { SUCCESS = 0, INVALID_ARGUMENT = 4, REMOTE_ERROR = 6, IN_PROGRESS = 7, MOST_RANKS = 16, POLL_MS = 1 };

typedef struct {
  char internal[128];
} Id;

typedef struct Communicator {
  Id id;
  int rank, size, listener;
  int peers[MOST_RANKS];
  atomic_int state, running;
  atomic_bool aborting;
  pthread_t thread;
} Communicator;

typedef struct {
  Communicator* comm;
  const uint8_t* send;
  uint8_t* receive;
  size_t size;
  int root;
} Call;

EXPORT int ncclGetVersion(int* version) {
  const char* text = getenv("FAKE_NCCL_VERSION");
  *version = text ? atoi(text) : 22809;
  return SUCCESS;
}
EXPORT int ncclGetUniqueId(Id* id) { return getrandom(id, sizeof *id, 0) == sizeof *id ? SUCCESS : INVALID_ARGUMENT; }
EXPORT const char* ncclGetErrorString(int status) {
  return status == REMOTE_ERROR ? "remote process exited" : "made up";
}
EXPORT const char* ncclGetLastError(void* comm) {
  (void)comm;
  return "error text of the fake";
}

static socklen_t address_of(const Communicator* comm, int rank, struct sockaddr_un* address) {
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  const uint64_t* words = (const uint64_t*)comm->id.internal;
  snprintf(address->sun_path + 1, sizeof address->sun_path - 1, "fake-nccl-%016lx%016lx-%02d", words[0], words[1],
           rank);
  return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(address->sun_path + 1));
}

// Moves all bytes, or stops when the communicator is aborted or the peer is gone.
static bool transfer(Communicator* comm, int fd, uint8_t* data, size_t size, short direction) {
  while (size > 0) {
    if (comm->aborting) return false;
    struct pollfd poll_fd = {fd, direction, 0};
    if (poll(&poll_fd, 1, POLL_MS) <= 0) continue;
    const ssize_t moved =
        direction == POLLIN ? recv(fd, data, size, MSG_DONTWAIT) : send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (moved < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (moved <= 0) {
      if (!getenv("FAKE_NCCL_MUTE")) comm->state = REMOTE_ERROR;
      while (!comm->aborting) usleep(1000 * POLL_MS);  // A real kernel keeps spinning.
      return false;
    }
    data += moved;
    size -= (size_t)moved;
  }
  return true;
}

static void* join(void* argument) {
  Communicator* comm = argument;
  struct sockaddr_un address;
  for (int peer = 0; peer < comm->rank; peer++) {
    const socklen_t length = address_of(comm, peer, &address);
    comm->peers[peer] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    while (connect(comm->peers[peer], (struct sockaddr*)&address, length) != 0) {
      if (comm->aborting) return NULL;
      usleep(1000 * POLL_MS);
    }
    uint8_t rank = (uint8_t)comm->rank;
    if (!transfer(comm, comm->peers[peer], &rank, 1, POLLOUT)) return NULL;
  }
  for (int joined = comm->rank + 1; joined < comm->size;) {
    if (comm->aborting) return NULL;
    struct pollfd poll_fd = {comm->listener, POLLIN, 0};
    if (poll(&poll_fd, 1, POLL_MS) <= 0) continue;
    const int fd = accept4(comm->listener, NULL, NULL, SOCK_CLOEXEC);
    uint8_t rank = 0;
    if (!transfer(comm, fd, &rank, 1, POLLIN)) return NULL;
    comm->peers[rank] = fd;
    joined++;
  }
  comm->state = SUCCESS;
  return NULL;
}

EXPORT int ncclCommInitRankConfig(Communicator** result, int size, Id id, int rank, void* config) {
  (void)config;
  Communicator* comm = calloc(1, sizeof *comm);
  *comm = (Communicator){.id = id, .rank = rank, .size = size, .state = IN_PROGRESS};
  for (int peer = 0; peer < MOST_RANKS; peer++) comm->peers[peer] = -1;
  struct sockaddr_un address;
  const socklen_t length = address_of(comm, rank, &address);
  comm->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (bind(comm->listener, (struct sockaddr*)&address, length) != 0) return INVALID_ARGUMENT;
  listen(comm->listener, MOST_RANKS);
  pthread_create(&comm->thread, NULL, join, comm);
  *result = comm;
  return IN_PROGRESS;
}

EXPORT int ncclCommGetAsyncError(Communicator* comm, int* error) {
  *error = comm->state;
  return SUCCESS;
}

static void move_bytes(const Call* call) {
  Communicator* comm = call->comm;
  if (call->root != comm->rank) {
    transfer(comm, comm->peers[call->root], call->receive, call->size, POLLIN);
    return;
  }
  for (int peer = 0; peer < comm->size; peer++) {
    if (peer != comm->rank && !transfer(comm, comm->peers[peer], (uint8_t*)call->send, call->size, POLLOUT)) return;
  }
  memmove(call->receive, call->send, call->size);
}
static void run(void* argument) {
  Call* call = argument;
  call->comm->running++;
  if (!call->comm->aborting) move_bytes(call);
  call->comm->running--;
  free(call);
}

EXPORT int ncclBroadcast(const void* send, void* receive, size_t count, int type, int root, Communicator* comm,
                         void* stream) {
  static int (*launch)(void*, void (*)(void*), void*);
  if (!launch) launch = dlsym(dlopen(getenv("CHECKPOINT_ENGINE_CUDA_LIB"), RTLD_NOW | RTLD_NOLOAD), "cuLaunchHostFunc");
  if (type != 1 || root < 0 || root >= comm->size) return INVALID_ARGUMENT;
  Call* call = malloc(sizeof *call);
  *call = (Call){comm, send, receive, count, root};
  return launch(stream, run, call) == 0 ? SUCCESS : INVALID_ARGUMENT;
}

EXPORT int ncclCommFinalize(Communicator* comm) {
  (void)comm;
  return SUCCESS;
}
static int release_call(Communicator* comm) {
  pthread_join(comm->thread, NULL);
  while (comm->running > 0) usleep(1000 * POLL_MS);
  close(comm->listener);
  for (int peer = 0; peer < MOST_RANKS; peer++) {
    if (comm->peers[peer] >= 0) close(comm->peers[peer]);
  }
  return SUCCESS;
}
EXPORT int ncclCommDestroy(Communicator* comm) {
  release_call(comm);
  free(comm);
  return SUCCESS;
}
// Keeps the communicator itself, because functions on the stream may still access it.
EXPORT int ncclCommAbort(Communicator* comm) {
  comm->aborting = true;
  return release_call(comm);
}
