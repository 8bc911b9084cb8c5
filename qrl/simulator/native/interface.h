// The C interface: a circuit and a call. `encoding.py` and `calls.py` mirror it in ctypes.
//
// All pointers are owned by the caller. Masks name wires by the bits of a basis state's index; wire 0 is the most
// significant bit.
#pragma once
#include <cstdint>

extern "C" {

enum QrlGateKind : int32_t {
    QRL_DIAGONAL = 0,   // exp(-i angle P / 2) of a word P of Z: RZ, RZZ, CRZ
    QRL_IMAGINARY = 1,  // the same for a word with an even number of Y: RX, RXX, RYY, CRX
    QRL_REAL = 2,       // the same for Y: RY, CRY
    QRL_SIGNS = 3,      // diagonal of +1 and -1: a run of CZ
    QRL_FLIP = 4,       // X, CNOT
    QRL_HADAMARD = 5,
};

struct QrlGate {
    int32_t kind;
    int32_t flip;         // bits that the gate flips
    int32_t sign;         // bits whose parity is the sign of the word
    int32_t negative;     // 1: the word has a further factor -1
    int32_t control;      // bits that must be set; at most one
    int32_t first_term;   // the angle is a sum of terms
    int32_t n_terms;
    int32_t n_fused;      // rotations of one wire that follow each other from here on, or 1; 0: within such a run
    int64_t table;        // QRL_SIGNS: offset of its signs in `signs`
};

enum QrlSource : int32_t { QRL_CONSTANT = 0, QRL_WEIGHT = 1, QRL_INPUT = 2 };
enum QrlTransform : int32_t { QRL_IDENTITY = 0, QRL_TANH = 1, QRL_ARCTAN = 2 };

struct QrlTerm {
    int32_t source;
    int32_t index;      // of the weight, or of the input's scale; -1: the input has none
    int32_t feature;
    int32_t transform;
    double constant;    // [rad]
};

// coefficient * i^phase * (-1)^parity(state & sign) |state ^ flip><state|, summed over states.
struct QrlWord {
    int32_t observable;
    int32_t flip;
    int32_t sign;
    int32_t phase;
    double coefficient;
};

struct QrlCircuit {
    int32_t n_wires, n_gates, n_terms, n_words;
    int32_t n_observables, n_weights, n_scales, n_inputs;
    const QrlGate *gates;
    const QrlTerm *terms;
    const QrlWord *words;
    const int8_t *signs;
};

enum QrlOutput : int32_t { QRL_VALUES = 0, QRL_PROBABILITIES = 1, QRL_AMPLITUDES = 2 };

// Numbers [circuit, row, column] with contiguous columns; strides in numbers, 0 if all circuits share the rows.
struct QrlArray {
    const void *data;
    int64_t circuit, row;
};

struct QrlCall {
    int32_t is_double;
    int32_t output;     // QrlOutput
    int32_t n_threads;
    int32_t is_dual;    // differentiate along the tangents: every result is its derivative
    int64_t n_circuits, n_samples;
    QrlArray weights, scales, inputs, initial;                              // no initial state: |0...0>
    QrlArray weights_tangent, scales_tangent, inputs_tangent, initial_tangent;  // each may be missing (null)
    QrlArray cotangent, cotangent_tangent;  // cotangent of the output; null: forward pass only
    void *final_state;   // written by a forward pass and read by the backward pass of the same call; may be null
    void *result;        // output [circuit, sample, column]; may be null
    void *weights_gradient, *scales_gradient;   // [circuit, parameter]
    void *inputs_gradient, *initial_gradient;   // [circuit, sample, column]; each may be null
};

}  // extern "C"
