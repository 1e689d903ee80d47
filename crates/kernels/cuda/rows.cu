// What is done to each row by itself: embedding, norms, activations, bias.
#include "common.cuh"

namespace {

// The rows of the embedding that a batch's tokens name, as f32: out [rows, width].
template <typename T>
__device__ __forceinline__ void embed(const T *table, float *out, const uint32_t *place, uint32_t width) {
    const uint32_t token = place[place[TOKENS_AT] + blockIdx.x];
    const uint4 *from = reinterpret_cast<const uint4 *>(table + (size_t)token * width);
    float4 *to = reinterpret_cast<float4 *>(out + (size_t)blockIdx.x * width);
    for (uint32_t i = threadIdx.x; i < width / 8; i += blockDim.x) {
        float x[8];
        widen8<T>(from[i], x);
        to[2 * i] = make_float4(x[0], x[1], x[2], x[3]);
        to[2 * i + 1] = make_float4(x[4], x[5], x[6], x[7]);
    }
}

// `residual += x` if there is an x, then out = residual / sqrt(mean(residual²) + eps) * weight; all [rows, width].
// Each thread keeps what it has read in registers: at most VALUES float4.
constexpr int VALUES = 8;

template <typename T>
__device__ __forceinline__ void add_rms_norm(float *residual, const T *x, const float *weight, T *out, uint32_t width,
                                             float eps) {
    __shared__ float scratch[32];
    float4 *row = reinterpret_cast<float4 *>(residual + (size_t)blockIdx.x * width);
    const uint2 *add = x ? reinterpret_cast<const uint2 *>(x + (size_t)blockIdx.x * width) : nullptr;
    uint2 *to = reinterpret_cast<uint2 *>(out + (size_t)blockIdx.x * width);
    using Two = typename Pair<T>::Type;
    float4 kept[VALUES];
    float squares = 0.0f;
#pragma unroll
    for (int v = 0; v < VALUES; v++) {
        const uint32_t i = v * blockDim.x + threadIdx.x;
        if (i >= width / 4) break;
        float4 one = row[i];
        if (add) {
            const uint2 two = add[i];
            const float2 a = Pair<T>::widen(*reinterpret_cast<const Two *>(&two.x));
            const float2 b = Pair<T>::widen(*reinterpret_cast<const Two *>(&two.y));
            one = make_float4(one.x + a.x, one.y + a.y, one.z + b.x, one.w + b.y);
            row[i] = one;
        }
        squares += one.x * one.x + one.y * one.y + one.z * one.z + one.w * one.w;
        kept[v] = one;
    }
    const float scale = rsqrtf(block_sum(squares, scratch) / width + eps);
#pragma unroll
    for (int v = 0; v < VALUES; v++) {
        const uint32_t i = v * blockDim.x + threadIdx.x;
        if (i >= width / 4) break;
        const float4 one = kept[v], w = reinterpret_cast<const float4 *>(weight)[i];
        const Two a = Pair<T>::narrow(one.x * scale * w.x, one.y * scale * w.y);
        const Two b = Pair<T>::narrow(one.z * scale * w.z, one.w * scale * w.w);
        to[i] = make_uint2(*reinterpret_cast<const uint32_t *>(&a), *reinterpret_cast<const uint32_t *>(&b));
    }
}

__device__ __forceinline__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

// 0: SiLU, 1: GELU by tanh, 2: GELU
__device__ __forceinline__ float activate(float x, uint32_t kind) {
    if (kind == 0) return x * sigmoid(x);
    if (kind == 1) return x * sigmoid(2.0f * 0.7978845608f * (x + 0.044715f * x * x * x));
    return 0.5f * x * (1.0f + erff(x * 0.7071067811865476f));
}

// activation(gate) * up of gate_up [rows, 2 * width]: out [rows, width].
template <typename T>
__device__ __forceinline__ void gated(const T *gate_up, T *out, uint32_t width, uint32_t kind) {
    const uint4 *gate = reinterpret_cast<const uint4 *>(gate_up + (size_t)blockIdx.y * 2 * width);
    const uint4 *up = reinterpret_cast<const uint4 *>(gate_up + (size_t)blockIdx.y * 2 * width + width);
    uint4 *to = reinterpret_cast<uint4 *>(out + (size_t)blockIdx.y * width);
    const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= width / 8) return;
    float a[8], b[8];
    widen8<T>(gate[i], a);
    widen8<T>(up[i], b);
#pragma unroll
    for (int j = 0; j < 8; j++) a[j] = activate(a[j], kind) * b[j];
    to[i] = narrow8<T>(a);
}

// x += bias for each row; x [rows, width].
template <typename T> __device__ __forceinline__ void add_bias(T *x, const float *bias, uint32_t width) {
    using Two = typename Pair<T>::Type;
    Two *row = reinterpret_cast<Two *>(x + (size_t)blockIdx.y * width);
    const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= width / 2) return;
    const float2 one = Pair<T>::widen(row[i]), add = reinterpret_cast<const float2 *>(bias)[i];
    row[i] = Pair<T>::narrow(one.x + add.x, one.y + add.y);
}

// `residual += x` if there is an x, then out = (residual - mean) / sqrt(variance + eps) * weight + bias; all [rows, width].
template <typename T>
__device__ __forceinline__ void add_layer_norm(float *residual, const T *x, const float *weight, const float *bias,
                                               T *out, uint32_t width, float eps) {
    __shared__ float scratch[32];
    const size_t at = (size_t)blockIdx.x * width;
    float sum = 0.0f;
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x) {
        if (x) residual[at + i] += widen(x[at + i]);
        sum += residual[at + i];
    }
    const float mean = block_sum(sum, scratch) / width;
    float squares = 0.0f;
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x) {
        const float off = residual[at + i] - mean;
        squares += off * off;
    }
    const float scale = rsqrtf(block_sum(squares, scratch) / width + eps);
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x) {
        out[at + i] = narrow<T>((residual[at + i] - mean) * scale * weight[i] + bias[i]);
    }
}

// out = x / sqrt(mean(x²) + eps) * weight of what is to be added to the residual stream; all [rows, width].
template <typename T>
__device__ __forceinline__ void norm_update(const T *x, const float *weight, T *out, uint32_t width, float eps) {
    __shared__ float scratch[32];
    const size_t at = (size_t)blockIdx.x * width;
    float squares = 0.0f;
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x) {
        const float one = widen(x[at + i]);
        squares += one * one;
    }
    const float scale = rsqrtf(block_sum(squares, scratch) / width + eps);
    for (uint32_t i = threadIdx.x; i < width; i += blockDim.x) {
        out[at + i] = narrow<T>(widen(x[at + i]) * scale * weight[i]);
    }
}

// `random_weight` of backend.rs.
template <typename T>
__device__ __forceinline__ void random(T *out, uint32_t count, uint32_t inputs, uint32_t seed) {
    const float scale = sqrtf(3.0f / inputs);
    for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
        out[i] = narrow<T>((static_cast<float>(hash(i, seed) >> 8) / 8388608.0f - 1.0f) * scale);
    }
}

} // namespace

// Rows of 16 bytes at a time, whatever they hold: those that a batch draws from, in its order.
extern "C" __global__ void select_rows(const uint4 *from, uint4 *to, const uint32_t *place, uint32_t chunks) {
    const uint4 *row = from + (size_t)place[place[DRAWS_AT] + blockIdx.x] * chunks;
    for (uint32_t i = threadIdx.x; i < chunks; i += blockDim.x) to[(size_t)blockIdx.x * chunks + i] = row[i];
}

// x = factor * x, or cap * tanh(x / cap) if `factor` is a cap.
extern "C" __global__ void scale_f32(float *x, uint32_t count, float factor, uint32_t is_cap) {
    for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
        x[i] = is_cap ? tanhf(x[i] / factor) * factor : x[i] * factor;
    }
}

// x += bias for each row; x [rows, width].
extern "C" __global__ void add_bias_f32(float *x, const float *bias, uint32_t width) {
    const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < width) x[(size_t)blockIdx.y * width + i] += bias[i];
}

#define MAKE(NAME, T)                                                                                                  \
    extern "C" __global__ void add_layer_norm_##NAME(float *residual, const T *x, const float *weight,                 \
                                                     const float *bias, T *out, uint32_t width, float eps) {           \
        add_layer_norm<T>(residual, x, weight, bias, out, width, eps);                                                 \
    }                                                                                                                  \
    extern "C" __global__ void norm_update_##NAME(const T *x, const float *weight, T *out, uint32_t width,             \
                                                  float eps) {                                                         \
        norm_update<T>(x, weight, out, width, eps);                                                                    \
    }                                                                                                                  \
    extern "C" __global__ void add_##NAME(float *residual, const T *x, uint32_t count) {                               \
        const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;                                                      \
        if (i < count) residual[i] += widen(x[i]);                                                                     \
    }                                                                                                                  \
    extern "C" __global__ void activate_##NAME(T *x, uint32_t count, uint32_t kind) {                                  \
        const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;                                                      \
        if (i < count) x[i] = narrow<T>(activate(widen(x[i]), kind));                                                  \
    }                                                                                                                  \
    extern "C" __global__ void embed_##NAME(const T *table, float *out, const uint32_t *place, uint32_t width) {       \
        embed<T>(table, out, place, width);                                                                            \
    }                                                                                                                  \
    extern "C" __global__ void add_rms_norm_##NAME(float *residual, const T *x, const float *weight, T *out,           \
                                                   uint32_t width, float eps) {                                        \
        add_rms_norm<T>(residual, x, weight, out, width, eps);                                                         \
    }                                                                                                                  \
    extern "C" __global__ void gated_##NAME(const T *gate_up, T *out, uint32_t width, uint32_t kind) {                 \
        gated<T>(gate_up, out, width, kind);                                                                           \
    }                                                                                                                  \
    extern "C" __global__ void random_##NAME(T *out, uint32_t count, uint32_t inputs, uint32_t seed) {                 \
        random<T>(out, count, inputs, seed);                                                                           \
    }                                                                                                                  \
    extern "C" __global__ void add_bias_##NAME(T *x, const float *bias, uint32_t width) { add_bias<T>(x, bias, width); }
FOR_BOTH(MAKE)
