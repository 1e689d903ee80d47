// CUDA's numbers of 16 bits and vector types, as the kernels use them, for a processor.
#pragma once

#include <immintrin.h>

#include <cmath>
#include <cstdint>
#include <cstring>

template <typename To, typename From> inline To same_bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "as many bits");
    To to;
    std::memcpy(&to, &from, sizeof(to));
    return to;
}

struct alignas(8) uint2 { uint32_t x, y; };
struct alignas(16) uint4 { uint32_t x, y, z, w; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
inline uint2 make_uint2(uint32_t x, uint32_t y) { return {x, y}; }
inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) { return {x, y, z, w}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

// To nearest, ties to even, from the exact value: what is between two halves is never rounded twice.
inline uint16_t half_bits(double x) {
    const uint16_t sign = std::signbit(x) ? 0x8000 : 0;
    x = std::fabs(x);
    if (std::isnan(x)) return 0x7fff;
    if (x >= 65520.0) return sign | 0x7c00;
    int exponent;
    std::frexp(x, &exponent);
    // One unit in the last place: 2^-24 for numbers below 2^-14.
    const double unit = std::ldexp(1.0, (exponent > -13 ? exponent - 11 : -24));
    const double rounded = std::nearbyint(x / unit) * unit;
    if (rounded == 0.0) return sign;
    std::frexp(rounded, &exponent);
    if (exponent < -13) return sign | static_cast<uint16_t>(rounded * 16777216.0);
    return sign | static_cast<uint16_t>(((exponent + 14) << 10) + (static_cast<int>(std::ldexp(rounded, 11 - exponent)) - 1024));
}
inline float half_value(uint16_t bits) { return _cvtsh_ss(bits); }

inline uint16_t brain_bits(float x) {
    const uint32_t bits = same_bits<uint32_t>(x);
    if (std::isnan(x)) return 0x7fff;
    return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}
inline float brain_value(uint16_t bits) { return same_bits<float>(static_cast<uint32_t>(bits) << 16); }

struct __half { uint16_t bits; };
struct alignas(4) __half2 { __half x, y; };
struct __nv_bfloat16 { uint16_t bits; };
struct alignas(4) __nv_bfloat162 { __nv_bfloat16 x, y; };

inline float __half2float(__half x) { return half_value(x.bits); }
inline __half __float2half_rn(float x) { return {static_cast<uint16_t>(_cvtss_sh(x, 0))}; }
inline float2 __half22float2(__half2 x) { return {__half2float(x.x), __half2float(x.y)}; }
inline __half2 __floats2half2_rn(float a, float b) { return {__float2half_rn(a), __float2half_rn(b)}; }
inline __half2 __float2half2_rn(float x) { return __floats2half2_rn(x, x); }
inline __half2 __low2half2(__half2 x) { return {x.x, x.x}; }
inline __half2 __high2half2(__half2 x) { return {x.y, x.y}; }
inline __half2 __hsub2(__half2 a, __half2 b) {
    return __floats2half2_rn(__half2float(a.x) - __half2float(b.x), __half2float(a.y) - __half2float(b.y));
}
// A product of two halves and a sum with a third are exact in a double, but for what is far below the last place.
inline __half fused(__half a, __half b, __half c) {
    return {half_bits(static_cast<double>(__half2float(a)) * __half2float(b) + __half2float(c))};
}
inline __half2 __hfma2(__half2 a, __half2 b, __half2 c) { return {fused(a.x, b.x, c.x), fused(a.y, b.y, c.y)}; }

inline float __bfloat162float(__nv_bfloat16 x) { return brain_value(x.bits); }
inline __nv_bfloat16 __float2bfloat16_rn(float x) { return {brain_bits(x)}; }
inline float2 __bfloat1622float2(__nv_bfloat162 x) { return {__bfloat162float(x.x), __bfloat162float(x.y)}; }
inline __nv_bfloat162 __floats2bfloat162_rn(float a, float b) { return {__float2bfloat16_rn(a), __float2bfloat16_rn(b)}; }

inline float __fmaf_rn(float a, float b, float c) { return std::fmaf(a, b, c); }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline float rsqrtf(float x) { return static_cast<float>(1.0 / std::sqrt(static_cast<double>(x))); }
inline uint32_t __float_as_uint(float x) { return same_bits<uint32_t>(x); }
inline float __uint_as_float(uint32_t x) { return same_bits<float>(x); }
inline float __int_as_float(int32_t x) { return same_bits<float>(x); }

// CUDA's conversions saturate, and make 0 of what is no number.
template <typename To> inline To converted(double x, double most) {
    const double least = static_cast<To>(-1) < To(0) ? -most - 1.0 : 0.0;
    if (std::isnan(x)) return 0;
    if (x >= most) return static_cast<To>(~static_cast<To>(0)) < To(0) ? static_cast<To>(most) : static_cast<To>(~To(0));
    return static_cast<To>(x < least ? least : x);
}
inline uint32_t __float2uint_rz(float x) { return converted<uint32_t>(std::trunc(x), 4294967295.0); }
inline int32_t __float2int_rz(float x) { return converted<int32_t>(std::trunc(x), 2147483647.0); }
inline uint64_t __float2ull_rz(float x) { return converted<uint64_t>(std::trunc(x), 18446744073709551615.0); }
inline uint64_t __double2ull_ru(double x) { return converted<uint64_t>(std::ceil(x), 18446744073709551615.0); }
inline double __ull2double_rn(uint64_t x) { return static_cast<double>(x); }
inline int __popc(uint32_t x) { return __builtin_popcount(x); }
inline uint64_t __umul64hi(uint64_t a, uint64_t b) {
    return static_cast<uint64_t>(static_cast<unsigned __int128>(a) * b >> 64);
}
// Each of four nibbles of the selector names one of the eight bytes of both words.
inline uint32_t __byte_perm(uint32_t low, uint32_t high, uint32_t selector) {
    const uint64_t bytes = static_cast<uint64_t>(high) << 32 | low;
    uint32_t result = 0;
    for (int i = 0; i < 4; i++) result |= static_cast<uint32_t>(bytes >> (selector >> 4 * i & 7) * 8 & 0xff) << 8 * i;
    return result;
}

inline uint32_t min(uint32_t a, uint32_t b) { return a < b ? a : b; }
inline uint32_t max(uint32_t a, uint32_t b) { return a > b ? a : b; }
inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }
inline uint64_t min(uint64_t a, uint64_t b) { return a < b ? a : b; }
inline uint64_t max(uint64_t a, uint64_t b) { return a > b ? a : b; }
