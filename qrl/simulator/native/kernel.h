// The kernel of one instruction set, in its own namespace.
#pragma once
#include "interface.h"

#define QRL_DECLARE_KERNEL(isa)                                          \
    namespace qrl::isa {                                                 \
    void run(const QrlCircuit &circuit, const QrlCall &call);            \
    int lanes(bool is_double); /* samples that share a final state */    \
    }

QRL_DECLARE_KERNEL(generic)
QRL_DECLARE_KERNEL(avx2)
QRL_DECLARE_KERNEL(avx512)
