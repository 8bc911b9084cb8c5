// Outputs of a circuit, and the adjoint states that start its backward pass.
//
// The adjoint of an output's cotangent g is the gradient of sum g * output by the real and imaginary parts of the final
// state.
#pragma once
#include "gates.h"

namespace qrl::QRL_ISA {

// Value of one word per sample: coefficient * <state|word|state>.
template <class K>
typename K::Number word_value(const QrlWord &word, const Amplitude<typename K::Number> *state, int n_wires) {
    using N = typename K::Number;
    Sums<N> sums[2] = {};
    const Selection selected(n_wires, word.flip, 0);
    for (int64_t k = 0; k < selected.size; ++k) {
        const int64_t i = selected[k];
        const Amplitude<N> &a = state[i], &b = state[i ^ word.flip];
        Sums<N> &sum = sums[is_odd(i & word.sign)];
        if (word.phase % 2 == 0) {  // Re conj(b) a
            sum.add(b.re, a.re, 0);
            sum.add(b.im, a.im, 1);
        } else {  // Re i conj(b) a
            sum.add(b.im, a.re, 0);
            sum.subtract(b.re, a.im, 1);
        }
    }
    // A word that flips bits has two equal terms per pair.
    const double factor = word.coefficient * (word.flip ? 2 : 1) * (word.phase >= 2 ? -1 : 1);
    return K::scaled(sums[0].total() - sums[1].total(), splat(typename K::Scalar(factor)));
}

// adjoint += 2 * cotangent * coefficient * word |state>
template <class K>
void add_word(
    const QrlWord &word, const typename K::Number &cotangent, const Amplitude<typename K::Number> *state,
    Amplitude<typename K::Number> *adjoint, int n_wires
) {
    using N = typename K::Number;
    const double coefficient = 2 * word.coefficient * (word.phase >= 2 ? -1 : 1);
    const N plus = K::scaled(cotangent, splat(typename K::Scalar(coefficient))), factors[2] = {plus, -plus};
    for (int64_t i = 0; i < int64_t(1) << n_wires; ++i) {
        const N &factor = factors[is_odd(i & word.sign)];
        const Amplitude<N> &from = state[i];
        Amplitude<N> &to = adjoint[i ^ word.flip];
        if (word.phase % 2 == 0) {
            to.re = fma(factor, from.re, to.re);
            to.im = fma(factor, from.im, to.im);
        } else {  // i * from
            to.re = fma(-factor, from.im, to.re);
            to.im = fma(factor, from.re, to.im);
        }
    }
}

}  // namespace qrl::QRL_ISA
