/* SPDX-License-Identifier: Apache-2.0
 *
 * What the cells of a window see: the twin of mapping/cells.py, looks.py and foot_range.py.
 */
#include "lens.h"
#include "plane.h"

#define NO_PIXEL 254
#define BYTES 32 /* of a vector */

/* Columns a to b of one row of a lattice on the plane → pixels as y * width + x, −1 outside of the image. */
PART void look_row(const lens_t *l, int kind, const float *restrict ax, int64_t step, const double *rows, double y,
                     float right, float bottom, int64_t a, int64_t b, int32_t *restrict at, float *restrict depth)
{
    const float *restrict ay = ax + step, *restrict az = ay + step;
    float y0 = (float)(rows[1] * y + rows[2]), y1 = (float)(rows[4] * y + rows[5]), y2 = (float)(rows[7] * y + rows[8]);
    int32_t width = (int32_t)right + 1;
    for (int64_t i = a; i < b; i++) {
        float x = y0 + ax[i], v = y1 + ay[i], z = y2 + az[i], u;
        int seen = 1;
        if (kind == PINHOLE) {
            /* The camera's matrix is in the rows already. What is behind it comes to lie far to the side. */
            float near = 1.0f / most(z, MIN_DEPTH);
            u = x * near;
            v = v * near;
        } else {
            seen = place(l, kind, x, v, z, &u, &v);
        }
        u = rintf(u);
        v = rintf(v);
        seen &= (u >= 0.0f) & (u <= right) & (v >= 0.0f) & (v <= bottom);
        u = seen ? u : 0.0f;
        v = seen ? v : 0.0f;
        int32_t pixel = (int32_t)v * width + (int32_t)u;
        at[i] = seen ? pixel : -1;
        depth[i] = most(z, MIN_DEPTH);
    }
}

PART void look_rows(const lens_t *l, const float *ax, int64_t step, const double *rows, double y, float right,
                      float bottom, int64_t a, int64_t b, int32_t *at, float *depth)
{
    switch (l->kind) {
    case PINHOLE: look_row(l, PINHOLE, ax, step, rows, y, right, bottom, a, b, at, depth); break;
    case POLYNOMIAL: look_row(l, POLYNOMIAL, ax, step, rows, y, right, bottom, a, b, at, depth); break;
    case RATIONAL: look_row(l, RATIONAL, ax, step, rows, y, right, bottom, a, b, at, depth); break;
    default: look_row(l, FISHEYE, ax, step, rows, y, right, bottom, a, b, at, depth); break;
    }
}

/* exp(q) for q from −1.125 to 0: see mapping/foot_range.py. */
PART float falling(float q)
{
    float p = 0.0007726692711003125f;
    p = p * q + 0.007415345869958401f;
    p = p * q + 0.040940605103969574f;
    p = p * q + 0.16635969281196594f;
    p = p * q + 0.4999363422393799f;
    p = p * q + 0.9999951124191284f;
    return p * q + 0.9999999403953552f;
}

typedef uint8_t bytes_t __attribute__((vector_size(BYTES)));
#define LOAD(to, from)                                                                                                 \
    bytes_t to;                                                                                                        \
    memcpy(&to, from, BYTES)

/* Of BYTES cells: what is not seen gets label 255 and no confidence; how many of the five looks see the same. Comparing
 * gives 255 for true. */
PART void decide(uint8_t *label, uint8_t *sure, uint8_t *share, const uint8_t *ground, const uint8_t *seen,
                   const uint8_t *below, const uint8_t *above, uint8_t min_sure)
{
    LOAD(own, label);
    LOAD(trust, sure);
    LOAD(good, ground);
    LOAD(in_sight, seen);
    LOAD(below_left, below);
    LOAD(below_right, below + 1);
    LOAD(above_left, above);
    LOAD(above_right, above + 1);
    bytes_t keep = (bytes_t)(in_sight != 0) & (bytes_t)(good != 0) & (bytes_t)(trust >= min_sure);
    bytes_t same = 1 - ((bytes_t)(own == below_left) + (bytes_t)(own == below_right) + (bytes_t)(own == above_left) +
                        (bytes_t)(own == above_right));
    own |= ~keep;
    trust &= keep;
    same &= keep;
    memcpy(label, &own, BYTES);
    memcpy(sure, &trust, BYTES);
    memcpy(share, &same, BYTES);
}

/* A column of the part, or its end: bounds before the conversion. */
PART int64_t column(double x, int64_t w)
{
    /* NaN → 0. */
    return x > 0.0 ? (x < (double)w ? (int64_t)x : w) : 0;
}

/* Labels seen at a row of corners, NO_PIXEL outside of the image. */
PART void look_corners(const lens_t *l, const uint8_t *labels, const float *edge_3W, int64_t step, const double *rows,
                         double y, float right, float bottom, int64_t a, int64_t b, int32_t *at, float *depth,
                         uint8_t *restrict out)
{
    look_rows(l, edge_3W, step, rows, y, right, bottom, a, b, at, depth);
    for (int64_t i = a; i < b; i++)
        out[i] = at[i] < 0 ? NO_PIXEL : labels[at[i]];
}

/* Fill the part of the window that can be in view.
 *
 * The part begins at cell (first_x, first_y) of the window and has w × h cells; out_… point to that cell and have
 * out_step cells a row. near_B is NULL without shadows; fall_B, foot_labels_B and foot_sure_B where no foot is
 * doubtful. Scratch: at_HW and depth_HW of h × w, spans_H4 of h × 4, floats of 11 (w + 1), numbers of 2 (w + 1), bytes
 * of 7 (w + 33). What lies out of view is left as it is. */
KERNEL void plane_cells(const uint8_t *restrict labels, const uint8_t *restrict confidence, int64_t image_height,
                        int64_t image_width, const double *restrict lens, const double *restrict n, int64_t first_x,
                        int64_t first_y, int64_t w, int64_t h, const uint8_t *restrict ground_256,
                        int64_t min_confidence, int64_t count, const float *restrict near_B,
                        const float *restrict fall_B, const uint8_t *restrict foot_labels_B,
                        const uint8_t *restrict foot_sure_B, int32_t *restrict at_HW, float *restrict depth_HW,
                        int64_t *restrict spans_H4, float *restrict floats, int32_t *restrict numbers,
                        uint8_t *restrict bytes, uint8_t *restrict out_labels, float *restrict out_evidence,
                        uint8_t *restrict out_confidence, int64_t out_step)
{
    const lens_t l = lens_of(lens);
    const double res = n[RESOLUTION], reach = n[MAX_RANGE] + res;
    const float right = (float)(image_width - 1), bottom = (float)(image_height - 1);
    const float max_range = (float)n[MAX_RANGE], cover = (float)n[COVER], spread = (float)n[SPREAD];
    const float height = (float)n[HEIGHT], cut = (float)n[CUT], inverse_std = (float)n[INVERSE_STD];
    const float per_turn = (float)((double)count / (2 * 3.141592653589793));
    const float share_unit = (float)(1.0 / 1275.0), sure_unit = (float)(1.0 / 255.0);
    const int64_t step = w + 1;
    float *edge_3W = floats, *centre_3W = floats + 3 * step, *restrict x_W = floats + 6 * step;
    float *restrict distance_W = floats + 7 * step, *restrict worth_W = floats + 8 * step, *sink_W = floats + 9 * step;
    float *restrict limit_W = floats + 10 * step;
    int32_t *restrict direction_W = numbers, *restrict pixel_W = numbers + step;
    const int64_t line = step + BYTES;
    uint8_t *restrict label_W = bytes + 2 * line, *restrict sure_W = bytes + 3 * line, *restrict share_W = bytes + 4 * line;
    uint8_t *restrict ground_W = bytes + 5 * line, *restrict seen_W = bytes + 6 * line;
    const uint8_t min_sure = (uint8_t)min_confidence;

    for (int64_t i = 0; i <= w; i++) {
        double x = n[BASE_X] + res * (double)(first_x + i), middle = x + 0.5 * res;
        for (int64_t k = 0; k < 3; k++) {
            edge_3W[k * step + i] = (float)(n[ROWS + 3 * k] * x);
            centre_3W[k * step + i] = (float)(n[ROWS + 3 * k] * middle);
        }
        x_W[i] = (float)middle;
    }
    /* The centres' pixels first: corners are looked up only where a centre is seen. */
    const double from = n[BASE_X] + res * (double)first_x;
    for (int64_t j = 0; j < h; j++) {
        double y = n[BASE_Y] + res * (double)(first_y + j) + 0.5 * res, half = reach * reach - y * y;
        int64_t *span = spans_H4 + 4 * j, a = 0, b = 0;
        if (half > 0.0) {
            half = sqrt(half) + res;
            a = column((-half - from) / res, w);
            b = column((half - from) / res + 1.0, w);
        }
        const int32_t *at = at_HW + j * w;
        look_rows(&l, centre_3W, step, n, y, right, bottom, a, b, at_HW + j * w, depth_HW + j * w);
        span[0] = a, span[1] = b;
        while (a < b && at[a] < 0)
            a++;
        while (a < b && at[b - 1] < 0)
            b--;
        span[2] = a, span[3] = b;
        if (!fall_B)
            span[0] = a, span[1] = b;
    }
    int corners_known = 0;
    for (int64_t j = 0; j < h; j++) {
        const int64_t *span = spans_H4 + 4 * j, a = span[2], b = span[3];
        const int32_t *restrict at = at_HW + j * w;
        const float *restrict depth = depth_HW + j * w;
        const double middle = n[BASE_Y] + res * (double)(first_y + j) + 0.5 * res;
        const float y = (float)middle;
        uint8_t *restrict to_label = out_labels + j * out_step, *restrict to_sure = out_confidence + j * out_step;
        float *restrict to_evidence = out_evidence + j * out_step;
        for (int64_t i = span[0]; i < span[1]; i++)
            distance_W[i] = sqrtf(y * y + x_W[i] * x_W[i]);
        for (int64_t i = a; i < b; i++)
            worth_W[i] = worth_of(depth[i], distance_W[i], cover, spread);
        if (near_B || fall_B)
            for (int64_t i = span[0]; i < span[1]; i++)
                direction_W[i] = direction_of(x_W[i], y, per_turn, (int32_t)count);
        if (a < b) {
            uint8_t *below = bytes + (j & 1) * line, *above = bytes + (~j & 1) * line;
            const double edge = n[BASE_Y] + res * (double)(first_y + j);
            if (!corners_known)
                look_corners(&l, labels, edge_3W, step, n, edge, right, bottom, a, b + 1, pixel_W, sink_W, below);
            int64_t first = a, end = b;
            if (j + 1 < h && span[6] < span[7]) {
                first = span[6] < a ? span[6] : a;
                end = span[7] > b ? span[7] : b;
            }
            look_corners(&l, labels, edge_3W, step, n, n[BASE_Y] + res * (double)(first_y + j + 1), right, bottom, first,
                         end + 1, pixel_W, sink_W, above);
            for (int64_t i = a; i < b; i++) {
                int32_t pixel = at[i] < 0 ? 0 : at[i];
                label_W[i] = labels[pixel];
                sure_W[i] = confidence[pixel];
                ground_W[i] = ground_256[labels[pixel]];
            }
            for (int64_t i = a; i < b; i++)
                limit_W[i] = near_B ? least(near_B[direction_W[i]], max_range) : max_range;
            for (int64_t i = a; i < b; i++)
                seen_W[i] = (at[i] >= 0) & (distance_W[i] <= limit_W[i]);
            /* Whole vectors of bytes; the rows have room for what lies behind b, which nobody looks at. */
            for (int64_t i = a; i < b; i += BYTES)
                decide(label_W + i, sure_W + i, share_W + i, ground_W + i, seen_W + i, below + i, above + i, min_sure);
            memcpy(to_label + a, label_W + a, (size_t)(b - a));
            memcpy(to_sure + a, sure_W + a, (size_t)(b - a));
            for (int64_t i = a; i < b; i++)
                to_evidence[i] = (float)(share_W[i] * sure_W[i]) * share_unit * worth_W[i];
        }
        corners_known = a < b;
        if (!fall_B)
            continue;
        for (int64_t i = span[0]; i < span[1]; i++) {
            float unlike = height / distance_W[i] - fall_B[direction_W[i]];
            limit_W[i] = unlike * inverse_std;
            seen_W[i] = (fabsf(unlike) <= cut) & (distance_W[i] <= max_range);
        }
        for (int64_t i = span[0]; i < span[1]; i++) {
            uint64_t eight;
            if (i + 8 <= span[1] && (memcpy(&eight, seen_W + i, 8), !eight)) {
                i += 7;
                continue;
            }
            if (!seen_W[i])
                continue;
            const int32_t direction = direction_W[i];
            const uint8_t sure = foot_sure_B[direction];
            const float worth = worth_of(depth[i], distance_W[i], cover, spread);
            to_label[i] = foot_labels_B[direction];
            to_sure[i] = sure;
            to_evidence[i] = falling(limit_W[i] * limit_W[i] * -0.5f) * worth * ((float)sure * sure_unit);
        }
    }
}
