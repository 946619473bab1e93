/* SPDX-License-Identifier: Apache-2.0
 *
 * The steps of the projection on the ground plane, in the order in which plane.c takes them. Each is described where it is
 * defined: views.c, edges.c, contacts.c and cells.c.
 */
#ifndef OFFROAD_SEG_PLANE_H
#define OFFROAD_SEG_PLANE_H

#include "common.h"

void plane_part(const double *rays_N2, int64_t n, const double *view, double shift_x, double shift_y, double resolution,
                int64_t width, int64_t height, double max_range, int64_t *out);

void plane_region(const float *nodes_N3, const int64_t *v_R, const int64_t *u_C, int64_t n_rows, int64_t n_columns,
                  const double *view, double max_range, int64_t *out);

/* Near edges of standing things, at most as many as there is room for: see Edges in mapping/occlusion.py. */
typedef struct {
    float *x, *y, *range, *depth;
    uint8_t *labels, *confidence;
    int64_t *direction;
    uint8_t *touches;
} edges_t;

int64_t plane_edges(const uint8_t *labels, const uint8_t *confidence, int64_t height, int64_t width,
                    const int64_t *region, const uint8_t *standing_256, int64_t sides, int64_t min_px, int64_t most_px,
                    const double *lens, const float *table, const double *view, double focal, double resolution,
                    double range, int64_t count, uint8_t *rows, int32_t *pixels, const edges_t *out);

void plane_shadow(const edges_t *edges, int64_t n, int64_t count, double slack, float *alone, float *nearest_B,
                  float *farthest_B);

int plane_feet(const edges_t *edges, int64_t n, int64_t count, const uint8_t *lethal_256, int64_t min_confidence,
               double height, float *fall, int64_t *which, float *fall_B, uint8_t *labels_B, uint8_t *confidence_B);

void plane_cells(const uint8_t *labels, const uint8_t *confidence, int64_t image_height, int64_t image_width,
                 const double *lens, const double *n, int64_t first_x, int64_t first_y, int64_t w, int64_t h,
                 const uint8_t *ground_256, int64_t min_confidence, int64_t count, const float *near_B,
                 const float *fall_B, const uint8_t *foot_labels_B, const uint8_t *foot_sure_B, int32_t *at_HW,
                 float *depth_HW, int64_t *spans_H4, float *floats, int32_t *numbers, uint8_t *bytes,
                 uint8_t *out_labels, float *out_evidence, uint8_t *out_confidence, int64_t out_step);

void plane_marks(const edges_t *edges, int64_t n, const uint8_t *known_256, const uint16_t *rank_256,
                 int64_t min_confidence, double max_range, double shift_x, double shift_y, double resolution,
                 double cover, double spread, int64_t width, int64_t height, uint16_t *best_HW, uint8_t *out_labels,
                 float *out_evidence, uint8_t *out_confidence);

/* What plane_cells is told in one vector. */
enum { ROWS = 0, BASE_X = 9, BASE_Y, RESOLUTION, MAX_RANGE, COVER, SPREAD, HEIGHT, CUT, INVERSE_STD, CELL_NUMBERS };

#endif
