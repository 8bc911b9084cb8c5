// SIMD vectors of the instruction set that this translation unit is compiled for.
//
// Products and sums are fused only where `fma` says so (the build forbids contraction), and `fma` rounds once on every
// machine. All instruction sets therefore give the same bits.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

// Of a lambda in a loop over amplitudes: a call would cost more than what it does.
#define QRL_INLINED __attribute__((always_inline))

namespace qrl::QRL_ISA {

#if defined(__AVX512F__)
constexpr int VECTOR_BYTES = 64;
#elif defined(__AVX2__)
constexpr int VECTOR_BYTES = 32;
#else
constexpr int VECTOR_BYTES = 16;
#endif

template <class S> struct VectorOf { typedef S type __attribute__((vector_size(VECTOR_BYTES))); };
template <class S> using Vector = typename VectorOf<S>::type;

template <class S> struct IntegerOf;
template <> struct IntegerOf<float> { using type = int32_t; };
template <> struct IntegerOf<double> { using type = int64_t; };
template <class S> using Integer = typename IntegerOf<S>::type;

template <class S> constexpr int WIDTH = VECTOR_BYTES / sizeof(S);

template <class S> inline Vector<S> splat(S x) { return x - Vector<S>{}; }  // x + 0 would turn -0 into 0

template <class S> inline Vector<S> load(const S *from) {
    Vector<S> v;
    std::memcpy(&v, from, sizeof v);
    return v;
}

template <class S> inline void store(S *to, Vector<S> v) { std::memcpy(to, &v, sizeof v); }

// a * b + c, rounded once.
#if defined(__AVX512F__)
inline Vector<float> fma(Vector<float> a, Vector<float> b, Vector<float> c) { return _mm512_fmadd_ps(a, b, c); }
inline Vector<double> fma(Vector<double> a, Vector<double> b, Vector<double> c) { return _mm512_fmadd_pd(a, b, c); }
#elif defined(__AVX2__)
inline Vector<float> fma(Vector<float> a, Vector<float> b, Vector<float> c) { return _mm256_fmadd_ps(a, b, c); }
inline Vector<double> fma(Vector<double> a, Vector<double> b, Vector<double> c) { return _mm256_fmadd_pd(a, b, c); }
#elif defined(__ARM_NEON) && defined(__aarch64__)
inline Vector<float> fma(Vector<float> a, Vector<float> b, Vector<float> c) {
    return (Vector<float>)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}
inline Vector<double> fma(Vector<double> a, Vector<double> b, Vector<double> c) {
    return (Vector<double>)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
}
#else
inline Vector<float> fma(Vector<float> a, Vector<float> b, Vector<float> c) {
    for (int lane = 0; lane < WIDTH<float>; ++lane) a[lane] = std::fmaf(a[lane], b[lane], c[lane]);
    return a;
}
inline Vector<double> fma(Vector<double> a, Vector<double> b, Vector<double> c) {
    for (int lane = 0; lane < WIDTH<double>; ++lane) a[lane] = std::fma(a[lane], b[lane], c[lane]);
    return a;
}
#endif

template <class V> inline V square_root(V v) {
    for (unsigned lane = 0; lane < sizeof(V) / sizeof v[0]; ++lane) v[lane] = std::sqrt(v[lane]);
    return v;
}

template <class S> inline Vector<Integer<S>> bits_of(Vector<S> v) {
    Vector<Integer<S>> bits;
    std::memcpy(&bits, &v, sizeof v);
    return bits;
}

template <class S> inline Vector<S> from_bits(Vector<Integer<S>> bits) {
    Vector<S> v;
    std::memcpy(&v, &bits, sizeof v);
    return v;
}

template <class S> inline bool any(Vector<Integer<S>> mask) {
    uint64_t words[VECTOR_BYTES / 8], found = 0;
    std::memcpy(words, &mask, sizeof words);
    for (uint64_t word : words) found |= word;
    return found != 0;
}

}  // namespace qrl::QRL_ISA
