// A mixture of experts: which of them a row goes through, how rows are grouped by expert for the products of grouped.cu, and the
// weighted sum of what these gave.
//
// Pairs of a row and one of its experts are put into tiles of one expert each, so that an expert's weights are read once
// for all rows of a tile, and not at all if none goes through it. How many tiles there are is known on the device only.
#include "common.cuh"

namespace {

// Experts that a layer may have.
constexpr uint32_t MOST = 1024;

} // namespace

// The experts of each row in their order, and their weights, [rows, used] each; NONE where a row has fewer. They are those of the
// `used` largest scores, [rows, experts], the first of equals; weights are the softmax of all scores, made to add up to one if
// `normalised`. One warp for each row.
extern "C" __global__ void route_f32(const float *scores, uint32_t *chosen, float *shares, uint32_t experts, uint32_t used,
                                     uint32_t normalised) {
    __shared__ float powers[MOST];
    __shared__ bool taken[MOST];
    const float *from = scores + (size_t)blockIdx.x * experts;
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
    for (uint32_t turn = 0; turn < used; turn++) {
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
    uint32_t *to = chosen + (size_t)blockIdx.x * used;
    float *share = shares + (size_t)blockIdx.x * used;
    uint32_t found = 0;
    for (uint32_t first = 0; first < experts; first += 32) {
        const uint32_t expert = first + lane;
        const bool own = expert < experts && taken[expert];
        const uint32_t those = __ballot_sync(0xffffffffu, own);
        if (own) {
            const uint32_t at = found + __popc(those & ((1u << lane) - 1));
            to[at] = expert;
            share[at] = powers[expert] * scale;
        }
        found += __popc(those);
    }
    for (uint32_t at = found + lane; at < used; at += 32) to[at] = NONE;
}

// Puts pairs into tiles: `tiles` [most] the expert of each, or NONE; `slots` [most, height] which pairs, or NONE. In which
// order an expert's pairs stand is left to chance, and changes nothing. One block of 1024 threads.
extern "C" __global__ void __launch_bounds__(1024) group_pairs(const uint32_t *chosen, uint32_t pairs, uint32_t *tiles,
                                                               uint32_t *slots, uint32_t most, uint32_t height) {
    __shared__ uint32_t places[MOST];
    __shared__ uint32_t sums[32];
    const uint32_t own = threadIdx.x, lane = own % 32, warp = own / 32;
    places[own] = 0;
    for (uint32_t i = own; i < most * height; i += 1024) slots[i] = NONE;
    __syncthreads();
    for (uint32_t i = own; i < pairs; i += 1024)
        if (chosen[i] != NONE) atomicAdd(&places[chosen[i]], 1u);
    __syncthreads();
    // A thread for each expert: its tiles come after those of the experts before it.
    const uint32_t count = (places[own] + height - 1) / height;
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
    places[own] = (end - count) * height;
    __syncthreads();
    for (uint32_t i = own; i < pairs; i += 1024)
        if (chosen[i] != NONE) slots[atomicAdd(&places[chosen[i]], 1u)] = i;
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

#define MAKE(NAME, T)                                                                                                  \
    extern "C" __global__ void mix_experts_##NAME(const T *given, const uint32_t *chosen, const float *shares, T *out, \
                                                  uint32_t width, uint32_t used) {                                     \
        mix_experts<T>(given, chosen, shares, out, width, used);                                                       \
    }
FOR_BOTH(MAKE)
