/* SPDX-License-Identifier: Apache-2.0
 *
 * A ground point for each labelled pixel: see mapping/cloud.py.
 */
#include "common.h"
#include "rays.h"

enum { GROUND = 1, STANDING = 2, FOOT = 4, STEP = 4, POINT_WORDS = 4 };

/* A pixel's word is what a point says behind its three numbers: label and confidence, little endian; and this. */
#define ON_GROUND UINT32_C(0x80000000)
#define SAID UINT32_C(0xffff)

/* For rounding, of which there is a millionth. */
#define MARGIN 1.001f

/* The ground in the optical frame: normal · p = drop; up is the vertical; square is the range's. */
struct plane {
    float normal_x, normal_y, normal_z, up_x, up_y, up_z, drop, square;
};

/* What the network's pixels show: GROUND where it can be believed, STANDING, and FOOT where that can be believed. */
PART void masks(const uint8_t *restrict labels, const uint8_t *restrict confidence,
                         const uint8_t *restrict kind_256, int64_t least, uint8_t *restrict mask, int64_t count)
{
    for (int64_t k = 0; k < count; k++)
        mask[k] = kind_256[labels[k]];
    for (int64_t k = 0; k < count; k++) {
        const uint8_t sure = (uint8_t) - (confidence[k] >= least);
        mask[k] = (uint8_t)((mask[k] & STANDING) | ((mask[k] | mask[k] << 1) & (GROUND | FOOT) & sure));
    }
}

/* One row of words: each is written fourfold where its pixel begins, and the next one writes over what is too much.
 * So `row` has STEP words more than the image. `wide`: some fill more than that. Returns whether there is any ground. */
PART uint32_t stretch(const uint8_t *restrict labels, const uint8_t *restrict confidence,
                      const uint8_t *restrict mask, const int32_t *restrict first_w, int64_t w, int wide,
                      uint32_t *restrict words, uint32_t *restrict row)
{
    uint32_t any = 0;
    for (int64_t c = 0; c < w; c++) {
        words[c] = (uint32_t)(mask[c] & GROUND) << 31 | (uint32_t)confidence[c] << 8 | labels[c];
        any |= words[c];
    }
    for (int64_t c = 0; c < w; c++) {
        const uint32_t pixels[STEP] = {words[c], words[c], words[c], words[c]};
        memcpy(row + first_w[c], pixels, sizeof pixels);
        if (wide)
            for (int64_t x = first_w[c] + STEP; x < first_w[c + 1]; x += STEP)
                memcpy(row + x, pixels, sizeof pixels);
    }
    return any & ON_GROUND;
}

/* Whether all rays of a row meet the ground within range; by too much rather than by too little. */
PART int within(struct rays rays, struct plane plane)
{
    const float steepest_x = plane.normal_x > 0.0f ? rays.most[0] : rays.least[0];
    const float steepest_y = plane.normal_y > 0.0f ? rays.most[1] : rays.least[1];
    const float along = steepest_x * plane.normal_x + (steepest_y * plane.normal_y + plane.normal_z);
    const float depth = plane.drop / along;
    const float x = fmaxf(-rays.least[0], rays.most[0]), y = fmaxf(-rays.least[1], rays.most[1]);
    /* False for what is no number. */
    return plane.drop < 0.0f && along < 0.0f && (x * x + y * y + 1.0f) * depth * depth * MARGIN <= plane.square;
}

/* Where the ray (x, y, 1) meets the ground, along z; NaN where it does not within range, and where `word` is no ground.
 * `inside`: it does so within range. */
PART float depth_of(float x, float y, struct plane plane, uint32_t word, int inside)
{
    const float along = x * plane.normal_x + (y * plane.normal_y + plane.normal_z);
    const float depth = plane.drop / along;
    if (inside)
        return word >> 31 ? depth : NAN;
    /* Along the ground: what of the ray is not vertical. */
    const float rise = x * plane.up_x + (y * plane.up_y + plane.up_z);
    const float reach = (x * x + (y * y + 1.0f) - rise * rise) * depth * depth;
    /* False for what is no number. */
    const uint32_t good = (word >> 31) & (uint32_t)(depth > 0.0f) & (uint32_t)(reach <= plane.square);
    return good ? depth : NAN;
}

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

/* A whole point, at a multiple of 16 bytes; on x86 past the cache, which the cloud would fill, and without reading what is
 * written over. Others see by themselves that nothing of it is needed. */
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

/* Points of one row of these depths. */
PART void write_row(struct rays rays, int64_t y_step, const float *restrict depth_W, const uint32_t *restrict row,
                    uint32_t *restrict to, int64_t width)
{
    for (int64_t k = write_fours(rays, y_step, depth_W, row, to, width); k < width; k++) {
        const float z = depth_W[k], point_3[3] = {rays.x_W[k] * z, rays.y_W[k * y_step] * z, z};
        memcpy(to + POINT_WORDS * k, point_3, sizeof point_3);
        to[POINT_WORDS * k + 3] = row[k] & SAID;
    }
}

/* The network's pixels, seen at the image's size; beyond its borders nothing stands. */
struct spread {
    const uint8_t *mask;
    const int32_t *rows_H, *columns_W, *first_w;
    int64_t w, height, width;
};

/* Whether something that stands in row y, the last that shows a row of the network, has ground below it. */
PART int has_feet(const struct spread *seen, int64_t y)
{
    const uint8_t *above = seen->mask + seen->rows_H[y] * seen->w, *below = seen->mask + seen->rows_H[y + 1] * seen->w;
    uint32_t any = 0;
    for (int64_t c = 0; c < seen->w; c++)
        any |= above[c] >> 2 & below[c];
    return any & GROUND;
}

/* How many pixels, of those of which the first is no foot, can be passed over at once. */
PART int64_t feetless(const uint8_t *upper, const uint8_t *lower, int64_t count)
{
    uint64_t above, below;
    if (count < (int64_t)sizeof above)
        return 1;
    memcpy(&above, upper, sizeof above);
    memcpy(&below, lower, sizeof below);
    return above >> 2 & below & UINT64_C(0x0101010101010101) ? 1 : (int64_t)sizeof above;
}

/* Feet in such a row: each gets ray and depth of the ground below; but at a thing's side, where it goes on below and
 * aside, is none. */
PART void find_feet(const struct spread *seen, int64_t y, int64_t side_rows, int64_t side_columns, struct rays below,
                    struct plane plane, float *restrict x_W, float *restrict y_W, float *restrict depth_W)
{
    const uint8_t *upper = seen->mask + seen->rows_H[y] * seen->w, *lower = seen->mask + seen->rows_H[y + 1] * seen->w;
    const uint8_t *aside = y + side_rows < seen->height ? seen->mask + seen->rows_H[y + side_rows] * seen->w : NULL;
    for (int64_t c = 0; c < seen->w; c++) {
        if (!(upper[c] >> 2 & lower[c] & GROUND)) {
            c += feetless(upper + c, lower + c, seen->w - c) - 1;
            continue;
        }
        for (int64_t x = seen->first_w[c]; x < seen->first_w[c + 1]; x++) {
            const int64_t last = x + side_columns < seen->width ? x + side_columns : seen->width - 1;
            uint32_t goes_on = 0;
            for (int64_t k = x > side_columns ? x - side_columns : 0; aside && k <= last; k++)
                goes_on |= k != x ? aside[seen->columns_W[k]] : 0;
            if (goes_on & STANDING)
                continue;
            x_W[x] = below.x_W[x];
            y_W[x] = below.y_W[x * below.y_step];
            depth_W[x] = depth_of(x_W[x], y_W[x], plane, ON_GROUND, 0);
        }
    }
}

/* One row without ground, and so without feet: NaN, whatever the rays. */
PART void nothing_row(const uint32_t *restrict row, uint32_t *restrict to, int64_t width)
{
    for (int64_t k = write_nowhere_fours(row, to, width); k < width; k++) {
        const float nowhere_3[3] = {NAN, NAN, NAN};
        memcpy(to + POINT_WORDS * k, nowhere_3, sizeof nowhere_3);
        to[POINT_WORDS * k + 3] = row[k] & SAID;
    }
}

PART void find_depths(struct rays rays, int64_t y_step, struct plane plane, const uint32_t *restrict row,
                      float *restrict depth_W, int64_t width)
{
    /* Each way written out, so that it is a loop of its own. */
    if (within(rays, plane))
        for (int64_t k = 0; k < width; k++)
            depth_W[k] = depth_of(rays.x_W[k], rays.y_W[k * y_step], plane, row[k], 1);
    else
        for (int64_t k = 0; k < width; k++)
            depth_W[k] = depth_of(rays.x_W[k], rays.y_W[k * y_step], plane, row[k], 0);
}

/* All points of an image. Rays as `kind` and `nodes` say. Memory to work in: mask (h, w), words (w + width + STEP), numbers
 * (7, pitch), where a row of `pitch` holds the image's width in whole squares of NODE_STEP. */
KERNEL void ground_cloud(const uint8_t *restrict labels, const uint8_t *restrict confidence,
                         const uint8_t *restrict kind_256, int64_t least, int64_t h, int64_t w,
                         const int32_t *restrict rows_H, const int32_t *restrict columns_W,
                         const int32_t *restrict first_w, const float *restrict ray_x, const float *restrict ray_y,
                         const float *restrict limits, int64_t kind, int64_t nodes,
                         const float *restrict plane_8, int64_t side_rows, int64_t side_columns,
                         uint8_t *restrict mask, uint32_t *restrict words, float *restrict numbers, int64_t pitch,
                         uint32_t *restrict points, int64_t height, int64_t width)
{
    const struct plane plane = {plane_8[0], plane_8[1], plane_8[2], plane_8[3],
                                plane_8[4], plane_8[5], plane_8[6], plane_8[7]};
    const struct spread seen = {mask, rows_H, columns_W, first_w, w, height, width};
    const struct ray_table table = {ray_x, ray_y, limits, kind, nodes};
    const int wide = widest(first_w, w) > STEP;
    uint32_t *row = words + w, any = 0;
    float *depth_W = numbers, *rows = numbers + pitch, *rows_below = numbers + 4 * pitch;
    masks(labels, confidence, kind_256, least, mask, h * w);
    for (int64_t y = 0; y < height; y++) {
        uint32_t *to = points + POINT_WORDS * y * width;
        const int64_t at = rows_H[y] * w;
        const int another = y == 0 || rows_H[y] != rows_H[y - 1];
        if (another && wide)
            any = stretch(labels + at, confidence + at, mask + at, first_w, w, 1, words, row);
        else if (another)
            any = stretch(labels + at, confidence + at, mask + at, first_w, w, 0, words, row);
        const int feet = y + 1 < height && rows_H[y + 1] != rows_H[y] && has_feet(&seen, y);
        if (!any && !feet) {
            nothing_row(row, to, width);
            continue;
        }
        struct rays rays = rays_of(table, y, width, rows, pitch);
        if (feet) {
            /* Those rows are to be written over. */
            for (int64_t k = 0; k < width && kind != NODES; k++) {
                rows[k] = rays.x_W[k];
                rows[pitch + k] = rays.y_W[k * rays.y_step];
            }
            rays.x_W = rows;
            rays.y_W = rows + pitch;
            rays.y_step = 1;
        }
        if (rays.y_step)
            find_depths(rays, 1, plane, row, depth_W, width);
        else
            find_depths(rays, 0, plane, row, depth_W, width);
        if (feet)
            find_feet(&seen, y, side_rows, side_columns, rays_of(table, y + 1, width, rows_below, pitch), plane, rows,
                      rows + pitch, depth_W);
        if (rays.y_step)
            write_row(rays, 1, depth_W, row, to, width);
        else
            write_row(rays, 0, depth_W, row, to, width);
    }
    written_past();
}
