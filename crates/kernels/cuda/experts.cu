// A mixture of experts: which of them a row goes through, and the weighted sum of what they give.
#include "common.cuh"

namespace {

// Experts that a layer may have.
constexpr uint32_t MOST = 1024;

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
    extern "C" __global__ void add_expert_##NAME(float *sum, const T *given, const float *weights, uint32_t width,     \
                                                 uint32_t experts, uint32_t expert) {                                  \
        add_expert<T>(sum, given, weights, width, experts, expert);                                                    \
    }                                                                                                                  \
    extern "C" __global__ void narrow_##NAME(const float *from, T *to, uint32_t count) {                               \
        const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;                                                      \
        if (i < count) to[i] = narrow<T>(from[i]);                                                                     \
    }
FOR_BOTH(MAKE)
