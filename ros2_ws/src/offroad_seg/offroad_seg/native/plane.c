/* SPDX-License-Identifier: Apache-2.0
 *
 * The projection on the ground plane in one call: the twin of mapping/ground_plane.py. Between its steps Python would take
 * longer than some of them do.
 */
#include "plane.h"

/* What native/plane.py fills in, field by field the same (_Plane): numbers of eight bytes and pointers. */
typedef struct {
    /* Of the lens. */
    const double *lens_14;
    const float *table_N2; /* NULL without distortion */
    const double *border_N2;
    const float *nodes_NN3;
    const int64_t *nodes_v, *nodes_u;
    int64_t n_border, n_nodes, image_height, image_width, directions;
    double focal;
    /* Of what is looked for. */
    const uint8_t *standing_256, *ground_256, *known_256;
    const uint16_t *rank_256;
    const uint8_t *lethal_256; /* NULL where feet are marked only where they meet the plane */
    int64_t casts_shadows, min_confidence, min_px, most_px;
    double max_range, slope_std, spread_m, foot_std, foot_cut, foot_farthest;
    /* Of the window. */
    int64_t rows, columns;
    double resolution;
    /* Room to work in: see _put_room in native/plane.py. */
    edges_t edges;
    uint8_t *scan_rows;
    int32_t *scan_pixels;
    float *alone_B, *nearest_B, *farthest_B;
    float *fall_alone_B, *fall_B;
    int64_t *which_B;
    uint8_t *foot_labels_B, *foot_sure_B;
    int32_t *at_HW;
    float *depth_HW;
    int64_t *spans_H4;
    float *cell_floats;
    int32_t *cell_numbers;
    uint8_t *cell_bytes;
    uint16_t *best_HW; /* zeros */
    /* Of this frame. */
    const uint8_t *labels, *confidence;
    const double *view_12;
    double shift_x, shift_y;
    int64_t sides;
    uint8_t *out_labels;
    float *out_evidence;
    uint8_t *out_confidence;
} plane_t;

/* (X, Y, 1), metres from the camera's foot, → what look_row makes pixels of: see GroundView.homography_33 and
 * Lens.rows_of. */
static void rows_of(const plane_t *p, double *rows)
{
    const double *r = p->view_12, drop = r[9], slope_x = r[10], slope_y = r[11];
    for (int k = 0; k < 3; k++) {
        rows[3 * k] = r[3 * k] + r[3 * k + 2] * slope_x;
        rows[3 * k + 1] = r[3 * k + 1] + r[3 * k + 2] * slope_y;
        rows[3 * k + 2] = r[3 * k + 2] * drop;
    }
    if (p->lens_14[0] != 0.0)
        return;
    const double fx = p->lens_14[1], fy = p->lens_14[2], cx = p->lens_14[3], cy = p->lens_14[4];
    for (int k = 0; k < 3; k++) {
        rows[k] = fx * rows[k] + cx * rows[6 + k];
        rows[3 + k] = fy * rows[3 + k] + cy * rows[6 + k];
    }
}

/* Feet that seem to be farther than this cannot be within range: see FootRange.farthest. */
static double farthest(const plane_t *p)
{
    const double height = -p->view_12[9], nearest = height / p->max_range - p->foot_cut;
    if (!(nearest > 0.0))
        return p->foot_farthest;
    const double far = height / nearest;
    return far < p->foot_farthest ? far : p->foot_farthest;
}

/* How many bytes the caller's structure must have. */
__attribute__((visibility("default"))) int64_t plane_size(void);
int64_t plane_size(void) { return (int64_t)sizeof(plane_t); }

__attribute__((visibility("default"))) void plane_project(const plane_t *p);
void plane_project(const plane_t *p)
{
    const double height = -p->view_12[9];
    const size_t cells = (size_t)(p->rows * p->columns);
    memset(p->out_labels, 255, cells);
    memset(p->out_evidence, 0, cells * sizeof *p->out_evidence);
    memset(p->out_confidence, 0, cells);

    int64_t part[4], region[4];
    plane_part(p->border_N2, p->n_border, p->view_12, p->shift_x, p->shift_y, p->resolution, p->columns, p->rows,
               p->max_range, part);
    const int64_t first_row = part[0], first_column = part[2], h = part[1] - part[0], w = part[3] - part[2];
    if (h <= 0 || w <= 0)
        return;

    /* What seems to be out of range may stand within, and its foot is seen higher up in the image. */
    const double far = p->lethal_256 ? farthest(p) : p->max_range;
    plane_region(p->nodes_NN3, p->nodes_v, p->nodes_u, p->n_nodes, p->n_nodes, p->view_12, far, region);
    if (!region[1])
        region[0] = 0, region[1] = p->image_height, region[2] = 0, region[3] = p->image_width;
    const int64_t n = plane_edges(p->labels, p->confidence, p->image_height, p->image_width, region, p->standing_256,
                                  p->sides, p->min_px, p->most_px, p->lens_14, p->table_N2, p->view_12, p->focal,
                                  p->resolution, far, p->directions, p->scan_rows, p->scan_pixels, &p->edges);
    const int shadows = p->casts_shadows && n;
    if (shadows)
        plane_shadow(&p->edges, n, p->directions, 1.5 * p->resolution, p->alone_B, p->nearest_B, p->farthest_B);
    const int feet = p->lethal_256 && plane_feet(&p->edges, n, p->directions, p->lethal_256, p->min_confidence, height,
                                                 p->fall_alone_B, p->which_B, p->fall_B, p->foot_labels_B,
                                                 p->foot_sure_B);

    double numbers[CELL_NUMBERS];
    rows_of(p, numbers + ROWS);
    numbers[BASE_X] = -p->shift_x;
    numbers[BASE_Y] = -p->shift_y;
    numbers[RESOLUTION] = p->resolution;
    numbers[MAX_RANGE] = p->max_range;
    numbers[COVER] = p->focal * height * p->resolution;
    numbers[SPREAD] = p->slope_std / (height * p->spread_m);
    numbers[HEIGHT] = height;
    numbers[CUT] = p->foot_cut;
    numbers[INVERSE_STD] = feet ? 1.0 / p->foot_std : 0.0;
    const int64_t first = first_row * p->columns + first_column;
    plane_cells(p->labels, p->confidence, p->image_height, p->image_width, p->lens_14, numbers, first_column, first_row,
                w, h, p->ground_256, p->min_confidence, p->directions, shadows ? p->nearest_B : NULL,
                feet ? p->fall_B : NULL, p->foot_labels_B, p->foot_sure_B, p->at_HW, p->depth_HW, p->spans_H4,
                p->cell_floats, p->cell_numbers, p->cell_bytes, p->out_labels + first, p->out_evidence + first,
                p->out_confidence + first, p->columns);
    plane_marks(&p->edges, n, p->known_256, p->rank_256, p->min_confidence, p->lethal_256 ? p->max_range : INFINITY,
                p->shift_x, p->shift_y, p->resolution, numbers[COVER], numbers[SPREAD], p->columns, p->rows, p->best_HW,
                p->out_labels, p->out_evidence, p->out_confidence);
}
