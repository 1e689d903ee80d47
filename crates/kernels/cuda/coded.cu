// Products with weights that stay quantised, those weights in 16 bits, and rows of them: see coded.cuh
// and, for many rows, staged.cuh.
#include "staged.cuh"

namespace {

using namespace coded;

// Rows of a block: so many of the next.
struct Rows {
    uint32_t first, rows;
    __device__ __forceinline__ Rows(uint32_t height, uint32_t rows) : first(blockIdx.y * height), rows(rows) {}
    __device__ __forceinline__ uint32_t operator()(uint32_t r) const { return first + r < rows ? first + r : NONE; }
};

// The weights themselves, [outputs, inputs]: a warp for each tile, 16 outputs for each row of blocks.
template <int BITS, int GROUP, typename T>
__device__ __forceinline__ void widen_all(const uint4 *codes, const uint4 *scales, T *out, uint32_t outputs,
                                          uint32_t inputs) {
    const uint32_t tile = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    const uint32_t tiles = (inputs + INPUTS - 1) / INPUTS;
    if (tile >= tiles) return;
    Lane<BITS> held;
    held.template load<GROUP>(codes, scales, (size_t)blockIdx.y * tiles + tile, lane);
#pragma unroll
    for (int output = 0; output < 2; output++) {
        const uint32_t o = blockIdx.y * OUTPUTS + output * 8 + lane / 4;
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const uint32_t at = tile * INPUTS + half * HALF + lane % 4 * 8;
            uint32_t pairs[4];
            held.template weights<T>(half, output, pairs);
            if (o < outputs && at < inputs)
                *reinterpret_cast<uint4 *>(out + (size_t)o * inputs + at) =
                    make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
        }
    }
}

// The rows that a batch's tokens name, as f32 [rows, width], as far as they are among the `count` from `first` on.
template <int BITS, int GROUP>
__device__ __forceinline__ void embed(const uint4 *codes, const uint4 *scales, float *out, const uint32_t *place,
                                      uint32_t width, uint32_t first, uint32_t count) {
    const uint32_t token = place[place[TOKENS_AT] + blockIdx.x] - first;
    if (token >= count) return;
    const uint32_t tiles = (width + INPUTS - 1) / INPUTS, output = token / 8 % 2;
    float *to = out + (size_t)blockIdx.x * width;
    // A thread for each eight inputs.
    for (uint32_t i = threadIdx.x; i < width / 8; i += blockDim.x) {
        const uint32_t half = i / 4 % 2;
        Lane<BITS> held;
        held.template load<GROUP>(codes, scales, (size_t)(token / OUTPUTS) * tiles + i / 8, token % 8 * 4 + i % 4);
        uint32_t pairs[4];
        // Indices into registers must be known when this is compiled.
        if (half == 0) output == 0 ? held.template weights<__half>(0, 0, pairs) : held.template weights<__half>(0, 1, pairs);
        else output == 0 ? held.template weights<__half>(1, 0, pairs) : held.template weights<__half>(1, 1, pairs);
#pragma unroll
        for (int p = 0; p < 4; p++) {
            const float2 two = __half22float2(*reinterpret_cast<const __half2 *>(&pairs[p]));
            *reinterpret_cast<float2 *>(to + i * 8 + p * 2) = two;
        }
    }
}

} // namespace

#define PRODUCT(BITS, GROUP, TILES, NAME, T, Y, SUFFIX)                                                                \
    extern "C" __global__ void __launch_bounds__(256) coded_##TILES##_##BITS##_##GROUP##_##NAME##SUFFIX(               \
        const T *x, const uint4 *codes, const uint4 *scales, Y *y, uint32_t rows, uint32_t outputs, uint32_t inputs,   \
        uint32_t stride) {                                                                                             \
        const Rows which(TILES * 8, rows);                                                                             \
        product<BITS, GROUP, TILES>(x, codes, scales, y, outputs, inputs, stride, which, which);                       \
    }
#define STAGED(BITS, GROUP, NAME, T, Y, SUFFIX)                                                                        \
    extern "C" __global__ void __launch_bounds__(staged::THREADS) staged_##BITS##_##GROUP##_##NAME##SUFFIX(            \
        const T *x, const uint4 *codes, const uint4 *scales, Y *y, uint32_t rows, uint32_t outputs, uint32_t inputs,   \
        uint32_t stride) {                                                                                             \
        const Rows which(staged::ROWS, rows);                                                                          \
        const staged::Coded<BITS, GROUP, T> weights(codes, scales, outputs, inputs);                                   \
        staged::product(x, weights, y, outputs, inputs, stride, which, which);                                         \
    }
#define PRODUCTS(BITS, GROUP, TILES, NAME, T)                                                                          \
    PRODUCT(BITS, GROUP, TILES, NAME, T, T, )                                                                          \
    PRODUCT(BITS, GROUP, TILES, NAME, T, float, _f32)
#define MAKE_OF(BITS, GROUP, NAME, T)                                                                                  \
    PRODUCTS(BITS, GROUP, 1, NAME, T)                                                                                  \
    PRODUCTS(BITS, GROUP, 2, NAME, T)                                                                                  \
    PRODUCTS(BITS, GROUP, 4, NAME, T)                                                                                  \
    PRODUCTS(BITS, GROUP, 8, NAME, T)                                                                                  \
    STAGED(BITS, GROUP, NAME, T, T, )                                                                                  \
    STAGED(BITS, GROUP, NAME, T, float, _f32)                                                                          \
    extern "C" __global__ void widen_##BITS##_##GROUP##_##NAME(const uint4 *codes, const uint4 *scales, T *out,        \
                                                               uint32_t outputs, uint32_t inputs) {                    \
        widen_all<BITS, GROUP>(codes, scales, out, outputs, inputs);                                                   \
    }
#define MAKE(BITS, GROUP)                                                                                              \
    MAKE_OF(BITS, GROUP, f16, __half)                                                                                  \
    MAKE_OF(BITS, GROUP, bf16, __nv_bfloat16)                                                                          \
    extern "C" __global__ void embed_##BITS##_##GROUP##_f32(const uint4 *codes, const uint4 *scales, float *out,       \
                                                            const uint32_t *place, uint32_t width, uint32_t first,     \
                                                            uint32_t count) {                                          \
        embed<BITS, GROUP>(codes, scales, out, place, width, first, count);                                            \
    }
MAKE(4, 32)
MAKE(4, 16)
MAKE(8, 32)
MAKE(8, 16)

// Random codes, a hash of the word's index each, and the same scale and minimum everywhere.
extern "C" __global__ void random_codes(uint32_t *codes, uint32_t words, uint32_t *scales, uint32_t groups,
                                        uint32_t scale, uint32_t seed) {
    const uint32_t step = gridDim.x * blockDim.x, first = blockIdx.x * blockDim.x + threadIdx.x;
    for (uint32_t i = first; i < words; i += step) codes[i] = hash(i, seed);
    for (uint32_t i = first; i < groups; i += step) scales[i] = scale;
}
