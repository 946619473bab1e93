// SPDX-License-Identifier: Apache-2.0
//
// A CUDA driver without a GPU, for tests: the functions that engines/cuda_driver.py calls, over the host's memory.
//
// It is strict where a real driver is: a call needs the context in its own thread, and a context that was given back is
// none; work in a stream is done at cuStreamSynchronize and not before; a recorded graph does nothing until it is
// launched; while a thread records, it may neither take nor free memory, load code nor wait, and a recording in which it
// did is void; memory that work in a stream still needs must not be freed; after a fault every call fails. Kernels are
// those of engines/kernels/image.cu, compiled for the CPU.

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#define __global__
struct Index {
  unsigned x, y, z;
};
static thread_local Index blockIdx, blockDim, threadIdx;
#include "image.cu"

using Work = std::function<void()>;
struct Stream {
  bool recording = false, spoilt = false;
  std::vector<Work> queue, record;
};
struct Graph {
  std::vector<Work> work;
};
struct Module {
  std::string text;
};
enum { SUCCESS = 0, INVALID = 1, OUT_OF_MEMORY = 2, NO_CONTEXT = 201, NOT_FOUND = 500, FAULT = 700, NOT_RECORDABLE = 900, SPOILT = 901 };

static std::mutex guard;
static std::map<void *, size_t> taken;
static size_t total = size_t(1) << 30;
static long allocations = 0;
static int live = 0;
static bool refuse_recording = false;
static bool faulty = false;
static long waits_for_freed = 0;
static thread_local void *current = nullptr;
static thread_local Stream *records = nullptr;
static std::vector<Stream *> streams;
static int primary = 0, retained = 0;

#define NEED_CONTEXT \
  if (current != &primary || !retained) return NO_CONTEXT; \
  if (faulty) return FAULT;
#define NOT_WHILE_RECORDING \
  if (records) return records->spoilt = true, NOT_RECORDABLE;

static int take(void **out, size_t size) {
  std::lock_guard<std::mutex> lock(guard);
  size_t used = 0;
  for (auto &entry : taken) used += entry.second;
  if (used + size > total) return OUT_OF_MEMORY;
  *out = std::malloc(size);
  std::memset(*out, 0xA5, size);
  taken[*out] = size;
  ++allocations;
  return SUCCESS;
}

static int give(void *memory) {
  std::lock_guard<std::mutex> lock(guard);
  for (auto *stream : streams) waits_for_freed += !stream->queue.empty();
  if (!taken.erase(memory)) return INVALID;
  std::free(memory);
  return faulty ? FAULT : SUCCESS;
}

static int put(void *handle, Work work) {
  auto *stream = static_cast<Stream *>(handle);
  (stream->recording ? stream->record : stream->queue).push_back(std::move(work));
  return SUCCESS;
}

extern "C" {
// For the tests.
void fake_reset(size_t bytes) {
  total = bytes;
  allocations = waits_for_freed = 0;
  refuse_recording = faulty = false;
}
void fake_fault() { faulty = true; }
long fake_freed_too_early() { return waits_for_freed; }
int fake_has_context() { return current != nullptr; }
void fake_refuse_recording(int yes) { refuse_recording = yes; }
long fake_allocations() { return allocations; }
size_t fake_used() {
  size_t used = 0;
  for (auto &entry : taken) used += entry.second;
  return used;
}
int fake_live() { return live; }
int fake_recording(void *stream) { return static_cast<Stream *>(stream)->recording; }
int fake_enqueue(void *stream, void (*call)()) { return put(stream, call); }

int cuInit(unsigned) { return SUCCESS; }
int cuDriverGetVersion(int *version) { return *version = 12060, SUCCESS; }
int cuDeviceGetCount(int *count) { return *count = 1, SUCCESS; }
int cuDeviceGet(int *device, int index) { return *device = index, index ? INVALID : SUCCESS; }
int cuDeviceGetName(char *name, int size, int) { return std::strncpy(name, "Fake GPU", size), SUCCESS; }
int cuDeviceGetAttribute(int *value, int which, int) {
  *value = which == 75 ? 8 : which == 76 ? 7 : 1;
  return SUCCESS;
}
int cuDevicePrimaryCtxRetain(void **context, int) { return *context = &primary, ++live, ++retained, SUCCESS; }
int cuDevicePrimaryCtxRelease_v2(int) { return --live, --retained, faulty ? FAULT : SUCCESS; }
int cuCtxSetCurrent(void *context) { return current = context, faulty ? FAULT : SUCCESS; }
int cuCtxGetCurrent(void **context) { return *context = current, SUCCESS; }
int cuStreamSynchronize(void *handle);
int cuCtxSynchronize() {
  NEED_CONTEXT
  NOT_WHILE_RECORDING
  for (auto *stream : streams) cuStreamSynchronize(stream);
  return SUCCESS;
}
int cuMemGetInfo_v2(size_t *free, size_t *all) {
  NEED_CONTEXT
  *free = total - fake_used(), *all = total;
  return SUCCESS;
}
int cuMemAlloc_v2(uint64_t *address, size_t size) {
  NEED_CONTEXT
  NOT_WHILE_RECORDING
  void *memory = nullptr;
  int status = take(&memory, size);
  *address = reinterpret_cast<uint64_t>(memory);
  return status;
}
int cuMemFree_v2(uint64_t address) {
  NOT_WHILE_RECORDING
  return give(reinterpret_cast<void *>(address));
}
int cuMemHostAlloc(void **memory, size_t size, unsigned) {
  NEED_CONTEXT
  NOT_WHILE_RECORDING
  return take(memory, size);
}
int cuMemFreeHost(void *memory) {
  NOT_WHILE_RECORDING
  return give(memory);
}
int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t size, void *stream) {
  NEED_CONTEXT
  return put(stream, [=] { std::memcpy(reinterpret_cast<void *>(to), from, size); });
}
int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t size, void *stream) {
  NEED_CONTEXT
  return put(stream, [=] { std::memcpy(to, reinterpret_cast<void *>(from), size); });
}
int cuStreamCreate(void **stream, unsigned flags) {
  NEED_CONTEXT
  auto *made = new Stream;
  streams.push_back(made);
  return *stream = made, ++live, flags == 1 ? SUCCESS : INVALID;
}
int cuStreamDestroy_v2(void *handle) {
  auto *stream = static_cast<Stream *>(handle);
  for (auto &known : streams)
    if (known == stream) {
      known = streams.back();
      streams.pop_back();
      break;
    }
  return delete stream, --live, faulty ? FAULT : SUCCESS;
}
int cuStreamSynchronize(void *handle) {
  NEED_CONTEXT
  NOT_WHILE_RECORDING
  auto *stream = static_cast<Stream *>(handle);
  auto queue = std::move(stream->queue);
  stream->queue.clear();
  for (auto &work : queue) work();
  return SUCCESS;
}
int cuStreamBeginCapture_v2(void *handle, int) {
  NEED_CONTEXT
  auto *stream = static_cast<Stream *>(handle);
  if (refuse_recording || stream->recording) return NOT_RECORDABLE;
  stream->recording = true;
  stream->spoilt = false;
  stream->record.clear();
  records = stream;
  return SUCCESS;
}
int cuStreamEndCapture(void *handle, void **graph) {
  auto *stream = static_cast<Stream *>(handle);
  if (!stream->recording || records != stream) return NOT_RECORDABLE;
  stream->recording = false;
  records = nullptr;
  if (stream->spoilt) return *graph = nullptr, SPOILT;
  *graph = new Graph{std::move(stream->record)};
  ++live;
  return SUCCESS;
}
int cuGraphInstantiateWithFlags(void **executable, void *graph, unsigned long long) {
  return *executable = new Graph(*static_cast<Graph *>(graph)), ++live, SUCCESS;
}
int cuGraphLaunch(void *executable, void *stream) {
  NEED_CONTEXT
  for (auto &work : static_cast<Graph *>(executable)->work) put(stream, work);
  return SUCCESS;
}
int cuGraphExecDestroy(void *executable) { return delete static_cast<Graph *>(executable), --live, SUCCESS; }
int cuGraphDestroy(void *graph) { return delete static_cast<Graph *>(graph), --live, SUCCESS; }
int cuModuleLoadData(void **module, const char *text) {
  NEED_CONTEXT
  NOT_WHILE_RECORDING
  if (!std::strstr(text, ".target sm_")) return INVALID;
  return *module = new Module{text}, ++live, SUCCESS;
}
int cuModuleGetFunction(void **function, void *module, const char *name) {
  NOT_WHILE_RECORDING
  auto entry = ".entry " + std::string(name) + "(";
  if (static_cast<Module *>(module)->text.find(entry) == std::string::npos) return NOT_FOUND;
  return *function = strdup(name), SUCCESS;
}
int cuModuleUnload(void *module) {
  NOT_WHILE_RECORDING
  return delete static_cast<Module *>(module), --live, SUCCESS;
}
int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned, unsigned bx, unsigned by, unsigned, unsigned,
                   void *stream, void **p, void **) {
  NEED_CONTEXT
  Work thread;
  auto word = [&](int i) { return *static_cast<int *>(p[i]); };
  auto bytes = [&](int i) { return *static_cast<unsigned char **>(p[i]); };
  if (!std::strcmp(static_cast<char *>(function), "letterbox")) {
    auto *source = bytes(0), *target = bytes(1);
    auto *table = reinterpret_cast<int *>(bytes(2));
    int a[9];
    for (int i = 0; i < 9; ++i) a[i] = word(3 + i);
    thread = [=] { letterbox(source, target, table, a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8]); };
  } else {
    auto *source = reinterpret_cast<unsigned short *>(bytes(0));
    auto *target = bytes(1);
    int count = word(2);
    thread = [=] { narrow(source, target, count); };
  }
  return put(stream, [=] {
    blockDim = {bx, by, 1};
    for (blockIdx.y = 0; blockIdx.y < gy; ++blockIdx.y)
      for (blockIdx.x = 0; blockIdx.x < gx; ++blockIdx.x)
        for (threadIdx.y = 0; threadIdx.y < by; ++threadIdx.y)
          for (threadIdx.x = 0; threadIdx.x < bx; ++threadIdx.x) thread();
  });
}
int cuGetErrorName(int status, const char **name) {
  return *name = status == NO_CONTEXT ? "CUDA_ERROR_INVALID_CONTEXT" : "CUDA_ERROR_FAKE", SUCCESS;
}
int cuGetErrorString(int, const char **text) { return *text = "as the fake driver says", SUCCESS; }
}
