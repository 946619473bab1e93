/* SPDX-License-Identifier: Apache-2.0
 *
 * Small pictures spread over large ones: see spread.py.
 */
#include "common.h"

enum { STEP = 8, BLOCK = 16 };

#ifdef AVX2
/* One row, sixteen pixels at once: all come from the sixteen that begin at starts[b], each from the one that its control
 * says. */
AVX2 static void shuffle_row(const uint8_t *restrict from, const int32_t *restrict starts,
                             const uint8_t *restrict controls, int64_t blocks, uint8_t *restrict row)
{
    for (int64_t b = 0; b < blocks; b++) {
        const __m128i pixels = _mm_loadu_si128((const __m128i *)(from + starts[b]));
        const __m128i control = _mm_loadu_si128((const __m128i *)(controls + BLOCK * b));
        _mm_storeu_si128((__m128i *)(row + BLOCK * b), _mm_shuffle_epi8(pixels, control));
    }
}
#else
#define shuffle_row(...) ((void)0)
#endif

/* One row: each pixel of the source is written eightfold where it begins, and the next one writes over what is too
 * much. So `row` has STEP bytes more than the target. `wide`: some fill more than that. */
PART void stretch(const uint8_t *restrict from, const int32_t *restrict first_w, int64_t w, int wide,
                  uint8_t *restrict row)
{
    for (int64_t c = 0; c < w; c++) {
        const uint64_t pixels = from[c] * UINT64_C(0x0101010101010101);
        memcpy(row + first_w[c], &pixels, STEP);
        if (wide)
            for (int64_t x = first_w[c] + STEP; x < first_w[c + 1]; x += STEP)
                memcpy(row + x, &pixels, STEP);
    }
}

/* Pictures of bytes: row y of the target shows the source's row rows_H[y], whose pixel c begins at column first_w[c]. For
 * each of `count` pictures `planes` says where the source lies, where a copy of it goes (0: there is none) and where the
 * target lies. Rows of the sources lie `stride` bytes apart. `starts` and `controls` of whole blocks say the same as
 * first_w, or are null. Memory to work in: a row of the target in whole blocks. */
KERNEL void spread_bytes(const int64_t *restrict planes, int64_t count, int64_t stride, int64_t h, int64_t w,
                         const int32_t *restrict rows_H, const int32_t *restrict first_w,
                         const int32_t *restrict starts, const uint8_t *restrict controls, uint8_t *restrict row,
                         int64_t height, int64_t width)
{
    const int wide = widest(first_w, w) > STEP, shuffled = starts && has_avx2();
    for (int64_t k = 0; k < count; k++) {
        const uint8_t *source = (const uint8_t *)(intptr_t)planes[3 * k];
        uint8_t *copy = (uint8_t *)(intptr_t)planes[3 * k + 1], *out = (uint8_t *)(intptr_t)planes[3 * k + 2];
        for (int64_t y = 0; copy && y < h; y++)
            memcpy(copy + y * w, source + y * stride, (size_t)w);
        for (int64_t y = 0; y < height; y++) {
            const uint8_t *from = source + rows_H[y] * stride;
            const int another = y == 0 || rows_H[y] != rows_H[y - 1];
            if (another && shuffled)
                shuffle_row(from, starts, controls, (width + BLOCK - 1) / BLOCK, row);
            else if (another && wide)
                stretch(from, first_w, w, 1, row);
            else if (another)
                stretch(from, first_w, w, 0, row);
            memcpy(out + y * width, row, (size_t)width);
        }
    }
}
