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

#ifdef AVX2
/* Two pixels at once, each in half of a register, up to column `fast`; returns how many are done. */
AVX2 static int64_t mix_pairs(const uint8_t *restrict from, const int32_t *restrict left_W,
                              const int16_t *restrict weight_W2, int64_t fast, int16_t *restrict row)
{
    /* A channel of a pixel beside the same of its neighbour, each as 16 bits; 0x80 is zero. */
    const __m256i pairs = _mm256_setr_epi8(0, -128, 3, -128, 1, -128, 4, -128, 2, -128, 5, -128, -128, -128, -128, -128,
                                           0, -128, 3, -128, 1, -128, 4, -128, 2, -128, 5, -128, -128, -128, -128, -128);
    const __m256i first_or_second = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
    int64_t x = 0;
    for (; x + 2 <= fast; x += 2) {
        const __m128i one = _mm_loadl_epi64((const __m128i *)(from + left_W[x]));
        const __m128i two = _mm_loadl_epi64((const __m128i *)(from + left_W[x + 1]));
        const __m256i both = _mm256_shuffle_epi8(_mm256_set_m128i(two, one), pairs);
        const __m256i weights = _mm256_castsi128_si256(_mm_loadl_epi64((const __m128i *)(weight_W2 + 2 * x)));
        const __m256i weight = _mm256_permutevar8x32_epi32(weights, first_or_second);
        const __m256i sum = _mm256_srai_epi32(_mm256_madd_epi16(both, weight), SPENT);
        const __m256i found = _mm256_packs_epi32(sum, sum);
        _mm_storel_epi64((__m128i *)(row + CHANNELS * x), _mm256_castsi256_si128(found));
        _mm_storel_epi64((__m128i *)(row + CHANNELS * (x + 1)), _mm256_extracti128_si256(found, 1));
    }
    return x;
}
#else
#define mix_pairs(...) 0
#endif

/* One row: pixel x lies between those that begin at bytes left_W[x] and right_W[x] of the source, weights weight_W2[x].
 * Up to column `fast` a whole word can be read at the left one, and the right one is its neighbour. `row` has one number
 * more than the row. */
PART void mix_row(const uint8_t *restrict from, const int32_t *restrict left_W, const int32_t *restrict right_W,
                  const int16_t *restrict weight_W2, int64_t fast, int paired, int16_t *restrict row, int64_t width)
{
    int64_t x = paired ? mix_pairs(from, left_W, weight_W2, fast, row) : 0;
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
    const int paired = has_avx2();
    for (int64_t y = 0; y < height; y++) {
        if (upper_H[y] == in_second) {
            int16_t *const other = first;
            first = second;
            second = other;
            in_second = in_first;
            in_first = upper_H[y];
        }
        if (upper_H[y] != in_first)
            mix_row(image + upper_H[y] * stride, left_W, right_W, weight_W2, fast, paired, first, width);
        if (lower_H[y] != in_second)
            mix_row(image + lower_H[y] * stride, left_W, right_W, weight_W2, fast, paired, second, width);
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
