// Stands in for libcuda and libcublasLt: the part of them that Baton uses, for one GPU that is emulated by a processor.
//
// Work on a stream is done as late as the interface allows: when somebody waits for it. So a host that reads a result too
// early, writes memory that a copy still has to read, or forgets to make a stream wait for another, gets wrong results
// here, always. Memory begins as no numbers and ends at a page that nobody may touch.
//
// Types and numbers are those of NVIDIA's published headers. BATON_EMULATED_GPU is the compute capability, 9.0 by default,
// BATON_EMULATED_MEMORY its memory in MiB, 16 GiB by default; README.md says how a fault is ordered.
#include <dlfcn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "emulated.h"
#include "faults.h"

namespace {

using emulated::Fault;
using emulated::Site;

enum Result {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    INVALID_IMAGE = 200,
    NOT_FOUND = 500,
    NOT_READY = 600,
    ILLEGAL_STATE = 401,
};
// cuBLASLt's word for a product that failed.
constexpr int EXECUTION_FAILED = 13;

std::recursive_mutex one_at_a_time;
using Guard = std::lock_guard<std::recursive_mutex>;

constexpr size_t PAGE = 4096;
const size_t MEMORY = [] {
    const char *mebibytes = std::getenv("BATON_EMULATED_MEMORY");
    return (mebibytes ? std::strtoull(mebibytes, nullptr, 10) : 16 << 10) << 20;
}();
// The least that cuMemAlloc aligns to.
constexpr size_t ALIGNMENT = 256;

struct Mapping {
    void *base;
    size_t mapped, bytes;
};
std::map<uintptr_t, Mapping> on_device, pinned;
size_t used = 0;

struct Stream;
struct Mark {
    Stream *stream = nullptr;
    bool done = false;
    std::chrono::steady_clock::time_point at;
};
struct Event {
    std::shared_ptr<Mark> mark;
};
// What a stream does: either runs something, or waits for a mark of another stream.
struct Task {
    std::function<void()> run;
    std::shared_ptr<Mark> wait;
};
struct Graph {
    std::vector<std::function<void()>> steps;
};
struct Stream {
    std::deque<Task> tasks;
    std::unique_ptr<Graph> recording;
};
std::vector<Stream *> streams;
Stream standard;
emulated::Faults faults;

// What a call that can fail begins with: it is not made if a fault is ordered for it, or if the device is lost.
#define MADE(site) \
    Guard guard(one_at_a_time); \
    const Fault fault = faults.at(site); \
    if (fault.refused) return fault.refused

struct Module {
    void *library;
    const emulated::Kernel *kernels;
    void (*run)(const char *, dim3, dim3, size_t, const std::function<void()> &);
};
struct Function {
    Module *module;
    const emulated::Kernel *kernel;
    size_t shared = 48 << 10;
};

Stream &of(void *stream) { return stream == nullptr ? standard : *static_cast<Stream *>(stream); }

void drain(Stream &stream, const Mark *until = nullptr) {
    while (!stream.tasks.empty() && !(until && until->done)) {
        Task task = std::move(stream.tasks.front());
        stream.tasks.pop_front();
        if (task.wait) drain(*task.wait->stream, task.wait.get());
        // Nothing is done any more by a device that is lost.
        if (task.run && !faults.lost()) task.run();
    }
}

void drain_all() {
    drain(standard);
    for (Stream *stream : streams) drain(*stream);
}

void enqueue(void *stream, const Fault &fault, std::function<void()> run) {
    Stream &to = of(stream);
    if (fault.later) run = [error = fault.later] { faults.lose(error); };
    if (to.recording) to.recording->steps.push_back(std::move(run));
    else to.tasks.push_back({std::move(run), nullptr});
}

bool is_pinned(const void *at, size_t bytes) {
    const uintptr_t from = reinterpret_cast<uintptr_t>(at);
    auto next = pinned.upper_bound(from);
    if (next == pinned.begin()) return false;
    --next;
    return from + bytes <= next->first + next->second.bytes;
}

// Memory whose last byte is followed by a page that must not be touched, but for what alignment leaves.
void *map(std::map<uintptr_t, Mapping> &among, size_t bytes) {
    const size_t rounded = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT, pages = (rounded + PAGE - 1) / PAGE * PAGE;
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *base = mmap(nullptr, pages + PAGE, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (base == MAP_FAILED) return nullptr;
    mprotect(static_cast<uint8_t *>(base) + pages, PAGE, PROT_NONE);
    uint8_t *at = static_cast<uint8_t *>(base) + (pages - rounded);
    among[reinterpret_cast<uintptr_t>(at)] = {base, pages + PAGE, bytes};
    return at;
}

bool unmap(std::map<uintptr_t, Mapping> &among, uintptr_t at) {
    const auto found = among.find(at);
    if (found == among.end()) return false;
    munmap(found->second.base, found->second.mapped);
    among.erase(found);
    return true;
}

// What is large is given back to the system, which gives out zeros.
void set(uintptr_t to, int value, size_t bytes) {
    uint8_t *first = reinterpret_cast<uint8_t *>(to), *last = first + bytes;
    uint8_t *begin = reinterpret_cast<uint8_t *>((to + PAGE - 1) / PAGE * PAGE);
    uint8_t *end = reinterpret_cast<uint8_t *>((to + bytes) / PAGE * PAGE);
    if (value != 0 || begin >= end) {
        std::memset(first, value, bytes);
        return;
    }
    std::memset(first, 0, begin - first);
    madvise(begin, end - begin, MADV_DONTNEED);
    std::memset(end, 0, last - end);
}

int capability() {
    const char *asked = std::getenv("BATON_EMULATED_GPU");
    const std::string version = asked ? asked : "9.0";
    const size_t dot = version.find('.');
    if (dot == std::string::npos) return 90;
    return std::atoi(version.c_str()) * 10 + std::atoi(version.c_str() + dot + 1);
}

// Bytes of shared memory that a block may have, by NVIDIA's table of compute capabilities.
int most_shared() {
    switch (capability()) {
    case 80:
    case 87: return 163 << 10;
    case 86:
    case 89: return 99 << 10;
    default: return 227 << 10;
    }
}

} // namespace

#define API extern "C" __attribute__((visibility("default"))) int

API cuInit(unsigned) { return SUCCESS; }
API cuDriverGetVersion(int *version) { return *version = 13000, SUCCESS; }
API cuDeviceGetCount(int *count) {
    MADE(Site::OPEN);
    return *count = 1, SUCCESS;
}
API cuDeviceGet(int *device, int ordinal) { return ordinal == 0 ? (*device = 0, SUCCESS) : 101; }
API cuDeviceGetName(char *name, int length, int) { return std::snprintf(name, length, "emulated GPU"), SUCCESS; }
API cuDeviceTotalMem_v2(size_t *bytes, int) { return *bytes = MEMORY, SUCCESS; }
API cuDeviceGetAttribute(int *value, int attribute, int) {
    switch (attribute) {
    case 16: *value = 4; break;                  // multiprocessors
    case 75: *value = capability() / 10; break;  // major number of the compute capability
    case 76: *value = capability() % 10; break;  // minor number
    case 97: *value = most_shared(); break;      // shared memory of a block that asks for it
    default: *value = 0;
    }
    return SUCCESS;
}
API cuDevicePrimaryCtxRetain(void **context, int) {
    MADE(Site::OPEN);
    return *context = &standard, SUCCESS;
}
API cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
API cuCtxSetCurrent(void *) { return SUCCESS; }
API cuCtxGetCurrent(void **context) { return *context = &standard, SUCCESS; }
API cuCtxSynchronize() {
    MADE(Site::WAIT);
    return drain_all(), faults.lost();
}
API cuGetErrorName(int error, const char **name) {
    switch (error) {
    case INVALID_VALUE: *name = "CUDA_ERROR_INVALID_VALUE"; break;
    case OUT_OF_MEMORY: *name = "CUDA_ERROR_OUT_OF_MEMORY"; break;
    case 100: *name = "CUDA_ERROR_NO_DEVICE"; break;
    case 214: *name = "CUDA_ERROR_ECC_UNCORRECTABLE"; break;
    case 700: *name = "CUDA_ERROR_ILLEGAL_ADDRESS"; break;
    case 719: *name = "CUDA_ERROR_LAUNCH_FAILED"; break;
    default: *name = "CUDA_ERROR_UNKNOWN";
    }
    return SUCCESS;
}
API cuGetErrorString(int, const char **text) { return *text = "the emulated GPU refused", SUCCESS; }

API cuMemGetInfo_v2(size_t *free, size_t *total) {
    MADE(Site::OTHER);
    return *free = MEMORY - used, *total = MEMORY, SUCCESS;
}
API cuMemAlloc_v2(uintptr_t *to, size_t bytes) {
    MADE(Site::ALLOCATE);
    if (bytes == 0) return INVALID_VALUE;
    if (bytes > MEMORY - used) return OUT_OF_MEMORY;
    void *at = map(on_device, bytes);
    if (!at) return OUT_OF_MEMORY;
    used += bytes;
    // Of what is large, the beginning and the end will do.
    constexpr size_t POISONED = 1 << 20;
    const size_t some = bytes < POISONED ? bytes : POISONED;
    std::memset(at, 0xff, some);
    std::memset(static_cast<uint8_t *>(at) + (bytes - some), 0xff, some);
    return *to = reinterpret_cast<uintptr_t>(at), SUCCESS;
}
API cuMemFree_v2(uintptr_t at) {
    MADE(Site::OTHER);
    drain_all();
    if (faults.lost()) return faults.lost();
    const auto found = on_device.find(at);
    if (found == on_device.end()) return INVALID_VALUE;
    used -= found->second.bytes;
    return unmap(on_device, at), SUCCESS;
}
API cuMemHostAlloc(void **to, size_t bytes, unsigned) {
    MADE(Site::PIN);
    *to = map(pinned, bytes);
    return *to ? SUCCESS : OUT_OF_MEMORY;
}
API cuMemFreeHost(void *at) {
    MADE(Site::OTHER);
    drain_all();
    if (faults.lost()) return faults.lost();
    return unmap(pinned, reinterpret_cast<uintptr_t>(at)) ? SUCCESS : INVALID_VALUE;
}

// Copies that the host waits for do not wait for other streams: those were made not to.
API cuMemcpyHtoD_v2(uintptr_t to, const void *from, size_t bytes) {
    MADE(Site::COPY);
    drain(standard);
    if (fault.later) return faults.lose(fault.later);
    return std::memcpy(reinterpret_cast<void *>(to), from, bytes), faults.lost();
}
API cuMemcpyDtoH_v2(void *to, uintptr_t from, size_t bytes) {
    MADE(Site::COPY);
    drain(standard);
    if (fault.later) return faults.lose(fault.later);
    return std::memcpy(to, reinterpret_cast<void *>(from), bytes), faults.lost();
}
API cuMemcpyHtoDAsync_v2(uintptr_t to, const void *from, size_t bytes, void *stream) {
    MADE(Site::COPY);
    void *at = reinterpret_cast<void *>(to);
    if (is_pinned(from, bytes)) {
        enqueue(stream, fault, [=] { std::memcpy(at, from, bytes); });
    } else {
        // The driver has read such memory when it returns.
        const auto staged = std::make_shared<std::vector<uint8_t>>(static_cast<const uint8_t *>(from),
                                                                   static_cast<const uint8_t *>(from) + bytes);
        enqueue(stream, fault, [=] { std::memcpy(at, staged->data(), bytes); });
    }
    return SUCCESS;
}
API cuMemcpyDtoHAsync_v2(void *to, uintptr_t from, size_t bytes, void *stream) {
    MADE(Site::COPY);
    enqueue(stream, fault, [=] { std::memcpy(to, reinterpret_cast<void *>(from), bytes); });
    if (!is_pinned(to, bytes)) drain(of(stream));
    return faults.lost();
}
API cuMemcpyDtoDAsync_v2(uintptr_t to, uintptr_t from, size_t bytes, void *stream) {
    MADE(Site::COPY);
    enqueue(stream, fault, [=] { std::memmove(reinterpret_cast<void *>(to), reinterpret_cast<void *>(from), bytes); });
    return SUCCESS;
}
API cuMemcpyDtoD_v2(uintptr_t to, uintptr_t from, size_t bytes) {
    MADE(Site::COPY);
    enqueue(nullptr, fault, [=] { std::memmove(reinterpret_cast<void *>(to), reinterpret_cast<void *>(from), bytes); });
    return SUCCESS;
}
API cuMemsetD8_v2(uintptr_t to, unsigned char value, size_t bytes) {
    MADE(Site::COPY);
    drain(standard);
    if (fault.later) return faults.lose(fault.later);
    return set(to, value, bytes), faults.lost();
}
API cuMemsetD8Async(uintptr_t to, unsigned char value, size_t bytes, void *stream) {
    MADE(Site::COPY);
    return enqueue(stream, fault, [=] { set(to, value, bytes); }), SUCCESS;
}

API cuStreamCreate(void **stream, unsigned) {
    MADE(Site::OTHER);
    streams.push_back(new Stream);
    return *stream = streams.back(), SUCCESS;
}
API cuStreamDestroy_v2(void *stream) {
    Guard guard(one_at_a_time);
    drain(of(stream));
    // Marks may still name it; there are few.
    return SUCCESS;
}
API cuStreamSynchronize(void *stream) {
    MADE(Site::WAIT);
    if (of(stream).recording) return ILLEGAL_STATE;
    return drain(of(stream)), faults.lost();
}
API cuStreamWaitEvent(void *stream, void *event, unsigned) {
    MADE(Site::EVENT);
    const std::shared_ptr<Mark> mark = static_cast<Event *>(event)->mark;
    if (mark && !mark->done) of(stream).tasks.push_back({nullptr, mark});
    return SUCCESS;
}
API cuStreamBeginCapture_v2(void *stream, int) {
    MADE(Site::RECORD);
    if (of(stream).recording) return ILLEGAL_STATE;
    of(stream).recording = std::make_unique<Graph>();
    return SUCCESS;
}
// The recording is over even if this fails.
API cuStreamEndCapture(void *stream, void **graph) {
    Guard guard(one_at_a_time);
    if (!of(stream).recording) return ILLEGAL_STATE;
    std::unique_ptr<Graph> recorded = std::move(of(stream).recording);
    const Fault fault = faults.at(Site::RECORD);
    if (fault.refused) return fault.refused;
    return *graph = recorded.release(), SUCCESS;
}
API cuStreamIsCapturing(void *stream, int *status) {
    Guard guard(one_at_a_time);
    return *status = of(stream).recording ? 1 : 0, SUCCESS;
}
API cuGraphInstantiateWithFlags(void **executable, void *graph, unsigned long long) {
    MADE(Site::RECORD);
    return *executable = new Graph(*static_cast<Graph *>(graph)), SUCCESS;
}
API cuGraphUpload(void *, void *) {
    MADE(Site::RECORD);
    return SUCCESS;
}
API cuGraphLaunch(void *executable, void *stream) {
    MADE(Site::REPLAY);
    for (const std::function<void()> &step : static_cast<Graph *>(executable)->steps) enqueue(stream, fault, step);
    return SUCCESS;
}
API cuGraphExecDestroy(void *executable) {
    MADE(Site::OTHER);
    return delete static_cast<Graph *>(executable), SUCCESS;
}
API cuGraphDestroy(void *graph) {
    Guard guard(one_at_a_time);
    return delete static_cast<Graph *>(graph), SUCCESS;
}

API cuEventCreate(void **event, unsigned) {
    MADE(Site::EVENT);
    return *event = new Event, SUCCESS;
}
API cuEventDestroy_v2(void *event) {
    MADE(Site::DESTROY);
    return delete static_cast<Event *>(event), SUCCESS;
}
API cuEventRecord(void *event, void *stream) {
    MADE(Site::EVENT);
    const auto mark = std::make_shared<Mark>();
    mark->stream = &of(stream);
    static_cast<Event *>(event)->mark = mark;
    enqueue(stream, fault, [=] {
        mark->done = true;
        mark->at = std::chrono::steady_clock::now();
    });
    return SUCCESS;
}
API cuEventSynchronize(void *event) {
    MADE(Site::WAIT);
    const std::shared_ptr<Mark> mark = static_cast<Event *>(event)->mark;
    if (mark && !mark->done) drain(*mark->stream, mark.get());
    return faults.lost();
}
// Asking is what makes time go on: one more task is done for each question.
API cuEventQuery(void *event) {
    MADE(Site::WAIT);
    const std::shared_ptr<Mark> mark = static_cast<Event *>(event)->mark;
    if (!mark || mark->done) return SUCCESS;
    Stream &stream = *mark->stream;
    Task task = std::move(stream.tasks.front());
    stream.tasks.pop_front();
    if (task.wait) drain(*task.wait->stream, task.wait.get());
    if (task.run) task.run();
    return faults.lost() ? faults.lost() : NOT_READY;
}
API cuEventElapsedTime_v2(float *milliseconds, void *start, void *end) {
    MADE(Site::OTHER);
    const std::shared_ptr<Mark> from = static_cast<Event *>(start)->mark, to = static_cast<Event *>(end)->mark;
    if (!from || !to) return INVALID_VALUE;
    if (!from->done || !to->done) return NOT_READY;
    *milliseconds = std::chrono::duration<float, std::milli>(to->at - from->at).count();
    return SUCCESS;
}
API cuEventElapsedTime(float *milliseconds, void *start, void *end) {
    return cuEventElapsedTime_v2(milliseconds, start, end);
}

// The image is a library, as nvcc beside this file makes it.
API cuModuleLoadData(void **module, const void *image) {
    MADE(Site::OTHER);
    const uint8_t *bytes = static_cast<const uint8_t *>(image);
    if (std::memcmp(bytes, "\177ELF", 4) != 0) return INVALID_IMAGE;
    uint64_t sections;
    uint16_t size, count;
    std::memcpy(&sections, bytes + 40, 8);
    std::memcpy(&size, bytes + 58, 2);
    std::memcpy(&count, bytes + 60, 2);
    const size_t length = sections + static_cast<size_t>(size) * count;
    const int file = static_cast<int>(syscall(SYS_memfd_create, "kernels", 0));
    if (file < 0) return OUT_OF_MEMORY;
    for (size_t written = 0; written < length;) {
        const ssize_t more = write(file, bytes + written, length - written);
        if (more <= 0) return OUT_OF_MEMORY;
        written += static_cast<size_t>(more);
    }
    const std::string path = "/proc/self/fd/" + std::to_string(file);
    // The file stays open: the next would have the same name otherwise, and be taken for this one.
    void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        std::fprintf(stderr, "the emulated GPU: %s\n", dlerror());
        return INVALID_IMAGE;
    }
    auto *kernels = reinterpret_cast<const emulated::Kernel *(*)()>(dlsym(library, "emulated_kernels"));
    auto *run = reinterpret_cast<decltype(Module::run)>(dlsym(library, "emulated_run"));
    if (!kernels || !run) return INVALID_IMAGE;
    // What this library and this file keep is destroyed when the process ends, by one thread. Others wait from then on.
    std::atexit([] { one_at_a_time.lock(); });
    *module = new Module{library, kernels(), run};
    return SUCCESS;
}
API cuModuleUnload(void *) { return SUCCESS; }
API cuModuleGetFunction(void **function, void *module, const char *name) {
    MADE(Site::OTHER);
    Module *from = static_cast<Module *>(module);
    for (const emulated::Kernel *kernel = from->kernels; kernel->name; kernel++) {
        if (std::string(kernel->name) == name) return *function = new Function{from, kernel}, SUCCESS;
    }
    return NOT_FOUND;
}
API cuFuncSetAttribute(void *function, int attribute, int value) {
    MADE(Site::OTHER);
    if (attribute != 8 || value < 0 || value > most_shared()) return INVALID_VALUE;
    return static_cast<Function *>(function)->shared = static_cast<size_t>(value), SUCCESS;
}
API cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, void *stream, void **arguments, void **) {
    MADE(Site::LAUNCH);
    const Function &called = *static_cast<Function *>(function);
    const bool block = bx > 0 && by > 0 && bz > 0 && bx * by * bz <= 1024;
    const bool grid = gx > 0 && gy > 0 && gz > 0 && gx < 1u << 31 && gy <= 65535 && gz <= 65535;
    if (!block || !grid || shared > called.shared) return INVALID_VALUE;
    const Module *module = called.module;
    const emulated::Kernel *kernel = called.kernel;
    enqueue(stream, fault, [=, body = kernel->bind(arguments)] {
        module->run(kernel->name, {gx, gy, gz}, {bx, by, bz}, shared, body);
    });
    return SUCCESS;
}

// cuBLASLt, as far as products of 16-bit matrices go: y [rows, outputs] = x [rows, inputs] weights [outputs, inputs]'.
namespace {

enum Type { R_32F = 0, R_16F = 2, R_16BF = 14 };
struct Layout {
    int type;
    uint64_t rows, columns;
    int64_t stride;
};
struct Description {
    int transposed = 0;
};
struct Offer {
    uint64_t algorithm[8];
    size_t workspace;
    int state;
    float waves;
    int reserved[4];
};

void widened(float *to, const void *from, int type, uint64_t first, uint64_t count) {
    const uint16_t *narrow = static_cast<const uint16_t *>(from) + first;
    uint64_t i = 0;
    for (; type == R_16F && i + 8 <= count; i += 8) {
        const __m128i eight = _mm_loadu_si128(reinterpret_cast<const __m128i *>(narrow + i));
        _mm256_storeu_ps(to + i, _mm256_cvtph_ps(eight));
    }
    for (; i < count; i++) to[i] = type == R_16F ? half_value(narrow[i]) : brain_value(narrow[i]);
}

void multiply_matrices(const void *weights, const Layout &w, const void *x, const Layout &in, void *y, const Layout &out) {
    const uint64_t inputs = w.rows, outputs = w.columns, rows = in.columns;
    std::vector<float> wide(rows * inputs), row(inputs);
    for (uint64_t r = 0; r < rows; r++) widened(&wide[r * inputs], x, in.type, r * in.stride, inputs);
    for (uint64_t o = 0; o < outputs; o++) {
        widened(row.data(), weights, w.type, o * w.stride, inputs);
        for (uint64_t r = 0; r < rows; r++) {
            const float *other = &wide[r * inputs];
            float sums[8] = {};
            uint64_t i = 0;
            for (; i + 8 <= inputs; i += 8)
                for (int lane = 0; lane < 8; lane++) sums[lane] += row[i + lane] * other[i + lane];
            for (; i < inputs; i++) sums[0] += row[i] * other[i];
            float sum = 0.0f;
            for (const float part : sums) sum += part;
            const uint64_t at = r * out.stride + o;
            if (out.type == R_32F) static_cast<float *>(y)[at] = sum;
            else static_cast<uint16_t *>(y)[at] = out.type == R_16F ? __float2half_rn(sum).bits : brain_bits(sum);
        }
    }
}

} // namespace

API cublasLtCreate(void **handle) { return *handle = &standard, SUCCESS; }
API cublasLtDestroy(void *) { return SUCCESS; }
API cublasLtMatmulDescCreate(void **description, int, int) { return *description = new Description, SUCCESS; }
API cublasLtMatmulDescDestroy(void *description) { return delete static_cast<Description *>(description), SUCCESS; }
API cublasLtMatmulDescSetAttribute(void *description, int attribute, const void *value, size_t) {
    if (attribute != 3) return INVALID_VALUE; // whether the weights are transposed
    std::memcpy(&static_cast<Description *>(description)->transposed, value, sizeof(int));
    return SUCCESS;
}
API cublasLtMatrixLayoutCreate(void **layout, int type, uint64_t rows, uint64_t columns, int64_t stride) {
    if (stride < static_cast<int64_t>(rows)) return INVALID_VALUE;
    return *layout = new Layout{type, rows, columns, stride}, SUCCESS;
}
API cublasLtMatrixLayoutDestroy(void *layout) { return delete static_cast<Layout *>(layout), SUCCESS; }
API cublasLtMatmulPreferenceCreate(void **preference) { return *preference = &standard, SUCCESS; }
API cublasLtMatmulPreferenceDestroy(void *) { return SUCCESS; }
API cublasLtMatmulPreferenceSetAttribute(void *, int, const void *, size_t) { return SUCCESS; }
API cublasLtMatmulAlgoGetHeuristic(void *, void *description, void *weights, void *x, void *y, void *, void *, int room,
                                   Offer *offers, int *count) {
    const Layout &w = *static_cast<Layout *>(weights), &in = *static_cast<Layout *>(x), &out = *static_cast<Layout *>(y);
    const bool fits = w.rows == in.rows && w.columns == out.rows && in.columns == out.columns;
    if (!static_cast<Description *>(description)->transposed || !fits || room < 1) return INVALID_VALUE;
    offers[0] = {};
    return *count = 1, SUCCESS;
}
API cublasLtMatmul(void *, void *, const float *alpha, const void *weights, void *weights_layout, const void *x,
                   void *x_layout, const float *beta, const void *, void *, void *y, void *y_layout, const void *, void *,
                   size_t, void *stream) {
    Guard guard(one_at_a_time);
    const Fault fault = faults.at(Site::PRODUCT);
    if (fault.refused) return EXECUTION_FAILED;
    if (*alpha != 1.0f || *beta != 0.0f) return INVALID_VALUE;
    const Layout w = *static_cast<Layout *>(weights_layout), in = *static_cast<Layout *>(x_layout);
    const Layout out = *static_cast<Layout *>(y_layout);
    return enqueue(stream, fault, [=] { multiply_matrices(weights, w, x, in, y, out); }), SUCCESS;
}
