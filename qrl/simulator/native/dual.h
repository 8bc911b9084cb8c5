// Dual numbers p + t epsilon with epsilon^2 = 0: t is the derivative of p along one direction.
//
// The kernel is one template over plain vectors and dual ones; with dual ones a gradient becomes a Hessian-vector
// product.
#pragma once
#include "functions.h"

namespace qrl::QRL_ISA {

template <class S> struct Dual {
    Vector<S> p, t;
};

template <class S> inline Dual<S> operator+(Dual<S> a, Dual<S> b) { return {a.p + b.p, a.t + b.t}; }
template <class S> inline Dual<S> operator-(Dual<S> a, Dual<S> b) { return {a.p - b.p, a.t - b.t}; }
template <class S> inline Dual<S> operator-(Dual<S> a) { return {-a.p, -a.t}; }
template <class S> inline Dual<S> operator*(Dual<S> a, Dual<S> b) { return {a.p * b.p, fma(a.p, b.t, a.t * b.p)}; }

template <class S> inline Dual<S> fma(Dual<S> a, Dual<S> b, Dual<S> c) {
    return {fma(a.p, b.p, c.p), fma(a.p, b.t, fma(a.t, b.p, c.t))};
}

// The numbers that a kernel computes with: the scalar type and whether derivatives are carried along.
template <class S> struct Plain {
    using Scalar = S;
    using Number = Vector<S>;
    static constexpr bool is_dual = false;
    static Number make(Vector<S> value, Vector<S>) { return value; }
    static Number scaled(Number a, Vector<S> factor) { return a * factor; }
    static Vector<S> result(Number a) { return a; }
};

template <class S> struct WithTangent {
    using Scalar = S;
    using Number = Dual<S>;
    static constexpr bool is_dual = true;
    static Number make(Vector<S> value, Vector<S> tangent) { return {value, tangent}; }
    static Number scaled(Number a, Vector<S> factor) { return {a.p * factor, a.t * factor}; }
    static Vector<S> result(Number a) { return a.t; }
};

template <class S> inline void sine_and_cosine(Dual<S> x, Dual<S> &sine, Dual<S> &cosine) {
    Vector<S> s, c;
    sine_and_cosine<S>(x.p, s, c);
    sine = {s, c * x.t};
    cosine = {c, -s * x.t};
}

// A bounded angle and its derivative.
template <class S> inline void tanh_and_slope(Vector<S> x, Vector<S> &value, Vector<S> &slope) {
    value = tanh<S>(x);
    slope = fma(-value, value, splat(S(1)));
}

template <class S> inline void tanh_and_slope(Dual<S> x, Dual<S> &value, Dual<S> &slope) {
    Vector<S> v, d;
    tanh_and_slope<S>(x.p, v, d);
    value = {v, d * x.t};
    slope = {d, -2 * v * value.t};
}

template <class S> inline void arctan_and_slope(Vector<S> x, Vector<S> &value, Vector<S> &slope) {
    value = arctan<S>(x);
    slope = 1 / fma(x, x, splat(S(1)));
}

template <class S> inline void arctan_and_slope(Dual<S> x, Dual<S> &value, Dual<S> &slope) {
    Vector<S> v, d;
    arctan_and_slope<S>(x.p, v, d);
    value = {v, d * x.t};
    slope = {d, -2 * x.p * d * value.t};
}

}  // namespace qrl::QRL_ISA
