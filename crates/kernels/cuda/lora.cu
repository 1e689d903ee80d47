// Low-rank additions for many adapters in one batch: y += scale * (x A^T) B^T, each row with its own adapter's A and B.
//
// Rows are grouped by adapter into units of at most 16, the height of a tensor core's tile, so that an adapter's weights
// are read once for 16 rows. Every row takes the same way whether its unit is full or not, and sums run in an order that
// the widths alone fix: a row's result does not depend on its neighbours.
//
// Along the inner dimension, lanes take eight (A) or four (B) neighbouring elements at once and call them what the tile's
// layout asks for. Both operands are permuted alike, so the sums are the same.
#include "ptx.cuh"

/// Rows of a unit.
constexpr uint32_t UNIT = 16;
/// Ranks of one block of the first product.
constexpr uint32_t BLOCK_RANKS = 32;
constexpr uint32_t RANK_TILES = BLOCK_RANKS / 8;
constexpr uint32_t DOWN_WARPS = 16;
/// Inputs of one warp and of one block of the first product. Few for a warp: it is the wait for memory that takes time.
constexpr uint32_t WARP_INPUTS = 64, BLOCK_INPUTS = DOWN_WARPS * WARP_INPUTS;
constexpr uint32_t UP_WARPS = 8;
/// Columns of one warp and of one block of the second product.
constexpr uint32_t WARP_COLUMNS = 32, BLOCK_COLUMNS = UP_WARPS * WARP_COLUMNS;
constexpr uint32_t PARTS = 4;

/// As packed by src/cuda/place.rs at a multiple of 16 bytes: this, then units, then the rows of all units, which begin so
/// many words behind the beginning of the batch's indices.
struct Routing {
    uint32_t units, rows_at, unused[2];
};

/// `table` is the adapter's: an entry for each site and part, PARTS for each site.
struct Unit {
    uint32_t first, rows;
    uint64_t table;
};

/// An adapter's matrices for one part of a projection: A [rank, inputs], B [outputs, rank]. Rank 0 adds nothing.
struct Entry {
    uint64_t down, up;
    uint32_t rank;
    float scale;
    uint64_t unused;
};

static_assert(sizeof(Routing) == 16 && sizeof(Unit) == 16 && sizeof(Entry) == 32, "as packed on the host");

/// The batch's indices, and where among their header's words the place of the routing is said.
struct Indices {
    const uint32_t* words;
    uint32_t routing;
};

/// The unit of a block and which of its rows two lanes of the tile hold; false if there is no such unit.
struct Place {
    const uint32_t* rows;
    Unit unit;
    uint32_t group, lane;

    __device__ bool find(const Indices& indices, uint32_t index) {
        const Routing* routing = reinterpret_cast<const Routing*>(indices.words + indices.words[indices.routing]);
        if (index >= routing->units) return false;
        unit = reinterpret_cast<const Unit*>(routing + 1)[index];
        rows = indices.words + routing->rows_at + unit.first;
        group = threadIdx.x % 32 / 4;
        lane = threadIdx.x % 4;
        return true;
    }

    __device__ Entry entry(uint32_t index) const { return reinterpret_cast<const Entry*>(unit.table)[index]; }
};

/// hidden[split, position, part, rank] = x A^T over a block's share of the inputs and of the ranks.
template <class T>
__device__ void down(const T* x, const Indices& indices, uint32_t site, float* hidden, uint32_t inputs, uint32_t parts,
                     uint32_t positions, uint32_t rank_stride) {
    __shared__ float partial[DOWN_WARPS][UNIT][BLOCK_RANKS];
    Place place;
    const uint32_t shares = (rank_stride + BLOCK_RANKS - 1) / BLOCK_RANKS, warp = threadIdx.x / 32;
    const uint32_t first_rank = blockIdx.x % shares * BLOCK_RANKS, part = blockIdx.x / shares % parts;
    const uint32_t split = blockIdx.x / shares / parts;
    if (!place.find(indices, blockIdx.y)) return;
    const Entry entry = place.entry(site + part);
    if (entry.rank <= first_rank) return;
    const uint32_t ranks = min(entry.rank - first_rank, BLOCK_RANKS);
    const auto row_of = [&](uint32_t row) -> const T* {
        return row < place.unit.rows ? x + static_cast<size_t>(place.rows[row]) * inputs : nullptr;
    };
    const T* upper = row_of(place.group);
    const T* lower = row_of(place.group + 8);
    const T* weights = reinterpret_cast<const T*>(entry.down) + static_cast<size_t>(first_rank + place.group) * inputs;
    const uint4 none = make_uint4(0, 0, 0, 0);
    float sums[RANK_TILES][4] = {};
    const uint32_t first = split * BLOCK_INPUTS + warp * WARP_INPUTS + place.lane * 8;
    const uint32_t past = min(inputs, first - place.lane * 8 + WARP_INPUTS);
#pragma unroll
    for (uint32_t step = 0; step < WARP_INPUTS; step += 32) {
        const uint32_t at = first + step;
        const bool inside = at < past;
        const uint4 a = inside && upper ? *reinterpret_cast<const uint4*>(upper + at) : none;
        const uint4 b = inside && lower ? *reinterpret_cast<const uint4*>(lower + at) : none;
        const uint32_t front[4] = {a.x, b.x, a.y, b.y}, back[4] = {a.z, b.z, a.w, b.w};
#pragma unroll
        for (uint32_t tile = 0; tile < RANK_TILES; tile++) {
            if (tile * 8 >= ranks) continue;
            const T* from = weights + static_cast<size_t>(tile) * 8 * inputs + at;
            const uint4 w = inside ? *reinterpret_cast<const uint4*>(from) : none;
            multiply<T>(sums[tile], front, w.x, w.y);
            multiply<T>(sums[tile], back, w.z, w.w);
        }
    }
#pragma unroll
    for (uint32_t tile = 0; tile < RANK_TILES; tile++) {
        if (tile * 8 >= ranks) continue;
        for (uint32_t i = 0; i < 4; i++) {
            partial[warp][place.group + i / 2 * 8][tile * 8 + place.lane * 2 + i % 2] = sums[tile][i];
        }
    }
    __syncthreads();
    const size_t position = static_cast<size_t>(split) * positions + place.unit.first;
    for (uint32_t i = threadIdx.x; i < place.unit.rows * ranks; i += blockDim.x) {
        const uint32_t row = i / ranks, rank = i % ranks;
        float sum = 0.0f;
        for (uint32_t warp = 0; warp < DOWN_WARPS; warp++) sum += partial[warp][row][rank];
        hidden[((position + row) * parts + part) * rank_stride + first_rank + rank] = sum;
    }
}

/// Eight neighbouring columns of y, wide.
template <class T>
__device__ void add_eight(T* y, const float add[8]) {
    uint4 words = *reinterpret_cast<const uint4*>(y);
    uint32_t* pairs = reinterpret_cast<uint32_t*>(&words);
    for (uint32_t i = 0; i < 4; i++) {
        const float2 old = unpack<T>(pairs[i]);
        pairs[i] = pack<T>(old.x + add[2 * i], old.y + add[2 * i + 1]);
    }
    *reinterpret_cast<uint4*>(y) = words;
}

/// Where the columns of each part end in a row of y. The last part ends with the row, and all that are not there.
struct Columns {
    uint32_t ends[PARTS], parts;
};

/// y[row, columns of the part] += scale * hidden B^T.
template <class T>
__device__ void up(const float* hidden, const Indices& indices, uint32_t site, T* y, const Columns& columns,
                   uint32_t splits, uint32_t positions, uint32_t rank_stride) {
    Place place;
    const uint32_t parts = columns.parts, warp = threadIdx.x / 32;
    if (!place.find(indices, blockIdx.y)) return;
    uint32_t block = blockIdx.x, part = 0, begin = 0, end = columns.ends[0];
#pragma unroll
    for (uint32_t next = 1; next < PARTS; next++) {
        const uint32_t blocks = (end - begin + BLOCK_COLUMNS - 1) / BLOCK_COLUMNS;
        if (block < blocks || part + 1 == parts) break;
        block -= blocks;
        part = next, begin = end, end = columns.ends[next];
    }
    const uint32_t first = begin + block * BLOCK_COLUMNS + warp * WARP_COLUMNS;
    const Entry entry = place.entry(site + part);
    if (first >= end || entry.rank == 0) return;
    const T* weights = reinterpret_cast<const T*>(entry.up);
    float sums[4][4] = {};
    for (uint32_t rank = place.lane * 4; rank - place.lane * 4 < entry.rank; rank += 16) {
        const bool inside = rank < entry.rank;
        // In two terms, so that rounding to 16 bits costs next to nothing.
        uint32_t coarse[4], fine[4];
#pragma unroll
        for (uint32_t half = 0; half < 2; half++) {
            const uint32_t row = place.group + half * 8;
            float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
            const size_t position = place.unit.first + row;
            const float* from = hidden + (position * parts + part) * rank_stride + rank;
            const size_t stride = static_cast<size_t>(positions) * parts * rank_stride;
            const uint32_t terms = inside && row < place.unit.rows ? splits : 0;
#pragma unroll 4
            for (uint32_t split = 0; split < terms; split++) {
                const float4 term = __ldg(reinterpret_cast<const float4*>(from + split * stride));
                sum.x += term.x, sum.y += term.y, sum.z += term.z, sum.w += term.w;
            }
            coarse[half] = pack<T>(sum.x, sum.y);
            coarse[half + 2] = pack<T>(sum.z, sum.w);
            const float2 xy = unpack<T>(coarse[half]), zw = unpack<T>(coarse[half + 2]);
            fine[half] = pack<T>(sum.x - xy.x, sum.y - xy.y);
            fine[half + 2] = pack<T>(sum.z - zw.x, sum.w - zw.y);
        }
#pragma unroll
        for (uint32_t tile = 0; tile < 4; tile++) {
            // Columns are dealt to tiles so that each lane ends with eight neighbours.
            const uint32_t column = first + place.group / 2 * 8 + tile * 2 + place.group % 2;
            uint2 w = make_uint2(0, 0);
            if (inside && column < end) {
                w = *reinterpret_cast<const uint2*>(weights + static_cast<size_t>(column - begin) * entry.rank + rank);
            }
            multiply<T>(sums[tile], coarse, w.x, w.y);
            multiply<T>(sums[tile], fine, w.x, w.y);
        }
    }
    const uint32_t column = first + place.lane * 8;
    if (column >= end) return;
    for (uint32_t half = 0; half < 2; half++) {
        const uint32_t row = place.group + half * 8;
        if (row >= place.unit.rows) return;
        float add[8];
#pragma unroll
        for (uint32_t i = 0; i < 8; i++) add[i] = entry.scale * sums[i / 2][half * 2 + i % 2];
        add_eight(y + static_cast<size_t>(place.rows[row]) * columns.ends[PARTS - 1] + column, add);
    }
}

// Grid [splits * parts * shares of the ranks, units or more], 512 threads. x is [rows, inputs], `site` the number of the
// site's first entry, hidden [splits, positions, parts, rank_stride].
#define LORA_DOWN(NAME, T)                                                                                             \
    extern "C" __global__ void __launch_bounds__(DOWN_WARPS * 32)                                                      \
    lora_down_##NAME(const T* x, const uint32_t* words, uint32_t routing, uint32_t site, float* hidden,                \
                     uint32_t inputs, uint32_t parts, uint32_t positions, uint32_t rank_stride) {                      \
        down<T>(x, Indices{words, routing}, site, hidden, inputs, parts, positions, rank_stride);                      \
    }

// Grid [blocks of 256 columns, those of each part by themselves, units or more], 256 threads. y is [rows, all columns].
#define LORA_UP(NAME, T)                                                                                               \
    extern "C" __global__ void __launch_bounds__(UP_WARPS * 32)                                                        \
    lora_up_##NAME(const float* hidden, const uint32_t* words, uint32_t routing, uint32_t site, T* y, uint32_t end0,   \
                   uint32_t end1, uint32_t end2, uint32_t end3, uint32_t parts, uint32_t splits, uint32_t positions,   \
                   uint32_t rank_stride) {                                                                             \
        const Columns columns = {{end0, end1, end2, end3}, parts};                                                     \
        up<T>(hidden, Indices{words, routing}, site, y, columns, splits, positions, rank_stride);                   \
    }

LORA_DOWN(f16, __half)
LORA_DOWN(bf16, __nv_bfloat16)
LORA_UP(f16, __half)
LORA_UP(bf16, __nv_bfloat16)
