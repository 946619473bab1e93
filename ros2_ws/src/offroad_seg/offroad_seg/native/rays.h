/* SPDX-License-Identifier: Apache-2.0
 *
 * Directions of an image's pixels, row by row: see mapping/rays.py.
 */
#ifndef OFFROAD_SEG_RAYS_H
#define OFFROAD_SEG_RAYS_H

#include "common.h"

/* Rays (x, y, 1) of one row: x is one number for each pixel, y likewise, or one for all where y_step is 0. All lie
 * between `least` and `most`, which are x and y, but for rounding; where some are no numbers, so are these. */
struct rays {
    const float *x_W, *y_W;
    int64_t y_step;
    float least[2], most[2];
};

/* The rays of an image: x for each column and y for each row (ONE_EACH), or both for each pixel (TABLED), or for the
 * corners of squares of NODE_STEP pixels, `nodes` in a row, with straight lines between them (NODES). Limits: x's least
 * and most, then y's least and most of each row, of pixels or of squares. */
enum { ONE_EACH, TABLED, NODES, NODE_STEP = 8 };
struct ray_table {
    const float *ray_x, *ray_y, *limits;
    int64_t kind, nodes;
};

/* A pixel's number, and seven more, on the line from `left`. */
PART void line(float left, float more, float *restrict to_8)
{
#ifdef __GNUC__
    typedef float float8 __attribute__((vector_size(32)));
    const float8 part = {0.0f, 0.125f, 0.25f, 0.375f, 0.5f, 0.625f, 0.75f, 0.875f};
    const float8 found = left + more * part;
    memcpy(to_8, &found, sizeof found);
#else
    for (int k = 0; k < NODE_STEP; k++)
        to_8[k] = left + more * ((float)k * (1.0f / NODE_STEP));
#endif
}

/* Corners between those above and below row y. */
PART void corners_of(const float *restrict corners, int64_t nodes, int64_t y, float *restrict node_W)
{
    const float *upper = corners + y / NODE_STEP * nodes, *lower = upper + nodes;
    const float down = (float)(y % NODE_STEP) * (1.0f / NODE_STEP);
    for (int64_t n = 0; n < nodes; n++)
        node_W[n] = upper[n] + (lower[n] - upper[n]) * down;
}

/* Between four corners, first down and then across: one row of pixels, to whole squares; `node_W` is memory to work in. */
PART void between(const float *restrict corners, int64_t nodes, int64_t y, float *restrict node_W, float *restrict ray_W)
{
    corners_of(corners, nodes, y, node_W);
    for (int64_t n = 0; n + 1 < nodes; n++)
        line(node_W[n], node_W[n + 1] - node_W[n], ray_W + NODE_STEP * n);
}

/* Those of row y as they are kept: of pixels, or of the corners above it for NODES. */
PART struct rays kept_rays(struct ray_table table, int64_t y, int64_t width)
{
    const int tabled = table.kind == TABLED;
    const int64_t step = table.kind == NODES ? NODE_STEP : 1;
    const struct rays found = {tabled ? table.ray_x + y * width : table.ray_x,
                               table.ray_y + (tabled ? y * width : y),
                               tabled,
                               {table.limits[0], table.limits[2 + 2 * (y / step)]},
                               {table.limits[1], table.limits[3 + 2 * (y / step)]}};
    return found;
}

/* The same, with the corners of row y itself in memory to work in. */
PART struct rays corner_rays(struct ray_table table, int64_t y, int64_t width, float *restrict x_n, float *restrict y_n)
{
    struct rays found = kept_rays(table, y, width);
    if (table.kind == NODES) {
        corners_of(table.ray_x, table.nodes, y, x_n);
        corners_of(table.ray_y, table.nodes, y, y_n);
        found.x_W = x_n;
        found.y_W = y_n;
        found.y_step = 1;
    }
    return found;
}

/* One coordinate of pixel x's ray, of such rays. */
PART float ray_at(const float *ray_W, int64_t kind, int64_t x)
{
    if (kind != NODES)
        return ray_W[x];
    const float *corners = ray_W + x / NODE_STEP;
    return corners[0] + (corners[1] - corners[0]) * ((float)(x % NODE_STEP) * (1.0f / NODE_STEP));
}

/* Those of row y, in memory to work in where they are not kept as such: two rows and a third that is used up. */
PART struct rays rays_of(struct ray_table table, int64_t y, int64_t width, float *restrict rows, int64_t pitch)
{
    struct rays found = kept_rays(table, y, width);
    if (table.kind == NODES) {
        found.x_W = rows;
        found.y_W = rows + pitch;
        found.y_step = 1;
        between(table.ray_x, table.nodes, y, rows + 2 * pitch, rows);
        between(table.ray_y, table.nodes, y, rows + 2 * pitch, rows + pitch);
    }
    return found;
}

#endif
