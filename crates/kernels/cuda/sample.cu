// Draws tokens from logits, in the order that the engine's sampler fixes.
//
// Two kernels: the scan reads each row once, split over blocks, finds faults and the largest logit and writes edits and
// masks into the row; the draw, one block for each row, ends greedy rows at once and weighs the others' tokens.
#include "nucleus.cuh"

constexpr uint32_t SCAN_THREADS = 256;
constexpr uint32_t SCAN_WARPS = SCAN_THREADS / 32;
/// Groups of four logits that each thread of the scan holds.
constexpr uint32_t FOURS = SEGMENT / SCAN_THREADS / 4;

/// Grid [segments, rows], 256 threads. `logits` is [rows, vocabulary], `segments` [rows, gridDim.x].
extern "C" __global__ void __launch_bounds__(SCAN_THREADS)
sample_scan_f32(float* logits, unsigned char* step, Segment* segments, uint32_t vocabulary) {
    const Header& header = header_of(step);
    const uint32_t row = blockIdx.y, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    if (row >= header.rows) return;
    const DrawSpec& spec = spec_of(step, row);
    if (spec.flags & ELSEWHERE) return;
    __shared__ uint32_t edited[SEGMENT / 32];
    __shared__ Segment parts[SCAN_WARPS];
    const uint32_t first = blockIdx.x * SEGMENT, past = min(first + SEGMENT, vocabulary);
    logits += static_cast<size_t>(row) * vocabulary;
    Edit* edits = edits_of(step, spec);
    const uint32_t from = edit_from(edits, spec.edit_count, first), until = edit_from(edits, spec.edit_count, past);
    const uint32_t* mask = nullptr;
    if (spec.mask != NONE) mask = reinterpret_cast<const uint32_t*>(step + header.masks_at) + spec.mask;
    for (uint32_t i = threadIdx.x; i < SEGMENT / 32; i += SCAN_THREADS) edited[i] = 0;
    __syncthreads();
    for (uint32_t i = from + threadIdx.x; i < until; i += SCAN_THREADS) {
        const uint32_t at = edits[i].token - first;
        atomicOr(&edited[at / 32], 1u << at % 32);
    }
    const auto token_of = [&](uint32_t four) { return first + (four * SCAN_THREADS + threadIdx.x) * 4; };
    float own[FOURS][4];
#pragma unroll
    for (uint32_t four = 0; four < FOURS; four++) {
        const float4 loaded = load_four(logits, token_of(four), vocabulary);
        own[four][0] = loaded.x, own[four][1] = loaded.y, own[four][2] = loaded.z, own[four][3] = loaded.w;
    }
    // Everybody has read the model's own logits, and knows which are edited, before any is written over.
    __syncthreads();
    Segment found = {0, 0, -CUDART_INF_F, 0};
#pragma unroll
    for (uint32_t four = 0; four < FOURS; four++) {
        const uint32_t token = token_of(four);
        if (token >= vocabulary) continue;
        const uint32_t allowed = mask == nullptr ? 0xf : mask[token / 32] >> token % 32;
        const uint32_t waiting = edited[(token - first) / 32] >> token % 32;
        for (uint32_t i = 0; i < 4; i++) {
            const float logit = own[four][i];
            found.bad |= !(logit < CUDART_INF_F);
            found.largest = fmaxf(found.largest, logit);
            if (waiting >> i & 1) continue;
            if (allowed >> i & 1) {
                // Both zeros are equally large.
                const uint64_t code = code_of(__fadd_rn(logit, 0.0f), token + i);
                found.best = code > found.best ? code : found.best;
            } else if (token + i < vocabulary) {
                logits[token + i] = -CUDART_INF_F;
            }
        }
    }
    for (uint32_t i = from + threadIdx.x; i < until; i += SCAN_THREADS) {
        const uint32_t token = edits[i].token;
        const bool allowed = mask == nullptr || mask[token / 32] >> token % 32 & 1;
        const float logit = logits[token];
        edits[i].own = logit;
        const float value = allowed ? adjusted(logit, edits[i], spec) : -CUDART_INF_F;
        logits[token] = value;
        const uint64_t code = code_of(__fadd_rn(value, 0.0f), token);
        found.best = code > found.best ? code : found.best;
    }
    found.best = warp_max(found.best);
    found.largest = warp_max(found.largest);
    found.bad = __any_sync(0xffffffff, found.bad);
    if (lane == 0) parts[warp] = found;
    __syncthreads();
    for (uint32_t i = 0; i < SCAN_WARPS; i++) {
        found.best = parts[i].best > found.best ? parts[i].best : found.best;
        found.largest = fmaxf(parts[i].largest, found.largest);
        found.bad |= parts[i].bad;
    }
    if (spec.flags & WANT_LOGPROB) {
#pragma unroll
        for (uint32_t four = 0; four < FOURS; four++) {
            for (uint32_t i = 0; i < 4; i++) found.sum += fixed(same_exp(__fsub_rn(own[four][i], found.largest)));
        }
        found.sum = warp_sum(found.sum);
        __syncthreads();
        if (lane == 0) parts[warp].sum = found.sum;
        __syncthreads();
        found.sum = 0;
        for (uint32_t i = 0; i < SCAN_WARPS; i++) found.sum += parts[i].sum;
    }
    if (threadIdx.x == 0) segments[static_cast<size_t>(row) * gridDim.x + blockIdx.x] = found;
}

/// The log-probability of a token under the model's own distribution, by one warp.
__device__ float logprob_of(float own, float largest, const Segment* segments, uint32_t count, double* terms) {
    for (uint32_t i = threadIdx.x; i < count; i += 32) {
        const double scale = static_cast<double>(same_exp(__fsub_rn(segments[i].largest, largest)));
        terms[i] = __dmul_rn(__ull2double_rn(segments[i].sum), scale);
    }
    __syncwarp();
    double sum = 0.0;
    for (uint32_t i = 0; i < count; i++) sum = __dadd_rn(sum, terms[i]);
    // Sums count in units of 2^-45.
    sum = __dmul_rn(sum, 1.0 / 35184372088832.0);
    return static_cast<float>(static_cast<double>(__fsub_rn(own, largest)) - log(sum));
}

/// Grid [rows], 1024 threads. `logits` is [rows, vocabulary] as the scan left it, `segments` [rows, count], `drawn` [rows].
extern "C" __global__ void __launch_bounds__(DRAW_THREADS, 1)
sample_draw_f32(const float* logits, unsigned char* step, const Segment* segments, uint32_t count, Drawn* drawn,
                uint32_t vocabulary) {
    __shared__ Shared shared;
    __shared__ Segment whole;
    const uint32_t row = blockIdx.x;
    if (row >= header_of(step).rows) return;
    const DrawSpec spec = spec_of(step, row);
    if (spec.flags & ELSEWHERE) {
        if (threadIdx.x == 0) drawn[row] = {NONE, NOT_HERE, CUDART_NAN_F};
        return;
    }
    segments += static_cast<size_t>(row) * count;
    logits += static_cast<size_t>(row) * vocabulary;
    if (threadIdx.x < 32) {
        Segment found = {0, 0, -CUDART_INF_F, 0};
        for (uint32_t i = threadIdx.x; i < count; i += 32) {
            found.best = segments[i].best > found.best ? segments[i].best : found.best;
            found.largest = fmaxf(segments[i].largest, found.largest);
            found.bad |= segments[i].bad;
        }
        found.best = warp_max(found.best);
        found.largest = warp_max(found.largest);
        found.bad = __any_sync(0xffffffff, found.bad);
        if (threadIdx.x == 0) whole = found;
    }
    __syncthreads();
    const float highest = logit_of(static_cast<uint32_t>(whole.best >> 32));
    uint32_t token = ~static_cast<uint32_t>(whole.best), status = DRAWN;
    if (whole.bad) {
        status = NOT_A_NUMBER;
    } else if (spec.forced != NONE) {
        token = spec.forced;
    } else if (!(highest > -CUDART_INF_F)) {
        status = NOTHING_LEFT;
    } else if (spec.temperature > 0.0f) {
        token = draw({logits, vocabulary, highest, spec.temperature, spec.min_p}, shared, spec, token);
    }
    if (threadIdx.x >= 32) return;
    float logprob = CUDART_NAN_F;
    if (status == DRAWN && spec.flags & WANT_LOGPROB) {
        const Edit* edits = edits_of(step, spec);
        const uint32_t at = edit_from(edits, spec.edit_count, token);
        const bool edited = at < spec.edit_count && edits[at].token == token;
        const float own = edited ? edits[at].own : logits[token];
        // The list of candidates is done with: its memory holds a number for each segment.
        logprob = logprob_of(own, whole.largest, segments, count, reinterpret_cast<double*>(shared.list));
    }
    if (threadIdx.x == 0) drawn[row] = {status == DRAWN ? token : NONE, status, logprob};
}
