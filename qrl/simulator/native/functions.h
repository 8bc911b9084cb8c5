// Sine, cosine, tanh and arctan of vectors, accurate to a few units in the last place.
//
// Each reduces its argument until a Taylor series of few terms is exact to rounding. The C library's functions differ
// between machines; these do not, except for sines of angles that are so large that a float can barely hold them.
#pragma once
#include "simd.h"

namespace qrl::QRL_ISA {

template <class S> struct Precision;

template <> struct Precision<float> {
    static constexpr int SINE_TERMS = 5, COSINE_TERMS = 6, EXP_TERMS = 8, ARCTAN_TERMS = 5;
    static constexpr float ROUND = 12582912.0f;      // 1.5 * 2^23: adding it rounds to an integer
    static constexpr float LARGEST_ANGLE = 262144.0f;  // beyond, the reduction below loses digits
    // pi / 2 and ln 2 as sums of floats
    static constexpr float HALF_PI[3] = {0x1.921fb6p+0f, -0x1.777a5cp-25f, -0x1.ee59dap-50f};
    static constexpr float LN2[2] = {0x1.62e43p-1f, -0x1.05c61p-29f};
    static constexpr float TANH_IS_ONE = 10.0f;
    static constexpr int MANTISSA_BITS = 23, EXPONENT_BIAS = 127;
};

template <> struct Precision<double> {
    static constexpr int SINE_TERMS = 8, COSINE_TERMS = 9, EXP_TERMS = 14, ARCTAN_TERMS = 12;
    static constexpr double ROUND = 6755399441055744.0;  // 1.5 * 2^52
    static constexpr double LARGEST_ANGLE = 1073741824.0;
    static constexpr double HALF_PI[3] = {0x1.921fb54442d18p+0, 0x1.1a62633145c07p-54, -0x1.f1976b7ed8fbcp-110};
    static constexpr double LN2[2] = {0x1.62e42fefa39efp-1, 0x1.abc9e3b39803fp-56};
    static constexpr double TANH_IS_ONE = 22.0;
    static constexpr int MANTISSA_BITS = 52, EXPONENT_BIAS = 1023;
};

// Coefficients sign^k / (first + step * k)! of a Taylor series.
template <int n_terms, int first, int step, int sign> struct Taylor {
    double coefficient[n_terms] = {};
    constexpr Taylor() {
        double factorial = 1;
        for (int n = 2; n <= first; ++n) factorial *= n;
        for (int k = 0; k < n_terms; ++k) {
            coefficient[k] = ((k % 2) ? sign : 1) / factorial;
            for (int j = 1; j <= step; ++j) factorial *= first + step * k + j;
        }
    }
};

// Sum of sign^k x^k / (first + step * k)! for k < n_terms.
template <class S, int n_terms, int first, int step, int sign> inline Vector<S> taylor(Vector<S> x) {
    constexpr Taylor<n_terms, first, step, sign> series;
    Vector<S> sum = splat(S(series.coefficient[n_terms - 1]));
    for (int k = n_terms - 2; k >= 0; --k) sum = fma(sum, x, splat(S(series.coefficient[k])));
    return sum;
}

template <class S> inline void sine_and_cosine(Vector<S> x, Vector<S> &sine, Vector<S> &cosine) {
    using P = Precision<S>;
    const auto too_large = (x > P::LARGEST_ANGLE) | (x < -P::LARGEST_ANGLE);
    const Vector<S> shifted = fma(x, splat(S(0.63661977236758134308)), splat(P::ROUND));  // 2 / pi
    const Vector<S> quarters = shifted - P::ROUND;
    const Vector<Integer<S>> quadrant = bits_of<S>(shifted);
    Vector<S> r = fma(-quarters, splat(P::HALF_PI[0]), x);
    r = fma(-quarters, splat(P::HALF_PI[1]), r);
    r = fma(-quarters, splat(P::HALF_PI[2]), r);
    const Vector<S> r2 = r * r;
    // sin r = r + r^3 (-1/3! + ...), cos r = 1 + r^2 (-1/2! + ...): the leading terms stay exact.
    const Vector<S> s = fma(r * r2, -taylor<S, P::SINE_TERMS - 1, 3, 2, -1>(r2), r);
    const Vector<S> c = fma(r2, -taylor<S, P::COSINE_TERMS - 1, 2, 2, -1>(r2), splat(S(1)));
    const auto odd = (quadrant & 1) != 0;
    const Vector<S> either = odd ? c : s, other = odd ? s : c;
    constexpr int sign_bit = 8 * sizeof(S) - 2;
    sine = from_bits<S>(bits_of<S>(either) ^ ((quadrant & 2) << sign_bit));
    cosine = from_bits<S>(bits_of<S>(other) ^ (((quadrant + 1) & 2) << sign_bit));
    if (__builtin_expect(any<S>(too_large), 0)) {
        for (int lane = 0; lane < WIDTH<S>; ++lane) {
            if (!too_large[lane]) continue;
            sine[lane] = S(std::sin(double(x[lane])));
            cosine[lane] = S(std::cos(double(x[lane])));
        }
    }
}

// tanh |x| = e / (e + 2) with e = exp(2 |x|) - 1, where exp(n ln 2 + r) - 1 = 2^n (exp(r) - 1) + (2^n - 1).
template <class S> inline Vector<S> tanh(Vector<S> x) {
    using P = Precision<S>;
    const Vector<S> magnitude = x < 0 ? -x : x;
    const Vector<S> y = 2 * (magnitude > P::TANH_IS_ONE ? splat(P::TANH_IS_ONE) : magnitude);
    const Vector<S> shifted = fma(y, splat(S(1.4426950408889634074)), splat(P::ROUND));  // 1 / ln 2
    const Vector<S> n = shifted - P::ROUND;
    Vector<S> r = fma(-n, splat(P::LN2[0]), y);
    r = fma(-n, splat(P::LN2[1]), r);
    const Vector<S> e = r * taylor<S, P::EXP_TERMS, 1, 1, 1>(r);  // exp(r) - 1
    const Vector<Integer<S>> exponent = bits_of<S>(shifted) - bits_of<S>(splat(P::ROUND)) + P::EXPONENT_BIAS;
    const Vector<S> power = from_bits<S>(exponent << P::MANTISSA_BITS);
    const Vector<S> grown = fma(power, e, power - 1);
    const Vector<S> result = grown / (grown + 2);
    return x < 0 ? -result : (x != x ? x : result);
}

// arctan x = 2 arctan(x / (1 + sqrt(1 + x^2))), twice, after arctan x = pi / 2 - arctan(1 / x) for x > 1.
template <class S> inline Vector<S> arctan(Vector<S> x) {
    using P = Precision<S>;
    const Vector<S> magnitude = x < 0 ? -x : x;
    const auto large = magnitude > 1;
    Vector<S> z = large ? 1 / magnitude : magnitude;
    z = z / (1 + square_root(fma(z, z, splat(S(1)))));
    z = z / (1 + square_root(fma(z, z, splat(S(1)))));
    const Vector<S> z2 = z * z;
    Vector<S> sum = splat(S(1.0 / (2 * P::ARCTAN_TERMS - 1)));
    for (int k = P::ARCTAN_TERMS - 2; k >= 0; --k) sum = fma(sum, -z2, splat(S(1.0 / (2 * k + 1))));
    sum = 4 * (z * sum);
    const Vector<S> result = large ? (P::HALF_PI[0] - sum) + P::HALF_PI[1] : sum;
    return x < 0 ? -result : (x != x ? x : result);
}

}  // namespace qrl::QRL_ISA
