/* SPDX-License-Identifier: Apache-2.0
 *
 * Pictures for people: see overlay.py.
 */
#include "common.h"

/* Rows of an image, halved, plus rows of colours that are halved already and lie rows_H[y] lines into `colors`. */
KERNEL void overlay_rows(const uint8_t *restrict image, const uint8_t *restrict colors, const int64_t *restrict rows_H,
                         uint8_t *restrict out, int64_t height, int64_t bytes)
{
    for (int64_t y = 0; y < height; y++) {
        const uint8_t *from = image + y * bytes, *color = colors + rows_H[y] * bytes;
        uint8_t *to = out + y * bytes;
        for (int64_t x = 0; x < bytes; x++)
            to[x] = (uint8_t)((from[x] >> 1) + color[x]);
    }
}
