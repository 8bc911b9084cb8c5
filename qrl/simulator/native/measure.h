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
    using A = Amplitude<N>;
    Sums<N> sums{};
    const auto add = [&](const A &a, const A &b) {
        sums.first = fma(a.re, b.re, sums.first);
        sums.second = fma(a.im, b.im, sums.second);
    };
    const auto subtract = [&](const A &a, const A &b) {
        sums.third = fma(-a.re, b.re, sums.third);
        sums.fourth = fma(-a.im, b.im, sums.fourth);
    };
    if (!word.flip) {
        for (int64_t i = 0; i < int64_t(1) << n_wires; ++i) {
            if (is_odd(i & word.sign)) subtract(state[i], state[i]);
            else add(state[i], state[i]);
        }
        return K::scaled(sums.total(), splat(typename K::Scalar(word.coefficient)));
    }
    // The two states of a pair have equal terms: Re i^phase conj(b) a.
    for_each_pair(n_wires, word.flip, 0, [&](int64_t i, int64_t j) QRL_INLINED {
        const A &a = state[i], &b = state[j], turned = word.phase % 2 ? A{-a.im, a.re} : a;
        if (is_odd(i & word.sign)) subtract(b, turned);
        else add(b, turned);
    });
    const double factor = 2 * word.coefficient * (word.phase >= 2 ? -1 : 1);
    return K::scaled(sums.total(), splat(typename K::Scalar(factor)));
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
