// Products of pairs, of a row of x and an expert, which experts.cu has put into tiles of one expert each: y [pairs, stride] has
// of each pair row `pair / share` of x times the transpose of its expert's weights.
//
// As many rows of blocks start as there may be tiles, and those without a tile end at once. A pair's result does not depend on
// the others of its tile. `table` [experts, 2] says where an expert's weights lie: those in the type of x, and nothing; or codes and
// their scales (coded.cuh).
//
// Tiles have 16 pairs, the height of a tensor core's product, where reading weights is most of the work: a block's warps share
// the inputs. They have 64 where computing is (staged.cuh).
#include "staged.cuh"

namespace {

constexpr uint32_t FEW = 16;

// What a block works on: its expert's weights and its pairs.
struct Tile {
    uint64_t first, second;
    const uint32_t *pairs;
    uint32_t share;

    // The row of x that a pair of the tile takes, or NONE.
    __device__ __forceinline__ uint32_t operator()(uint32_t r) const { return pairs[r] == NONE ? NONE : pairs[r] / share; }
    // The pair itself, which is a row of y.
    __device__ __forceinline__ auto to() const {
        return [pairs = pairs](uint32_t r) { return pairs[r]; };
    }
    __device__ __forceinline__ const uint4 *codes() const { return reinterpret_cast<const uint4 *>(first); }
    __device__ __forceinline__ const uint4 *scales() const { return reinterpret_cast<const uint4 *>(second); }
};

// Whether there is a tile for this block.
__device__ __forceinline__ bool find(Tile &tile, const uint64_t *table, const uint32_t *tiles, const uint32_t *slots,
                                     uint32_t height, uint32_t share) {
    const uint32_t expert = tiles[blockIdx.y];
    if (expert == NONE) return false;
    tile = {table[expert * 2], table[expert * 2 + 1], slots + (size_t)blockIdx.y * height, share};
    return true;
}

namespace few {

// Of a block, whose warps share the inputs.
constexpr uint32_t OUTPUTS = 32, WARPS = 8;

template <typename T>
__device__ __forceinline__ void product(const T *x, const Tile &tile, T *y, uint32_t outputs, uint32_t inputs,
                                        uint32_t stride) {
    __shared__ float partial[WARPS][FEW][OUTPUTS + 1];
    const uint32_t warp = threadIdx.x / 32, group = threadIdx.x % 32 / 4, place = threadIdx.x % 4;
    const uint32_t first = blockIdx.x * OUTPUTS;
    const T *weights = reinterpret_cast<const T *>(tile.first);
    const auto row_of = [&](uint32_t row) { return row == NONE ? nullptr : x + (size_t)row * inputs; };
    const T *upper = row_of(tile(group)), *lower = row_of(tile(group + 8));
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

} // namespace

#define PRODUCT(NAME, T, THREADS, HEIGHT, ...)                                                                         \
    extern "C" __global__ void __launch_bounds__(THREADS)                                                              \
    NAME(const T *x, const uint64_t *table, T *y, const uint32_t *tiles, const uint32_t *slots, uint32_t outputs,      \
         uint32_t inputs, uint32_t stride, uint32_t share) {                                                           \
        Tile tile;                                                                                                     \
        if (find(tile, table, tiles, slots, HEIGHT, share)) __VA_ARGS__;                                               \
    }
#define STAGED(NAME, T, ...)                                                                                           \
    PRODUCT(NAME, T, staged::THREADS, staged::ROWS,                                                                    \
            staged::product(x, __VA_ARGS__, y, outputs, inputs, stride, tile, tile.to()))
#define CODED(BITS, GROUP, NAME, T)                                                                                    \
    PRODUCT(grouped_16_##BITS##_##GROUP##_##NAME, T, coded::WARPS * 32, FEW,                                           \
            coded::product<BITS, GROUP, FEW / 8>(x, tile.codes(), tile.scales(), y, outputs, inputs, stride, tile,     \
                                                 tile.to()))                                                           \
    STAGED(grouped_64_##BITS##_##GROUP##_##NAME, T,                                                                    \
           staged::Coded<BITS, GROUP, T>(tile.codes(), tile.scales(), outputs, inputs))
#define MAKE(NAME, T)                                                                                                  \
    PRODUCT(grouped_16_##NAME, T, few::WARPS * 32, FEW, few::product<T>(x, tile, y, outputs, inputs, stride))          \
    STAGED(grouped_64_##NAME, T, staged::Plain<T>(reinterpret_cast<const T *>(tile.first), outputs, inputs))           \
    CODED(4, 32, NAME, T)                                                                                              \
    CODED(4, 16, NAME, T)                                                                                              \
    CODED(8, 32, NAME, T)                                                                                              \
    CODED(8, 16, NAME, T)
FOR_BOTH(MAKE)
