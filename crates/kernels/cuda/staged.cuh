// Products of many rows: a block keeps rows of x and weights in shared memory, some steps of inputs ahead of the tensor cores.
//
// A block has 64 rows and 128 outputs, a warp all of these rows and a quarter of the outputs. Weights are of the type of x, or
// quantised (coded.cuh): then they become numbers on their way into shared memory.
#pragma once

#include "coded.cuh"

namespace staged {

// Of a block: rows, outputs, threads, inputs in each step, and steps that are on their way or in use.
constexpr uint32_t ROWS = 64, OUTPUTS = 128, THREADS = 128, INPUTS = 64, STAGES = 3;
constexpr uint32_t CHUNKS = INPUTS / 8;

// Rows of eight chunks of 16 bytes, whose order is turned by the row, so that neither whole rows nor columns of chunks meet in
// the same banks.
template <typename T> __device__ __forceinline__ T *chunk(T *rows, uint32_t row, uint32_t chunk) {
    return rows + row * INPUTS + ((chunk ^ (row & 7)) * 8);
}

// Weights in the type of x: they are copied as they are.
template <typename T> struct Plain {
    using Type = T;
    const T *weights;
    uint32_t outputs, inputs;

    __device__ __forceinline__ Plain(const T *weights, uint32_t outputs, uint32_t inputs)
        : weights(weights), outputs(outputs), inputs(inputs) {}
    // Starts to copy a step's weights.
    __device__ __forceinline__ void copy(T *to, uint32_t step) const {
#pragma unroll
        for (uint32_t i = threadIdx.x; i < OUTPUTS * CHUNKS; i += THREADS) {
            const uint32_t row = i / CHUNKS, c = i % CHUNKS;
            const uint32_t output = blockIdx.x * OUTPUTS + row, at = step * INPUTS + c * 8;
            const bool wanted = output < outputs && at < inputs;
            copy16(chunk(to, row, c), weights + (wanted ? (size_t)output * inputs + at : 0), wanted);
        }
    }
    __device__ __forceinline__ void fetch(uint32_t) {}
    __device__ __forceinline__ void widen(T *) const {}
};

// Quantised weights: their codes are loaded into registers two steps ahead, and go to shared memory as numbers one step ahead.
template <int BITS, int GROUP, typename T> struct Coded {
    using Type = T;
    static constexpr uint32_t HELD = OUTPUTS / coded::OUTPUTS * 32 / THREADS;
    static_assert(INPUTS == coded::INPUTS, "a step is as wide as a tile");
    const uint4 *codes, *scales;
    uint32_t last, tiles;
    coded::Lane<BITS> held[HELD];

    __device__ __forceinline__ Coded(const uint4 *codes, const uint4 *scales, uint32_t outputs, uint32_t inputs)
        : codes(codes), scales(scales), last((outputs - 1) / coded::OUTPUTS), tiles((inputs + INPUTS - 1) / INPUTS) {}
    __device__ __forceinline__ void copy(T *, uint32_t) const {}
    // Starts to load a step's codes. What lies beyond the last output is the last, and its results are not written.
    __device__ __forceinline__ void fetch(uint32_t step) {
        if (step >= tiles) return;
#pragma unroll
        for (uint32_t i = 0; i < HELD; i++) {
            const uint32_t rows = blockIdx.x * (OUTPUTS / coded::OUTPUTS) + i * (THREADS / 32) + threadIdx.x / 32;
            held[i].template load<GROUP>(codes, scales, (size_t)min(rows, last) * tiles + step, threadIdx.x % 32);
        }
    }
    // Writes the weights of the codes that were fetched last.
    __device__ __forceinline__ void widen(T *to) const {
        const uint32_t lane = threadIdx.x % 32;
#pragma unroll
        for (uint32_t i = 0; i < HELD; i++) {
            const uint32_t first = (i * (THREADS / 32) + threadIdx.x / 32) * coded::OUTPUTS;
#pragma unroll
            for (int part = 0; part < 4; part++) {
                uint32_t pairs[4];
                held[i].template weights<T>(part / 2, part % 2, pairs);
                uint4 *at = reinterpret_cast<uint4 *>(chunk(to, first + part % 2 * 8 + lane / 4, part / 2 * 4 + lane % 4));
                *at = make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
            }
        }
    }
};

template <typename T> __device__ __forceinline__ void store2(T *to, float a, float b) {
    *reinterpret_cast<uint32_t *>(to) = pack<T>(a, b);
}
template <> __device__ __forceinline__ void store2<float>(float *to, float a, float b) {
    *reinterpret_cast<float2 *>(to) = make_float2(a, b);
}

// y [.., stride] = x [.., inputs] W^T. `from` and `to` say of each of the block's rows which row of x it is, and which of y, or
// NONE; outputs are even in number.
template <typename W, typename Y, typename From, typename To>
__device__ __forceinline__ void product(const typename W::Type *x, W source, Y *y, uint32_t outputs, uint32_t inputs,
                                        uint32_t stride, From from, To to) {
    using T = typename W::Type;
    T *in = reinterpret_cast<T *>(shared_memory()), *weights = in + STAGES * ROWS * INPUTS;
    const uint32_t warp = threadIdx.x / 32, lane = threadIdx.x % 32, quarter = lane / 8, eighth = lane % 8;
    const uint32_t steps = (inputs + INPUTS - 1) / INPUTS, own = warp * (OUTPUTS / 4);
    // A thread always copies the same chunk of the same rows.
    constexpr uint32_t OWN_ROWS = ROWS * CHUNKS / THREADS;
    const T *row[OWN_ROWS];
#pragma unroll
    for (uint32_t i = 0; i < OWN_ROWS; i++) {
        const uint32_t at = from(i * (THREADS / CHUNKS) + threadIdx.x / CHUNKS);
        row[i] = at == NONE ? nullptr : x + (size_t)at * inputs;
    }
    const auto copy = [&](uint32_t step) {
        if (step < steps) {
            const uint32_t stage = step % STAGES, c = threadIdx.x % CHUNKS, at = step * INPUTS + c * 8;
#pragma unroll
            for (uint32_t i = 0; i < OWN_ROWS; i++) {
                const bool wanted = row[i] && at < inputs;
                T *to = chunk(in + stage * ROWS * INPUTS, i * (THREADS / CHUNKS) + threadIdx.x / CHUNKS, c);
                copy16(to, wanted ? row[i] + at : x, wanted);
            }
            source.copy(weights + stage * OUTPUTS * INPUTS, step);
        }
        // A group for each step, if an empty one: they are waited for by their number.
        copies_commit();
    };
    float sums[ROWS / 16][OUTPUTS / 32][4] = {};
#pragma unroll
    for (uint32_t step = 0; step < STAGES - 1; step++) copy(step);
    source.fetch(0);
    source.widen(weights);
    source.fetch(1);
    for (uint32_t step = 0; step < steps; step++) {
        copies_wait<STAGES - 2>();
        // What this step reads is there for all, and what the one before has read may be written.
        __syncthreads();
        copy(step + STAGES - 1);
        if (step + 1 < steps) source.widen(weights + (step + 1) % STAGES * OUTPUTS * INPUTS);
        source.fetch(step + 2);
        T *x_rows = in + step % STAGES * ROWS * INPUTS, *w_rows = weights + step % STAGES * OUTPUTS * INPUTS;
#pragma unroll
        for (uint32_t k = 0; k < INPUTS / 16; k++) {
            uint32_t a[ROWS / 16][4];
#pragma unroll
            for (uint32_t m = 0; m < ROWS / 16; m++) load4(a[m], chunk(x_rows, m * 16 + lane % 16, 2 * k + lane / 16));
#pragma unroll
            for (uint32_t n = 0; n < OUTPUTS / 4 / 16; n++) {
                uint32_t b[4];
                load4(b, chunk(w_rows, own + n * 16 + quarter / 2 * 8 + eighth, 2 * k + quarter % 2));
#pragma unroll
                for (uint32_t m = 0; m < ROWS / 16; m++) {
                    multiply<T>(sums[m][2 * n], a[m], b[0], b[1]);
                    multiply<T>(sums[m][2 * n + 1], a[m], b[2], b[3]);
                }
            }
        }
    }
    copies_wait<0>();
#pragma unroll
    for (uint32_t m = 0; m < ROWS / 16; m++)
#pragma unroll
        for (uint32_t half = 0; half < 2; half++) {
            const uint32_t at = to(m * 16 + half * 8 + lane / 4);
            if (at == NONE) continue;
#pragma unroll
            for (uint32_t n = 0; n < OUTPUTS / 32; n++) {
                const uint32_t output = blockIdx.x * OUTPUTS + own + n * 8 + lane % 4 * 2;
                if (output >= outputs) continue;
                store2(y + (size_t)at * stride + output, sums[m][n][2 * half], sums[m][n][2 * half + 1]);
            }
        }
}

} // namespace staged
