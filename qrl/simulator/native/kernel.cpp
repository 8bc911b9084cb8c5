// One call of a circuit: samples in SIMD lanes, gate by gate, backwards by un-applying the gates from the final state.
//
// The build compiles this file once per instruction set. A sample's numbers depend on nothing but the sample: each lane
// computes alone. Sums over samples have one order for all instruction sets and any number of threads: each of LANES
// logical lanes adds its samples in turn within a block of samples, a block adds its lanes, and blocks are added in
// order, the last two in double precision.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

#include "kernel.h"
#include "measure.h"

namespace qrl::QRL_ISA {

namespace {

constexpr int LANES = 16;               // logical lanes
constexpr int64_t BLOCK = 16 * LANES;   // samples of a block

template <class S> const S *row_of(const QrlArray &array, int64_t circuit, int64_t row = 0) {
    return static_cast<const S *>(array.data) + circuit * array.circuit + row * array.row;
}

template <class T> struct Free {
    void operator()(T *memory) const { std::free(memory); }
};

// Uninitialised memory of whole cache lines.
template <class T> class Buffer {
  public:
    explicit Buffer(size_t count) {
        const size_t bytes = (sizeof(T) * std::max<size_t>(count, 1) + 63) / 64 * 64;
        memory_.reset(static_cast<T *>(std::aligned_alloc(64, bytes)));
        if (!memory_) throw std::bad_alloc();
    }
    T &operator[](int64_t k) { return memory_.get()[k]; }
    T *get() { return memory_.get(); }

  private:
    std::unique_ptr<T, Free<T>> memory_;
};

// Partial sums of the gradients by weights and scales, [circuit][block][parameter].
class Partials {
  public:
    Partials(int64_t n_circuits, int64_t n_blocks, int n_parameters)
        : n_blocks_(n_blocks), n_parameters_(n_parameters), sums_(size_t(n_circuits * n_blocks) * n_parameters) {}

    double *of(int64_t circuit, int64_t block) {
        return &sums_[(circuit * n_blocks_ + block) * n_parameters_];
    }

    template <class S> void total(int64_t circuit, int first, int count, S *gradient) {
        for (int k = 0; k < count; ++k) {
            double sum = 0;
            for (int64_t block = 0; block < n_blocks_; ++block) sum += of(circuit, block)[first + k];
            gradient[k] = S(sum);
        }
    }

  private:
    int64_t n_blocks_;
    int n_parameters_;
    Buffer<double> sums_;
};

// Runs the samples of a call, one block of one circuit at a time.
template <class K> class Worker {
    using S = typename K::Scalar;
    using N = typename K::Number;
    static constexpr int width = WIDTH<S>;

  public:
    Worker(const QrlCircuit &circuit, const QrlCall &call, Partials &partials)
        : circuit_(circuit), call_(call), partials_(partials), size_(int64_t(1) << circuit.n_wires),
          // A line between the states keeps equal indices out of the same cache set.
          states_(2 * size_ + 1), halves_(circuit.n_gates), terms_(circuit.n_terms),
          derivatives_(circuit.n_gates), inputs_(circuit.n_inputs),
          weights_(circuit.n_weights), scales_(circuit.n_scales), inputs_gradient_(circuit.n_inputs),
          lanes_(size_t(circuit.n_weights + circuit.n_scales) * LANES), state_(states_.get()),
          adjoint_(states_.get() + size_ + 1) {}

    void run(int64_t circuit, int64_t block) {
        if (circuit != current_) bind(current_ = circuit);
        const int n_parameters = circuit_.n_weights + circuit_.n_scales;
        if (backward()) std::fill_n(lanes_.get(), size_t(n_parameters) * LANES, S(0));
        const int64_t end = std::min(call_.n_samples, (block + 1) * BLOCK);
        for (int64_t first = block * BLOCK; first < end; first += width) {
            first_ = first;
            count_ = int(std::min<int64_t>(width, end - first));
            run_group();
        }
        if (!backward()) return;
        double *sums = partials_.of(circuit, block);
        for (int k = 0; k < n_parameters; ++k) {
            sums[k] = 0;
            for (int lane = 0; lane < LANES; ++lane) sums[k] += double(lanes_[int64_t(k) * LANES + lane]);
        }
    }

  private:
    bool backward() const { return call_.cotangent.data != nullptr; }

    // --- parameters --------------------------------------------------------------------------------------------------

    // Read a circuit's parameters, and compute the angles that depend on no sample.
    void bind(int64_t circuit) {
        read_parameters(call_.weights, call_.weights_tangent, circuit, circuit_.n_weights, weights_.get());
        read_parameters(call_.scales, call_.scales_tangent, circuit, circuit_.n_scales, scales_.get());
        for (int g = 0; g < circuit_.n_gates; ++g) {
            if (!has_angle(circuit_.gates[g]) || depends_on_sample(circuit_.gates[g])) continue;
            bind_gate(g);
        }
    }

    void read_parameters(const QrlArray &values, const QrlArray &tangents, int64_t circuit, int count, N *to) {
        const S *value = row_of<S>(values, circuit);
        const S *tangent = tangents.data ? row_of<S>(tangents, circuit) : nullptr;
        for (int k = 0; k < count; ++k) to[k] = K::make(splat(value[k]), splat(tangent ? tangent[k] : S(0)));
    }

    static bool has_angle(const QrlGate &gate) { return gate.n_terms > 0; }

    bool depends_on_sample(const QrlGate &gate) const {
        for (int t = gate.first_term; t < gate.first_term + gate.n_terms; ++t) {
            if (circuit_.terms[t].source == QRL_INPUT) return true;
        }
        return false;
    }

    // --- angles ------------------------------------------------------------------------------------------------------

    // The angle of an input term and its derivative by scale * feature.
    struct Input {
        N angle, slope;
    };

    void bind_gate(int index) {
        const QrlGate &gate = circuit_.gates[index];
        N angle = angle_of(gate.first_term);
        for (int t = gate.first_term + 1; t < gate.first_term + gate.n_terms; ++t) angle = angle + angle_of(t);
        N sine, cosine;
        sine_and_cosine<S>(K::scaled(angle, splat(S(0.5))), sine, cosine);
        halves_[index] = {cosine, sine};
    }

    N angle_of(int index) {
        const QrlTerm &term = circuit_.terms[index];
        if (term.source == QRL_CONSTANT) return K::make(splat(S(term.constant)), splat(S(0)));
        if (term.source == QRL_WEIGHT) return weights_[term.index];
        const N scaled = term.index < 0 ? inputs_[term.feature] : scales_[term.index] * inputs_[term.feature];
        if (term.transform == QRL_IDENTITY) return scaled;
        N value;
        if (term.transform == QRL_TANH) tanh_and_slope<S>(scaled, value, terms_[index]);
        else arctan_and_slope<S>(scaled, value, terms_[index]);
        return value;
    }

    // --- one group of samples ----------------------------------------------------------------------------------------

    void run_group() {
        for (int f = 0; f < circuit_.n_inputs; ++f) {
            inputs_[f] = read_column(call_.inputs, call_.inputs_tangent, f);
        }
        for (int g = 0; g < circuit_.n_gates; ++g) {
            if (has_angle(circuit_.gates[g]) && depends_on_sample(circuit_.gates[g])) bind_gate(g);
        }
        if (backward() && !K::is_dual && call_.final_state) {
            std::memcpy(state_, final_state(), size_ * sizeof(Amplitude<N>));  // of any alignment
        } else {
            prepare();
            for (int g = 0; g < circuit_.n_gates; ++g) {
                const QrlGate &gate = circuit_.gates[g];
                if (!has_angle(gate)) {
                    apply_fixed<K>(circuit_, gate, state_);
                } else if (gate.n_fused > 1) {
                    apply_run<K>(circuit_, &gate, gate.n_fused, &halves_[g], state_);
                    g += gate.n_fused - 1;
                } else {
                    apply_rotation<K>(circuit_, gate, halves_[g], state_);
                }
            }
            if (!backward() && !K::is_dual && call_.final_state) {
                std::memcpy(final_state(), state_, size_ * sizeof(Amplitude<N>));
            }
        }
        if (call_.result) write_result();
        if (backward()) run_backward();
    }

    // Position of the group's final states, [circuit][group][amplitude][real, imaginary][lane].
    char *final_state() const {
        const int64_t n_groups = (call_.n_samples + width - 1) / width, group = current_ * n_groups + first_ / width;
        return static_cast<char *>(call_.final_state) + group * size_ * int64_t(sizeof(Amplitude<N>));
    }

    void prepare() {
        if (call_.initial.data) {
            for (int64_t i = 0; i < size_; ++i) {
                state_[i] = {read_column(call_.initial, call_.initial_tangent, 2 * i),
                             read_column(call_.initial, call_.initial_tangent, 2 * i + 1)};
            }
            return;
        }
        const N zero = K::make(Vector<S>{}, Vector<S>{});
        std::fill_n(state_, size_, Amplitude<N>{zero, zero});
        state_[0].re = K::make(splat(S(1)), Vector<S>{});
    }

    void run_backward() {
        const N zero = K::make(Vector<S>{}, Vector<S>{});
        std::fill_n(inputs_gradient_.get(), circuit_.n_inputs, zero);
        start_adjoint();
        for (int g = circuit_.n_gates - 1; g >= 0; --g) {
            int first = g;
            while (circuit_.gates[first].n_fused == 0) --first;
            const QrlGate &gate = circuit_.gates[g];
            if (circuit_.gates[first].n_fused > 1) {
                const QrlGate *run = &circuit_.gates[first];
                const int count = run->n_fused;
                unapply_run<K>(circuit_, run, count, &halves_[first], state_, adjoint_, derivatives_.get());
                for (int k = count - 1; k >= 0; --k) add_gradient(run[k], derivatives_[k]);
                g = first;
            } else if (has_angle(gate)) {
                add_gradient(gate, unapply_rotation<K>(circuit_, gate, halves_[g], state_, adjoint_));
            } else {
                apply_fixed<K>(circuit_, gate, state_);
                apply_fixed<K>(circuit_, gate, adjoint_);
            }
        }
        if (call_.inputs_gradient) {
            for (int f = 0; f < circuit_.n_inputs; ++f) {
                write_column(call_.inputs_gradient, circuit_.n_inputs, f, K::result(inputs_gradient_[f]));
            }
        }
        if (call_.initial_gradient) {
            for (int64_t i = 0; i < size_; ++i) {
                write_column(call_.initial_gradient, 2 * size_, 2 * i, K::result(adjoint_[i].re));
                write_column(call_.initial_gradient, 2 * size_, 2 * i + 1, K::result(adjoint_[i].im));
            }
        }
    }

    // Distribute the derivative by a gate's angle over the terms of the angle.
    void add_gradient(const QrlGate &gate, const N &derivative) {
        for (int t = gate.first_term; t < gate.first_term + gate.n_terms; ++t) {
            const QrlTerm &term = circuit_.terms[t];
            if (term.source == QRL_WEIGHT) add_to_parameter(term.index, derivative);
            if (term.source != QRL_INPUT) continue;
            const N slope = term.transform == QRL_IDENTITY ? derivative : derivative * terms_[t];
            if (term.index >= 0) {
                add_to_parameter(circuit_.n_weights + term.index, slope * inputs_[term.feature]);
                inputs_gradient_[term.feature] = fma(slope, scales_[term.index], inputs_gradient_[term.feature]);
            } else {
                inputs_gradient_[term.feature] = inputs_gradient_[term.feature] + slope;
            }
        }
    }

    void add_to_parameter(int parameter, const N &derivative) {
        S *lanes = lanes_.get() + int64_t(parameter) * LANES + first_ % LANES;
        const Vector<S> sum = load(lanes) + K::result(derivative);
        if (count_ == width) return store(lanes, sum);
        for (int lane = 0; lane < count_; ++lane) lanes[lane] = sum[lane];  // lanes without a sample add nothing
    }

    // --- outputs -----------------------------------------------------------------------------------------------------

    void write_result() {
        if (call_.output == QRL_VALUES) return write_values();
        for (int64_t i = 0; i < size_; ++i) {
            const Amplitude<N> &a = state_[i];
            if (call_.output == QRL_PROBABILITIES) {
                write_column(call_.result, size_, i, K::result(fma(a.im, a.im, a.re * a.re)));
            } else {
                write_column(call_.result, 2 * size_, 2 * i, K::result(a.re));
                write_column(call_.result, 2 * size_, 2 * i + 1, K::result(a.im));
            }
        }
    }

    void write_values() {
        int word = 0;  // the words are sorted by observable
        for (int observable = 0; observable < circuit_.n_observables; ++observable) {
            Vector<S> value{};
            for (; word < circuit_.n_words && circuit_.words[word].observable == observable; ++word) {
                value = value + K::result(word_value<K>(circuit_.words[word], state_, circuit_.n_wires));
            }
            write_column(call_.result, circuit_.n_observables, observable, value);
        }
    }

    void start_adjoint() {
        const N zero = K::make(Vector<S>{}, Vector<S>{});
        if (call_.output == QRL_VALUES) {
            std::fill_n(adjoint_, size_, Amplitude<N>{zero, zero});
            for (int w = 0; w < circuit_.n_words; ++w) {
                const QrlWord &word = circuit_.words[w];
                add_word<K>(word, cotangent(word.observable), state_, adjoint_, circuit_.n_wires);
            }
            return;
        }
        for (int64_t i = 0; i < size_; ++i) {
            if (call_.output == QRL_PROBABILITIES) {
                const N twice = K::scaled(cotangent(i), splat(S(2)));
                adjoint_[i] = {state_[i].re * twice, state_[i].im * twice};
            } else {
                adjoint_[i] = {cotangent(2 * i), cotangent(2 * i + 1)};
            }
        }
    }

    N cotangent(int64_t column) const { return read_column(call_.cotangent, call_.cotangent_tangent, column); }

    // --- memory ------------------------------------------------------------------------------------------------------

    Vector<S> read_plain(const QrlArray &array, int64_t column) const {
        S each[width] = {};
        const S *row = row_of<S>(array, current_, first_) + column;
        for (int lane = 0; lane < count_; ++lane) each[lane] = row[lane * array.row];
        return load(each);
    }

    N read_column(const QrlArray &array, const QrlArray &tangents, int64_t column) const {
        return K::make(read_plain(array, column), tangents.data ? read_plain(tangents, column) : Vector<S>{});
    }

    void write_column(void *to, int64_t n_columns, int64_t column, Vector<S> v) const {
        S *row = static_cast<S *>(to) + (current_ * call_.n_samples + first_) * n_columns + column;
        for (int lane = 0; lane < count_; ++lane) row[lane * n_columns] = v[lane];
    }

    const QrlCircuit &circuit_;
    const QrlCall &call_;
    Partials &partials_;
    const int64_t size_;
    Buffer<Amplitude<N>> states_;
    Buffer<HalfAngle<N>> halves_;  // of every gate with an angle
    Buffer<N> terms_;              // slopes of the bounded terms
    Buffer<N> derivatives_;        // by the angles of a run
    Buffer<N> inputs_, weights_, scales_, inputs_gradient_;
    Buffer<S> lanes_;              // sums of the gradients, [parameter][logical lane]
    Amplitude<N> *const state_, *const adjoint_;
    int64_t current_ = -1, first_ = 0;  // circuit, and first sample of the group
    int count_ = 0;                     // samples of the group
};

// Run work items [circuit][block] in contiguous shares, one per thread.
template <class K> void run_call(const QrlCircuit &circuit, const QrlCall &call) {
    using S = typename K::Scalar;
    const int64_t n_blocks = (call.n_samples + BLOCK - 1) / BLOCK, n_items = call.n_circuits * n_blocks;
    const bool backward = call.cotangent.data != nullptr;
    Partials partials(backward ? call.n_circuits : 0, n_blocks, circuit.n_weights + circuit.n_scales);
    const int n_threads = int(std::max<int64_t>(1, std::min<int64_t>(call.n_threads, n_items)));
    std::vector<std::unique_ptr<Worker<K>>> workers;
    for (int k = 0; k < n_threads; ++k) workers.push_back(std::make_unique<Worker<K>>(circuit, call, partials));
    const auto share = [&](int thread) {
        const int64_t first = n_items * thread / n_threads, last = n_items * (thread + 1) / n_threads;
        for (int64_t item = first; item < last; ++item) workers[thread]->run(item / n_blocks, item % n_blocks);
    };
    std::vector<std::thread> threads;
    threads.reserve(n_threads);
    int started = 1;
    try {
        for (; started < n_threads; ++started) threads.emplace_back(share, started);
    } catch (const std::system_error &) {
        // The system has no more threads: this one does their shares.
    }
    share(0);
    for (int k = started; k < n_threads; ++k) share(k);
    for (std::thread &thread : threads) thread.join();
    if (!backward) return;
    for (int64_t c = 0; c < call.n_circuits; ++c) {
        S *weights = static_cast<S *>(call.weights_gradient), *scales = static_cast<S *>(call.scales_gradient);
        if (weights) partials.total(c, 0, circuit.n_weights, weights + c * circuit.n_weights);
        if (scales) partials.total(c, circuit.n_weights, circuit.n_scales, scales + c * circuit.n_scales);
    }
}

}  // namespace

void run(const QrlCircuit &circuit, const QrlCall &call) {
    if (call.is_double) {
        if (call.is_dual) run_call<WithTangent<double>>(circuit, call);
        else run_call<Plain<double>>(circuit, call);
    } else {
        if (call.is_dual) run_call<WithTangent<float>>(circuit, call);
        else run_call<Plain<float>>(circuit, call);
    }
}

int lanes(bool is_double) { return is_double ? WIDTH<double> : WIDTH<float>; }

}  // namespace qrl::QRL_ISA
