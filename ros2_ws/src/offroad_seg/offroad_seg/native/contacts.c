/* SPDX-License-Identifier: Apache-2.0
 *
 * What standing things hide, and the cells that they mark: the twin of mapping/shadow.py, foot_range.py and marks.py.
 */
#include "lens.h"
#include "plane.h"

/* The nearest standing thing of each direction and the two beside it: see Shadow. What does not touch the ground by it is
 * taken out of the edges' touches. Scratch: alone of count. */
KERNEL void plane_shadow(const edges_t *restrict edges, int64_t n, int64_t count, double slack, float *restrict alone,
                         float *restrict nearest_B, float *restrict farthest_B)
{
    const float *restrict range_N = edges->range;
    const int64_t *restrict direction_N = edges->direction;
    uint8_t *restrict touches_N = edges->touches;
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

/* The nearest lethal foot of each direction or one beside it, and whether there is any: see FootRange.feet. Scratch: fall
 * of count, which of count. */
KERNEL int plane_feet(const edges_t *restrict edges, int64_t n, int64_t count, const uint8_t *restrict lethal_256,
                      int64_t min_confidence, double height, float *restrict fall, int64_t *restrict which,
                      float *restrict fall_B, uint8_t *restrict labels_B, uint8_t *restrict confidence_B)
{
    int found = 0;
    for (int64_t d = 0; d < count; d++)
        fall[d] = -INFINITY;
    memset(which, 0, (size_t)count * sizeof *which);
    for (int64_t k = 0; k < n; k++) {
        if (!edges->touches[k] || !lethal_256[edges->labels[k]] || edges->confidence[k] < min_confidence)
            continue;
        const float here = (float)height / most(edges->range[k], 1e-3f);
        const int64_t d = edges->direction[k];
        found = 1;
        if (here >= fall[d]) {
            fall[d] = here;
            which[d] = k;
        }
    }
    if (!found)
        return 0;
    for (int64_t d = 0; d < count; d++) {
        const int64_t before = d ? d - 1 : count - 1, next = d + 1 < count ? d + 1 : 0;
        int64_t pick = fall[d] > fall[before] ? d : before;
        pick = fall[next] > fall[pick] ? next : pick;
        fall_B[d] = fall[pick];
        labels_B[d] = edges->labels[which[pick]];
        confidence_B[d] = edges->confidence[which[pick]];
    }
    return 1;
}

/* Write the cells where something standing meets the ground: see marks.py. best_HW is zero before and after. */
KERNEL void plane_marks(const edges_t *restrict edges, int64_t n, const uint8_t *restrict known_256,
                        const uint16_t *restrict rank_256, int64_t min_confidence, double max_range, double shift_x,
                        double shift_y, double resolution, double cover, double spread, int64_t width, int64_t height,
                        uint16_t *restrict best_HW, uint8_t *restrict out_labels, float *restrict out_evidence,
                        uint8_t *restrict out_confidence)
{
    const float *restrict x_N = edges->x, *restrict y_N = edges->y, *restrict range_N = edges->range;
    const uint8_t *restrict labels_N = edges->labels, *restrict confidence_N = edges->confidence;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t k = 0; k < n; k++) {
            if (!edges->touches[k] || !(range_N[k] <= (float)max_range))
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
            const float worth = worth_of(edges->depth[k], range_N[k], (float)cover, (float)spread);
            out_labels[at] = known ? labels_N[k] : 255;
            out_evidence[at] = known ? worth * ((float)confidence_N[k] * (float)(1.0 / 255.0)) : 0.0f;
            out_confidence[at] = known ? confidence_N[k] : 0;
        }
}
