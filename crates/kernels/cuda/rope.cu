// Norm of each query and key head, rotary position embedding, and the write into the paged cache, in one pass.
#include "common.cuh"

namespace {

struct Rope {
    const void *qkv;          // [rows, (heads + 2 * kv heads) * dim]
    void *query;              // [rows, heads * dim]
    void *key;                // [blocks, kv heads, BLOCK, dim]
    void *value;              // [blocks, kv heads, BLOCK, dim]
    const float *query_norm;  // [dim] or null
    const float *key_norm;    // [dim] or null
    const float2 *table;      // [positions, pairs] cosine and sine
    const uint32_t *place;
    uint32_t heads, kv_heads, dim, pairs;
    uint32_t halves;          // 1: element i turns with i + pairs; 0: with its neighbour
    float eps;
};

// One warp for each head of a row.
template <typename T> __device__ __forceinline__ void rope_write(const Rope &call) {
    const uint32_t all = call.heads + 2 * call.kv_heads, row = blockIdx.x, lane = threadIdx.x % 32, dim = call.dim;
    const uint32_t *place = call.place;
    const uint32_t head = blockIdx.y * (blockDim.x / 32) + threadIdx.x / 32;
    if (head >= all) return;
    const bool is_query = head < call.heads, is_value = head >= call.heads + call.kv_heads;
    const T *from = static_cast<const T *>(call.qkv) + ((size_t)row * all + head) * dim;
    T *to;
    if (is_query) {
        to = static_cast<T *>(call.query) + ((size_t)row * call.heads + head) * dim;
    } else {
        const uint32_t slot = place[place[SLOTS_AT] + row];
        // A padding row has no slot.
        if (slot == NONE) return;
        const uint32_t kv = is_value ? head - call.heads - call.kv_heads : head - call.heads;
        T *pages = static_cast<T *>(is_value ? call.value : call.key);
        to = pages + (((size_t)(slot / BLOCK) * call.kv_heads + kv) * BLOCK + slot % BLOCK) * dim;
    }
    if (is_value) {
        for (uint32_t i = lane; i < dim; i += 32) to[i] = narrow_finite<T>(widen(from[i]));
        return;
    }
    const float2 *turns = call.table + (size_t)place[place[POSITIONS_AT] + row] * call.pairs;
    const float *norm = is_query ? call.query_norm : call.key_norm;
    float scale = 1.0f;
    if (norm) {
        float squares = 0.0f;
        for (uint32_t i = lane; i < dim; i += 32) {
            const float x = widen(from[i]);
            squares += x * x;
        }
        scale = rsqrtf(warp_sum(squares) / dim + call.eps);
    }
    const auto element = [&](uint32_t i) { return widen(from[i]) * (norm ? scale * norm[i] : 1.0f); };
    for (uint32_t i = lane; i < call.pairs; i += 32) {
        const uint32_t first = call.halves ? i : 2 * i, second = call.halves ? i + call.pairs : 2 * i + 1;
        const float a = element(first), b = element(second);
        const float2 turn = turns[i];
        to[first] = narrow_finite<T>(a * turn.x - b * turn.y);
        to[second] = narrow_finite<T>(a * turn.y + b * turn.x);
    }
    for (uint32_t i = 2 * call.pairs + lane; i < dim; i += 32) to[i] = narrow_finite<T>(element(i));
}

} // namespace

#define MAKE(NAME, T)                                                                                                  \
    extern "C" __global__ void rope_write_##NAME(const __grid_constant__ Rope call) { rope_write<T>(call); }
FOR_BOTH(MAKE)
