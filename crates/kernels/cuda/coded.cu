// Products with weights that stay quantised: codes of 4 or 8 bits, and for each group of inputs a scale and a minimum in
// f16. Codes become f16 in registers, right before the tensor cores take them.
//
// A tile is 16 outputs by 64 inputs: two halves of 32 inputs. A lane holds, of each half, the codes of eight neighbouring
// inputs for two outputs, and calls the inputs what the tensor core's layout asks for; x is permuted alike, so the sums are
// the same. Tiles of the same outputs follow each other. coded.rs writes this order, with scales of each tile by the quarter
// warp that needs them (groups of 32) or the eighth (groups of 16).
#include "ptx.cuh"

namespace {

constexpr uint32_t OUTPUTS = 16, INPUTS = 64, HALF = 32;
constexpr uint32_t WARPS = 8;

// (code0, code1) of two nibbles 16 bits apart, at `SHIFT` 0 or 4: or-ed into the mantissa of 1024, or of 1024 times 16.
template <int SHIFT> __device__ __forceinline__ __half2 two_nibbles(uint32_t word) {
    const uint32_t raised = (word & (0x000f000fu << SHIFT)) | 0x64006400u;
    const __half2 value = *reinterpret_cast<const __half2 *>(&raised);
    if (SHIFT == 0) return __hsub2(value, __float2half2_rn(1024.0f));
    return __hfma2(value, __float2half2_rn(1.0f / 16.0f), __float2half2_rn(-64.0f));
}
// Two bytes likewise, by the selector of a byte permutation.
template <int SELECTOR> __device__ __forceinline__ __half2 two_bytes(uint32_t word) {
    const uint32_t raised = __byte_perm(word, 0x64646464u, SELECTOR);
    return __hsub2(*reinterpret_cast<const __half2 *>(&raised), __float2half2_rn(1024.0f));
}

// What a lane holds of a tile.
template <int BITS> struct Lane {
    uint4 codes[BITS / 4];
    uint4 scales;

    template <int GROUP>
    __device__ __forceinline__ void load(const uint4 *all_codes, const uint4 *all_scales, size_t tile, uint32_t lane) {
#pragma unroll
        for (int i = 0; i < BITS / 4; i++) codes[i] = __ldcs(all_codes + (tile * (BITS / 4) + i) * 32 + lane);
        const uint32_t place = GROUP == 16 ? lane / 2 : lane / 4;
        scales = __ldcs(all_scales + tile * (GROUP == 16 ? 16 : 8) + place);
    }

    // Eight weights of half `half` for output `output` of the lane's two, in pairs.
    __device__ __forceinline__ void weights(int half, int output, uint32_t (&to)[4]) const {
        const uint32_t packed = (&scales.x)[2 * half + output];
        const __half2 both = *reinterpret_cast<const __half2 *>(&packed);
        const __half2 scale = __low2half2(both), minimum = __high2half2(both);
        __half2 pairs[4];
        if (BITS == 4) {
            const uint32_t word = (&codes[0].x)[2 * half + output];
            pairs[0] = two_nibbles<0>(word);
            pairs[1] = two_nibbles<4>(word);
            pairs[2] = two_nibbles<0>(word >> 8);
            pairs[3] = two_nibbles<4>(word >> 8);
        } else {
            const uint4 &own = codes[BITS == 4 ? 0 : half];
            const uint32_t low = (&own.x)[2 * output], high = (&own.x)[2 * output + 1];
            pairs[0] = two_bytes<0x4140>(low);
            pairs[1] = two_bytes<0x4342>(low);
            pairs[2] = two_bytes<0x4140>(high);
            pairs[3] = two_bytes<0x4342>(high);
        }
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const __half2 weight = __hfma2(pairs[i], scale, minimum);
            to[i] = *reinterpret_cast<const uint32_t *>(&weight);
        }
    }
};

// y [rows, stride] = x [rows, inputs] W^T: up to TILES * 8 rows for each block, whose warps share the inputs. The more of what
// is read is x, the more outputs has a block: 16, or 32 (TILES 4), or 64 (TILES 8).
template <int BITS, int GROUP, int TILES, typename Y>
__device__ __forceinline__ void product(const __half *__restrict__ x, const uint4 *__restrict__ codes,
                                        const uint4 *__restrict__ scales, Y *__restrict__ y, uint32_t rows,
                                        uint32_t outputs, uint32_t inputs, uint32_t stride) {
    constexpr int WIDTH = TILES >= 8 ? 4 : TILES >= 4 ? 2 : 1;
    constexpr int AHEAD = TILES >= 8 ? 1 : TILES >= 4 ? 2 : 4;
    // Whether a tile is loaded as soon as another was used. For few rows it is faster to load several at once.
    constexpr bool ROLLING = TILES >= 4;
    constexpr uint32_t ROWS = TILES * 8;
    __shared__ float partial[WARPS][ROWS][OUTPUTS + 1];
    const uint32_t warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const uint32_t tiles = (inputs + INPUTS - 1) / INPUTS, last = (outputs - 1) / OUTPUTS;
    const uint32_t first_row = blockIdx.y * ROWS;
    // What lies beyond the last row or output is computed as the last, and not written.
    size_t first_tile[WIDTH];
#pragma unroll
    for (int m = 0; m < WIDTH; m++) first_tile[m] = (size_t)min(blockIdx.x * WIDTH + m, last) * tiles;
    const __half *row[TILES];
#pragma unroll
    for (int n = 0; n < TILES; n++) row[n] = x + (size_t)min(first_row + n * 8 + g, rows - 1) * inputs + 8 * t;
    float sums[WIDTH][TILES][4] = {};
    Lane<BITS> held[AHEAD][WIDTH];
    const auto load = [&](int a, uint32_t tile) {
        if (tile >= tiles) return;
#pragma unroll
        for (int m = 0; m < WIDTH; m++) held[a][m].template load<GROUP>(codes, scales, first_tile[m] + tile, lane);
    };
    if (ROLLING) {
#pragma unroll
        for (int a = 0; a < AHEAD; a++) load(a, warp + a * WARPS);
    }
    for (uint32_t start = warp; start < tiles; start += WARPS * AHEAD) {
        if (!ROLLING) {
#pragma unroll
            for (int a = 0; a < AHEAD; a++) load(a, start + a * WARPS);
        }
#pragma unroll
        for (int a = 0; a < AHEAD; a++) {
            const uint32_t tile = start + a * WARPS;
            if (tile >= tiles) break;
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const uint32_t at = tile * INPUTS + half * HALF;
                if (at >= inputs) break;
                uint32_t weights[WIDTH][2][4];
#pragma unroll
                for (int m = 0; m < WIDTH; m++) {
                    uint32_t low[4], high[4];
                    held[a][m].weights(half, 0, low);
                    held[a][m].weights(half, 1, high);
#pragma unroll
                    for (int i = 0; i < 4; i++) {
                        weights[m][i / 2][i % 2 * 2] = low[i];
                        weights[m][i / 2][i % 2 * 2 + 1] = high[i];
                    }
                }
#pragma unroll
                for (int n = 0; n < TILES; n++) {
                    const uint4 in = __ldg(reinterpret_cast<const uint4 *>(row[n] + at));
#pragma unroll
                    for (int m = 0; m < WIDTH; m++) {
                        multiply<__half>(sums[m][n], weights[m][0], in.x, in.y);
                        multiply<__half>(sums[m][n], weights[m][1], in.z, in.w);
                    }
                }
            }
            if (ROLLING) load(a, tile + WARPS * AHEAD);
        }
    }
#pragma unroll
    for (int m = 0; m < WIDTH; m++) {
        if (m > 0) __syncthreads();
#pragma unroll
        for (int n = 0; n < TILES; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) partial[warp][n * 8 + 2 * t + i % 2][g + i / 2 * 8] = sums[m][n][i];
        __syncthreads();
        for (uint32_t i = threadIdx.x; i < ROWS * OUTPUTS; i += WARPS * 32) {
            const uint32_t r = i / OUTPUTS, o = i % OUTPUTS;
            float sum = 0.0f;
#pragma unroll
            for (uint32_t w = 0; w < WARPS; w++) sum += partial[w][r][o];
            const uint32_t output = (blockIdx.x * WIDTH + m) * OUTPUTS + o;
            if (first_row + r < rows && output < outputs) y[(size_t)(first_row + r) * stride + output] = narrow<Y>(sum);
        }
    }
}

// The weights themselves, [outputs, inputs]: a warp for each tile, 16 outputs for each row of blocks.
template <int BITS, int GROUP>
__device__ __forceinline__ void widen_all(const uint4 *codes, const uint4 *scales, __half *out, uint32_t outputs,
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
            held.weights(half, output, pairs);
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
        if (half == 0) output == 0 ? held.weights(0, 0, pairs) : held.weights(0, 1, pairs);
        else output == 0 ? held.weights(1, 0, pairs) : held.weights(1, 1, pairs);
#pragma unroll
        for (int p = 0; p < 4; p++) {
            const float2 two = __half22float2(*reinterpret_cast<const __half2 *>(&pairs[p]));
            *reinterpret_cast<float2 *>(to + i * 8 + p * 2) = two;
        }
    }
}

} // namespace

#define PRODUCT(BITS, GROUP, TILES, Y, SUFFIX)                                                                         \
    extern "C" __global__ void __launch_bounds__(256) coded_##TILES##_##BITS##_##GROUP##SUFFIX(                        \
        const __half *x, const uint4 *codes, const uint4 *scales, Y *y, uint32_t rows, uint32_t outputs,               \
        uint32_t inputs, uint32_t stride) {                                                                            \
        product<BITS, GROUP, TILES, Y>(x, codes, scales, y, rows, outputs, inputs, stride);                            \
    }
#define PRODUCTS(BITS, GROUP, TILES) PRODUCT(BITS, GROUP, TILES, __half, ) PRODUCT(BITS, GROUP, TILES, float, _f32)
#define MAKE(BITS, GROUP)                                                                                              \
    PRODUCTS(BITS, GROUP, 1)                                                                                           \
    PRODUCTS(BITS, GROUP, 2)                                                                                           \
    PRODUCTS(BITS, GROUP, 4)                                                                                           \
    PRODUCTS(BITS, GROUP, 8)                                                                                           \
    extern "C" __global__ void widen_##BITS##_##GROUP(const uint4 *codes, const uint4 *scales, __half *out,            \
                                                      uint32_t outputs, uint32_t inputs) {                             \
        widen_all<BITS, GROUP>(codes, scales, out, outputs, inputs);                                                   \
    }                                                                                                                  \
    extern "C" __global__ void embed_##BITS##_##GROUP(const uint4 *codes, const uint4 *scales, float *out,             \
                                                      const uint32_t *place, uint32_t width, uint32_t first,           \
                                                      uint32_t count) {                                                \
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
