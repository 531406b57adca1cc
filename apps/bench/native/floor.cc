// The floors of the host benchmarks.
//
//   floor memcpy BYTES RECEIVERS THREADS each   for each receiver, copies every byte to a ring and on to a buffer
//   floor memcpy BYTES RECEIVERS THREADS once   copies every byte to a ring once, and from there to each buffer
//   floor memcpy ... turns                 the same, with one round and one line of output per line of standard input
//   floor pread THREADS FILE...            reads warm files into freshly mapped huge pages
//   floor hold read|touch THREADS FILE...  the same once, with `touch` after touching all pages; holds the memory until
//                                          standard input ends
//   floor touch THREADS BYTES              maps this much memory in huge pages, touches all pages, and frees it
//   floor context                          starts the CUDA driver and creates a context on the first GPU
//
// Prints one JSON object: seconds of each of the rounds (of touching and reading), and the bytes that a round moves.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr size_t kMiB = 1 << 20;
constexpr size_t kHuge = 2 * kMiB;
constexpr int kRounds = 4;

void Fail(const std::string& what) {
  std::perror(what.c_str());
  std::exit(1);
}

char* MapHuge(size_t bytes) {
  const size_t size = (bytes + kHuge - 1) / kHuge * kHuge + kHuge;
  void* base = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) Fail("mmap");
  char* aligned = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(base) + kHuge - 1) / kHuge * kHuge);
  madvise(aligned, size - kHuge, MADV_HUGEPAGE);
  return aligned;
}

template <class Work>
double Time(unsigned threads, Work work) {
  const auto start = std::chrono::steady_clock::now();
  std::vector<std::thread> running;
  running.reserve(threads);
  for (unsigned i = 0; i < threads; i++) running.emplace_back(work, i);
  for (std::thread& thread : running) thread.join();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void Print(const std::vector<double>& seconds, size_t bytes) {
  std::printf("{\"bytes\":%zu,\"seconds\":[", bytes);
  for (size_t i = 0; i < seconds.size(); i++) std::printf("%s%.6f", i ? "," : "", seconds[i]);
  std::printf("]}\n");
}

/** Buffers of the copies, touched. */
struct Copies {
  size_t bytes;
  unsigned threads;
  bool once;
  char* source;
  std::vector<char*> targets;
  std::vector<char*> rings;

  double Round() const {
    std::atomic<size_t> next{0};
    return Time(threads, [&](unsigned thread) {
      for (size_t turn = 0;; turn++) {
        const size_t at = next.fetch_add(kChunk);
        if (at >= bytes) return;
        const size_t size = std::min(kChunk, bytes - at);
        for (size_t receiver = 0; receiver < targets.size(); receiver++) {
          char* slot = rings[thread] + (once ? turn : turn * targets.size() + receiver) % 4 * kChunk;
          if (receiver == 0 || !once) std::memcpy(slot, source + at, size);
          std::memcpy(targets[receiver] + at, slot, size);
        }
      }
    });
  }

  size_t moved() const { return bytes * (once ? 1 + targets.size() : 2 * targets.size()); }

  static constexpr size_t kChunk = 4 * kMiB;
};

Copies MakeCopies(size_t bytes, size_t receivers, unsigned threads, bool once) {
  Copies copies{bytes, threads, once, MapHuge(bytes), {}, {}};
  std::memset(copies.source, 1, bytes);
  for (size_t i = 0; i < receivers; i++) {
    copies.targets.push_back(MapHuge(bytes));
    std::memset(copies.targets.back(), 2, bytes);
  }
  for (unsigned i = 0; i < threads; i++) {
    copies.rings.push_back(MapHuge(4 * Copies::kChunk));
    std::memset(copies.rings.back(), 3, 4 * Copies::kChunk);
  }
  return copies;
}

void Memcpy(const Copies& copies) {
  std::vector<double> seconds;
  seconds.reserve(kRounds);
  for (int round = 0; round < kRounds; round++) seconds.push_back(copies.Round());
  Print(seconds, copies.moved());
}

void MemcpyInTurns(const Copies& copies) {
  for (int c = std::getchar(); c != EOF; c = std::getchar()) {
    if (c != '\n') continue;
    Print({copies.Round()}, copies.moved());
    std::fflush(stdout);
  }
}

struct Chunk {
  int file;
  size_t from, to, size;
};

struct Chunks {
  std::vector<Chunk> list;
  size_t bytes = 0;
};

Chunks Open(const std::vector<std::string>& files) {
  constexpr size_t kChunk = 8 * kMiB;
  Chunks chunks;
  for (const std::string& path : files) {
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat stat;
    if (file < 0 || fstat(file, &stat) != 0) Fail(path);
    const size_t size = static_cast<size_t>(stat.st_size);
    for (size_t at = 0; at < size; at += kChunk) {
      chunks.list.push_back({file, at, chunks.bytes + at, std::min(kChunk, size - at)});
    }
    chunks.bytes += size;
  }
  return chunks;
}

void ReadAll(unsigned threads, const Chunks& chunks, char* pool) {
  std::atomic<size_t> next{0};
  Time(threads, [&](unsigned) {
    for (size_t i = next++; i < chunks.list.size(); i = next++) {
      const Chunk& chunk = chunks.list[i];
      for (size_t done = 0; done < chunk.size;) {
        const off_t from = static_cast<off_t>(chunk.from + done);
        const ssize_t n = pread(chunk.file, pool + chunk.to + done, chunk.size - done, from);
        if (n <= 0) Fail("pread");
        done += static_cast<size_t>(n);
      }
    }
  });
}

void Pread(unsigned threads, const std::vector<std::string>& files) {
  const Chunks chunks = Open(files);
  std::vector<double> seconds;
  for (int round = 0; round < kRounds; round++) {
    const auto start = std::chrono::steady_clock::now();
    char* pool = MapHuge(chunks.bytes);
    ReadAll(threads, chunks, pool);
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    munmap(pool, chunks.bytes);
  }
  Print(seconds, chunks.bytes);
}

double TouchAll(unsigned threads, char* pool, size_t bytes) {
  constexpr size_t kPage = 4096;
  std::atomic<size_t> next{0};
  return Time(threads, [&](unsigned) {
    for (size_t at = next.fetch_add(kHuge); at < bytes; at = next.fetch_add(kHuge)) {
      const size_t end = std::min(at + kHuge, bytes);
      for (size_t page = at; page < end; page += kPage) const_cast<volatile char*>(pool)[page] = 1;
    }
  });
}

void Touch(unsigned threads, size_t bytes) { Print({TouchAll(threads, MapHuge(bytes), bytes)}, bytes); }

void Hold(bool touch, unsigned threads, const std::vector<std::string>& files) {
  const Chunks chunks = Open(files);
  char* pool = MapHuge(chunks.bytes);
  std::vector<double> seconds;
  if (touch) seconds.push_back(TouchAll(threads, pool, chunks.bytes));
  const auto start = std::chrono::steady_clock::now();
  ReadAll(threads, chunks, pool);
  seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  Print(seconds, chunks.bytes);
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
}

/** The cost that every program pays before it can use a GPU. */
void Context() {
  const auto start = std::chrono::steady_clock::now();
  void* cuda = dlopen("libcuda.so.1", RTLD_NOW);
  const auto init = cuda ? reinterpret_cast<int (*)(unsigned)>(dlsym(cuda, "cuInit")) : nullptr;
  const auto retain = cuda ? reinterpret_cast<int (*)(void**, int)>(dlsym(cuda, "cuDevicePrimaryCtxRetain")) : nullptr;
  void* context = nullptr;
  if (!init || !retain || init(0) != 0 || retain(&context, 0) != 0) {
    std::fprintf(stderr, "no GPU: %s\n", cuda ? "the driver refused" : dlerror());
    std::exit(1);
  }
  Print({std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()}, 0);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  const std::string how = mode == "memcpy" && argc >= 6 ? argv[5] : "";
  const bool in_turns = argc == 7 && std::strcmp(argv[6], "turns") == 0;
  if ((how == "each" || how == "once") && (argc == 6 || in_turns)) {
    const Copies copies = MakeCopies(std::strtoull(argv[2], nullptr, 10), std::strtoull(argv[3], nullptr, 10),
                                     std::atoi(argv[4]), how == "once");
    in_turns ? MemcpyInTurns(copies) : Memcpy(copies);
  } else if (mode == "pread" && argc > 3) {
    Pread(std::atoi(argv[2]), {argv + 3, argv + argc});
  } else if (mode == "hold" && argc > 4) {
    Hold(std::strcmp(argv[2], "touch") == 0, std::atoi(argv[3]), {argv + 4, argv + argc});
  } else if (mode == "touch" && argc == 4) {
    Touch(std::atoi(argv[2]), std::strtoull(argv[3], nullptr, 10));
  } else if (mode == "context") {
    Context();
  } else {
    std::fprintf(stderr,
                 "usage: floor memcpy BYTES RECEIVERS THREADS each|once [turns] | floor pread THREADS FILE... |\n"
                 "       floor hold read|touch THREADS FILE... | floor touch THREADS BYTES | floor context\n");
    return 2;
  }
}
