// Products of few rows and a matrix: every weight is read once, by vector loads, and multiplied with all rows.
//
// A warp computes OUTPUTS outputs of all ROWS rows. Each sum runs in an order that the width alone fixes.
#include "common.cuh"

namespace {

constexpr int OUTPUTS = 2;

template <typename T, typename Y, int ROWS>
__device__ __forceinline__ void product(const T *__restrict__ x, const T *__restrict__ weights, Y *__restrict__ y,
                                        uint32_t rows, uint32_t outputs, uint32_t inputs) {
    const uint32_t warp = (blockIdx.x * blockDim.x + threadIdx.x) / 32, lane = threadIdx.x % 32;
    const uint32_t first = warp * OUTPUTS;
    if (first >= outputs) return;
    float sums[OUTPUTS][ROWS] = {};
    const uint4 *row[OUTPUTS];
#pragma unroll
    for (int o = 0; o < OUTPUTS; o++)
        row[o] = reinterpret_cast<const uint4 *>(weights + (size_t)min(first + o, outputs - 1) * inputs);
    const uint32_t chunks = inputs / 8;
    constexpr int UNROLL = ROWS <= 2 ? 4 : 2;
    for (uint32_t start = lane; start < chunks; start += 32 * UNROLL) {
        uint4 w[UNROLL][OUTPUTS];
#pragma unroll
        for (int u = 0; u < UNROLL; u++) {
            const uint32_t i = start + 32 * u;
#pragma unroll
            for (int o = 0; o < OUTPUTS; o++) w[u][o] = i < chunks ? __ldcs(row[o] + i) : make_uint4(0, 0, 0, 0);
        }
#pragma unroll
        for (int u = 0; u < UNROLL; u++) {
            const uint32_t i = start + 32 * u;
            if (i >= chunks) break;
            float wide[OUTPUTS][8];
#pragma unroll
            for (int o = 0; o < OUTPUTS; o++) widen8<T>(w[u][o], wide[o]);
#pragma unroll
            for (int r = 0; r < ROWS; r++) {
                if (r >= rows) break;
                float in[8];
                widen8<T>(__ldg(reinterpret_cast<const uint4 *>(x + (size_t)r * inputs) + i), in);
#pragma unroll
                for (int o = 0; o < OUTPUTS; o++)
#pragma unroll
                    for (int j = 0; j < 8; j++) sums[o][r] = fmaf(wide[o][j], in[j], sums[o][r]);
            }
        }
    }
#pragma unroll
    for (int o = 0; o < OUTPUTS; o++)
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            const float sum = warp_sum(sums[o][r]);
            if (lane == 0 && r < rows && first + o < outputs) y[(size_t)r * outputs + first + o] = narrow<Y>(sum);
        }
}

} // namespace

#define PRODUCT(NAME, T, Y, SUFFIX, ROWS)                                                                              \
    extern "C" __global__ void __launch_bounds__(256) product_##ROWS##_##NAME##SUFFIX(                                 \
        const T *x, const T *weights, Y *y, uint32_t rows, uint32_t outputs, uint32_t inputs) {                        \
        product<T, Y, ROWS>(x, weights, y, rows, outputs, inputs);                                                     \
    }
#define MAKE(NAME, T)                                                                                                  \
    PRODUCT(NAME, T, T, , 1)                                                                                           \
    PRODUCT(NAME, T, T, , 2)                                                                                           \
    PRODUCT(NAME, T, T, , 4)                                                                                           \
    PRODUCT(NAME, T, T, , 8)                                                                                           \
    PRODUCT(NAME, T, float, _f32, 1)                                                                                   \
    PRODUCT(NAME, T, float, _f32, 2)                                                                                   \
    PRODUCT(NAME, T, float, _f32, 4)                                                                                   \
    PRODUCT(NAME, T, float, _f32, 8)
FOR_BOTH(MAKE)
