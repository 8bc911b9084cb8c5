// Kernel of one instruction set. The build compiles this file once for each, with QRL_ISA as the name of its namespace.

#include <cstdint>

#include "kernel.h"

namespace qrl::QRL_ISA {

int32_t isa() {
#if defined(__AVX512F__)
    return AVX512;
#elif defined(__AVX2__)
    return AVX2;
#else
    return GENERIC;
#endif
}

}  // namespace qrl::QRL_ISA
