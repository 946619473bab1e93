/* SPDX-License-Identifier: Apache-2.0
 *
 * Where standing things meet the ground, and what they hide: the twin of mapping/occlusion.py, shadow.py, foot_range.py
 * and marks.py.
 */
#include "lens.h"

#define FEW 16 /* labels that stand: so many are compared faster than looked up */

/* What the edges are told of the view in one vector: native/edges.py names the same places. */
enum { TURN = 0, DROP = 9, SLOPE_X, SLOPE_Y, FOCAL, VIEW_RESOLUTION, VIEW_RANGE };

/* Which pixels of a row stand, 0 or 1. */
INLINE void standing_row(const uint8_t *restrict labels, int64_t n, const uint8_t *restrict standing_256,
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
 * `sides`: bits 1 right, 2 left, 4 below, 8 above count as beside. `rows` is scratch of 5 (n + 2). At most `room` are
 * written. */
INLINE int64_t scan(const uint8_t *labels, int64_t image_width, const int64_t *region, const uint8_t *standing_256,
                    int64_t sides, int64_t stride, int64_t room, uint8_t *rows, int32_t *out)
{
    const int64_t v0 = region[0], v1 = region[1], u0 = region[2], n = region[3] - region[2], step = n + 2;
    uint8_t *before = rows + 1, *here = rows + step + 1, *next = rows + 2 * step + 1, *ones = rows + 3 * step + 1;
    uint8_t *restrict edge = rows + 4 * step;
    uint8_t few[FEW + 1];
    int n_few = 0;
    for (int k = 0; k < 256 && n_few <= FEW; k++)
        if (standing_256[k])
            few[n_few++] = (uint8_t)k;
    memset(rows, 0, (size_t)(3 * step));
    memset(ones, 1, (size_t)n);
    int64_t found = 0, written = 0;
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
        for (int64_t i = 0; i < n;) {
            uint64_t eight;
            if (i + 8 <= n) {
                memcpy(&eight, edge + i, 8);
                if (!eight) {
                    i += 8;
                    continue;
                }
            }
            for (int64_t end = i + 8 < n ? i + 8 : n; i < end; i++)
                if (edge[i]) {
                    if (found % stride == 0 && written < room)
                        out[written++] = (int32_t)(v * image_width + u0 + i);
                    found++;
                }
        }
        uint8_t *old = before;
        before = here;
        here = next;
        next = old;
    }
    return found;
}

/* A pixel's direction in the optical frame with z = 1, as Lens.directions. */
INLINE void ray(const double *lens, const float *table, int32_t pixel, int64_t u, int64_t v, float *x, float *y)
{
    if (table) {
        *x = table[2 * (int64_t)pixel];
        *y = table[2 * (int64_t)pixel + 1];
    } else {
        *x = (float)(((double)u - lens[3]) * (1.0 / lens[1]));
        *y = (float)(((double)v - lens[4]) * (1.0 / lens[2]));
    }
}

/* Near edges of standing things: see EdgeFinder.find. table is NULL without distortion. out_… have room for `most_px`;
 * *found says how many were written. Scratch: rows of 5 (width + 2), pixels of most_px. */
KERNEL void plane_edges(const uint8_t *restrict labels, const uint8_t *restrict confidence, int64_t height,
                        int64_t width, const int64_t *restrict region, const uint8_t *restrict standing_256,
                        int64_t sides, int64_t min_px, int64_t most_px, const double *restrict lens,
                        const float *restrict table, const double *restrict n, int64_t count, uint8_t *restrict rows,
                        int32_t *restrict pixels, float *restrict out_x, float *restrict out_y,
                        float *restrict out_range, float *restrict out_depth, uint8_t *restrict out_labels,
                        uint8_t *restrict out_confidence, int64_t *restrict out_direction,
                        uint8_t *restrict out_touches, int64_t *restrict found)
{
    static const float STEPS[7] = {-3.0f, -2.0f, -1.0f, 1.0f, 2.0f, 3.0f, 4.0f};
    const lens_t l = lens_of(lens);
    float r[9], turn[3];
    for (int k = 0; k < 9; k++)
        r[k] = (float)n[TURN + k];
    for (int k = 0; k < 3; k++)
        turn[k] = (float)(3.0 / n[FOCAL]) * -r[3 * k + 2];
    const float drop = (float)n[DROP], slope_x = (float)n[SLOPE_X], slope_y = (float)n[SLOPE_Y];
    const float max_range = (float)n[VIEW_RANGE], quarter = (float)(0.25 * n[VIEW_RESOLUTION]);
    const float lift = (float)(n[FOCAL] * -n[DROP]), per_turn = (float)((double)count / (2 * 3.141592653589793));
    const float right = (float)(width - 1), bottom = (float)(height - 1);
    int64_t size = scan(labels, width, region, standing_256, sides, 1, most_px, rows, pixels);
    if (size > most_px) {
        int64_t stride = (size + most_px - 1) / most_px;
        scan(labels, width, region, standing_256, sides, stride, most_px, rows, pixels);
        size = (size + stride - 1) / stride;
    }
    int64_t kept = 0;
    for (int64_t k = 0; k < size; k++) {
        const int64_t v = pixels[k] / (int32_t)width, u = pixels[k] - v * width;
        float dx, dy;
        ray(lens, table, pixels[k], u, v, &dx, &dy);
        float x = dx * r[0] + dy * r[3] + r[6], y = dx * r[1] + dy * r[4] + r[7], z = dx * r[2] + dy * r[5] + r[8];
        float depth = drop / (z - slope_x * x - slope_y * y);
        x = x * depth;
        y = y * depth;
        float distance = sqrtf(x * x + y * y);
        /* False for NaN: a pixel whose direction is not known. */
        if (!(depth > 0.0f && distance <= max_range))
            continue;
        float u0, v0, u1, v1;
        place(&l, l.kind, dx - turn[0], dy - turn[1], 1.0f - turn[2], &u0, &v0);
        place(&l, l.kind, dx + turn[0], dy + turn[1], 1.0f + turn[2], &u1, &v1);
        float du = u1 - u0, dv = v1 - v0, norm = sqrtf(du * du + dv * dv);
        du = du / norm;
        dv = dv / norm;
        uint8_t stands[7], best = confidence[pixels[k]];
        for (int s = 0; s < 7; s++) {
            float us = rintf((float)u + STEPS[s] * du), vs = rintf((float)v + STEPS[s] * dv);
            stands[s] = 0;
            if (us >= 0.0f && us <= right && vs >= 0.0f && vs <= bottom) {
                int64_t at = (int64_t)vs * width + (int64_t)us;
                stands[s] = standing_256[labels[at]];
                if (s < 3 && stands[s] && confidence[at] > best)
                    best = confidence[at];
            }
        }
        int real = 1;
        for (int64_t s = 3 - (min_px - 1); s < 3; s++)
            real &= stands[s];
        if (!real)
            continue;
        float nearer = 0.5f * depth * depth / lift - quarter;
        float share = most(0.0f, 1.0f - nearer / most(distance, 1e-6f));
        out_x[kept] = x * share;
        out_y[kept] = y * share;
        out_range[kept] = distance * share;
        out_depth[kept] = depth;
        out_labels[kept] = labels[pixels[k]];
        out_confidence[kept] = best;
        out_direction[kept] = direction_of(x, y, per_turn, (int32_t)count);
        out_touches[kept] = !(stands[3] | stands[4] | stands[5] | stands[6]);
        kept++;
    }
    *found = kept;
}

/* The nearest standing thing of each direction and the two beside it: see Shadow. What does not touch the ground by it is
 * taken out of touches_N. Scratch: alone of count. */
KERNEL void plane_shadow(const float *restrict range_N, const int64_t *restrict direction_N, int64_t n, int64_t count,
                         double slack, float *restrict alone, float *restrict nearest_B, float *restrict farthest_B,
                         uint8_t *restrict touches_N)
{
    for (int64_t d = 0; d < count; d++)
        alone[d] = INFINITY;
    for (int64_t k = 0; k < n; k++)
        alone[direction_N[k]] = least(range_N[k], alone[direction_N[k]]);
    for (int64_t d = 0; d < count; d++)
        alone[d] = alone[d] + (float)slack;
    for (int64_t d = 0; d < count; d++) {
        float before = alone[d ? d - 1 : count - 1], here = alone[d], next = alone[d + 1 < count ? d + 1 : 0];
        nearest_B[d] = least(least(before, here), next);
        farthest_B[d] = most(most(before, here), next);
    }
    for (int64_t k = 0; k < n; k++) {
        const int64_t d = direction_N[k];
        touches_N[k] &= !(range_N[k] > nearest_B[d] && range_N[k] <= farthest_B[d]);
    }
}

/* The nearest lethal foot of each direction or one beside it: see FootRange.feet. Scratch: fall of count, which of count.
 * *found says whether there is any. */
KERNEL void plane_feet(const float *restrict range_N, const int64_t *restrict direction_N,
                       const uint8_t *restrict labels_N, const uint8_t *restrict confidence_N,
                       const uint8_t *restrict touches_N, int64_t n, int64_t count,
                       const uint8_t *restrict lethal_256, int64_t min_confidence, double height, float *restrict fall,
                       int64_t *restrict which, float *restrict fall_B, uint8_t *restrict labels_B,
                       uint8_t *restrict confidence_B, int64_t *restrict found)
{
    for (int64_t d = 0; d < count; d++)
        fall[d] = -INFINITY;
    memset(which, 0, (size_t)count * sizeof *which);
    *found = 0;
    for (int64_t k = 0; k < n; k++) {
        if (!touches_N[k] || !lethal_256[labels_N[k]] || confidence_N[k] < min_confidence)
            continue;
        const float here = (float)height / most(range_N[k], 1e-3f);
        const int64_t d = direction_N[k];
        *found = 1;
        if (here >= fall[d]) {
            fall[d] = here;
            which[d] = k;
        }
    }
    if (!*found)
        return;
    for (int64_t d = 0; d < count; d++) {
        const int64_t before = d ? d - 1 : count - 1, next = d + 1 < count ? d + 1 : 0;
        int64_t pick = fall[d] > fall[before] ? d : before;
        pick = fall[next] > fall[pick] ? next : pick;
        fall_B[d] = fall[pick];
        labels_B[d] = labels_N[which[pick]];
        confidence_B[d] = confidence_N[which[pick]];
    }
}

/* Write the cells where something standing meets the ground: see marks.py. best_HW is zero before and after. */
KERNEL void plane_marks(const float *restrict x_N, const float *restrict y_N, const float *restrict range_N,
                        const float *restrict depth_N, const uint8_t *restrict labels_N,
                        const uint8_t *restrict confidence_N, const uint8_t *restrict touches_N, int64_t n,
                        const uint8_t *restrict known_256, const uint16_t *restrict rank_256, int64_t min_confidence,
                        double max_range, double shift_x, double shift_y, double resolution, double cover, double spread,
                        int64_t width, int64_t height, uint16_t *restrict best_HW, uint8_t *restrict out_labels,
                        float *restrict out_evidence, uint8_t *restrict out_confidence)
{
    for (int pass = 0; pass < 2; pass++)
        for (int64_t k = 0; k < n; k++) {
            if (!touches_N[k] || !(range_N[k] <= (float)max_range))
                continue;
            const float i = floorf((x_N[k] + (float)shift_x) / (float)resolution);
            const float j = floorf((y_N[k] + (float)shift_y) / (float)resolution);
            if (!(i >= 0.0f && i < (float)width && j >= 0.0f && j < (float)height))
                continue;
            const int64_t at = (int64_t)j * width + (int64_t)i;
            if (pass) {
                best_HW[at] = 0;
                continue;
            }
            const int known = confidence_N[k] >= min_confidence && known_256[labels_N[k]];
            const uint16_t rank = (uint16_t)(1 + (known ? rank_256[labels_N[k]] * 256 + confidence_N[k] : 0));
            /* Within a cell the worst class stays, then the surest pixel, then the last. */
            if (rank < best_HW[at])
                continue;
            best_HW[at] = rank;
            const float worth = worth_of(depth_N[k], range_N[k], (float)cover, (float)spread);
            out_labels[at] = known ? labels_N[k] : 255;
            out_evidence[at] = known ? worth * ((float)confidence_N[k] * (float)(1.0 / 255.0)) : 0.0f;
            out_confidence[at] = known ? confidence_N[k] : 0;
        }
}
