// SPDX-License-Identifier: Apache-2.0
//
// Prints what cuda.h says of functions and constants, so that a test can hold the ctypes declarations against it. It is
// compiled with -DFUNCTIONS="F(cuInit) F(cuMemFree_v2) …" and -DCONSTANTS="C(CU_STREAM_NON_BLOCKING) …"; nothing of CUDA
// is linked.

#include <cuda.h>

#include <cstdio>
#include <string>
#include <type_traits>

// One word for each type, by what a caller has to pass.
template <class T>
std::string kind() {
  if constexpr (std::is_pointer_v<T>) {
    using Inner = std::remove_cv_t<std::remove_pointer_t<T>>;
    if constexpr (std::is_same_v<Inner, char>) return "text";
    else if constexpr (std::is_void_v<Inner> || std::is_class_v<Inner>) return "pointer";
    else return "to " + kind<Inner>();
  } else if constexpr (std::is_enum_v<T>) {
    return sizeof(T) == 4 ? "int" : "?";
  } else if constexpr (std::is_integral_v<T>) {
    return sizeof(T) == 8 ? "wide" : std::is_signed_v<T> ? "int" : "unsigned";
  } else {
    return "?";
  }
}

template <class Result, class... Arguments>
void show(const char *name, Result (*)(Arguments...)) {
  std::printf("%s(", name);
  const char *between = "";
  ((std::printf("%s%s", between, kind<Arguments>().c_str()), between = ", "), ...);
  std::printf(") %s\n", kind<Result>().c_str());
}

int main() {
#define NAME(x) #x
#define F(x) show(NAME(x), static_cast<decltype(&x)>(nullptr));
#define C(x) std::printf("%s = %d\n", #x, int(x));
  FUNCTIONS
  CONSTANTS
  std::printf("CUDA_VERSION = %d\n", CUDA_VERSION);
}
