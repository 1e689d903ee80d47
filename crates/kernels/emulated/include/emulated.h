// Runs a kernel on a processor: every thread of a block is a fiber, and blocks run one after the other.
//
// What a GPU leaves open is decided as badly as may be, so that a kernel that relies on it fails here: warps and blocks
// take their turns in an order that a hash gives, threads of a warp do not keep step, shared memory that the launch asked
// for begins as no numbers, and asynchronous copies are done when they are waited for, not before. What a GPU leaves
// undefined ends the program with a sentence: threads that wait at different barriers, copies that are not aligned.
#pragma once

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <numeric>
#include <tuple>
#include <utility>
#include <vector>

#include "numbers.h"

struct dim3 { uint32_t x = 1, y = 1, z = 1; };

#define __device__
#define __forceinline__ inline
#define __global__
#define __shared__ thread_local
#define __grid_constant__
#define __launch_bounds__(...)
#define __align__(N) __attribute__((aligned(N)))

namespace emulated {

[[noreturn]] inline void broken(const char *kernel, const char *what) {
    std::fprintf(stderr, "the emulated GPU: %s: %s\n", kernel, what);
    std::abort();
}

// What lanes of a warp do together, and what one lane gives and gets.
enum class Together : uint8_t { NONE, SYNC, SHUFFLE, ANY, LEAST, MOST, MULTIPLY, LOAD };
struct Lane {
    Together what = Together::NONE;
    void *exchanged = nullptr;
};

struct Copy {
    void *to;
    const void *from;
    uint32_t bytes;
};

enum class Turn : uint8_t { READY, IN_WARP, IN_BLOCK, DONE };

struct Fiber {
    void *stack_pointer = nullptr;
    uint8_t *stack = nullptr;
    dim3 thread;
    uint32_t index = 0;
    Turn turn = Turn::DONE;
    Lane lane;
    std::vector<Copy> open;                // not committed yet
    std::vector<std::vector<Copy>> groups; // committed and not waited for
};

constexpr size_t STACK = 128 << 10;
constexpr uint32_t WARP = 32;
constexpr uint32_t MOST_WARPS = 32;

// Lanes of a warp that have not ended, and those of them that have come to what all do together.
struct Warp {
    uint32_t left, waiting;
};

struct Block {
    const char *kernel = "";
    dim3 grid, block, at;
    const std::function<void()> *body = nullptr;
    std::vector<Fiber> fibers;
    uint32_t threads = 0, left = 0, waiting = 0;
    Warp warps[MOST_WARPS];
    Fiber *current = nullptr;
    void *scheduler = nullptr;
    uint32_t order = 1;
};
inline Block block;

#if !defined(__x86_64__)
#error "fibers are written for x86-64"
#endif
// Saves what a call has to keep, and goes on where another fiber has done so.
extern "C" void emulated_switch(void **from, void *to);
asm(R"(
.weak emulated_switch
.hidden emulated_switch
.type emulated_switch, @function
emulated_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");

inline void yield() { emulated_switch(&block.current->stack_pointer, block.scheduler); }

inline uint32_t warp_of(const Fiber &fiber) { return fiber.index / WARP; }

template <typename F> inline void each_lane(uint32_t warp, F visit) {
    for (uint32_t i = warp * WARP; i < block.threads && i < (warp + 1) * WARP; i++) visit(block.fibers[i]);
}

// Lets the block go on if all that are left have come to its barrier.
inline void release_block() {
    if (block.waiting == 0 || block.waiting < block.left) return;
    block.waiting = 0;
    for (uint32_t i = 0; i < block.threads; i++)
        if (block.fibers[i].turn == Turn::IN_BLOCK) block.fibers[i].turn = Turn::READY;
}

void perform(uint32_t warp, Together what);

// Lets a warp go on if all lanes that are left have come, having done what they do together.
inline void release_warp(uint32_t warp) {
    Warp &counts = block.warps[warp];
    if (counts.waiting == 0 || counts.waiting < counts.left) return;
    counts.waiting = 0;
    Together what = Together::NONE;
    each_lane(warp, [&](Fiber &lane) {
        if (lane.turn != Turn::IN_WARP) return;
        if (what == Together::NONE) what = lane.lane.what;
        else if (what != lane.lane.what) broken(block.kernel, "lanes of a warp do different things together");
    });
    perform(warp, what);
    each_lane(warp, [&](Fiber &lane) {
        if (lane.turn == Turn::IN_WARP) lane.turn = Turn::READY;
    });
}

inline void together(Together what, void *exchanged) {
    Fiber &self = *block.current;
    self.lane = {what, exchanged};
    self.turn = Turn::IN_WARP;
    block.warps[warp_of(self)].waiting++;
    release_warp(warp_of(self));
    if (self.turn != Turn::READY) yield();
}

inline void fiber_main() {
    (*block.body)();
    Fiber &self = *block.current;
    self.turn = Turn::DONE;
    block.left--;
    block.warps[warp_of(self)].left--;
    release_warp(warp_of(self));
    release_block();
    yield();
    std::abort();
}

inline void prepare(Fiber &fiber, uint32_t index) {
    if (fiber.stack == nullptr) {
        void *stack = mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (stack == MAP_FAILED) broken(block.kernel, "there is no memory for a stack");
        mprotect(stack, 4096, PROT_NONE);
        fiber.stack = static_cast<uint8_t *>(stack);
    }
    // As after a call: the address of the function lies on a multiple of 16.
    void **top = reinterpret_cast<void **>(fiber.stack + STACK - 64);
    top[0] = reinterpret_cast<void *>(fiber_main);
    top[1] = nullptr;
    fiber.stack_pointer = top - 6;
    fiber.index = index;
    fiber.thread = {index % block.block.x, index / block.block.x, 0};
    fiber.turn = Turn::READY;
    fiber.open.clear();
    fiber.groups.clear();
}

inline uint32_t next_order() {
    block.order ^= block.order << 13;
    block.order ^= block.order >> 17;
    return block.order ^= block.order << 5;
}

// An order of so many, another each time: from one of them on by steps that meet all.
struct Order {
    uint32_t count, first, step;

    explicit Order(uint32_t count) : count(count), first(next_order() % count), step(next_order() % count) {
        while (std::gcd(step, count) != 1) step = (step + 1) % count;
    }
    uint32_t at(uint32_t i) const { return static_cast<uint32_t>((first + static_cast<uint64_t>(i) * step) % count); }
};

inline void run_block() {
    block.left = block.threads;
    block.waiting = 0;
    for (uint32_t i = 0; i < block.threads; i++) prepare(block.fibers[i], i);
    const uint32_t warps = (block.threads + WARP - 1) / WARP;
    for (uint32_t warp = 0; warp < warps; warp++) block.warps[warp] = {min(WARP, block.threads - warp * WARP), 0};
    while (block.left > 0) {
        bool went = false;
        const Order order(warps);
        for (uint32_t w = 0; w < warps; w++) {
            const uint32_t first = order.at(w) * WARP, lanes = min(WARP, block.threads - first);
            for (bool again = true; again;) {
                again = false;
                const Order turns(lanes);
                for (uint32_t i = 0; i < lanes; i++) {
                    Fiber &fiber = block.fibers[first + turns.at(i)];
                    if (fiber.turn != Turn::READY) continue;
                    again = went = true;
                    block.current = &fiber;
                    emulated_switch(&block.scheduler, fiber.stack_pointer);
                }
            }
        }
        if (!went) broken(block.kernel, "threads wait for each other at different barriers");
    }
}

// What a launch asks for, which is more than any GPU has at most, and what is behind it.
constexpr size_t MOST_SHARED = 256 << 10, BEHIND = 8 << 10;
inline thread_local uint8_t shared[MOST_SHARED + BEHIND] __attribute__((aligned(128)));

inline void run(const char *kernel, dim3 grid, dim3 threads, size_t bytes, const std::function<void()> &body) {
    std::memset(shared + bytes, 0xff, BEHIND);
    block.kernel = kernel;
    block.grid = grid;
    block.block = threads;
    block.threads = threads.x * threads.y * threads.z;
    block.body = &body;
    if (block.fibers.size() < block.threads) block.fibers.resize(block.threads);
    const uint32_t count = grid.x * grid.y * grid.z;
    const Order order(count);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t index = order.at(i);
        block.at = {index % grid.x, index / grid.x % grid.y, index / grid.x / grid.y};
        std::memset(shared, 0xff, bytes);
        run_block();
    }
    for (size_t i = bytes; i < bytes + BEHIND; i++)
        if (shared[i] != 0xff) broken(kernel, "it has written behind the shared memory that it asked for");
}

// As the driver sees a kernel: how its arguments are kept until it runs.
struct Kernel {
    const char *name;
    std::function<void()> (*bind)(void **arguments);
};

template <auto F, typename... A, size_t... I>
std::function<void()> bind_each(void (*)(A...), void **arguments, std::index_sequence<I...>) {
    return [kept = std::tuple<A...>(*static_cast<std::remove_const_t<A> *>(arguments[I])...)] { std::apply(F, kept); };
}
template <auto F, typename... A> std::function<void()> bind_all(void (*f)(A...), void **arguments) {
    return bind_each<F>(f, arguments, std::index_sequence_for<A...>());
}
template <auto F> std::function<void()> bind(void **arguments) { return bind_all<F>(F, arguments); }

struct Shuffle {
    uint32_t given, from, got;
};
struct Vote {
    uint32_t given, got;
};
// One lane's part of a tensor core's product of m16n8k16.
struct Multiply {
    const uint32_t *a, *b;
    float *c;
    bool brain;
};
// One lane's part of a load of four matrices of 8 by 8.
struct Load {
    const void *row;
    uint32_t *got;
    bool transposed;
};

inline float element(const Multiply &lane, uint32_t word, uint32_t half) {
    const uint16_t bits = static_cast<uint16_t>(word >> 16 * half);
    return lane.brain ? brain_value(bits) : half_value(bits);
}

inline void multiply_all(Multiply *(&lanes)[WARP]) {
    float a[16][16], b[16][8], c[16][8] = {};
    for (uint32_t lane = 0; lane < WARP; lane++) {
        const Multiply &own = *lanes[lane];
        const uint32_t group = lane / 4, pair = lane % 4 * 2;
        for (uint32_t half = 0; half < 2; half++) {
            for (uint32_t i = 0; i < 4; i++) a[group + i % 2 * 8][pair + i / 2 * 8 + half] = element(own, own.a[i], half);
            for (uint32_t i = 0; i < 2; i++) b[pair + i * 8 + half][group] = element(own, own.b[i], half);
        }
    }
    for (uint32_t row = 0; row < 16; row++)
        for (uint32_t k = 0; k < 16; k++)
            for (uint32_t column = 0; column < 8; column++) c[row][column] += a[row][k] * b[k][column];
    for (uint32_t lane = 0; lane < WARP; lane++)
        for (uint32_t i = 0; i < 4; i++) lanes[lane]->c[i] += c[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
}

inline void load_all(Load *(&lanes)[WARP]) {
    for (uint32_t lane = 0; lane < WARP; lane++) {
        const uintptr_t at = reinterpret_cast<uintptr_t>(lanes[lane]->row);
        if (at % 16 != 0) broken(block.kernel, "a row of a matrix is not aligned to 16 bytes");
    }
    for (uint32_t lane = 0; lane < WARP; lane++) {
        for (uint32_t matrix = 0; matrix < 4; matrix++) {
            uint32_t word = 0;
            for (uint32_t half = 0; half < 2; half++) {
                const uint32_t pair = lane % 4 * 2 + half, group = lane / 4;
                const uint32_t row = lanes[lane]->transposed ? pair : group, column = lanes[lane]->transposed ? group : pair;
                const uint16_t *from = static_cast<const uint16_t *>(lanes[matrix * 8 + row]->row);
                word |= static_cast<uint32_t>(from[column]) << 16 * half;
            }
            lanes[lane]->got[matrix] = word;
        }
    }
}

template <typename T> inline void all_lanes(uint32_t warp, T *(&lanes)[WARP]) {
    for (uint32_t lane = 0; lane < WARP; lane++) {
        const uint32_t index = warp * WARP + lane;
        if (index >= block.threads || block.fibers[index].turn == Turn::DONE)
            broken(block.kernel, "a lane is missing where all are needed");
        lanes[lane] = static_cast<T *>(block.fibers[index].lane.exchanged);
    }
}

inline void perform(uint32_t warp, Together what) {
    switch (what) {
    case Together::NONE:
    case Together::SYNC:
        return;
    case Together::SHUFFLE:
        each_lane(warp, [&](Fiber &fiber) {
            if (fiber.turn == Turn::DONE) return;
            Shuffle &own = *static_cast<Shuffle *>(fiber.lane.exchanged);
            const uint32_t index = warp * WARP + own.from;
            if (index >= block.threads || block.fibers[index].turn == Turn::DONE)
                broken(block.kernel, "a lane asks one that is not there");
            own.got = static_cast<Shuffle *>(block.fibers[index].lane.exchanged)->given;
        });
        return;
    case Together::ANY:
    case Together::LEAST:
    case Together::MOST: {
        uint32_t all = what == Together::LEAST ? 0xffffffffu : 0;
        const auto vote = [](Fiber &fiber) -> Vote & { return *static_cast<Vote *>(fiber.lane.exchanged); };
        each_lane(warp, [&](Fiber &fiber) {
            if (fiber.turn == Turn::DONE) return;
            const uint32_t given = vote(fiber).given;
            all = what == Together::ANY ? all | given : what == Together::LEAST ? min(all, given) : max(all, given);
        });
        each_lane(warp, [&](Fiber &fiber) {
            if (fiber.turn != Turn::DONE) vote(fiber).got = all;
        });
        return;
    }
    case Together::MULTIPLY: {
        Multiply *lanes[WARP];
        all_lanes(warp, lanes);
        multiply_all(lanes);
        return;
    }
    case Together::LOAD: {
        Load *lanes[WARP];
        all_lanes(warp, lanes);
        load_all(lanes);
        return;
    }
    }
}

template <typename T> inline T shuffle(T value, uint32_t from) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "words");
    uint32_t words[sizeof(T) / 4];
    std::memcpy(words, &value, sizeof(T));
    for (uint32_t &word : words) {
        Shuffle own = {word, from, 0};
        together(Together::SHUFFLE, &own);
        word = own.got;
    }
    std::memcpy(&value, words, sizeof(T));
    return value;
}

inline uint32_t vote(Together what, uint32_t given) {
    Vote own = {given, 0};
    together(what, &own);
    return own.got;
}

inline uint32_t lane() { return block.current->index % WARP; }

} // namespace emulated

#define threadIdx (emulated::block.current->thread)
#define blockIdx (emulated::block.at)
#define blockDim (emulated::block.block)
#define gridDim (emulated::block.grid)

inline void __syncthreads() {
    using namespace emulated;
    block.current->turn = Turn::IN_BLOCK;
    block.waiting++;
    release_block();
    if (block.current->turn != Turn::READY) yield();
}
inline void __syncwarp() { emulated::together(emulated::Together::SYNC, nullptr); }
template <typename T> inline T __shfl_sync(uint32_t, T value, uint32_t from) { return emulated::shuffle(value, from % 32); }
template <typename T> inline T __shfl_xor_sync(uint32_t, T value, uint32_t step) {
    return emulated::shuffle(value, emulated::lane() ^ step);
}
template <typename T> inline T __shfl_up_sync(uint32_t, T value, uint32_t step) {
    const uint32_t lane = emulated::lane();
    return emulated::shuffle(value, lane < step ? lane : lane - step);
}
inline bool __any_sync(uint32_t, bool given) { return emulated::vote(emulated::Together::ANY, given) != 0; }
inline uint32_t __ballot_sync(uint32_t, bool given) {
    return emulated::vote(emulated::Together::ANY, given ? 1u << emulated::lane() : 0);
}
inline uint32_t __reduce_min_sync(uint32_t, uint32_t given) { return emulated::vote(emulated::Together::LEAST, given); }
inline uint32_t __reduce_max_sync(uint32_t, uint32_t given) { return emulated::vote(emulated::Together::MOST, given); }

// Blocks run one after the other, so nothing comes between.
template <typename T> inline T atomicAdd(T *to, T value) {
    const T before = *to;
    *to = before + value;
    return before;
}
inline uint32_t atomicOr(uint32_t *to, uint32_t value) {
    const uint32_t before = *to;
    *to = before | value;
    return before;
}
template <typename T> inline T __ldg(const T *from) { return *from; }
template <typename T> inline T __ldcs(const T *from) { return *from; }
