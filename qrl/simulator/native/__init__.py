"""Native kernel: a C++ library that runs exact circuits, built where there is a compiler, and its loading."""
