// What both sampling kernels share: the step's draws as they are uploaded, codes, weights, and sums over a block.
//
// The words are laid out as in src/sample/spec.rs, and every function here has its twin in src/sample/plain.rs, which
// gives the same bits: floats are rounded as IEEE 754 says, never contracted, and everything that threads add up is a
// whole number, so that the order in which they run changes nothing.
#pragma once

#include <math_constants.h>
#include <stdint.h>

constexpr uint32_t NONE = 0xffffffff;
/// Bits of DrawSpec::flags.
constexpr uint32_t WANT_LOGPROB = 1, ELSEWHERE = 2;
/// Bits of Edit::marks; the low half counts occurrences in the output.
constexpr uint32_t SEEN = 1u << 16, MASKED = 1u << 17;
/// Values of Drawn::status.
constexpr uint32_t DRAWN = 0, NOT_A_NUMBER = 1, NOTHING_LEFT = 2, NOT_HERE = 3;

/// Tokens that one block of the scan reads; the same for every batch, so that no sum depends on the batch.
constexpr uint32_t SEGMENT = 4096;

struct Header {
    uint32_t rows, edits_at, masks_at, mask_words, unused[4];
};

struct __align__(16) DrawSpec {
    float temperature, top_p, min_p, repetition_penalty;
    float frequency_penalty, presence_penalty;
    uint32_t top_k, forced;
    uint64_t seed, position;
    uint32_t flags, edits, edit_count, mask;
};

struct __align__(16) Edit {
    uint32_t token;
    float bias;
    uint32_t marks;
    /// The model's own logit, kept here when the row is written over.
    float own;
};

struct Drawn {
    uint32_t token, status;
    float logprob;
};

/// What the scan found in one segment of a row.
struct Segment {
    /// The greatest code after all edits.
    uint64_t best;
    /// Fixed-point sum of exp(logit - largest), over the model's own logits; only where it is asked for.
    uint64_t sum;
    /// The model's own largest logit.
    float largest;
    /// Whether a logit is not a number or positive infinity.
    uint32_t bad;
};

static_assert(sizeof(Header) == 32 && sizeof(DrawSpec) == 64 && sizeof(Edit) == 16, "as packed on the host");
static_assert(sizeof(Drawn) == 12 && sizeof(Segment) == 24, "as read on the host");

__device__ inline const Header& header_of(const unsigned char* step) { return *reinterpret_cast<const Header*>(step); }

__device__ inline const DrawSpec& spec_of(const unsigned char* step, uint32_t row) {
    return reinterpret_cast<const DrawSpec*>(step + sizeof(Header))[row];
}

__device__ inline Edit* edits_of(unsigned char* step, const DrawSpec& spec) {
    return reinterpret_cast<Edit*>(step + header_of(step).edits_at) + spec.edits;
}

/// The first of a row's edits, which ascend, whose token is at least `token`.
__device__ inline uint32_t edit_from(const Edit* edits, uint32_t count, uint32_t token) {
    uint32_t from = 0, until = count;
    while (from < until) {
        const uint32_t middle = (from + until) / 2;
        if (edits[middle].token < token) from = middle + 1;
        else until = middle;
    }
    return from;
}

/// Orders floats as whole numbers, as `f32::total_cmp` does.
__device__ inline uint32_t key_of(float logit) {
    const uint32_t bits = __float_as_uint(logit);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

__device__ inline float logit_of(uint32_t key) {
    return __uint_as_float(key & 0x80000000u ? key & 0x7fffffffu : ~key);
}

/// Greater for what is more probable; on a tie greater for the lower id. No two tokens of a row share one.
__device__ inline uint64_t code_of(float logit, uint32_t token) {
    return static_cast<uint64_t>(key_of(logit)) << 32 | ~token;
}

/// Four logits from `token` on, which is a multiple of four; negative infinity past the end.
__device__ inline float4 load_four(const float* row, uint32_t token, uint32_t vocabulary) {
    // Rows begin at multiples of 16 bytes where the vocabulary is a multiple of four.
    if (vocabulary % 4 == 0 && token + 4 <= vocabulary) return *reinterpret_cast<const float4*>(row + token);
    const auto at = [&](uint32_t id) { return id < vocabulary ? row[id] : -CUDART_INF_F; };
    return make_float4(at(token), at(token + 1), at(token + 2), at(token + 3));
}

/// e^x, with the same bits as the CPU's kernels give.
__device__ inline float same_exp(float x) {
    constexpr float LOWEST = -87.33654f;
    float bounded = LOWEST > x ? LOWEST : x;
    bounded = 88.37626f < bounded ? 88.37626f : bounded;
    const float n = rintf(__fmul_rn(bounded, 1.44269504088896340736f));
    float r = __fmaf_rn(n, -0.6933594f, bounded);
    r = __fmaf_rn(n, 2.1219444e-4f, r);
    float p = 1.9875691e-4f;
    p = __fmaf_rn(p, r, 1.3982e-3f);
    p = __fmaf_rn(p, r, 8.333452e-3f);
    p = __fmaf_rn(p, r, 4.1665796e-2f);
    p = __fmaf_rn(p, r, 1.6666665e-1f);
    p = __fmaf_rn(p, r, 0.5f);
    const float y = __fadd_rn(__fmaf_rn(p, __fmul_rn(r, r), r), 1.0f);
    const float power = __int_as_float((__float2int_rz(n) + 127) << 23);
    return x < LOWEST ? 0.0f : __fmul_rn(y, power);
}

/// A weight of at most 1 as a whole number of 2^-45: 393,216 of them add up to at most 1.5 times 2^63.
__device__ inline uint64_t fixed(float weight) {
    return weight > 0.0f ? __float2ull_rz(__fmul_rn(weight, 35184372088832.0f)) : 0;
}

/// A logit after bias, penalties and mask.
__device__ inline float adjusted(float logit, const Edit& edit, const DrawSpec& spec) {
    logit = __fadd_rn(logit, edit.bias);
    if (edit.marks & SEEN) {
        const float penalty = spec.repetition_penalty;
        logit = logit > 0.0f ? __fdiv_rn(logit, penalty) : __fmul_rn(logit, penalty);
    }
    const uint32_t occurrences = edit.marks & 0xffff;
    if (occurrences > 0) {
        const float frequency = __fmul_rn(spec.frequency_penalty, static_cast<float>(occurrences));
        logit = __fsub_rn(logit, __fadd_rn(frequency, spec.presence_penalty));
    }
    return edit.marks & MASKED ? -CUDART_INF_F : logit;
}

/// 53 random bits for an output position of a seed: Philox 4x32-10.
__device__ inline uint64_t random_bits(uint64_t seed, uint64_t position) {
    uint32_t c[4] = {static_cast<uint32_t>(position), static_cast<uint32_t>(position >> 32), 0, 0};
    uint32_t k[2] = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
    for (int round = 0; round < 10; round++) {
        const uint64_t first = static_cast<uint64_t>(0xD2511F53u) * c[0];
        const uint64_t second = static_cast<uint64_t>(0xCD9E8D57u) * c[2];
        const uint32_t next0 = static_cast<uint32_t>(second >> 32) ^ c[1] ^ k[0];
        const uint32_t next2 = static_cast<uint32_t>(first >> 32) ^ c[3] ^ k[1];
        c[0] = next0;
        c[1] = static_cast<uint32_t>(second);
        c[2] = next2;
        c[3] = static_cast<uint32_t>(first);
        k[0] += 0x9E3779B9u;
        k[1] += 0xBB67AE85u;
    }
    return static_cast<uint64_t>(c[0] >> 11) << 32 | c[1];
}

template <class T>
__device__ inline T warp_sum(T value) {
    for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(0xffffffff, value, distance);
    return value;
}

template <class T>
__device__ inline T warp_max(T value) {
    for (int distance = 16; distance > 0; distance /= 2) {
        const T other = __shfl_xor_sync(0xffffffff, value, distance);
        value = other > value ? other : value;
    }
    return value;
}

/// The sum over all threads up to and including this one, and over all of them in `total`, for 1024 threads.
///
/// `parts` is 32 shared words, free before and after.
__device__ inline uint64_t block_scan(uint64_t value, uint64_t* parts, uint64_t& total) {
    const uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    for (int distance = 1; distance < 32; distance *= 2) {
        const uint64_t before = __shfl_up_sync(0xffffffff, value, distance);
        if (lane >= distance) value += before;
    }
    if (lane == 31) parts[warp] = value;
    __syncthreads();
    uint64_t sums = parts[lane];
    for (int distance = 1; distance < 32; distance *= 2) {
        const uint64_t before = __shfl_up_sync(0xffffffff, sums, distance);
        if (lane >= distance) sums += before;
    }
    total = __shfl_sync(0xffffffff, sums, 31);
    const uint64_t before = __shfl_sync(0xffffffff, sums, warp > 0 ? warp - 1 : 0);
    __syncthreads();
    return warp > 0 ? value + before : value;
}
