// A random draw from one row by a block of 1024 threads: top-k, top-p and min-p without sorting.
//
// Tokens are put into buckets by how far they lie below the most probable one, each with its count and mass. The bucket
// in which top-k or top-p ends is searched by a radix descent over codes, which no two tokens share. What is left is
// everything from the code that was found on, and one pass in order of id draws from it.
#pragma once

#include "sample.cuh"

constexpr uint32_t DRAW_THREADS = 1024;
/// Each 1/32 wide in units of the exponent. What lies beyond the last one has a weight below 2^-45, which is 0.
constexpr uint32_t BUCKETS = 1024;
/// Tokens of one bucket that are searched in shared memory; of a fuller one the row is read again for every digit.
constexpr uint32_t LISTED = 3072;
constexpr uint32_t DIGITS = 256;

/// Counts and masses of `N` bins; a greater bin is more probable. 64-bit sums are kept in halves, because shared memory
/// adds 32 bits at a time.
template <uint32_t N>
struct Bins {
    uint32_t count[N], low[N], high[N];

    __device__ void clear() {
        for (uint32_t i = threadIdx.x; i < N; i += DRAW_THREADS) count[i] = low[i] = high[i] = 0;
        __syncthreads();
    }

    __device__ void add(uint32_t bin, uint64_t mass) {
        atomicAdd(&count[bin], 1u);
        const uint32_t part = static_cast<uint32_t>(mass);
        const uint32_t before = atomicAdd(&low[bin], part);
        const uint32_t upper = static_cast<uint32_t>(mass >> 32) + (before + part < before ? 1 : 0);
        if (upper > 0) atomicAdd(&high[bin], upper);
    }
};

/// The bin in which a sum, taken from the most probable bin on, reaches what is needed.
struct Crossing {
    uint32_t bin, count;
    uint64_t count_above, mass_above, mass;
};

/// What the threads of a block share.
struct Shared {
    Bins<BUCKETS> buckets;
    Bins<DIGITS> digits;
    uint64_t list[LISTED];
    uint64_t parts[32];
    Crossing crossing;
    uint64_t limit;
    uint32_t listed, token;
};

enum class Measure { COUNT, MASS };

/// Where the sum over bins reaches `need`, at least 1; bin NONE if it never does. All threads get the same answer.
template <uint32_t N>
__device__ Crossing cross(const Bins<N>& bins, Measure measure, uint64_t need, Shared& shared) {
    const bool has = threadIdx.x < N;
    const uint32_t bin = N - 1 - threadIdx.x;
    const uint32_t count = has ? bins.count[bin] : 0;
    const uint64_t mass = has ? static_cast<uint64_t>(bins.high[bin]) << 32 | bins.low[bin] : 0;
    if (threadIdx.x == 0) shared.crossing.bin = NONE;
    uint64_t total;
    const uint64_t count_above = block_scan(count, shared.parts, total) - count;
    const uint64_t mass_above = block_scan(mass, shared.parts, total) - mass;
    const uint64_t above = measure == Measure::MASS ? mass_above : count_above;
    const uint64_t own = measure == Measure::MASS ? mass : count;
    if (above < need && need <= above + own) shared.crossing = {bin, count, count_above, mass_above, mass};
    __syncthreads();
    const Crossing found = shared.crossing;
    __syncthreads();
    return found;
}

/// One row and how its tokens are weighed.
struct Row {
    const float* logits;
    uint32_t vocabulary;
    float largest, temperature, min_p;

    /// How far below the largest logit, in units of the exponent: at most 0.
    __device__ float depth(float logit) const { return __fdiv_rn(__fsub_rn(logit, largest), temperature); }

    /// More probable tokens lie in greater buckets; NONE for what has no mass.
    __device__ uint32_t bucket(float logit) const {
        const float depth = __fmul_rn(this->depth(logit), -32.0f);
        return depth < static_cast<float>(BUCKETS - 1) ? BUCKETS - 1 - __float2uint_rz(depth) : NONE;
    }

    __device__ uint64_t mass(float logit) const { return fixed(same_exp(depth(logit))); }

    /// The mass of a token if top-k, top-p and min-p leave it.
    __device__ uint64_t kept(float logit, uint32_t token, uint64_t limit) const {
        if (code_of(logit, token) < limit) return 0;
        const float weight = same_exp(depth(logit));
        return weight >= min_p ? fixed(weight) : 0;
    }

    /// Calls `visit(logit, token)` for each token, by all threads of the block together.
    template <class Visit>
    __device__ void each(Visit visit) const {
#pragma unroll 2
        for (uint32_t token = threadIdx.x * 4; token < vocabulary; token += DRAW_THREADS * 4) {
            const float4 four = load_four(logits, token, vocabulary);
            visit(four.x, token);
            visit(four.y, token + 1);
            visit(four.z, token + 2);
            visit(four.w, token + 3);
        }
    }
};

/// The tokens of one bucket.
struct Candidates {
    const Row& row;
    Shared& shared;
    uint32_t bucket;
    bool listed;

    __device__ Candidates(const Row& row, Shared& shared, uint32_t bucket, uint32_t count)
        : row(row), shared(shared), bucket(bucket), listed(count <= LISTED) {
        if (threadIdx.x == 0) shared.listed = 0;
        __syncthreads();
        if (listed) {
            row.each([&](float logit, uint32_t token) {
                if (row.bucket(logit) == bucket) shared.list[atomicAdd(&shared.listed, 1u)] = code_of(logit, token);
            });
        }
        __syncthreads();
    }

    template <class Visit>
    __device__ void each(Visit visit) const {
        if (listed) {
            for (uint32_t i = threadIdx.x; i < shared.listed; i += DRAW_THREADS) visit(shared.list[i]);
        } else {
            row.each([&](float logit, uint32_t token) {
                if (row.bucket(logit) == bucket) visit(code_of(logit, token));
            });
        }
    }
};

/// The code of the token at which the sum over a bucket's tokens, the most probable first, reaches `need`, which it does.
/// `mass` becomes the mass of these tokens.
__device__ uint64_t descend(const Row& row, Shared& shared, const Crossing& at, Measure measure, uint64_t need,
                            uint64_t& mass) {
    const Candidates candidates(row, shared, at.bin, at.count);
    uint64_t prefix = 0, known = 0;
    mass = 0;
    // The upper byte of the inverted id is the same for all.
    for (int shift = 56; shift >= 0; shift -= shift == 32 ? 16 : 8) {
        shared.digits.clear();
        candidates.each([&](uint64_t code) {
            if (((code ^ prefix) & known) != 0) return;
            shared.digits.add(code >> shift & 0xff, row.mass(logit_of(static_cast<uint32_t>(code >> 32))));
        });
        __syncthreads();
        const Crossing found = cross(shared.digits, measure, need, shared);
        need -= measure == Measure::MASS ? found.mass_above : found.count_above;
        mass += found.mass_above;
        prefix |= static_cast<uint64_t>(found.bin) << shift;
        known |= static_cast<uint64_t>(0xff) << shift;
        if (found.count == 1) {
            mass += found.mass;
            break;
        }
    }
    candidates.each([&](uint64_t code) {
        if (((code ^ prefix) & known) == 0) shared.limit = code;
    });
    __syncthreads();
    const uint64_t limit = shared.limit;
    __syncthreads();
    return limit;
}

/// The least code that top-k and top-p leave; 0 leaves all.
__device__ uint64_t nucleus(const Row& row, Shared& shared, const DrawSpec& spec) {
    const bool by_count = spec.top_k > 0 && spec.top_k < row.vocabulary;
    if (!by_count && spec.top_p >= 1.0f) return 0;
    shared.buckets.clear();
    row.each([&](float logit, uint32_t token) {
        const uint32_t bucket = row.bucket(logit);
        if (bucket != NONE) shared.buckets.add(bucket, row.mass(logit));
    });
    __syncthreads();
    uint64_t limit = 0, total;
    const uint64_t mass = static_cast<uint64_t>(shared.buckets.high[threadIdx.x]) << 32 | shared.buckets.low[threadIdx.x];
    block_scan(mass, shared.parts, total);
    if (by_count) {
        const Crossing found = cross(shared.buckets, Measure::COUNT, spec.top_k, shared);
        if (found.bin != NONE) {
            limit = descend(row, shared, found, Measure::COUNT, spec.top_k - found.count_above, total);
            total += found.mass_above;
        }
    }
    if (spec.top_p < 1.0f) {
        const double share = __dmul_rn(static_cast<double>(spec.top_p), __ull2double_rn(total));
        const uint64_t whole = __double2ull_ru(share);
        const uint64_t enough = whole < 1 ? 1 : whole < total ? whole : total;
        const Crossing found = cross(shared.buckets, Measure::MASS, enough, shared);
        uint64_t unused;
        // No token past the k-th is reached: the first k have `total` between them.
        if (found.bin != NONE) limit = descend(row, shared, found, Measure::MASS, enough - found.mass_above, unused);
    }
    return limit;
}

/// Draws by the inverse of the cumulative distribution, in order of id; `best` if nothing has any mass.
__device__ uint32_t draw(const Row& row, Shared& shared, const DrawSpec& spec, uint32_t best) {
    const uint64_t limit = nucleus(row, shared, spec);
    const uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    // Each warp sums a region of its own; whole groups of 128 tokens, so that loads stay aligned.
    const uint32_t region = ((row.vocabulary + 31) / 32 + 127) / 128 * 128;
    const auto four_kept = [&](uint32_t token, uint64_t kept[4]) {
        const float4 four = load_four(row.logits, token, row.vocabulary);
        kept[0] = row.kept(four.x, token, limit);
        kept[1] = row.kept(four.y, token + 1, limit);
        kept[2] = row.kept(four.z, token + 2, limit);
        kept[3] = row.kept(four.w, token + 3, limit);
        return kept[0] + kept[1] + kept[2] + kept[3];
    };
    const uint32_t until = min((warp + 1) * region, row.vocabulary);
    uint64_t sum = 0, kept[4];
#pragma unroll 2
    for (uint32_t token = warp * region + lane * 4; token < until; token += 128) sum += four_kept(token, kept);
    sum = warp_sum(sum);
    uint64_t total;
    const uint64_t through = block_scan(lane == 0 ? sum : 0, shared.parts, total);
    // The share `u` of the whole, rounded down: a sum of whole numbers passes one exactly when it passes the other.
    uint64_t target = __umul64hi(random_bits(spec.seed, spec.position) << 11, total);
    if (threadIdx.x == 0) shared.token = best, shared.listed = NONE;
    __syncthreads();
    if (lane == 0 && through - sum <= target && target < through) shared.listed = warp, shared.limit = through - sum;
    __syncthreads();
    const uint32_t chosen = shared.listed;
    if (chosen == NONE) return best;
    target -= shared.limit;
    for (uint32_t first = chosen * region; first < (chosen + 1) * region; first += DRAW_THREADS * 4) {
        const uint32_t token = first + threadIdx.x * 4;
        const uint64_t own = token < min((chosen + 1) * region, row.vocabulary) ? four_kept(token, kept) : 0;
        uint64_t here;
        uint64_t before = block_scan(own, shared.parts, here) - own;
        if (before <= target && target < before + own) {
            uint32_t at = 0;
            while (before + kept[at] <= target) before += kept[at++];
            shared.token = token + at;
        }
        if (target < here) break;
        target -= here;
    }
    __syncthreads();
    return shared.token;
}
