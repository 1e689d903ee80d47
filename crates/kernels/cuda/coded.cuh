// Products with weights that stay quantised: codes of 4 or 8 bits, and for each group of inputs a scale and a minimum in
// f16. Codes become f16 or bf16 in registers, right before the tensor cores take them.
//
// A tile is 16 outputs by 64 inputs: two halves of 32 inputs. A lane holds, of each half, the codes of eight neighbouring
// inputs for two outputs, and calls the inputs what the tensor core's layout asks for; x is permuted alike, so the sums are
// the same. Tiles of the same outputs follow each other. coded.rs writes this order, with scales of each tile by the quarter
// warp that needs them (groups of 32) or the eighth (groups of 16).
#pragma once

#include "ptx.cuh"

namespace coded {

// Of a tile; and the warps of a block.
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

// Two numbers as T, in one word.
template <typename T> __device__ __forceinline__ uint32_t as(__half2 two);
template <> __device__ __forceinline__ uint32_t as<__half>(__half2 two) { return *reinterpret_cast<const uint32_t *>(&two); }
template <> __device__ __forceinline__ uint32_t as<__nv_bfloat16>(__half2 two) {
    const float2 wide = __half22float2(two);
    return pack<__nv_bfloat16>(wide.x, wide.y);
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
    template <typename T>
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
            to[i] = as<T>(__hfma2(pairs[i], scale, minimum));
        }
    }
};

// y [.., stride] = x [.., inputs] W^T: up to TILES * 8 rows for each block, whose warps share the inputs. The more of what is
// read is x, the more outputs has a block: 16, or 32 (TILES 4), or 64 (TILES 8). `from` and `to` say of each of the block's
// rows which row of x it is, and which of y, or NONE.
template <int BITS, int GROUP, int TILES, typename T, typename Y, typename From, typename To>
__device__ __forceinline__ void product(const T *__restrict__ x, const uint4 *__restrict__ codes,
                                        const uint4 *__restrict__ scales, Y *__restrict__ y, uint32_t outputs,
                                        uint32_t inputs, uint32_t stride, From from, To to) {
    constexpr int WIDTH = TILES >= 8 ? 4 : TILES >= 4 ? 2 : 1;
    constexpr int AHEAD = TILES >= 8 ? 1 : TILES >= 4 ? 2 : 4;
    // Whether a tile is loaded as soon as another was used. For few rows it is faster to load several at once.
    constexpr bool ROLLING = TILES >= 4;
    constexpr uint32_t ROWS = TILES * 8;
    __shared__ float partial[WARPS][ROWS][OUTPUTS + 1];
    const uint32_t warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const uint32_t tiles = (inputs + INPUTS - 1) / INPUTS, last = (outputs - 1) / OUTPUTS;
    // What lies beyond the last output or row is computed as another, and not written.
    size_t first_tile[WIDTH];
#pragma unroll
    for (int m = 0; m < WIDTH; m++) first_tile[m] = (size_t)min(blockIdx.x * WIDTH + m, last) * tiles;
    const T *row[TILES];
#pragma unroll
    for (int n = 0; n < TILES; n++) {
        const uint32_t at = from(n * 8 + g);
        row[n] = x + (at == NONE ? 0 : (size_t)at * inputs) + 8 * t;
    }
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
                    held[a][m].template weights<T>(half, 0, low);
                    held[a][m].template weights<T>(half, 1, high);
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
                        multiply<T>(sums[m][n], weights[m][0], in.x, in.y);
                        multiply<T>(sums[m][n], weights[m][1], in.z, in.w);
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
            const uint32_t output = (blockIdx.x * WIDTH + m) * OUTPUTS + o, at = to(r);
            if (at != NONE && output < outputs) y[(size_t)at * stride + output] = narrow<Y>(sum);
        }
    }
}

} // namespace coded
