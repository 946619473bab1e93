/* SPDX-License-Identifier: Apache-2.0
 *
 * Smaller and larger RGB images: see image.py.
 */
#include "common.h"

/* As OpenCV's resize does with INTER_LINEAR (modules/imgproc/src/resize.cpp), to the last bit: weights are whole numbers
 * of which WEIGHT is one; a row is worked out with them, less its last SPENT bits; and two rows become one, of which
 * the rest of the bits are spent, rounded. */
enum { CHANNELS = 3, WEIGHT_BITS = 11, WEIGHT = 1 << WEIGHT_BITS, SPENT = 4, SPARE = 2 };

#ifdef __SSE2__
/* Two pixels' six bytes and two more are read. */
PART void mix_pixel(const uint8_t *from, const int16_t *weight_2, int16_t *to)
{
    int32_t both;
    memcpy(&both, weight_2, sizeof both);
    const __m128i wide = _mm_unpacklo_epi8(_mm_loadl_epi64((const __m128i *)from), _mm_setzero_si128());
    const __m128i pairs = _mm_unpacklo_epi16(wide, _mm_srli_si128(wide, CHANNELS * sizeof *to));
    const __m128i sum = _mm_srai_epi32(_mm_madd_epi16(pairs, _mm_set1_epi32(both)), SPENT);
    _mm_storel_epi64((__m128i *)to, _mm_packs_epi32(sum, sum));
}
#endif

/* One row: pixel x lies between those that begin at bytes left_W[x] and right_W[x] of the source, weights weight_W2[x].
 * Up to column `fast` a whole word can be read at the left one, and the right one is its neighbour. `row` has one number
 * more than the row. */
PART void mix_row(const uint8_t *restrict from, const int32_t *restrict left_W, const int32_t *restrict right_W,
                  const int16_t *restrict weight_W2, int64_t fast, int16_t *restrict row, int64_t width)
{
    int64_t x = 0;
#ifdef __SSE2__
    for (; x < fast; x++)
        mix_pixel(from + left_W[x], weight_W2 + 2 * x, row + CHANNELS * x);
#else
    (void)fast;
#endif
    for (; x < width; x++)
        for (int c = 0; c < CHANNELS; c++) {
            const int32_t sum = from[left_W[x] + c] * weight_W2[2 * x] + from[right_W[x] + c] * weight_W2[2 * x + 1];
            row[CHANNELS * x + c] = (int16_t)(sum >> SPENT);
        }
}

/* An RGB image (H, W, 3), whose rows lie `stride` bytes apart, to another size, whose rows lie out_stride bytes apart.
 * Row y lies between the source's rows upper_H[y] and lower_H[y], weights weight_H2[y]. Memory to work in: rows
 * (2, 3 · width + 1). */
KERNEL void resize_rgb(const uint8_t *restrict image, int64_t stride, const int32_t *restrict upper_H,
                       const int32_t *restrict lower_H, const int16_t *restrict weight_H2,
                       const int32_t *restrict left_W, const int32_t *restrict right_W,
                       const int16_t *restrict weight_W2, int64_t fast, int16_t *restrict rows, uint8_t *restrict out,
                       int64_t out_stride, int64_t height, int64_t width)
{
    const int64_t count = CHANNELS * width;
    int16_t *first = rows, *second = rows + count + 1;
    int64_t in_first = -1, in_second = -1;
    for (int64_t y = 0; y < height; y++) {
        if (upper_H[y] == in_second) {
            int16_t *const other = first;
            first = second;
            second = other;
            in_second = in_first;
            in_first = upper_H[y];
        }
        if (upper_H[y] != in_first)
            mix_row(image + upper_H[y] * stride, left_W, right_W, weight_W2, fast, first, width);
        if (lower_H[y] != in_second)
            mix_row(image + lower_H[y] * stride, left_W, right_W, weight_W2, fast, second, width);
        in_first = upper_H[y];
        in_second = lower_H[y];
        const int16_t upper = weight_H2[2 * y], lower = weight_H2[2 * y + 1];
        const int16_t *restrict a = first, *restrict b = second;
        uint8_t *restrict to = out + y * out_stride;
        for (int64_t k = 0; k < count; k++) {
            const int16_t sum = (int16_t)((int16_t)(upper * a[k] >> 16) + (int16_t)(lower * b[k] >> 16));
            to[k] = (uint8_t)((sum + 2) >> SPARE);
        }
    }
}
