// What ../../cuda/ptx.cuh writes in the GPU's own words.
#pragma once

#include "emulated.h"

inline uint8_t *shared_memory() { return emulated::shared; }
inline void copy16(void *to, const void *from, bool wanted) {
    using namespace emulated;
    if (reinterpret_cast<uintptr_t>(to) % 16 != 0 || (wanted && reinterpret_cast<uintptr_t>(from) % 16 != 0))
        broken(block.kernel, "a copy is not aligned to 16 bytes");
    block.current->open.push_back({to, from, wanted ? 16u : 0u});
}
inline void copies_commit() {
    emulated::Fiber &self = *emulated::block.current;
    self.groups.push_back(std::move(self.open));
    self.open.clear();
}
template <int LEFT> inline void copies_wait() {
    std::vector<std::vector<emulated::Copy>> &groups = emulated::block.current->groups;
    while (groups.size() > LEFT) {
        for (const emulated::Copy &copy : groups.front()) {
            std::memset(copy.to, 0, 16);
            std::memcpy(copy.to, copy.from, copy.bytes);
        }
        groups.erase(groups.begin());
    }
}
inline void load4(uint32_t (&r)[4], const void *p) {
    emulated::Load own = {p, r, false};
    emulated::together(emulated::Together::LOAD, &own);
}
inline void load4_transposed(uint32_t (&r)[4], const void *p) {
    emulated::Load own = {p, r, true};
    emulated::together(emulated::Together::LOAD, &own);
}
template <typename T> struct IsBrain;
template <> struct IsBrain<__half> { static constexpr bool VALUE = false; };
template <> struct IsBrain<__nv_bfloat16> { static constexpr bool VALUE = true; };
template <typename T> inline void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    const uint32_t b[2] = {b0, b1};
    emulated::Multiply own = {a, b, c, IsBrain<T>::VALUE};
    emulated::together(emulated::Together::MULTIPLY, &own);
}
inline float power2(float x) { return std::exp2(x); }
