// The kernel of each instruction set, in a namespace of its own.
#pragma once

#include "interface.h"

#define QRL_DECLARE_KERNEL(isa)                                       \
    namespace qrl::isa {                                              \
    void run(const QrlCircuit &circuit, const QrlCall &call);         \
    int lanes(bool is_double); /* samples that share a final state */ \
    }

QRL_DECLARE_KERNEL(generic)
#ifdef __x86_64__
QRL_DECLARE_KERNEL(avx2)
QRL_DECLARE_KERNEL(avx512)
#endif

#undef QRL_DECLARE_KERNEL
