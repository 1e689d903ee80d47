// What all kernels share: numbers of 16 bits, vector loads, and the header of a batch's indices.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>

// Marks an index as absent.
constexpr uint32_t NONE = 0xffffffffu;
// Tokens in a block of the paged cache; the same as BLOCK in layout.rs.
constexpr uint32_t BLOCK = 32;

// Words at the beginning of a batch's indices, as place.rs writes them. Those named *_AT are offsets in words.
enum Header : uint32_t {
    TOKENS_AT = 0,
    POSITIONS_AT = 1,
    SLOTS_AT = 2,
    DRAWS_AT = 3,
    UNITS_AT = 4,
    UNITS = 5,
    ENTRIES_AT = 6,
    BLOCKS_AT = 7,
    MERGES_AT = 8,
    MERGES = 9,
    // The routing of adapters lies where words 10 and 11 say, see lora.cu.
};

template <typename T> struct Pair;
template <> struct Pair<__half> {
    using Type = __half2;
    static __device__ __forceinline__ float2 widen(__half2 x) { return __half22float2(x); }
    static __device__ __forceinline__ __half2 narrow(float a, float b) { return __floats2half2_rn(a, b); }
};
template <> struct Pair<__nv_bfloat16> {
    using Type = __nv_bfloat162;
    static __device__ __forceinline__ float2 widen(__nv_bfloat162 x) { return __bfloat1622float2(x); }
    static __device__ __forceinline__ __nv_bfloat162 narrow(float a, float b) { return __floats2bfloat162_rn(a, b); }
};

// Two neighbours in one word.
template <typename T> __device__ __forceinline__ uint32_t pack(float a, float b) {
    const typename Pair<T>::Type two = Pair<T>::narrow(a, b);
    return *reinterpret_cast<const uint32_t *>(&two);
}
template <typename T> __device__ __forceinline__ float2 unpack(uint32_t pair) {
    return Pair<T>::widen(*reinterpret_cast<const typename Pair<T>::Type *>(&pair));
}

__device__ __forceinline__ float widen(__half x) { return __half2float(x); }
__device__ __forceinline__ float widen(__nv_bfloat16 x) { return __bfloat162float(x); }
__device__ __forceinline__ float widen(float x) { return x; }

template <typename T> __device__ __forceinline__ T narrow(float x);
template <> __device__ __forceinline__ __half narrow<__half>(float x) { return __float2half_rn(x); }
template <> __device__ __forceinline__ __nv_bfloat16 narrow<__nv_bfloat16>(float x) { return __float2bfloat16_rn(x); }
template <> __device__ __forceinline__ float narrow<float>(float x) { return x; }

template <typename T> constexpr float LARGEST = 0.0f;
template <> constexpr float LARGEST<__half> = 65504.0f;
template <> constexpr float LARGEST<__nv_bfloat16> = 3.3895313892515355e38f;

// Rounds to nearest; what is too large becomes the largest finite value. An infinity in the cache would spoil rows that
// give it no weight.
template <typename T> __device__ __forceinline__ T narrow_finite(float x) {
    return narrow<T>(fminf(fmaxf(x, -LARGEST<T>), LARGEST<T>));
}

// Eight numbers of 16 bits from one load of 16 bytes.
template <typename T> __device__ __forceinline__ void widen8(const uint4 &from, float (&to)[8]) {
    const typename Pair<T>::Type *pairs = reinterpret_cast<const typename Pair<T>::Type *>(&from);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const float2 two = Pair<T>::widen(pairs[i]);
        to[2 * i] = two.x;
        to[2 * i + 1] = two.y;
    }
}

template <typename T> __device__ __forceinline__ uint4 narrow8(const float (&from)[8]) {
    uint4 to;
    typename Pair<T>::Type *pairs = reinterpret_cast<typename Pair<T>::Type *>(&to);
#pragma unroll
    for (int i = 0; i < 4; i++) pairs[i] = Pair<T>::narrow(from[2 * i], from[2 * i + 1]);
    return to;
}

__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
    for (int step = 16; step > 0; step >>= 1) x += __shfl_xor_sync(0xffffffffu, x, step);
    return x;
}

// The sum over a block of at most 1024 threads, in every thread. `scratch` holds 32 floats.
__device__ __forceinline__ float block_sum(float x, float *scratch) {
    x = warp_sum(x);
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = (blockDim.x + 31) / 32;
    if (lane == 0) scratch[warp] = x;
    __syncthreads();
    x = warp_sum(lane < warps ? scratch[lane] : 0.0f);
    __syncthreads();
    return x;
}

// A random number for each index: Wellons' triple32, as in `random_weight` of backend.rs.
__device__ __forceinline__ uint32_t hash(uint32_t index, uint32_t seed) {
    uint32_t x = index + seed * 0x9E3779B9u;
    x = (x ^ (x >> 17)) * 0xED5AD4BBu;
    x = (x ^ (x >> 11)) * 0xAC4C1B51u;
    x = (x ^ (x >> 15)) * 0x31848BABu;
    return x ^ (x >> 14);
}

// Makes `NAME_f16` and `NAME_bf16` of the template `NAME`.
#define FOR_BOTH(MAKE) MAKE(f16, __half) MAKE(bf16, __nv_bfloat16)
