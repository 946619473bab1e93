/* SPDX-License-Identifier: Apache-2.0
 *
 * Which part of a window and which part of an image can show each other: the twin of what mapping/cells.py and
 * mapping/occlusion.py ask first.
 */
#include "plane.h"

/* First and end cell along one axis: see _span in mapping/cells.py. */
static void span(double low, double high, double shift, double margin, double resolution, int64_t cells, int64_t *out)
{
    double first = floor((low + shift - margin) / resolution), end = ceil((high + shift + margin) / resolution);
    /* Bounds before the conversion. */
    out[0] = first > 0.0 ? (first < (double)cells ? (int64_t)first : cells) : 0;
    out[1] = end > 0.0 ? (end < (double)cells ? (int64_t)end : cells) : 0;
}

/* First row, end row, first column, end column that rays along the image's border enclose: see _part_in_view. The rays
 * have z = 1 in the optical frame; view is GroundView.numbers_12. */
KERNEL void plane_part(const double *restrict rays_N2, int64_t n, const double *restrict view, double shift_x,
                       double shift_y, double resolution, int64_t width, int64_t height, double max_range,
                       int64_t *restrict out)
{
    const double *r = view, drop = view[9], slope_x = view[10], slope_y = view[11];
    double low_x = 0.0, high_x = 0.0, low_y = 0.0, high_y = 0.0;
    out[0] = 0, out[1] = height, out[2] = 0, out[3] = width;
    for (int64_t k = 0; k < n; k++) {
        double ray[3];
        for (int c = 0; c < 3; c++) {
            ray[c] = rays_N2[2 * k] * r[c] + rays_N2[2 * k + 1] * r[3 + c] + r[6 + c];
            if (!isfinite(ray[c]))
                return;
        }
        double level = hypot(ray[0], ray[1]), fall = slope_x * ray[0] + slope_y * ray[1] - ray[2], reach = max_range;
        if (fall > 1e-6) {
            double meets = -drop * level / fall;
            reach = meets < reach ? meets : reach;
        }
        double scale = reach / (level > 1e-9 ? level : 1e-9), x = ray[0] * scale, y = ray[1] * scale;
        low_x = x < low_x ? x : low_x;
        high_x = x > high_x ? x : high_x;
        low_y = y < low_y ? y : low_y;
        high_y = y > high_y ? y : high_y;
    }
    double margin = 2 * resolution + 0.01 * max_range;
    span(low_y, high_y, shift_y, margin, resolution, height, out);
    span(low_x, high_x, shift_x, margin, resolution, width, out + 2);
}

/* First row, end row, first column, end column of an image that hold all ground in range: see ground_region. The nodes'
 * directions have z = 1 in the optical frame; view is GroundView.numbers_12; out[1] is 0 where no node sees ground. */
KERNEL void plane_region(const float *restrict nodes_N3, const int64_t *restrict v_R, const int64_t *restrict u_C,
                         int64_t n_rows, int64_t n_columns, const double *restrict view, double max_range,
                         int64_t *restrict out)
{
    const float drop = (float)view[9], slope_x = (float)view[10], slope_y = (float)view[11];
    float r[9];
    for (int k = 0; k < 9; k++)
        r[k] = (float)view[k];
    int64_t first_row = n_rows, last_row = -1, first_column = n_columns, last_column = -1;
    for (int64_t j = 0; j < n_rows; j++)
        for (int64_t i = 0; i < n_columns; i++) {
            const float *node = nodes_N3 + 3 * (j * n_columns + i);
            float x = node[0] * r[0] + node[1] * r[3] + r[6], y = node[0] * r[1] + node[1] * r[4] + r[7];
            float fall = slope_x * x + slope_y * y - (node[0] * r[2] + node[1] * r[5] + r[8]);
            /* Not "is within range": where a direction is not known (NaN), ground may be. */
            if (fall * (float)max_range < -drop * hypotf(x, y))
                continue;
            first_row = j < first_row ? j : first_row;
            last_row = j;
            first_column = i < first_column ? i : first_column;
            last_column = i > last_column ? i : last_column;
        }
    out[0] = out[1] = out[2] = out[3] = 0;
    if (last_row < 0)
        return;
    out[0] = v_R[first_row > 0 ? first_row - 1 : 0];
    out[1] = v_R[last_row + 1 < n_rows ? last_row + 1 : n_rows - 1] + 1;
    out[2] = u_C[first_column > 0 ? first_column - 1 : 0];
    out[3] = u_C[last_column + 1 < n_columns ? last_column + 1 : n_columns - 1] + 1;
}
