/* SPDX-License-Identifier: Apache-2.0
 *
 * Points of one row, written past the cache where the processor can: the cloud would fill it. See cloud.c.
 */
#ifndef OFFROAD_SEG_POINTS_H
#define OFFROAD_SEG_POINTS_H

#include "common.h"
#include "rays.h"

enum { POINT_WORDS = 4 };

/* A pixel's word is what a point says behind its three numbers: label and confidence, little endian; and this. */
#define ON_GROUND UINT32_C(0x80000000)
#define SAID UINT32_C(0xffff)

/* The ground in the optical frame: normal · p = drop; up is the vertical; square is the range's. */
struct plane {
    float normal_x, normal_y, normal_z, up_x, up_y, up_z, drop, square;
};

#ifdef __GNUC__
typedef float float4 __attribute__((vector_size(16)));
typedef uint32_t word4 __attribute__((vector_size(16)));
#if defined(__clang__) || __GNUC__ >= 12
#define MIX(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
#define MIX(a, b, i, j, k, l) __builtin_shuffle(a, b, (word4){i, j, k, l})
#endif

PART float4 load(const float *from)
{
    float4 found;
    memcpy(&found, from, sizeof found);
    return found;
}

/* A whole point, at a multiple of 16 bytes; on x86 past the cache, and without reading what is written over. Others see
 * by themselves that nothing of it is needed. */
PART void store(uint32_t *to, float4 point)
{
#ifdef __SSE2__
    _mm_stream_ps((float *)to, (__m128)point);
#else
    memcpy(to, &point, sizeof point);
#endif
}

/* Four points from four numbers each: by itself the compiler writes every number alone, four times slower. */
PART int64_t write_fours(struct rays rays, int64_t y_step, const float *restrict depth_W,
                         const uint32_t *restrict row, uint32_t *restrict to, int64_t width)
{
    const float y = *rays.y_W;
    const float4 y_same = {y, y, y, y};
    int64_t k = 0;
    for (; k + 4 <= width; k += 4) {
        word4 said;
        memcpy(&said, row + k, sizeof said);
        const float4 z_4 = load(depth_W + k), x_4 = load(rays.x_W + k) * z_4, said_4 = (float4)(said & SAID);
        const float4 y_4 = (y_step ? load(rays.y_W + k) : y_same) * z_4;
        const float4 xy_01 = MIX(x_4, y_4, 0, 4, 1, 5), zs_01 = MIX(z_4, said_4, 0, 4, 1, 5);
        const float4 xy_23 = MIX(x_4, y_4, 2, 6, 3, 7), zs_23 = MIX(z_4, said_4, 2, 6, 3, 7);
        store(to + POINT_WORDS * k, MIX(xy_01, zs_01, 0, 1, 4, 5));
        store(to + POINT_WORDS * k + 4, MIX(xy_01, zs_01, 2, 3, 6, 7));
        store(to + POINT_WORDS * k + 8, MIX(xy_23, zs_23, 0, 1, 4, 5));
        store(to + POINT_WORDS * k + 12, MIX(xy_23, zs_23, 2, 3, 6, 7));
    }
    return k;
}

/* Four points that are nowhere. */
PART int64_t write_nowhere_fours(const uint32_t *restrict row, uint32_t *restrict to, int64_t width)
{
    const float4 nowhere = {NAN, NAN, NAN, NAN};
    int64_t k = 0;
    for (; k + 4 <= width; k += 4) {
        word4 said;
        memcpy(&said, row + k, sizeof said);
        const float4 said_4 = (float4)(said & SAID);
        store(to + POINT_WORDS * k, MIX(nowhere, said_4, 0, 1, 2, 4));
        store(to + POINT_WORDS * k + 4, MIX(nowhere, said_4, 0, 1, 2, 5));
        store(to + POINT_WORDS * k + 8, MIX(nowhere, said_4, 0, 1, 2, 6));
        store(to + POINT_WORDS * k + 12, MIX(nowhere, said_4, 0, 1, 2, 7));
    }
    return k;
}
#else
#define write_fours(...) 0
#define write_nowhere_fours(...) 0
#endif

/* The point at depth z on the ray (x, y, 1). */
PART void write_point(float x, float y, float z, uint32_t word, uint32_t *restrict to)
{
    const float point_3[3] = {x * z, y * z, z};
    memcpy(to, point_3, sizeof point_3);
    to[3] = word & SAID;
}

/* Points of one row of these depths. */
PART void write_row(struct rays rays, int64_t y_step, const float *restrict depth_W, const uint32_t *restrict row,
                    uint32_t *restrict to, int64_t width)
{
    for (int64_t k = write_fours(rays, y_step, depth_W, row, to, width); k < width; k++)
        write_point(rays.x_W[k], rays.y_W[k * y_step], depth_W[k], row[k], to + POINT_WORDS * k);
}

/* One row without ground: NaN, whatever the rays. */
PART void write_nowhere(const uint32_t *restrict row, uint32_t *restrict to, int64_t width)
{
    for (int64_t k = write_nowhere_fours(row, to, width); k < width; k++)
        write_point(NAN, NAN, NAN, row[k], to + POINT_WORDS * k);
}

#endif
