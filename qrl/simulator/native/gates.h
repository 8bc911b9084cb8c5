// Gates on a state: applied, and un-applied together with the derivative by the angle.
//
// A state holds the 2^n amplitudes of WIDTH samples, [amplitude][real, imaginary][lane].
#pragma once
#include <utility>

#include "dual.h"
#include "interface.h"

namespace qrl::QRL_ISA {

template <class N> struct Amplitude {
    N re, im;
};

// Cosine and sine of half the angle of a rotation.
template <class N> struct HalfAngle {
    N cosine, sine;
};

inline bool is_odd(int64_t bits) { return __builtin_popcountll(uint64_t(bits)) & 1; }

// Call `act(i, j)` for the pairs of amplitudes i and j = i ^ flip whose control is set; i lacks the lowest bit of `flip`.
template <class F> inline void for_each_pair(int n_wires, int64_t flip, int64_t control, F act) {
    const int64_t size = int64_t(1) << n_wires, pivot = flip & -flip;
    if (!control) {
        for (int64_t high = 0; high < size; high += 2 * pivot) {
            for (int64_t i = high; i < high + pivot; ++i) act(i, i ^ flip);
        }
        return;
    }
    const int64_t low = pivot < control ? pivot : control, high = pivot < control ? control : pivot;
    const auto insert = [](int64_t index, int64_t bit) { return ((index & -bit) << 1) | (index & (bit - 1)); };
    for (int64_t k = 0; k < size / 4; ++k) {
        const int64_t i = insert(insert(k, low), high) | control;
        act(i, i ^ flip);
    }
}

// --- one amplitude or pair -------------------------------------------------------------------------------------------

// exp(-i angle / 2) a
template <class N> inline void rotate_phase(Amplitude<N> &a, const N &cosine, const N &sine) {
    const N re = fma(sine, a.im, cosine * a.re);
    a.im = fma(-sine, a.re, cosine * a.im);
    a.re = re;
}

// a' = cos a - i sin b, b' = cos b - i sin a
template <class N>
inline void rotate_imaginary(Amplitude<N> &a, Amplitude<N> &b, const N &cosine, const N &sine) {
    const Amplitude<N> x = a, y = b;
    a.re = fma(sine, y.im, cosine * x.re);
    a.im = fma(-sine, y.re, cosine * x.im);
    b.re = fma(sine, x.im, cosine * y.re);
    b.im = fma(-sine, x.re, cosine * y.im);
}

// a' = cos a - sin b, b' = cos b + sin a
template <class N> inline void rotate_real(Amplitude<N> &a, Amplitude<N> &b, const N &cosine, const N &sine) {
    const Amplitude<N> x = a, y = b;
    a.re = fma(-sine, y.re, cosine * x.re);
    a.im = fma(-sine, y.im, cosine * x.im);
    b.re = fma(sine, x.re, cosine * y.re);
    b.im = fma(sine, x.im, cosine * y.im);
}

// --- whole states ----------------------------------------------------------------------------------------------------

template <class K> void apply_signs(Amplitude<typename K::Number> *state, int64_t size, const int8_t *signs) {
    for (int64_t i = 0; i < size; ++i) {
        if (signs[i] < 0) state[i] = {-state[i].re, -state[i].im};
    }
}

// Apply a gate without an angle; each is its own inverse.
template <class K>
void apply_fixed(const QrlCircuit &circuit, const QrlGate &gate, Amplitude<typename K::Number> *state) {
    using A = Amplitude<typename K::Number>;
    const auto root = splat(typename K::Scalar(0.70710678118654752440));
    switch (gate.kind) {
    case QRL_SIGNS:
        apply_signs<K>(state, int64_t(1) << circuit.n_wires, circuit.signs + gate.table);
        break;
    case QRL_FLIP:
        for_each_pair(circuit.n_wires, gate.flip, gate.control, [=](int64_t i, int64_t j) QRL_INLINED {
            const A a = state[i];
            state[i] = state[j];
            state[j] = a;
        });
        break;
    default:  // QRL_HADAMARD
        for_each_pair(circuit.n_wires, gate.flip, gate.control, [=](int64_t i, int64_t j) QRL_INLINED {
            const A a = state[i], b = state[j];
            state[i] = {K::scaled(a.re + b.re, root), K::scaled(a.im + b.im, root)};
            state[j] = {K::scaled(a.re - b.re, root), K::scaled(a.im - b.im, root)};
        });
    }
}

// Call `act(i, j)` for the pairs that differ in the lowest bit of a diagonal word, which is 1 for i and -1 for j.
template <class F> inline void for_each_eigenvalue_pair(int n_wires, const QrlGate &gate, F act) {
    const int64_t sign = gate.sign;
    for_each_pair(n_wires, sign & -sign, gate.control, [&](int64_t i, int64_t j) QRL_INLINED {
        const bool swapped = is_odd(i & sign);
        act(swapped ? j : i, swapped ? i : j);
    });
}

template <class K>
void apply_rotation(
    const QrlCircuit &circuit, const QrlGate &gate, const HalfAngle<typename K::Number> &half,
    Amplitude<typename K::Number> *state
) {
    using N = typename K::Number;
    const N cosine = half.cosine, sine = half.sine, minus = -half.sine;
    switch (gate.kind) {
    case QRL_DIAGONAL:
        for_each_eigenvalue_pair(circuit.n_wires, gate, [=](int64_t i, int64_t j) QRL_INLINED {
            rotate_phase(state[i], cosine, sine);
            rotate_phase(state[j], cosine, minus);
        });
        break;
    case QRL_IMAGINARY:
        for_each_pair(circuit.n_wires, gate.flip, gate.control, [&](int64_t i, int64_t j) QRL_INLINED {
            rotate_imaginary(state[i], state[j], cosine, is_odd(i & gate.sign) ^ gate.negative ? minus : sine);
        });
        break;
    default:  // QRL_REAL
        for_each_pair(circuit.n_wires, gate.flip, gate.control, [=](int64_t i, int64_t j) QRL_INLINED {
            rotate_real(state[i], state[j], cosine, sine);
        });
    }
}

// --- runs of rotations of one wire -----------------------------------------------------------------------------------

// Special unitary matrix [[a, -conj(b)], [b, conj(a)]].
template <class N> struct Unitary {
    Amplitude<N> a, b;
};

// x y + conj(z) w
template <class N>
inline Amplitude<N> sum_of_products(
    const Amplitude<N> &x, const Amplitude<N> &y, const Amplitude<N> &z, const Amplitude<N> &w
) {
    return {
        fma(z.im, w.im, fma(z.re, w.re, fma(-x.im, y.im, x.re * y.re))),
        fma(-z.im, w.re, fma(z.re, w.im, fma(x.im, y.re, x.re * y.im))),
    };
}

template <class N> inline Amplitude<N> negated(const Amplitude<N> &x) { return {-x.re, -x.im}; }

template <class K>
inline Unitary<typename K::Number> matrix_of(const QrlGate &gate, const HalfAngle<typename K::Number> &half) {
    const auto zero = K::make(Vector<typename K::Scalar>{}, Vector<typename K::Scalar>{});
    switch (gate.kind) {
    case QRL_DIAGONAL: return {{half.cosine, -half.sine}, {zero, zero}};
    case QRL_IMAGINARY: return {{half.cosine, zero}, {zero, -half.sine}};
    default: return {{half.cosine, zero}, {half.sine, zero}};
    }
}

// Product of consecutive rotations of one wire.
template <class K>
Unitary<typename K::Number> product_of_run(
    const QrlGate *gates, int count, const HalfAngle<typename K::Number> *halves
) {
    using N = typename K::Number;
    Unitary<N> u = matrix_of<K>(gates[0], halves[0]);
    for (int k = 1; k < count; ++k) {
        const Unitary<N> next = matrix_of<K>(gates[k], halves[k]);
        // (next u): a' = a_2 a_1 - conj(b_2) b_1, b' = b_2 a_1 + conj(a_2) b_1
        u = {sum_of_products(next.a, u.a, next.b, negated(u.b)), sum_of_products(next.b, u.a, next.a, u.b)};
    }
    return u;
}

// Apply consecutive rotations of one wire as one matrix.
template <class K>
void apply_run(
    const QrlCircuit &circuit, const QrlGate *gates, int count, const HalfAngle<typename K::Number> *halves,
    Amplitude<typename K::Number> *state
) {
    using N = typename K::Number;
    const Unitary<N> u = product_of_run<K>(gates, count, halves);
    const Amplitude<N> a = u.a, b = u.b, minus_b = negated(u.b);
    for_each_pair(circuit.n_wires, gates[0].flip | gates[0].sign, 0, [=](int64_t i, int64_t j) QRL_INLINED {
        const Amplitude<N> x = state[i], y = state[j];
        state[i] = sum_of_products(a, x, minus_b, y);
        state[j] = sum_of_products(b, x, a, y);
    });
}

// --- backwards -------------------------------------------------------------------------------------------------------

// Sums of products in four independent chains, so that no addition waits for the one before it.
template <class N> struct Sums {
    N first, second, third, fourth;
    N total() const { return (first + second) + (third + fourth); }
};

// Un-apply a rotation from a state and its adjoint; return the derivative of Re <adjoint|state> by the angle.
//
// With P the gate's word the derivative is Re <adjoint| -i P / 2 |state>.
template <class K>
typename K::Number unapply_rotation(
    const QrlCircuit &circuit, const QrlGate &gate, const HalfAngle<typename K::Number> &half,
    Amplitude<typename K::Number> *state, Amplitude<typename K::Number> *adjoint
) {
    using N = typename K::Number;
    using A = Amplitude<N>;
    const N cosine = half.cosine, sine = -half.sine, minus = half.sine;
    Sums<N> sums{};
    switch (gate.kind) {
    case QRL_DIAGONAL:
        for_each_eigenvalue_pair(circuit.n_wires, gate, [&](int64_t i, int64_t j) QRL_INLINED {
            A a = state[i], b = state[j], u = adjoint[i], v = adjoint[j];
            sums.first = fma(u.re, a.im, sums.first);
            sums.second = fma(-u.im, a.re, sums.second);
            sums.third = fma(-v.re, b.im, sums.third);
            sums.fourth = fma(v.im, b.re, sums.fourth);
            rotate_phase(a, cosine, sine);
            rotate_phase(b, cosine, minus);
            rotate_phase(u, cosine, sine);
            rotate_phase(v, cosine, minus);
            state[i] = a, state[j] = b, adjoint[i] = u, adjoint[j] = v;
        });
        break;
    case QRL_IMAGINARY: {
        Sums<N> negative{};  // of the pairs with eigenvalue -1
        for (int odd = 0; odd <= (gate.sign != 0); ++odd) {
            const bool is_negative = odd ^ gate.negative;
            const N signed_sine = is_negative ? minus : sine;
            for_each_pair(circuit.n_wires, gate.flip, gate.control, [&](int64_t i, int64_t j) QRL_INLINED {
                if (is_odd(i & gate.sign) != odd) return;
                A a = state[i], b = state[j], u = adjoint[i], v = adjoint[j];
                sums.first = fma(u.re, b.im, sums.first);
                sums.second = fma(-u.im, b.re, sums.second);
                sums.third = fma(v.re, a.im, sums.third);
                sums.fourth = fma(-v.im, a.re, sums.fourth);
                rotate_imaginary(a, b, cosine, signed_sine);
                rotate_imaginary(u, v, cosine, signed_sine);
                state[i] = a, state[j] = b, adjoint[i] = u, adjoint[j] = v;
            });
            if (is_negative) std::swap(sums, negative);
        }
        return K::scaled(sums.total() - negative.total(), splat(typename K::Scalar(0.5)));
    }
    default:  // QRL_REAL
        for_each_pair(circuit.n_wires, gate.flip, gate.control, [&](int64_t i, int64_t j) QRL_INLINED {
            A a = state[i], b = state[j], u = adjoint[i], v = adjoint[j];
            sums.first = fma(v.re, a.re, sums.first);
            sums.second = fma(v.im, a.im, sums.second);
            sums.third = fma(-u.re, b.re, sums.third);
            sums.fourth = fma(-u.im, b.im, sums.fourth);
            rotate_real(a, b, cosine, sine);
            rotate_real(u, v, cosine, sine);
            state[i] = a, state[j] = b, adjoint[i] = u, adjoint[j] = v;
        });
    }
    return K::scaled(sums.total(), splat(typename K::Scalar(0.5)));
}

// Un-apply consecutive rotations of one wire as one matrix; write the derivative by each angle.
//
// With v_P = Im <adjoint| P |state> the derivative by the last angle, about the axis P, is v_P / 2. Un-applying the
// rotation turns the vector v about that axis, which gives the derivative by the angle before.
template <class K>
void unapply_run(
    const QrlCircuit &circuit, const QrlGate *gates, int count, const HalfAngle<typename K::Number> *halves,
    Amplitude<typename K::Number> *state, Amplitude<typename K::Number> *adjoint, typename K::Number *derivatives
) {
    using N = typename K::Number;
    using A = Amplitude<N>;
    const Unitary<N> u = product_of_run<K>(gates, count, halves);
    const A a{u.a.re, -u.a.im}, b = negated(u.b), minus_b = u.b;  // of the inverse
    N along_x{}, along_y{}, along_z{};
    for_each_pair(circuit.n_wires, gates[0].flip | gates[0].sign, 0, [&](int64_t i, int64_t j) QRL_INLINED {
        const A x = state[i], y = state[j], l = adjoint[i], m = adjoint[j];
        along_x = fma(-m.im, x.re, fma(m.re, x.im, fma(-l.im, y.re, fma(l.re, y.im, along_x))));
        along_y = fma(m.im, x.im, fma(m.re, x.re, fma(-l.im, y.im, fma(-l.re, y.re, along_y))));
        along_z = fma(m.im, y.re, fma(-m.re, y.im, fma(-l.im, x.re, fma(l.re, x.im, along_z))));
        state[i] = sum_of_products(a, x, minus_b, y);
        state[j] = sum_of_products(b, x, a, y);
        adjoint[i] = sum_of_products(a, l, minus_b, m);
        adjoint[j] = sum_of_products(b, l, a, m);
    });
    N v[3] = {along_x, along_y, along_z};
    for (int k = count - 1; k >= 0; --k) {
        const N c = halves[k].cosine, s = halves[k].sine, cosine = fma(c, c, -(s * s)), sine = (c + c) * s;
        const int axis = gates[k].kind == QRL_DIAGONAL ? 2 : gates[k].kind == QRL_REAL ? 1 : 0;
        N &next = v[(axis + 1) % 3], &last = v[(axis + 2) % 3];
        derivatives[k] = K::scaled(v[axis], splat(typename K::Scalar(0.5)));
        const N turned = fma(cosine, next, sine * last);
        last = fma(cosine, last, -(sine * next));
        next = turned;
    }
}

}  // namespace qrl::QRL_ISA
