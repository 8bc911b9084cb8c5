// Instruction sets and what the kernel of each defines.

#pragma once

#include <cstdint>

namespace qrl {

// Numbers shared with library.py.
enum Isa : int32_t { GENERIC = 0, AVX2 = 1, AVX512 = 2 };

namespace generic {
// Return the instruction set that the kernel was compiled for.
int32_t isa();
}  // namespace generic

#ifdef __x86_64__
namespace avx2 {
int32_t isa();
}
namespace avx512 {
int32_t isa();
}
#endif

}  // namespace qrl
