/* SPDX-License-Identifier: Apache-2.0
 *
 * Near edges of standing things: the twin of mapping/occlusion.py.
 */
#include "lens.h"
#include "plane.h"

#define FEW 16 /* labels that stand: so many are compared faster than looked up */

/* Which pixels of a row stand, 0 or 1. */
PART void standing_row(const uint8_t *restrict labels, int64_t n, const uint8_t *restrict standing_256,
                         const uint8_t *few, int n_few, uint8_t *restrict out)
{
    if (n_few > FEW) {
        for (int64_t i = 0; i < n; i++)
            out[i] = standing_256[labels[i]];
        return;
    }
    memset(out, 0, (size_t)n);
    for (int k = 0; k < n_few; k++) {
        const uint8_t one = few[k];
        for (int64_t i = 0; i < n; i++)
            out[i] |= (uint8_t)(labels[i] == one);
    }
}

/* Every `stride`-th standing pixel of a region beside one that does not stand; returns how many there are in all.
 *
 * `sides`: bits 1 right, 2 left, 4 below, 8 above count as beside. `rows` is scratch of 5 (n + 10). At most `room` are
 * written: their places in the image, and their rows. */
PART int64_t scan(const uint8_t *labels, int64_t image_width, const int64_t *region, const uint8_t *standing_256,
                    int64_t sides, int64_t stride, int64_t room, uint8_t *rows, int32_t *pixels, int32_t *rows_of)
{
    const int64_t v0 = region[0], v1 = region[1], u0 = region[2], n = region[3] - region[2], step = n + 10;
    uint8_t *before = rows + 1, *here = rows + step + 1, *next = rows + 2 * step + 1, *ones = rows + 3 * step + 1;
    uint8_t *restrict edge = rows + 4 * step;
    uint8_t few[FEW + 1];
    int n_few = 0;
    for (int k = 0; k < 256 && n_few <= FEW; k++)
        if (standing_256[k])
            few[n_few++] = (uint8_t)k;
    memset(rows, 0, (size_t)(5 * step));
    memset(ones, 1, (size_t)n);
    int64_t found = 0, written = 0, wait = 0;
    standing_row(labels + v0 * image_width + u0, n, standing_256, few, n_few, here);
    for (int64_t v = v0; v < v1; v++) {
        if (v + 1 < v1)
            standing_row(labels + (v + 1) * image_width + u0, n, standing_256, few, n_few, next);
        else
            memset(next, 0, (size_t)n);
        const uint8_t *right = sides & 1 ? here + 1 : ones, *left = sides & 2 ? here - 1 : ones;
        const uint8_t *below = sides & 4 ? next : ones, *above = sides & 8 ? before : ones;
        for (int64_t i = 0; i < n; i++)
            edge[i] = (uint8_t)(here[i] & ~(right[i] & left[i] & below[i] & above[i]));
        /* Most of a row is no edge: eight at once. Behind the row there are eight zeros. */
        for (int64_t first = 0; first < n; first += 8) {
            uint64_t eight;
            memcpy(&eight, edge + first, 8);
            if (!eight)
                continue;
            for (int64_t i = first; i < first + 8; i++) {
                if (!edge[i])
                    continue;
                found++;
                if (wait-- > 0)
                    continue;
                wait = stride - 1;
                if (written < room) {
                    pixels[written] = (int32_t)(v * image_width + u0 + i);
                    rows_of[written++] = (int32_t)v;
                }
            }
        }
        uint8_t *old = before;
        before = here;
        here = next;
        next = old;
    }
    return found;
}

#define BATCH 64
#define LOOKS 7
#define INSIDE 3 /* the first three looks are away from the camera's foot, into the thing */

/* Some pixels, and what is worked out of them: loops over a batch are loops over vectors. */
typedef struct {
    int32_t pixel[BATCH], u[BATCH], v[BATCH], at[LOOKS][BATCH], direction[BATCH];
    float dx[BATCH], dy[BATCH], x[BATCH], y[BATCH], depth[BATCH], distance[BATCH], du[BATCH], dv[BATCH];
} batch_t;

/* Unit steps in the image towards the camera's foot: see _step_towards_foot in mapping/occlusion.py. */
PART void steps(const lens_t *l, int kind, const float *turn, batch_t *restrict b, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        float u0, v0, u1, v1;
        place(l, kind, b->dx[i] - turn[0], b->dy[i] - turn[1], 1.0f - turn[2], &u0, &v0);
        place(l, kind, b->dx[i] + turn[0], b->dy[i] + turn[1], 1.0f + turn[2], &u1, &v1);
        float du = u1 - u0, dv = v1 - v0, norm = sqrtf(du * du + dv * dv);
        b->du[i] = du / norm;
        b->dv[i] = dv / norm;
    }
}

/* Near edges of standing things, and how many there are: see EdgeFinder.find. view is GroundView.numbers_12; table is NULL
 * without distortion; out has room for `most_px`. Scratch: rows of 5 (width + 10), pixels of 2 most_px. */
KERNEL int64_t plane_edges(const uint8_t *restrict labels, const uint8_t *restrict confidence, int64_t height,
                           int64_t width, const int64_t *restrict region, const uint8_t *restrict standing_256,
                           int64_t sides, int64_t min_px, int64_t most_px, const double *restrict lens,
                           const float *restrict table, const double *restrict view, double focal, double resolution,
                           double range, int64_t count, uint8_t *restrict rows, int32_t *restrict pixels,
                           const edges_t *restrict out)
{
    static const float STEPS[LOOKS] = {-3.0f, -2.0f, -1.0f, 1.0f, 2.0f, 3.0f, 4.0f};
    const lens_t l = lens_of(lens);
    const double cx = lens[3], cy = lens[4], per_fx = 1.0 / lens[1], per_fy = 1.0 / lens[2];
    float r[9], turn[3];
    for (int k = 0; k < 9; k++)
        r[k] = (float)view[k];
    for (int k = 0; k < 3; k++)
        turn[k] = (float)(3.0 / focal) * -r[3 * k + 2];
    const float drop = (float)view[9], slope_x = (float)view[10], slope_y = (float)view[11];
    const float max_range = (float)range, quarter = (float)(0.25 * resolution);
    const float lift = (float)(focal * -view[9]), per_turn = (float)((double)count / (2 * 3.141592653589793));
    const float right = (float)(width - 1), bottom = (float)(height - 1);
    int32_t *rows_of = pixels + most_px;
    int64_t size = scan(labels, width, region, standing_256, sides, 1, most_px, rows, pixels, rows_of), kept = 0;
    if (size > most_px) {
        int64_t stride = (size + most_px - 1) / most_px;
        scan(labels, width, region, standing_256, sides, stride, most_px, rows, pixels, rows_of);
        size = (size + stride - 1) / stride;
    }
    batch_t b;
    memset(&b, 0, sizeof b);
    for (int64_t first = 0; first < size; first += BATCH) {
        const int64_t many = size - first < BATCH ? size - first : BATCH;
        const int32_t *restrict pixel = pixels + first, *restrict v = rows_of + first;
        for (int64_t i = 0; i < many; i++) {
            b.u[i] = pixel[i] - v[i] * (int32_t)width;
            b.dx[i] = table ? table[2 * (int64_t)pixel[i]] : (float)(((double)b.u[i] - cx) * per_fx);
            b.dy[i] = table ? table[2 * (int64_t)pixel[i] + 1] : (float)(((double)v[i] - cy) * per_fy);
        }
        for (int64_t i = 0; i < many; i++) {
            float x = b.dx[i] * r[0] + b.dy[i] * r[3] + r[6], y = b.dx[i] * r[1] + b.dy[i] * r[4] + r[7];
            float z = b.dx[i] * r[2] + b.dy[i] * r[5] + r[8];
            b.depth[i] = drop / (z - slope_x * x - slope_y * y);
            b.x[i] = x * b.depth[i];
            b.y[i] = y * b.depth[i];
            b.distance[i] = sqrtf(b.x[i] * b.x[i] + b.y[i] * b.y[i]);
        }
        int64_t near = 0;
        for (int64_t i = 0; i < many; i++) {
            b.pixel[near] = pixel[i], b.u[near] = b.u[i], b.v[near] = v[i];
            b.dx[near] = b.dx[i], b.dy[near] = b.dy[i], b.x[near] = b.x[i], b.y[near] = b.y[i];
            b.depth[near] = b.depth[i], b.distance[near] = b.distance[i];
            /* False for NaN: a pixel whose direction is not known. */
            near += b.depth[near] > 0.0f && b.distance[near] <= max_range;
        }
        switch (l.kind) {
        case PINHOLE: steps(&l, PINHOLE, turn, &b, near); break;
        case POLYNOMIAL: steps(&l, POLYNOMIAL, turn, &b, near); break;
        case RATIONAL: steps(&l, RATIONAL, turn, &b, near); break;
        default: steps(&l, FISHEYE, turn, &b, near); break;
        }
        for (int s = 0; s < LOOKS; s++)
            for (int64_t i = 0; i < near; i++) {
                float us = rintf((float)b.u[i] + STEPS[s] * b.du[i]), vs = rintf((float)b.v[i] + STEPS[s] * b.dv[i]);
                int inside = (us >= 0.0f) & (us <= right) & (vs >= 0.0f) & (vs <= bottom);
                int32_t ui = (int32_t)(inside ? us : 0.0f), vi = (int32_t)(inside ? vs : 0.0f);
                b.at[s][i] = inside ? vi * (int32_t)width + ui : -1;
            }
        for (int64_t i = 0; i < near; i++) {
            b.direction[i] = direction_of(b.x[i], b.y[i], per_turn, (int32_t)count);
            /* The foot is the pixel's lower edge; what stands begins a little behind. */
            float nearer = 0.5f * b.depth[i] * b.depth[i] / lift - quarter;
            float share = most(0.0f, 1.0f - nearer / most(b.distance[i], 1e-6f));
            b.x[i] = b.x[i] * share;
            b.y[i] = b.y[i] * share;
            b.distance[i] = b.distance[i] * share;
        }
        for (int64_t i = 0; i < near; i++) {
            uint8_t stands[LOOKS], best = confidence[b.pixel[i]];
            for (int s = 0; s < LOOKS; s++)
                stands[s] = b.at[s][i] < 0 ? 0 : standing_256[labels[b.at[s][i]]];
            int real = 1;
            for (int64_t s = INSIDE - (min_px - 1); s < INSIDE; s++)
                real &= stands[s];
            if (!real)
                continue;
            for (int s = 0; s < INSIDE; s++)
                if (stands[s] && confidence[b.at[s][i]] > best)
                    best = confidence[b.at[s][i]];
            out->x[kept] = b.x[i];
            out->y[kept] = b.y[i];
            out->range[kept] = b.distance[i];
            out->depth[kept] = b.depth[i];
            out->labels[kept] = labels[b.pixel[i]];
            out->confidence[kept] = best;
            out->direction[kept] = b.direction[i];
            out->touches[kept] = !(stands[3] | stands[4] | stands[5] | stands[6]);
            kept++;
        }
    }
    return kept;
}
