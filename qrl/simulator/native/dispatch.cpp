// The C interface of the library; `library.py` calls it.
#include <new>
#include <system_error>

#include "kernel.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT int32_t qrl_native_run(const QrlCircuit *circuit, const QrlCall *call, int32_t isa) {
    try {
        switch (isa) {
        case 0: qrl::generic::run(*circuit, *call); return QRL_OK;
#ifdef __x86_64__
        case 1: qrl::avx2::run(*circuit, *call); return QRL_OK;
        case 2: qrl::avx512::run(*circuit, *call); return QRL_OK;
#endif
        default: return QRL_UNSUPPORTED;
        }
    } catch (const std::bad_alloc &) {
        return QRL_OUT_OF_MEMORY;
    } catch (const std::system_error &) {  // no thread could be started
        return QRL_OUT_OF_MEMORY;
    }
}

EXPORT int32_t qrl_native_lanes(int32_t isa, int32_t is_double) {
    switch (isa) {
    case 0: return qrl::generic::lanes(is_double);
#ifdef __x86_64__
    case 1: return qrl::avx2::lanes(is_double);
    case 2: return qrl::avx512::lanes(is_double);
#endif
    default: return 0;
    }
}
