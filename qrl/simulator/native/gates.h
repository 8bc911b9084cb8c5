// Gates on a state: applied, and un-applied together with the derivative by the angle.
//
// A state holds the 2^n amplitudes of WIDTH samples, [amplitude][real, imaginary][lane].
#pragma once
#include "dual.h"
#include "interface.h"

namespace qrl::QRL_ISA {

template <class N> struct Amplitude {
    N re, im;
};

// Cosine and sine of half the angle of a rotation.
template <class N> struct HalfAngle {
    N cosine, sine;
    HalfAngle inverse() const { return {cosine, -sine}; }
};

inline bool is_odd(int64_t bits) { return __builtin_popcountll(uint64_t(bits)) & 1; }

// Indices of the amplitudes that a gate acts on: its control is set and, if it flips bits, the lowest of them is clear.
class Selection {
  public:
    Selection(int n_wires, int32_t flip, int32_t control) : control_(control) {
        const int64_t pivot = flip & -flip;
        low_ = pivot < control ? pivot : control;
        high_ = pivot < control ? control : pivot;
        size = (int64_t(1) << n_wires) >> ((pivot != 0) + (control != 0));
    }

    int64_t operator[](int64_t position) const { return insert(insert(position, low_), high_) | control_; }

    int64_t size;

  private:
    // Insert a clear bit; without a bit, return the index.
    static int64_t insert(int64_t index, int64_t bit) { return ((index & -bit) << 1) | (index & (bit - 1)); }

    int64_t control_, low_, high_;
};

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
        if (signs[i] < 0) {
            state[i].re = -state[i].re;
            state[i].im = -state[i].im;
        }
    }
}

template <class K> void apply_hadamard(Amplitude<typename K::Number> *state, const Selection &selected, int32_t flip) {
    const auto root = splat(typename K::Scalar(0.70710678118654752440));
    for (int64_t k = 0; k < selected.size; ++k) {
        auto &a = state[selected[k]], &b = state[selected[k] ^ flip];
        const Amplitude<typename K::Number> sum{a.re + b.re, a.im + b.im}, difference{a.re - b.re, a.im - b.im};
        a = {K::scaled(sum.re, root), K::scaled(sum.im, root)};
        b = {K::scaled(difference.re, root), K::scaled(difference.im, root)};
    }
}

template <class N> void apply_flip(Amplitude<N> *state, const Selection &selected, int32_t flip) {
    for (int64_t k = 0; k < selected.size; ++k) {
        const Amplitude<N> a = state[selected[k]];
        state[selected[k]] = state[selected[k] ^ flip];
        state[selected[k] ^ flip] = a;
    }
}

// Apply a gate without an angle; each is its own inverse.
template <class K>
void apply_fixed(const QrlCircuit &circuit, const QrlGate &gate, Amplitude<typename K::Number> *state) {
    const Selection selected(circuit.n_wires, gate.flip, gate.control);
    switch (gate.kind) {
    case QRL_SIGNS: return apply_signs<K>(state, int64_t(1) << circuit.n_wires, circuit.signs + gate.table);
    case QRL_FLIP: return apply_flip(state, selected, gate.flip);
    default: return apply_hadamard<K>(state, selected, gate.flip);
    }
}

template <class K>
void apply_rotation(
    const QrlCircuit &circuit, const QrlGate &gate, const HalfAngle<typename K::Number> &half,
    Amplitude<typename K::Number> *state
) {
    using N = typename K::Number;
    const Selection selected(circuit.n_wires, gate.flip, gate.control);
    const N cosine = half.cosine, sines[2] = {half.sine, -half.sine};
    switch (gate.kind) {
    case QRL_DIAGONAL:
        for (int64_t k = 0; k < selected.size; ++k) {
            const int64_t i = selected[k];
            rotate_phase(state[i], cosine, sines[is_odd(i & gate.sign) ^ gate.negative]);
        }
        break;
    case QRL_IMAGINARY:
        for (int64_t k = 0; k < selected.size; ++k) {
            const int64_t i = selected[k];
            rotate_imaginary(state[i], state[i ^ gate.flip], cosine, sines[is_odd(i & gate.sign) ^ gate.negative]);
        }
        break;
    default:
        for (int64_t k = 0; k < selected.size; ++k) {
            const int64_t i = selected[k];
            rotate_real(state[i], state[i ^ gate.flip], cosine, sines[0]);
        }
    }
}

// --- backwards -------------------------------------------------------------------------------------------------------

// Sums of products in four independent chains, so that no addition waits for the one before it.
template <class N> struct Sums {
    N chain[4];

    void add(const N &a, const N &b, int k) { chain[k] = fma(a, b, chain[k]); }
    void subtract(const N &a, const N &b, int k) { chain[k] = fma(-a, b, chain[k]); }
    N total() const { return (chain[0] + chain[1]) + (chain[2] + chain[3]); }
};

// Re <adjoint| -i P |state>, the terms of amplitude a alone for a diagonal P = +1.
template <class N> inline void add_phase(Sums<N> &sums, const Amplitude<N> &adjoint, const Amplitude<N> &a, int k) {
    sums.add(adjoint.re, a.im, k);
    sums.subtract(adjoint.im, a.re, k + 1);
}

// Un-apply a rotation from a state and its adjoint; return the derivative of Re <adjoint|state> by the angle.
template <class K>
typename K::Number unapply_rotation(
    const QrlCircuit &circuit, const QrlGate &gate, const HalfAngle<typename K::Number> &half,
    Amplitude<typename K::Number> *state, Amplitude<typename K::Number> *adjoint
) {
    using N = typename K::Number;
    const Selection selected(circuit.n_wires, gate.flip, gate.control);
    const N cosine = half.cosine, sines[2] = {-half.sine, half.sine};
    Sums<N> sums[2] = {};  // by the sign of the word's eigenvalue
    switch (gate.kind) {
    case QRL_DIAGONAL:
        for (int64_t k = 0; k < selected.size; ++k) {
            const int64_t i = selected[k];
            const int odd = is_odd(i & gate.sign) ^ gate.negative;
            add_phase(sums[odd], adjoint[i], state[i], 0);
            rotate_phase(state[i], cosine, sines[odd]);
            rotate_phase(adjoint[i], cosine, sines[odd]);
        }
        break;
    case QRL_IMAGINARY:
        for (int64_t k = 0; k < selected.size; ++k) {
            const int64_t i = selected[k], j = i ^ gate.flip;
            const int odd = is_odd(i & gate.sign) ^ gate.negative;
            add_phase(sums[odd], adjoint[i], state[j], 0);
            add_phase(sums[odd], adjoint[j], state[i], 2);
            rotate_imaginary(state[i], state[j], cosine, sines[odd]);
            rotate_imaginary(adjoint[i], adjoint[j], cosine, sines[odd]);
        }
        break;
    default:
        for (int64_t k = 0; k < selected.size; ++k) {
            const int64_t i = selected[k], j = i ^ gate.flip;
            sums[0].add(adjoint[j].re, state[i].re, 0);
            sums[0].add(adjoint[j].im, state[i].im, 1);
            sums[0].subtract(adjoint[i].re, state[j].re, 2);
            sums[0].subtract(adjoint[i].im, state[j].im, 3);
            rotate_real(state[i], state[j], cosine, sines[0]);
            rotate_real(adjoint[i], adjoint[j], cosine, sines[0]);
        }
    }
    return K::scaled(sums[0].total() - sums[1].total(), splat(typename K::Scalar(0.5)));
}

}  // namespace qrl::QRL_ISA
