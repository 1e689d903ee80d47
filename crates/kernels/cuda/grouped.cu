// Products of pairs, of a row of x and an expert, which experts.cu has put into tiles of one expert each: y [pairs, stride] has
// of each pair row `pair / share` of x times the transpose of its expert's weights.
//
// As many rows of blocks start as there may be tiles, and those without a tile end at once. A pair's result does not depend on
// the others of its tile. `table` [experts, 2] says where an expert's weights lie: those in the type of x, and nothing; or codes and
// their scales (coded.cuh).
//
// Tiles have 16 pairs, the height of a tensor core's product, where reading weights is most of the work: a block's warps share
// the inputs. They have 64 where computing is: a block then keeps what it multiplies in shared memory, some steps of inputs ahead.
#include "coded.cuh"

namespace {

constexpr uint32_t FEW = 16, MANY = 64;

// What a block works on: its expert's weights and its pairs.
struct Tile {
    uint64_t first, second;
    const uint32_t *pairs;
};

// Whether there is a tile for this block.
__device__ __forceinline__ bool find(Tile &tile, const uint64_t *table, const uint32_t *tiles, const uint32_t *slots,
                                     uint32_t height) {
    const uint32_t expert = tiles[blockIdx.y];
    if (expert == NONE) return false;
    tile.first = table[expert * 2];
    tile.second = table[expert * 2 + 1];
    tile.pairs = slots + (size_t)blockIdx.y * height;
    return true;
}

// As much shared memory as the launch has asked for.
__device__ __forceinline__ uint8_t *shared_memory() {
    extern __shared__ __align__(128) uint8_t shared[];
    return shared;
}

namespace few {

// Of a block, whose warps share the inputs.
constexpr uint32_t OUTPUTS = 32, WARPS = 8;

template <typename T>
__device__ __forceinline__ void product(const T *x, const Tile &tile, T *y, uint32_t outputs, uint32_t inputs,
                                        uint32_t stride, uint32_t share) {
    __shared__ float partial[WARPS][FEW][OUTPUTS + 1];
    const uint32_t warp = threadIdx.x / 32, group = threadIdx.x % 32 / 4, place = threadIdx.x % 4;
    const uint32_t first = blockIdx.x * OUTPUTS;
    const T *weights = reinterpret_cast<const T *>(tile.first);
    const auto row_of = [&](uint32_t pair) { return pair == NONE ? nullptr : x + (size_t)(pair / share) * inputs; };
    const T *upper = row_of(tile.pairs[group]), *lower = row_of(tile.pairs[group + 8]);
    const uint4 none = make_uint4(0, 0, 0, 0);
    float sums[OUTPUTS / 8][4] = {};
    // A lane takes eight neighbouring inputs at once and calls them what the tile's layout asks for; both operands are
    // permuted alike, so the sums are the same.
#pragma unroll 2
    for (uint32_t step = warp * 32; step < inputs; step += WARPS * 32) {
        const uint32_t at = step + place * 8;
        const bool inside = at < inputs;
        uint4 w[OUTPUTS / 8];
#pragma unroll
        for (uint32_t n = 0; n < OUTPUTS / 8; n++) {
            const uint32_t output = first + n * 8 + group;
            const bool wanted = inside && output < outputs;
            w[n] = wanted ? __ldg(reinterpret_cast<const uint4 *>(weights + (size_t)output * inputs + at)) : none;
        }
        const uint4 a = inside && upper ? __ldg(reinterpret_cast<const uint4 *>(upper + at)) : none;
        const uint4 b = inside && lower ? __ldg(reinterpret_cast<const uint4 *>(lower + at)) : none;
        const uint32_t front[4] = {a.x, b.x, a.y, b.y}, back[4] = {a.z, b.z, a.w, b.w};
#pragma unroll
        for (uint32_t n = 0; n < OUTPUTS / 8; n++) {
            multiply<T>(sums[n], front, w[n].x, w[n].y);
            multiply<T>(sums[n], back, w[n].z, w[n].w);
        }
    }
#pragma unroll
    for (uint32_t n = 0; n < OUTPUTS / 8; n++)
#pragma unroll
        for (uint32_t i = 0; i < 4; i++) partial[warp][group + i / 2 * 8][n * 8 + place * 2 + i % 2] = sums[n][i];
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < FEW * OUTPUTS; i += WARPS * 32) {
        const uint32_t row = i / OUTPUTS, output = i % OUTPUTS;
        if (tile.pairs[row] == NONE || first + output >= outputs) continue;
        float sum = 0.0f;
#pragma unroll
        for (uint32_t w = 0; w < WARPS; w++) sum += partial[w][row][output];
        y[(size_t)tile.pairs[row] * stride + first + output] = narrow<T>(sum);
    }
}

} // namespace few

namespace many {

// Of a block: outputs, threads, inputs in each step, and steps that are on their way or in use.
constexpr uint32_t OUTPUTS = 128, THREADS = 128, INPUTS = 64, STAGES = 3;
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

    __device__ __forceinline__ Plain(const Tile &tile, uint32_t outputs, uint32_t inputs)
        : weights(reinterpret_cast<const T *>(tile.first)), outputs(outputs), inputs(inputs) {}
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

// Quantised weights: their codes are loaded into registers two steps ahead, and go to shared memory as f16 one step ahead.
template <int BITS, int GROUP> struct Coded {
    using Type = __half;
    static constexpr uint32_t HELD = OUTPUTS / coded::OUTPUTS * 32 / THREADS;
    static_assert(INPUTS == coded::INPUTS, "a step is as wide as a tile");
    const uint4 *codes, *scales;
    uint32_t last, tiles;
    coded::Lane<BITS> held[HELD];

    __device__ __forceinline__ Coded(const Tile &tile, uint32_t outputs, uint32_t inputs)
        : codes(reinterpret_cast<const uint4 *>(tile.first)), scales(reinterpret_cast<const uint4 *>(tile.second)),
          last((outputs - 1) / coded::OUTPUTS), tiles((inputs + INPUTS - 1) / INPUTS) {}
    __device__ __forceinline__ void copy(__half *, uint32_t) const {}
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
    __device__ __forceinline__ void widen(__half *to) const {
        const uint32_t lane = threadIdx.x % 32;
#pragma unroll
        for (uint32_t i = 0; i < HELD; i++) {
            const uint32_t first = (i * (THREADS / 32) + threadIdx.x / 32) * coded::OUTPUTS;
#pragma unroll
            for (int part = 0; part < 4; part++) {
                uint32_t pairs[4];
                held[i].weights(part / 2, part % 2, pairs);
                uint4 *at = reinterpret_cast<uint4 *>(chunk(to, first + part % 2 * 8 + lane / 4, part / 2 * 4 + lane % 4));
                *at = make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
            }
        }
    }
};

// A warp has all pairs and a quarter of the outputs.
template <typename W>
__device__ __forceinline__ void product(const typename W::Type *x, const Tile &tile, typename W::Type *y, uint32_t outputs,
                                        uint32_t inputs, uint32_t stride, uint32_t share) {
    using T = typename W::Type;
    T *in = reinterpret_cast<T *>(shared_memory()), *weights = in + STAGES * MANY * INPUTS;
    const uint32_t warp = threadIdx.x / 32, lane = threadIdx.x % 32, quarter = lane / 8, eighth = lane % 8;
    const uint32_t steps = (inputs + INPUTS - 1) / INPUTS, own = warp * (OUTPUTS / 4);
    W source(tile, outputs, inputs);
    // A thread always copies the same chunk of the same rows.
    constexpr uint32_t ROWS = MANY * CHUNKS / THREADS;
    const T *row[ROWS];
#pragma unroll
    for (uint32_t i = 0; i < ROWS; i++) {
        const uint32_t pair = tile.pairs[i * (THREADS / CHUNKS) + threadIdx.x / CHUNKS];
        row[i] = pair == NONE ? nullptr : x + (size_t)(pair / share) * inputs;
    }
    const auto copy = [&](uint32_t step) {
        if (step < steps) {
            const uint32_t stage = step % STAGES, c = threadIdx.x % CHUNKS, at = step * INPUTS + c * 8;
#pragma unroll
            for (uint32_t i = 0; i < ROWS; i++) {
                const bool wanted = row[i] && at < inputs;
                T *to = chunk(in + stage * MANY * INPUTS, i * (THREADS / CHUNKS) + threadIdx.x / CHUNKS, c);
                copy16(to, wanted ? row[i] + at : x, wanted);
            }
            source.copy(weights + stage * OUTPUTS * INPUTS, step);
        }
        // A group for each step, if an empty one: they are waited for by their number.
        copies_commit();
    };
    float sums[MANY / 16][OUTPUTS / 32][4] = {};
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
        T *x_rows = in + step % STAGES * MANY * INPUTS, *w_rows = weights + step % STAGES * OUTPUTS * INPUTS;
#pragma unroll
        for (uint32_t k = 0; k < INPUTS / 16; k++) {
            uint32_t a[MANY / 16][4];
#pragma unroll
            for (uint32_t m = 0; m < MANY / 16; m++) load4(a[m], chunk(x_rows, m * 16 + lane % 16, 2 * k + lane / 16));
#pragma unroll
            for (uint32_t n = 0; n < OUTPUTS / 4 / 16; n++) {
                uint32_t b[4];
                load4(b, chunk(w_rows, own + n * 16 + quarter / 2 * 8 + eighth, 2 * k + quarter % 2));
#pragma unroll
                for (uint32_t m = 0; m < MANY / 16; m++) {
                    multiply<T>(sums[m][2 * n], a[m], b[0], b[1]);
                    multiply<T>(sums[m][2 * n + 1], a[m], b[2], b[3]);
                }
            }
        }
    }
    copies_wait<0>();
#pragma unroll
    for (uint32_t m = 0; m < MANY / 16; m++)
#pragma unroll
        for (uint32_t half = 0; half < 2; half++) {
            const uint32_t pair = tile.pairs[m * 16 + half * 8 + lane / 4];
            if (pair == NONE) continue;
#pragma unroll
            for (uint32_t n = 0; n < OUTPUTS / 32; n++) {
                // Outputs are even in number.
                const uint32_t output = blockIdx.x * OUTPUTS + own + n * 8 + lane % 4 * 2;
                if (output >= outputs) continue;
                *reinterpret_cast<uint32_t *>(y + (size_t)pair * stride + output) =
                    pack<T>(sums[m][n][2 * half], sums[m][n][2 * half + 1]);
            }
        }
}

} // namespace many

template <int BITS, int GROUP>
__device__ __forceinline__ void coded_few(const __half *x, const Tile &tile, __half *y, uint32_t outputs, uint32_t inputs,
                                          uint32_t stride, uint32_t share) {
    const auto from = [&](uint32_t r) { return tile.pairs[r] == NONE ? 0 : tile.pairs[r] / share; };
    const auto to = [&](uint32_t r) { return tile.pairs[r]; };
    coded::product<BITS, GROUP, FEW / 8>(x, reinterpret_cast<const uint4 *>(tile.first),
                                         reinterpret_cast<const uint4 *>(tile.second), y, outputs, inputs, stride, from, to);
}

} // namespace

#define PRODUCT(NAME, T, THREADS, HEIGHT, ...)                                                                         \
    extern "C" __global__ void __launch_bounds__(THREADS)                                                              \
    NAME(const T *x, const uint64_t *table, T *y, const uint32_t *tiles, const uint32_t *slots, uint32_t outputs,      \
         uint32_t inputs, uint32_t stride, uint32_t share) {                                                           \
        Tile tile;                                                                                                     \
        if (find(tile, table, tiles, slots, HEIGHT)) __VA_ARGS__;                                                      \
    }
#define MAKE(NAME, T)                                                                                                  \
    PRODUCT(grouped_16_##NAME, T, few::WARPS * 32, FEW, few::product<T>(x, tile, y, outputs, inputs, stride, share))   \
    PRODUCT(grouped_64_##NAME, T, many::THREADS, MANY,                                                                 \
            many::product<many::Plain<T>>(x, tile, y, outputs, inputs, stride, share))
FOR_BOTH(MAKE)

#define MAKE_CODED(BITS, GROUP)                                                                                        \
    PRODUCT(grouped_16_##BITS##_##GROUP, __half, coded::WARPS * 32, FEW,                                               \
            coded_few<BITS, GROUP>(x, tile, y, outputs, inputs, stride, share))                                        \
    PRODUCT(grouped_64_##BITS##_##GROUP, __half, many::THREADS, MANY,                                                  \
            many::product<many::Coded<BITS, GROUP>>(x, tile, y, outputs, inputs, stride, share))
MAKE_CODED(4, 32)
MAKE_CODED(4, 16)
MAKE_CODED(8, 32)
MAKE_CODED(8, 16)
