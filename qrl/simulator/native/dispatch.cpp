// The C interface of the library. library.py calls it.

#include <cstdint>

#include "kernel.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

// Return the version of this interface: any change of it is a new number, here and in library.py.
EXPORT int32_t qrl_native_abi() { return 1; }

// Return 1 if the kernel of an instruction set was compiled and this processor and operating system run it, else 0.
EXPORT int32_t qrl_native_supported(int32_t isa) {
    switch (isa) {
        case qrl::GENERIC:
            return qrl::generic::isa() == qrl::GENERIC;
#ifdef __x86_64__
        case qrl::AVX2:
            return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && qrl::avx2::isa() == qrl::AVX2;
        case qrl::AVX512:
            return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                   __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
                   qrl_native_supported(qrl::AVX2) && qrl::avx512::isa() == qrl::AVX512;
#endif
        default:
            return 0;
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
