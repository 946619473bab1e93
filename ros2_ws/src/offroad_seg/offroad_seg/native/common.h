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

/* One library for every processor of a kind: the loader picks the version that this one can run. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define KERNEL __attribute__((target_clones("arch=skylake-avx512", "avx2", "default"), visibility("default")))
#else
#define KERNEL __attribute__((visibility("default")))
#endif

/* Part of a kernel: compiled into each version of it, where it would else be compiled once, for the oldest processor. */
#ifdef __GNUC__
#define PART static inline __attribute__((always_inline))
#else
#define PART static inline
#endif

#endif
