// A mixture of experts: which of them a row goes through, what these make of it, and the weighted sum of that.
//
// Few rows are paired with their experts, and pairs are grouped by expert into tiles of 16, the height of a tensor core's
// product, so that an expert's weights are read once for 16 of its rows, and not at all if none goes through it. How many
// tiles there are is known on the device only: as many blocks start as there may be, and those without a tile end at once.
// A pair's result does not depend on the others of its tile.
#include "ptx.cuh"

namespace {

// Experts that a layer may have.
constexpr uint32_t MOST = 1024;
// Pairs of a tile, outputs of a block, and its warps, which share the inputs.
constexpr uint32_t PAIRS = 16, OUTPUTS = 32, WARPS = 8;

} // namespace

// The softmax of each row's scores, of which the `used` largest are kept, the first of equals, and made to add up to one
// if `normalised`; the others become 0. Both [rows, experts]; one warp for each row.
extern "C" __global__ void route_f32(const float *scores, float *weights, uint32_t experts, uint32_t used,
                                     uint32_t normalised) {
    __shared__ float powers[MOST];
    __shared__ bool taken[MOST];
    const float *from = scores + (size_t)blockIdx.x * experts;
    float *to = weights + (size_t)blockIdx.x * experts;
    const uint32_t lane = threadIdx.x;
    float top = -INFINITY;
    for (uint32_t i = lane; i < experts; i += 32) top = fmaxf(top, from[i]);
#pragma unroll
    for (int step = 16; step > 0; step >>= 1) top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, step));
    float all = 0.0f;
    for (uint32_t i = lane; i < experts; i += 32) {
        powers[i] = expf(from[i] - top);
        taken[i] = false;
        all += powers[i];
    }
    all = warp_sum(all);
    float kept = 0.0f;
    for (uint32_t chosen = 0; chosen < used; chosen++) {
        __syncwarp();
        float best = -1.0f;
        uint32_t index = NONE;
        for (uint32_t i = lane; i < experts; i += 32) {
            if (!taken[i] && powers[i] > best) {
                best = powers[i];
                index = i;
            }
        }
#pragma unroll
        for (int step = 16; step > 0; step >>= 1) {
            const float other = __shfl_xor_sync(0xffffffffu, best, step);
            const uint32_t place = __shfl_xor_sync(0xffffffffu, index, step);
            if (other > best || (other == best && place < index)) {
                best = other;
                index = place;
            }
        }
        // Scores that are no numbers choose nobody.
        if (index == NONE) break;
        if (lane == 0) taken[index] = true;
        kept += best;
    }
    __syncwarp();
    const float scale = 1.0f / (normalised ? kept : all);
    for (uint32_t i = lane; i < experts; i += 32) to[i] = taken[i] ? powers[i] * scale : 0.0f;
}

// The experts of each row in their order, and their weights, [rows, used] each, of the weights of all, [rows, experts]; NONE
// where a row has fewer. One warp for each row.
extern "C" __global__ void list_experts(const float *weights, uint32_t *chosen, float *shares, uint32_t experts,
                                        uint32_t used) {
    const float *from = weights + (size_t)blockIdx.x * experts;
    uint32_t *to = chosen + (size_t)blockIdx.x * used;
    float *share = shares + (size_t)blockIdx.x * used;
    const uint32_t lane = threadIdx.x;
    uint32_t found = 0;
    for (uint32_t first = 0; first < experts; first += 32) {
        const uint32_t expert = first + lane;
        const float weight = expert < experts ? from[expert] : 0.0f;
        const uint32_t all = __ballot_sync(0xffffffffu, weight != 0.0f);
        const uint32_t at = found + __popc(all & ((1u << lane) - 1));
        if (weight != 0.0f && at < used) {
            to[at] = expert;
            share[at] = weight;
        }
        found += __popc(all);
    }
    for (uint32_t at = found + lane; at < used; at += 32) to[at] = NONE;
}

// Puts pairs into tiles: `tiles` [most] the expert of each, or NONE; `slots` [most, PAIRS] which pairs, or NONE. In which
// order an expert's pairs stand is left to chance, and changes nothing. One block of 1024 threads.
extern "C" __global__ void __launch_bounds__(1024) group_pairs(const uint32_t *chosen, uint32_t pairs, uint32_t *tiles,
                                                               uint32_t *slots, uint32_t most) {
    __shared__ uint32_t places[MOST];
    __shared__ uint32_t sums[32];
    const uint32_t own = threadIdx.x, lane = own % 32, warp = own / 32;
    places[own] = 0;
    for (uint32_t i = own; i < most * PAIRS; i += 1024) slots[i] = NONE;
    __syncthreads();
    for (uint32_t i = own; i < pairs; i += 1024)
        if (chosen[i] != NONE) atomicAdd(&places[chosen[i]], 1u);
    __syncthreads();
    // A thread for each expert: its tiles come after those of the experts before it.
    const uint32_t count = (places[own] + PAIRS - 1) / PAIRS;
    uint32_t end = count;
#pragma unroll
    for (int step = 1; step < 32; step <<= 1) {
        const uint32_t before = __shfl_up_sync(0xffffffffu, end, step);
        end += lane >= step ? before : 0;
    }
    if (lane == 31) sums[warp] = end;
    __syncthreads();
    uint32_t total = 0;
    for (uint32_t i = 0; i < 32; i++) {
        end += i < warp ? sums[i] : 0;
        total += sums[i];
    }
    for (uint32_t tile = end - count; tile < end; tile++) tiles[tile] = own;
    for (uint32_t tile = total + own; tile < most; tile += 1024) tiles[tile] = NONE;
    places[own] = (end - count) * PAIRS;
    __syncthreads();
    for (uint32_t i = own; i < pairs; i += 1024)
        if (chosen[i] != NONE) slots[atomicAdd(&places[chosen[i]], 1u)] = i;
}

// y [pairs, outputs]: of each pair, row `pair / share` of x [.., inputs] times the transpose of its expert's matrix `part`,
// whose address is in `table` [experts, 2].
template <typename T>
__device__ __forceinline__ void expert_product(const T *x, const uint64_t *table, T *y, const uint32_t *tiles,
                                               const uint32_t *slots, uint32_t outputs, uint32_t inputs, uint32_t share,
                                               uint32_t part) {
    __shared__ float partial[WARPS][PAIRS][OUTPUTS + 1];
    const uint32_t expert = tiles[blockIdx.y];
    if (expert == NONE) return;
    const uint32_t warp = threadIdx.x / 32, group = threadIdx.x % 32 / 4, place = threadIdx.x % 4;
    const uint32_t *pairs = slots + blockIdx.y * PAIRS;
    const uint32_t first = blockIdx.x * OUTPUTS;
    const T *weights = reinterpret_cast<const T *>(table[expert * 2 + part]);
    const auto row_of = [&](uint32_t pair) { return pair == NONE ? nullptr : x + (size_t)(pair / share) * inputs; };
    const T *upper = row_of(pairs[group]), *lower = row_of(pairs[group + 8]);
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
        for (uint32_t tile = 0; tile < OUTPUTS / 8; tile++) {
            const uint32_t output = first + tile * 8 + group;
            const bool wanted = inside && output < outputs;
            w[tile] = wanted ? __ldg(reinterpret_cast<const uint4 *>(weights + (size_t)output * inputs + at)) : none;
        }
        const uint4 a = inside && upper ? __ldg(reinterpret_cast<const uint4 *>(upper + at)) : none;
        const uint4 b = inside && lower ? __ldg(reinterpret_cast<const uint4 *>(lower + at)) : none;
        const uint32_t front[4] = {a.x, b.x, a.y, b.y}, back[4] = {a.z, b.z, a.w, b.w};
#pragma unroll
        for (uint32_t tile = 0; tile < OUTPUTS / 8; tile++) {
            multiply<T>(sums[tile], front, w[tile].x, w[tile].y);
            multiply<T>(sums[tile], back, w[tile].z, w[tile].w);
        }
    }
#pragma unroll
    for (uint32_t tile = 0; tile < OUTPUTS / 8; tile++)
#pragma unroll
        for (uint32_t i = 0; i < 4; i++) partial[warp][group + i / 2 * 8][tile * 8 + place * 2 + i % 2] = sums[tile][i];
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < PAIRS * OUTPUTS; i += WARPS * 32) {
        const uint32_t row = i / OUTPUTS, output = i % OUTPUTS;
        if (pairs[row] == NONE || first + output >= outputs) continue;
        float sum = 0.0f;
#pragma unroll
        for (uint32_t w = 0; w < WARPS; w++) sum += partial[w][row][output];
        y[(size_t)pairs[row] * outputs + first + output] = narrow<T>(sum);
    }
}

// out [rows, width]: the weighted sum of what a row's experts gave, [rows, used, width], in their order.
template <typename T>
__device__ __forceinline__ void mix_experts(const T *given, const uint32_t *chosen, const float *shares, T *out,
                                            uint32_t width, uint32_t used) {
    const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= width) return;
    float sum = 0.0f;
    for (uint32_t at = blockIdx.y * used; at < (blockIdx.y + 1) * used; at++)
        if (chosen[at] != NONE) sum += shares[at] * widen(given[(size_t)at * width + i]);
    out[(size_t)blockIdx.y * width + i] = narrow<T>(sum);
}

// sum += weights[.., expert] * given, or sum = that for the first expert; `sum` and `given` [rows, width].
template <typename T>
__device__ __forceinline__ void add_expert(float *sum, const T *given, const float *weights, uint32_t width,
                                           uint32_t experts, uint32_t expert) {
    const float weight = weights[(size_t)blockIdx.y * experts + expert];
    const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= width) return;
    const size_t at = (size_t)blockIdx.y * width + i;
    const float before = expert == 0 ? 0.0f : sum[at];
    // What an expert makes of a row that does not go through it may be no number.
    sum[at] = weight == 0.0f ? before : before + weight * widen(given[at]);
}

#define MAKE(NAME, T)                                                                                                  \
    extern "C" __global__ void __launch_bounds__(WARPS * 32)                                                           \
    expert_product_##NAME(const T *x, const uint64_t *table, T *y, const uint32_t *tiles, const uint32_t *slots,       \
                          uint32_t outputs, uint32_t inputs, uint32_t share, uint32_t part) {                          \
        expert_product<T>(x, table, y, tiles, slots, outputs, inputs, share, part);                                    \
    }                                                                                                                  \
    extern "C" __global__ void mix_experts_##NAME(const T *given, const uint32_t *chosen, const float *shares, T *out, \
                                                  uint32_t width, uint32_t used) {                                     \
        mix_experts<T>(given, chosen, shares, out, width, used);                                                       \
    }                                                                                                                  \
    extern "C" __global__ void add_expert_##NAME(float *sum, const T *given, const float *weights, uint32_t width,     \
                                                 uint32_t experts, uint32_t expert) {                                  \
        add_expert<T>(sum, given, weights, width, experts, expert);                                                    \
    }                                                                                                                  \
    extern "C" __global__ void narrow_##NAME(const float *from, T *to, uint32_t count) {                               \
        const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;                                                      \
        if (i < count) to[i] = narrow<T>(from[i]);                                                                     \
    }
FOR_BOTH(MAKE)
