"""Check of a shared library before it is loaded: the dynamic loader crashes on some that are cut off."""

import platform
import struct

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
"""Header of a 64-bit little-endian ELF file."""
_START = b"\x7fELF\x02\x01\x01"
_MACHINES = {"x86_64": 62, "aarch64": 183}
"""Numbers of processors in ELF files, by the names that Linux has for them."""


def defect(data: bytes) -> str:
    """Return why a file is no complete 64-bit shared library for this processor; "" if it is one."""
    if len(data) < _HEADER.size or not data.startswith(_START):
        return "not a shared library"
    header = _HEADER.unpack_from(data)
    _, _, machine, _, _, segments, sections, _, _, segment_size, n_segments, section_size, n_sections, _ = header
    if machine != _MACHINES.get(platform.machine(), machine):
        return "built for another processor"
    end = max(segments + segment_size * n_segments, sections + section_size * n_sections)
    return "incomplete" if end > len(data) else ""
