/* SPDX-License-Identifier: Apache-2.0
 *
 * Pictures for people: see overlay.py.
 */
#include "common.h"

enum { PATTERN_PIXELS = 5, PATTERN_BYTES = 16, LINE = 64, AHEAD = 16 * LINE };

#ifdef __GNUC__
#define FETCH_ONCE(from) __builtin_prefetch(from, 0, 0)
#else
#define FETCH_ONCE(from) ((void)0)
#endif

/* One row of colours: each pixel of the source is written fivefold where it begins, and the next one writes over what
 * is too much. So `row` has PATTERN_BYTES more than the image. `wide`: some fill more than that. */
PART void stretch(const uint8_t *restrict labels, uint8_t (*pattern_256)[PATTERN_BYTES],
                  const int32_t *restrict first_w, int64_t w, int wide, uint8_t *restrict row)
{
    for (int64_t c = 0; c < w; c++) {
        const uint8_t *pattern = pattern_256[labels[c]];
        memcpy(row + 3 * (int64_t)first_w[c], pattern, PATTERN_BYTES);
        if (wide)
            for (int64_t x = first_w[c] + PATTERN_PIXELS; x < first_w[c + 1]; x += PATTERN_PIXELS)
                memcpy(row + 3 * x, pattern, PATTERN_BYTES);
    }
}

/* An RGB image, halved, plus the colours of labels, which are halved already. Row y of the image shows the labels' row
 * rows_H[y], whose pixel c begins at column first_w[c]. */
KERNEL void overlay_rows(const uint8_t *restrict image, const uint8_t *restrict labels, int64_t w,
                         const uint8_t *restrict colors_2563, const int32_t *restrict rows_H,
                         const int32_t *restrict first_w, uint8_t *restrict row, uint8_t *restrict out, int64_t height,
                         int64_t width)
{
    uint8_t pattern_256[256][PATTERN_BYTES];
    for (int64_t label = 0; label < 256; label++)
        for (int64_t k = 0; k < PATTERN_BYTES; k++)
            pattern_256[label][k] = colors_2563[3 * label + k % 3];
    const int64_t bytes = 3 * width;
    const int wide = widest(first_w, w) > PATTERN_PIXELS;
    for (int64_t y = 0; y < height; y++) {
        const int another = y == 0 || rows_H[y] != rows_H[y - 1];
        if (another && wide)
            stretch(labels + rows_H[y] * w, pattern_256, first_w, w, 1, row);
        else if (another)
            stretch(labels + rows_H[y] * w, pattern_256, first_w, w, 0, row);
        const uint8_t *from = image + y * bytes;
        uint8_t *to = out + y * bytes;
        int64_t x = 0;
        for (; x + LINE <= bytes; x += LINE) {
            /* It is read once: fetched ahead, and not to be kept. */
            if (y * bytes + x + AHEAD < height * bytes)
                FETCH_ONCE(from + x + AHEAD);
            for (int64_t k = x; k < x + LINE; k++)
                to[k] = (uint8_t)((from[k] >> 1) + row[k]);
        }
        for (; x < bytes; x++)
            to[x] = (uint8_t)((from[x] >> 1) + row[x]);
    }
}
