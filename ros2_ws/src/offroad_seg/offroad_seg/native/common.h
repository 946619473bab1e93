/* SPDX-License-Identifier: Apache-2.0
 *
 * What all kernels share. They are plain loops over memory that Python owns: no allocation, no state, no Python. Each is
 * the twin of some numpy code, and must give what that gives: the tests hold the two against each other.
 */
#ifndef OFFROAD_SEG_COMMON_H
#define OFFROAD_SEG_COMMON_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Written for AVX2 by hand where the compiler does not find it. Such a function is no part of a kernel: it is called where
 * has_avx2() says that this processor can. OFFROAD_SEG_NO_AVX2 leaves them out, as if it could not. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(OFFROAD_SEG_NO_AVX2)
#include <immintrin.h>
#define AVX2 __attribute__((target("avx2")))
#define has_avx2() (__builtin_cpu_supports("avx2") != 0)
#else
#define has_avx2() 0
#endif

/* One library for every processor of a kind: the loader picks the version that this one can run. A level of x86-64 asks
 * for what a processor can do, which a compiler before GCC 12 has no word for; the name of a processor asks for its maker
 * too, and would leave the others with AVX2. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#if __GNUC__ >= 12
#define WIDEST "arch=x86-64-v4"
#else
#define WIDEST "arch=skylake-avx512"
#endif
#define KERNEL __attribute__((target_clones(WIDEST, "avx2", "default"), visibility("default")))
#else
#define KERNEL __attribute__((visibility("default")))
#endif

/* Part of a kernel: compiled into each version of it, where it would else be compiled once, for the oldest processor. */
#ifdef __GNUC__
#define PART static inline __attribute__((always_inline))
#else
#define PART static inline
#endif

/* How many columns of the target one of the source's fills, at most: pixel c begins at column first_w[c]. */
PART int32_t widest(const int32_t *restrict first_w, int64_t w)
{
    int32_t found = 0;
    for (int64_t c = 0; c < w; c++) {
        const int32_t count = first_w[c + 1] - first_w[c];
        found = count > found ? count : found;
    }
    return found;
}

/* Whether eight bytes are the same. */
enum { EIGHT = 8 };
PART int alike(const uint8_t *restrict bytes)
{
    uint64_t word;
    memcpy(&word, bytes, EIGHT);
    return word == bytes[0] * 0x0101010101010101u;
}

/* After stores past the cache: other threads see them. */
PART void written_past(void)
{
#ifdef __SSE2__
    _mm_sfence();
#endif
}

#endif
