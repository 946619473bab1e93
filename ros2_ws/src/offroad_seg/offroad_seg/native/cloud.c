/* SPDX-License-Identifier: Apache-2.0
 *
 * A ground point for each labelled pixel: see mapping/cloud.py.
 */
#include "points.h"
#include "points_avx2.h"

enum { GROUND = 1, STANDING = 2, FOOT = 4, STEP = 4 };

/* For rounding, of which there is a millionth. */
#define MARGIN 1.001f
#define STEEPER 1e-5f
#define FLATTEST 0.01f

/* What the network's pixels show: GROUND where it can be believed, STANDING, and FOOT where that can be believed. */
PART void masks(const uint8_t *restrict labels, const uint8_t *restrict confidence,
                const uint8_t *restrict kind_256, int64_t least, uint8_t *restrict mask, int64_t count)
{
    for (int64_t k = 0; k < count; k++)
        mask[k] = kind_256[labels[k]];
    /* A byte beside bytes: the loop is eight times as wide. */
    const uint8_t enough = (uint8_t)least;
    for (int64_t k = 0; k < count; k++) {
        const uint8_t sure = (uint8_t) - (confidence[k] >= enough);
        mask[k] = (uint8_t)((mask[k] & STANDING) | ((mask[k] | mask[k] << 1) & (GROUND | FOOT) & sure));
    }
}

/* One row of the network as words. Returns whether there is any ground. */
PART uint32_t say(const uint8_t *restrict labels, const uint8_t *restrict confidence, const uint8_t *restrict mask,
                  int64_t w, uint32_t *restrict words)
{
    uint32_t any = 0;
    for (int64_t c = 0; c < w; c++) {
        words[c] = (uint32_t)(mask[c] & GROUND) << 31 | (uint32_t)confidence[c] << 8 | labels[c];
        any |= words[c];
    }
    return any & ON_GROUND;
}

/* The same at the image's width: each word is written fourfold where its pixel begins, and the next one writes over what
 * is too much. So `row` has STEP words more than the image. `wide`: some fill more than that. */
PART void stretch(const uint32_t *restrict words, const int32_t *restrict first_w, int64_t w, int wide,
                  uint32_t *restrict row)
{
    for (int64_t c = 0; c < w; c++) {
        const uint32_t pixels[STEP] = {words[c], words[c], words[c], words[c]};
        memcpy(row + first_w[c], pixels, sizeof pixels);
        if (wide)
            for (int64_t x = first_w[c] + STEP; x < first_w[c + 1]; x += STEP)
                memcpy(row + x, pixels, sizeof pixels);
    }
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

/* Whether no ray of a row does; by too little rather than by too much. */
PART int beyond(struct rays rays, struct plane plane)
{
    const float steepest_x = plane.normal_x > 0.0f ? rays.least[0] : rays.most[0];
    const float steepest_y = plane.normal_y > 0.0f ? rays.least[1] : rays.most[1];
    const float rounding = STEEPER * (1.0f + fabsf(steepest_x) + fabsf(steepest_y));
    const float along = steepest_x * plane.normal_x + (steepest_y * plane.normal_y + plane.normal_z) - rounding;
    const float depth = plane.drop / along;
    /* Of a ray's length at depth 1, what is least along the ground: without what is most along the vertical. */
    const float rise_x = fmaxf(rays.least[0] * plane.up_x, rays.most[0] * plane.up_x);
    const float rise_y = fmaxf(rays.least[1] * plane.up_y, rays.most[1] * plane.up_y);
    const float fall_x = fminf(rays.least[0] * plane.up_x, rays.most[0] * plane.up_x);
    const float fall_y = fminf(rays.least[1] * plane.up_y, rays.most[1] * plane.up_y);
    const float rise = fmaxf(rise_x + rise_y + plane.up_z, -(fall_x + fall_y + plane.up_z));
    const float x = fmaxf(fmaxf(rays.least[0], -rays.most[0]), 0.0f);
    const float y = fmaxf(fmaxf(rays.least[1], -rays.most[1]), 0.0f);
    const float flat = x * x + (y * y + 1.0f) - rise * rise;
    /* False for what is no number. */
    return plane.drop < 0.0f && (along >= 0.0f || (flat > FLATTEST && flat * depth * depth > plane.square * MARGIN));
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

/* Feet in such a row, whose other points are written: each gets ray and depth of the ground below; but at a thing's side,
 * where it goes on below and aside, is none. */
PART void write_feet(const struct spread *seen, int64_t y, int64_t side_rows, int64_t side_columns, struct rays below,
                     int64_t kind, struct plane plane, const uint32_t *restrict row, uint32_t *restrict to)
{
    const uint8_t *upper = seen->mask + seen->rows_H[y] * seen->w, *lower = seen->mask + seen->rows_H[y + 1] * seen->w;
    const uint8_t *aside = y + side_rows < seen->height ? seen->mask + seen->rows_H[y + side_rows] * seen->w : NULL;
    for (int64_t c = 0; c < seen->w; c++) {
        if (!(upper[c] >> 2 & lower[c] & GROUND)) {
            c += feetless(upper + c, lower + c, seen->w - c) - 1;
            continue;
        }
        for (int64_t x = seen->first_w[c]; x < seen->first_w[c + 1]; x++) {
            const float ray_x = ray_at(below.x_W, kind, x), ray_y = ray_at(below.y_W, kind, x * below.y_step);
            const float depth = depth_of(ray_x, ray_y, plane, ON_GROUND, 0);
            /* Nothing stands on ground so far away: such points are nowhere already, and most are. */
            if (isnan(depth))
                continue;
            const int64_t last = x + side_columns < seen->width ? x + side_columns : seen->width - 1;
            uint32_t goes_on = 0;
            for (int64_t k = x > side_columns ? x - side_columns : 0; aside && k <= last; k++)
                goes_on |= k != x ? aside[seen->columns_W[k]] : 0;
            if (!(goes_on & STANDING))
                write_point(ray_x, ray_y, depth, row[x], to + POINT_WORDS * x);
        }
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

/* Points of one row but for feet. */
PART void write_ground(struct ray_table table, int64_t y, int fused, struct plane plane, const uint32_t *restrict row,
                       float *restrict rows, int64_t pitch, uint32_t *restrict to, int64_t width)
{
    if (fused) {
        const struct rays rays = corner_rays(table, y, width, rows, rows + pitch);
        fused_row(rays.x_W, rays.y_W, table.kind, within(rays, plane), plane, row, to, width);
        return;
    }
    const struct rays rays = rays_of(table, y, width, rows, pitch);
    float *depth_W = rows + 3 * pitch;
    if (rays.y_step) {
        find_depths(rays, 1, plane, row, depth_W, width);
        write_row(rays, 1, depth_W, row, to, width);
    } else {
        find_depths(rays, 0, plane, row, depth_W, width);
        write_row(rays, 0, depth_W, row, to, width);
    }
}

/* All points of an image. Rays as `kind` and `nodes` say. Memory to work in: mask (h, w), words (w + width + BLOCK),
 * rows (4, pitch), where a row of `pitch` holds the image's width in whole squares of NODE_STEP. */
KERNEL void ground_cloud(const uint8_t *restrict labels, const uint8_t *restrict confidence,
                         const uint8_t *restrict kind_256, int64_t least, int64_t h, int64_t w,
                         const int32_t *restrict rows_H, const int32_t *restrict columns_W,
                         const int32_t *restrict first_w, const int32_t *restrict starts,
                         const uint8_t *restrict controls, const float *restrict ray_x, const float *restrict ray_y,
                         const float *restrict limits, int64_t kind, int64_t nodes,
                         const float *restrict plane_8, int64_t side_rows, int64_t side_columns,
                         uint8_t *restrict mask, uint32_t *restrict words, float *restrict rows, int64_t pitch,
                         uint32_t *restrict points, int64_t height, int64_t width)
{
    const struct plane plane = {plane_8[0], plane_8[1], plane_8[2], plane_8[3],
                                plane_8[4], plane_8[5], plane_8[6], plane_8[7]};
    const struct spread seen = {mask, rows_H, columns_W, first_w, w, height, width};
    const struct ray_table table = {ray_x, ray_y, limits, kind, nodes};
    const int wide = widest(first_w, w) > STEP, fused = width % NODE_STEP == 0 && has_avx2();
    const int shuffled = starts && has_avx2();
    uint32_t *row = words + w, any = 0;
    masks(labels, confidence, kind_256, least, mask, h * w);
    for (int64_t y = 0; y < height; y++) {
        const int64_t at = rows_H[y] * w;
        const int another = y == 0 || rows_H[y] != rows_H[y - 1];
        if (another)
            any = say(labels + at, confidence + at, mask + at, w, words);
        if (another && shuffled)
            shuffle_words(words, starts, controls, (width + BLOCK - 1) / BLOCK, row);
        else if (another && wide)
            stretch(words, first_w, w, 1, row);
        else if (another)
            stretch(words, first_w, w, 0, row);
        uint32_t *to = points + POINT_WORDS * y * width;
        const int feet = y + 1 < height && rows_H[y + 1] != rows_H[y] && has_feet(&seen, y);
        if (any && !beyond(kept_rays(table, y, width), plane))
            write_ground(table, y, fused, plane, row, rows, pitch, to, width);
        else
            write_nowhere(row, to, width);
        if (feet && !beyond(kept_rays(table, y + 1, width), plane))
            write_feet(&seen, y, side_rows, side_columns, corner_rays(table, y + 1, width, rows, rows + pitch), kind, plane,
                       row, to);
    }
    written_past();
}
