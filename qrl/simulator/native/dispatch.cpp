// The C interface of the library; library.py calls it.

#include <exception>

#include "kernel.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

enum InstructionSet : int32_t { GENERIC = 0, AVX2 = 1, AVX512 = 2 };  // requested.py has the names in this order

struct Kernel {
    void (*run)(const QrlCircuit &, const QrlCall &);
    int (*lanes)(bool is_double);
};

constexpr Kernel KERNELS[] = {
    {qrl::generic::run, qrl::generic::lanes},
#ifdef __x86_64__
    {qrl::avx2::run, qrl::avx2::lanes},
    {qrl::avx512::run, qrl::avx512::lanes},
#endif
};

}  // namespace

// Return the version of this interface: any change of it is a new number, here and in library.py.
EXPORT int32_t qrl_native_abi() { return 1; }

// Return 1 if the kernel of an instruction set was compiled and this processor and operating system run it, else 0.
EXPORT int32_t qrl_native_supported(int32_t isa) {
    switch (isa) {
    case GENERIC: return 1;
#ifdef __x86_64__
    case AVX2: return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case AVX512:
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") && qrl_native_supported(AVX2);
#endif
    default: return 0;
    }
}

// Return the compiler and its version.
EXPORT const char *qrl_native_build() {
#ifdef __clang__
    return "Clang " __clang_version__;
#else
    return "GCC " __VERSION__;
#endif
}

// Return the number of samples that share a final state under a supported instruction set.
EXPORT int32_t qrl_native_lanes(int32_t isa, int32_t is_double) { return KERNELS[isa].lanes(is_double); }

// Run a call under a supported instruction set. Return 0, or 1 if there is not enough memory.
EXPORT int32_t qrl_native_run(const QrlCircuit *circuit, const QrlCall *call, int32_t isa) {
    try {
        KERNELS[isa].run(*circuit, *call);
        return 0;
    } catch (const std::exception &) {
        return 1;
    }
}
