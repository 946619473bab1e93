/* SPDX-License-Identifier: Apache-2.0
 *
 * Labels compared along the motion of an image: see replay/motion.py.
 */
#include "common.h"

#define UNLABELLED 255

/* 1 where a flow there and back misses where it began by less than the root of `agree_2`, and came from within the image.
 * `back`, `again` and `where` are (height, width, 2), x and y. */
KERNEL void believe_flow(const float *restrict back, const float *restrict again, const float *restrict where,
                         int64_t height, int64_t width, float agree_2, uint8_t *restrict valid)
{
    const float right = (float)width - 0.5f, bottom = (float)height - 0.5f;
    for (int64_t i = 0; i < height * width; i++) {
        const float dx = back[2 * i] + again[2 * i], dy = back[2 * i + 1] + again[2 * i + 1];
        const float missed = dx * dx + dy * dy, x = where[2 * i], y = where[2 * i + 1];
        valid[i] = (missed < agree_2) & (x > -0.5f) & (x < right) & (y > -0.5f) & (y < bottom);
    }
}

/* Valid pixels that are labelled in both images, by their label before; and those of them that have another one now.
 * 2 x 256 numbers each, added to; two tables take turns. */
KERNEL void count_moved(const uint8_t *restrict moved, const uint8_t *restrict now, const uint8_t *restrict valid,
                        int64_t count, int64_t *restrict compared, int64_t *restrict changed)
{
    for (int64_t i = 0; i < count;) {
        /* Eight pixels that are alike count at once. */
        const int eight = i + EIGHT <= count && alike(moved + i) && alike(now + i) && alike(valid + i);
        const int64_t weight = eight ? EIGHT : 1;
        const int64_t at = moved[i] + ((i & 1) << 8);
        const int64_t both = (valid[i] != 0) & (moved[i] != UNLABELLED) & (now[i] != UNLABELLED);
        compared[at] += both ? weight : 0;
        changed[at] += (both & (moved[i] != now[i])) ? weight : 0;
        i += weight;
    }
    for (int64_t k = 0; k < 256; k++) {
        compared[k] += compared[k + 256];
        changed[k] += changed[k + 256];
    }
}
