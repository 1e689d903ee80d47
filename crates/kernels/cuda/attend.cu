// Attention over a paged cache, as tensor core products with an online softmax (Dao, FlashAttention-2, 2023).
//
// The work is a list of units. A unit is a set of rows that all look at the same run of keys: the one row of a sequence
// that decodes, some rows of a chunk of a prompt, or the rows of many sequences that share a pack (cascade attention).
// The query heads of one key head, for all rows of the unit, are the rows of one product. Rows whose keys are spread over
// several units leave partial results, which `merge` folds in the order of the keys: no sum depends on which block of
// threads was first.
#include "ptx.cuh"

namespace {

constexpr int TILE = 64;    // keys at a time
constexpr int WIDE = 64;    // rows of queries in a unit, at most
constexpr int THREADS = 128;

struct Attend {
    const void *query;      // [rows, heads, D]
    const void *key;        // [blocks, kv heads, BLOCK, D]
    const void *value;      // [blocks, kv heads, BLOCK, D]
    void *out;              // [rows, heads, D]
    float *values;          // [partial rows, heads, D]
    float2 *tops;           // [partial rows, heads] largest score (base 2), sum of exponentials
    const uint32_t *place;
    uint32_t heads, kv_heads;
    float scale, softcap;   // softcap 0: none
    uint32_t window;        // 0: none
    uint32_t dim;
};

// As units.rs writes it.
struct Unit {
    uint32_t entries_at, rows, blocks_at, first_key, end_key, unused[3];
};

constexpr float LOG2E = 1.4426950408889634f;

// What a block keeps of a unit's rows.
struct Rows {
    uint2 entries[WIDE];       // row of the batch, partial row
    uint32_t positions[WIDE];  // each row sees keys up to and with this one
};

// One block's view of one unit and one key head.
template <typename T, int D> struct Task {
    static constexpr int CHUNKS = D / 8;
    // Tiles in shared memory: one is used while the next is loaded. Of the largest heads there is room for one only, on
    // devices that let a block have 99 KiB; two blocks to a processor then wait in turns, where there is room for these.
    static constexpr int STAGES = D > 128 ? 1 : 2;
    // A row in shared memory is a multiple of eight chunks, whose order is turned by the row, so that neither whole rows
    // nor columns of chunks meet in the same banks.
    static constexpr int STRIDE = (D + 63) / 64 * 64;
    // Rows of sums are shifted against each other for the same reason.
    static constexpr int SUMS = D + 8;

    const Attend &call;
    const Unit unit;
    const uint32_t *blocks;
    Rows &of;
    uint32_t kv_head, group, rows;
    int tiles;
    T *query, *key, *value;

    __device__ __forceinline__ Task(const Attend &call, const Unit &unit, uint32_t kv_head, uint8_t *shared, Rows &of)
        : call(call), unit(unit), of(of), kv_head(kv_head) {
        blocks = call.place + call.place[BLOCKS_AT] + unit.blocks_at;
        group = call.heads / call.kv_heads;
        rows = unit.rows * group;
        tiles = (unit.end_key - unit.first_key + TILE - 1) / TILE;
        query = reinterpret_cast<T *>(shared);
        key = query + WIDE * STRIDE;
        value = key + STAGES * TILE * STRIDE;
    }

    __device__ __forceinline__ static T *chunk(T *rows, int row, int chunk) {
        return rows + row * STRIDE + ((chunk ^ (row & 7)) * 8);
    }

    __device__ __forceinline__ uint32_t head(uint32_t m) const { return kv_head * group + m % group; }

    // Starts to load all that the first tile needs: keys and values first, because they come from farthest away.
    __device__ __forceinline__ void begin() {
        load_tile(0);
        if (threadIdx.x < unit.rows) {
            const uint32_t *place = call.place;
            const uint2 entry = reinterpret_cast<const uint2 *>(place + place[ENTRIES_AT])[unit.entries_at + threadIdx.x];
            of.entries[threadIdx.x] = entry;
            of.positions[threadIdx.x] = place[place[POSITIONS_AT] + entry.x];
        }
        __syncthreads();
        const T *from = static_cast<const T *>(call.query);
        const int wanted_rows = (rows + 15) / 16 * 16;
        for (int i = threadIdx.x; i < wanted_rows * CHUNKS; i += THREADS) {
            const uint32_t m = i / CHUNKS, c = i % CHUNKS;
            const bool wanted = m < rows;
            const size_t row = wanted ? of.entries[m / group].x : 0;
            copy16(chunk(query, m, c), from + (row * call.heads + head(m)) * D + c * 8, wanted);
        }
        copies_commit();
    }

    // Keys from `end_key` on become zeros: what lies there may be another sequence's, and not even a number.
    __device__ __forceinline__ void load_tile(int tile) {
        static_assert(TILE == 2 * BLOCK, "a tile is two blocks");
        const uint32_t first = unit.first_key + tile * TILE;
        const uint32_t *at = blocks + first / BLOCK;
        const size_t page = static_cast<size_t>(BLOCK) * D, pages = call.kv_heads * page;
        const size_t one = at[0] * pages + kv_head * page;
        const size_t two = (first + BLOCK < unit.end_key ? at[1] : 0) * pages + kv_head * page;
        const T *keys = static_cast<const T *>(call.key), *values = static_cast<const T *>(call.value);
        T *to_key = key + (tile % STAGES) * TILE * STRIDE, *to_value = value + (tile % STAGES) * TILE * STRIDE;
#pragma unroll
        for (int pass = 0; pass < TILE * CHUNKS / THREADS; pass++) {
            const int i = pass * THREADS + threadIdx.x, row = i / CHUNKS, c = i % CHUNKS;
            const bool wanted = first + row < unit.end_key;
            const size_t from = (row < BLOCK ? one : two) + (row % BLOCK) * D + c * 8;
            copy16(chunk(to_key, row, c), keys + from, wanted);
            copy16(chunk(to_value, row, c), values + from, wanted);
        }
    }

    __device__ __forceinline__ void store(uint32_t m, int d, float2 sums, float top, float total) const {
        const uint2 at = of.entries[m / group];
        if (at.y == NONE) {
            const float scale = total > 0.0f ? 1.0f / total : 0.0f;
            T *out = static_cast<T *>(call.out) + ((size_t)at.x * call.heads + head(m)) * D + d;
            *reinterpret_cast<typename Pair<T>::Type *>(out) = Pair<T>::narrow(sums.x * scale, sums.y * scale);
        } else {
            const size_t slot = (size_t)at.y * call.heads + head(m);
            *reinterpret_cast<float2 *>(call.values + slot * D + d) = sums;
            if (d == 0) call.tops[slot] = make_float2(top, total);
        }
    }

    // `KEYS` keys of each tile for the 16 rows of queries from `row0` on, by one warp.
    template <int KEYS> struct Warp {
        int row0;
        float out[D / 8][4];
        float top[2], total[2];
        uint32_t position[2];
        uint32_t least, last;

        __device__ __forceinline__ void begin(Task &task, int row0) {
            this->row0 = row0;
            const int lane = threadIdx.x % 32;
#pragma unroll
            for (int n = 0; n < D / 8; n++)
#pragma unroll
                for (int i = 0; i < 4; i++) out[n][i] = 0.0f;
            uint32_t low = NONE, high = 0;
#pragma unroll
            for (int half = 0; half < 2; half++) {
                top[half] = -INFINITY;
                total[half] = 0.0f;
                const uint32_t m = row0 + lane / 4 + 8 * half;
                // A row of zeros, which nobody reads, sees everything.
                position[half] = m < task.rows ? task.of.positions[m / task.group] : NONE;
                low = min(low, position[half]);
                high = max(high, m < task.rows ? position[half] : 0);
            }
            least = __reduce_min_sync(0xffffffffu, low);
            last = __reduce_max_sync(0xffffffffu, high);
        }

        // Takes the keys from `key0` of a tile on.
        __device__ __forceinline__ void take(Task &task, int tile, int key0) {
            const uint32_t first = task.unit.first_key + tile * TILE + key0;
            if (first > last || first >= task.unit.end_key) return;
            const uint32_t end = first + KEYS;
            if (task.call.window == 0 && end <= task.unit.end_key && end - 1 <= least) {
                take<false>(task, tile, key0, first);
            } else {
                take<true>(task, tile, key0, first);
            }
        }

        template <bool MASKED> __device__ __forceinline__ void take(Task &task, int tile, int key0, uint32_t first) {
            const int lane = threadIdx.x % 32, quarter = lane / 8, eighth = lane % 8;
            T *keys = task.key + (tile % STAGES) * TILE * STRIDE, *values = task.value + (tile % STAGES) * TILE * STRIDE;
            const float scale = task.call.scale * LOG2E, softcap = task.call.softcap;
            float s[KEYS / 8][4];
#pragma unroll
            for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
                for (int i = 0; i < 4; i++) s[n][i] = 0.0f;
#pragma unroll
            for (int k = 0; k < D / 16; k++) {
                uint32_t q[4];
                load4(q, chunk(task.query, row0 + lane % 16, 2 * k + lane / 16));
#pragma unroll
                for (int n = 0; n < KEYS / 16; n++) {
                    uint32_t b[4];
                    load4(b, chunk(keys, key0 + n * 16 + (quarter / 2) * 8 + eighth, 2 * k + quarter % 2));
                    multiply<T>(s[2 * n], q, b[0], b[1]);
                    multiply<T>(s[2 * n + 1], q, b[2], b[3]);
                }
            }
            if (softcap != 0.0f) {
                const float factor = task.call.scale / softcap;
#pragma unroll
                for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
                    for (int i = 0; i < 4; i++) s[n][i] = tanhf(s[n][i] * factor) / factor;
            }
            float most[2] = {-INFINITY, -INFINITY};
#pragma unroll
            for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    if (MASKED) {
                        const uint32_t key = first + n * 8 + 2 * (lane % 4) + i % 2, at = position[i / 2];
                        const uint32_t window = task.call.window;
                        const bool seen = key <= at && key < task.unit.end_key && (window == 0 || at - key < window);
                        s[n][i] = seen ? s[n][i] : -INFINITY;
                    }
                    most[i / 2] = fmaxf(most[i / 2], s[n][i]);
                }
            }
            float base[2], fade[2];
#pragma unroll
            for (int half = 0; half < 2; half++) {
                most[half] = fmaxf(most[half], __shfl_xor_sync(0xffffffffu, most[half], 1));
                most[half] = fmaxf(most[half], __shfl_xor_sync(0xffffffffu, most[half], 2));
                const float next = fmaxf(top[half], most[half] * scale);
                // A row that has seen nothing yet has no largest score to count from.
                base[half] = next == -INFINITY ? 0.0f : next;
                fade[half] = power2(top[half] - base[half]);
                top[half] = next;
            }
            if (__any_sync(0xffffffffu, fade[0] != 1.0f || fade[1] != 1.0f)) {
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    total[half] *= fade[half];
#pragma unroll
                    for (int n = 0; n < D / 8; n++) {
                        out[n][2 * half] *= fade[half];
                        out[n][2 * half + 1] *= fade[half];
                    }
                }
            }
#pragma unroll
            for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    s[n][i] = power2(fmaf(s[n][i], scale, -base[i / 2]));
                    total[i / 2] += s[n][i];
                }
            }
#pragma unroll
            for (int k = 0; k < KEYS / 16; k++) {
                const uint32_t p[4] = {pack<T>(s[2 * k][0], s[2 * k][1]), pack<T>(s[2 * k][2], s[2 * k][3]),
                                       pack<T>(s[2 * k + 1][0], s[2 * k + 1][1]), pack<T>(s[2 * k + 1][2], s[2 * k + 1][3])};
#pragma unroll
                for (int n = 0; n < D / 16; n++) {
                    uint32_t b[4];
                    load4_transposed(b, chunk(values, key0 + k * 16 + (quarter % 2) * 8 + eighth, 2 * n + quarter / 2));
                    multiply<T>(out[2 * n], p, b[0], b[1]);
                    multiply<T>(out[2 * n + 1], p, b[2], b[3]);
                }
            }
        }

        // The sums of exponentials so far are those of a quarter of the keys each.
        __device__ __forceinline__ void end() {
#pragma unroll
            for (int half = 0; half < 2; half++) {
                total[half] += __shfl_xor_sync(0xffffffffu, total[half], 1);
                total[half] += __shfl_xor_sync(0xffffffffu, total[half], 2);
            }
        }
    };

    // Goes through all tiles, the next being loaded while `take` computes, if there is room for it.
    template <typename F> __device__ __forceinline__ void each_tile(F take) {
        for (int tile = 0; tile < tiles; tile++) {
            if (STAGES == 1 && tile > 0) {
                load_tile(tile);
                copies_commit();
            }
            if (STAGES > 1 && tile + 1 < tiles) {
                load_tile(tile + 1);
                copies_commit();
                copies_wait<1>();
            } else {
                copies_wait<0>();
            }
            __syncthreads();
            take(tile);
            __syncthreads();
        }
    }

    // Many rows: every warp has 16 of them and goes through all keys.
    __device__ __forceinline__ void wide() {
        const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
        const bool busy = warp * 16 < rows;
        Warp<TILE> state;
        state.begin(*this, warp * 16);
        each_tile([&](int tile) {
            if (busy) state.take(*this, tile, 0);
        });
        if (!busy) return;
        state.end();
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const uint32_t m = warp * 16 + lane / 4 + 8 * half;
            if (m >= rows) continue;
#pragma unroll
            for (int n = 0; n < D / 8; n++) {
                const float2 sums = make_float2(state.out[n][2 * half], state.out[n][2 * half + 1]);
                store(m, n * 8 + 2 * (lane % 4), sums, state.top[half], state.total[half]);
            }
        }
    }

    // At most 16 rows: every warp has all of them and a quarter of each tile's keys.
    __device__ __forceinline__ void narrow() {
        const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
        Warp<TILE / 4> state;
        state.begin(*this, 0);
        each_tile([&](int tile) { state.take(*this, tile, warp * (TILE / 4)); });
        state.end();
        // Where queries, keys and values were.
        float2 *tops = reinterpret_cast<float2 *>(query);       // [4 warps, 16]
        float *sums = reinterpret_cast<float *>(tops + 4 * 16); // [4 warps, 16, SUMS]
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int m = lane / 4 + 8 * half;
            if (m >= rows) continue;
            if (lane % 4 == 0) tops[warp * 16 + m] = make_float2(state.top[half], state.total[half]);
#pragma unroll
            for (int n = 0; n < D / 8; n++) {
                const float2 two = make_float2(state.out[n][2 * half], state.out[n][2 * half + 1]);
                *reinterpret_cast<float2 *>(sums + (warp * 16 + m) * SUMS + n * 8 + 2 * (lane % 4)) = two;
            }
        }
        __syncthreads();
        for (int i = threadIdx.x; i < rows * (D / 2); i += THREADS) {
            const int m = i / (D / 2), d = i % (D / 2) * 2;
            float top = -INFINITY, total = 0.0f;
            float2 all = make_float2(0.0f, 0.0f);
#pragma unroll
            for (int w = 0; w < 4; w++) top = fmaxf(top, tops[w * 16 + m].x);
            const float base = top == -INFINITY ? 0.0f : top;
#pragma unroll
            for (int w = 0; w < 4; w++) {
                const float2 one = tops[w * 16 + m];
                const float2 part = *reinterpret_cast<const float2 *>(sums + (w * 16 + m) * SUMS + d);
                const float weight = power2(one.x - base);
                total += one.y * weight;
                all.x += part.x * weight;
                all.y += part.y * weight;
            }
            store(m, d, all, top, total);
        }
    }
};

template <typename T, int D> __device__ __forceinline__ void attend(const Attend &call) {
    __shared__ Rows rows;
    const uint32_t *place = call.place;
    const Unit *units = reinterpret_cast<const Unit *>(place + place[UNITS_AT]);
    const uint32_t tasks = place[UNITS] * call.kv_heads;
    for (uint32_t t = blockIdx.x; t < tasks; t += gridDim.x) {
        Task<T, D> task(call, units[t / call.kv_heads], t % call.kv_heads, shared_memory(), rows);
        task.begin();
        if (task.rows <= 16) {
            task.narrow();
        } else {
            task.wide();
        }
        // The next task's loads overwrite what this one's last reads may still need.
        __syncthreads();
    }
}

// A row and its partial rows, in the order of their keys; as units.rs writes it.
struct Merge {
    uint32_t row, first, count, unused;
};

// One block for each row that has partial results and some of its heads; a thread for every two elements.
template <typename T> __device__ __forceinline__ void merge(const Attend &call) {
    const uint32_t *place = call.place;
    if (blockIdx.x >= place[MERGES]) return;
    const Merge one = reinterpret_cast<const Merge *>(place + place[MERGES_AT])[blockIdx.x];
    const uint32_t threads = call.dim / 2, head = blockIdx.y * (blockDim.x / threads) + threadIdx.x / threads;
    if (head >= call.heads) return;
    const uint32_t d = threadIdx.x % threads * 2;
    const float2 *tops = call.tops + (size_t)one.first * call.heads + head;
    const float *values = call.values + ((size_t)one.first * call.heads + head) * call.dim + d;
    const size_t next = (size_t)call.heads * call.dim;
    // Loads do not wait for each other: a few partial results are on their way at once.
    float top = -INFINITY;
#pragma unroll 4
    for (uint32_t i = 0; i < one.count; i++) top = fmaxf(top, tops[(size_t)i * call.heads].x);
    const float base = top == -INFINITY ? 0.0f : top;
    float total = 0.0f;
    float2 all = make_float2(0.0f, 0.0f);
#pragma unroll 4
    for (uint32_t i = 0; i < one.count; i++) {
        const float2 part_top = tops[(size_t)i * call.heads];
        const float2 part = *reinterpret_cast<const float2 *>(values + i * next);
        const float weight = power2(part_top.x - base);
        total += part_top.y * weight;
        all.x += part.x * weight;
        all.y += part.y * weight;
    }
    const float scale = total > 0.0f ? 1.0f / total : 0.0f;
    T *out = static_cast<T *>(call.out) + ((size_t)one.row * call.heads + head) * call.dim + d;
    *reinterpret_cast<typename Pair<T>::Type *>(out) = Pair<T>::narrow(all.x * scale, all.y * scale);
}

} // namespace

// Two blocks to a processor, if their shared memory fits.
#define ATTEND(NAME, T, D)                                                                                             \
    extern "C" __global__ void __launch_bounds__(THREADS, 2) attend_##D##_##NAME(const __grid_constant__ Attend call) { \
        attend<T, D>(call);                                                                                            \
    }
#define MAKE(NAME, T)                                                                                                  \
    ATTEND(NAME, T, 64)                                                                                                \
    ATTEND(NAME, T, 80)                                                                                                \
    ATTEND(NAME, T, 96)                                                                                                \
    ATTEND(NAME, T, 128)                                                                                               \
    ATTEND(NAME, T, 256)                                                                                               \
    extern "C" __global__ void merge_##NAME(const __grid_constant__ Attend call) { merge<T>(call); }
FOR_BOTH(MAKE)
