/* SPDX-License-Identifier: Apache-2.0
 *
 * Smaller and larger RGB images: see image.py.
 */
#include "common.h"

/* As OpenCV's resize does with INTER_LINEAR (modules/imgproc/src/resize.cpp), to the last bit: weights are whole numbers
 * of which WEIGHT is one; a row is worked out with them, less its last SPENT bits; and two rows become one, of which
 * the rest of the bits are spent, rounded. */
enum { CHANNELS = 3, WEIGHT_BITS = 11, WEIGHT = 1 << WEIGHT_BITS, SPENT = 4, SPARE = 2, SPARE_NUMBERS = 2 };

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
/* Four pixels at once, up to column `fast`; returns how many are done. Behind them SPARE_NUMBERS of the row are written
 * over. */
AVX2 static int64_t mix_fours(const uint8_t *restrict from, const int32_t *restrict left_W,
                              const int16_t *restrict weight_W2, int64_t fast, int16_t *restrict row)
{
    /* Of a half's two pixels the first or the second: a channel beside the same of its neighbour, each as 16 bits; 0x80 is
     * zero. */
    const __m256i firsts = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, -128, 3, -128, 1, -128, 4, -128, 2, -128, 5, -128, -128, -128, -128, -128));
    const __m256i seconds = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(8, -128, 11, -128, 9, -128, 12, -128, 10, -128, 13, -128, -128, -128, -128, -128));
    /* Six numbers without the gap between three and three. */
    const __m256i dense = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13, -128, -128, -128, -128));
    const __m256i even = _mm256_setr_epi32(0, 0, 0, 0, 2, 2, 2, 2), odd = _mm256_setr_epi32(1, 1, 1, 1, 3, 3, 3, 3);
    int64_t x = 0;
    for (; x + 4 <= fast; x += 4) {
        int64_t word_4[4];
        for (int k = 0; k < 4; k++)
            memcpy(&word_4[k], from + left_W[x + k], sizeof word_4[k]);
        const __m256i words = _mm256_setr_epi64x(word_4[0], word_4[1], word_4[2], word_4[3]);
        const __m256i weights = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(weight_W2 + 2 * x)));
        const __m256i one = _mm256_madd_epi16(_mm256_shuffle_epi8(words, firsts), _mm256_permutevar8x32_epi32(weights, even));
        const __m256i two = _mm256_madd_epi16(_mm256_shuffle_epi8(words, seconds), _mm256_permutevar8x32_epi32(weights, odd));
        const __m256i sums = _mm256_packs_epi32(_mm256_srai_epi32(one, SPENT), _mm256_srai_epi32(two, SPENT));
        const __m256i found = _mm256_shuffle_epi8(sums, dense);
        _mm_storeu_si128((__m128i *)(row + CHANNELS * x), _mm256_castsi256_si128(found));
        _mm_storeu_si128((__m128i *)(row + CHANNELS * (x + 2)), _mm256_extracti128_si256(found, 1));
    }
    return x;
}
#else
#define mix_fours(...) 0
#endif

/* One row: pixel x lies between those that begin at bytes left_W[x] and right_W[x] of the source, weights weight_W2[x].
 * Up to column `fast` a whole word can be read at the left one, and the right one is its neighbour. `row` has
 * SPARE_NUMBERS more than the row. */
PART void mix_row(const uint8_t *restrict from, const int32_t *restrict left_W, const int32_t *restrict right_W,
                  const int16_t *restrict weight_W2, int64_t fast, int by_four, int16_t *restrict row, int64_t width)
{
    int64_t x = by_four ? mix_fours(from, left_W, weight_W2, fast, row) : 0;
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
 * (2, 3 · width + SPARE_NUMBERS). */
KERNEL void resize_rgb(const uint8_t *restrict image, int64_t stride, const int32_t *restrict upper_H,
                       const int32_t *restrict lower_H, const int16_t *restrict weight_H2,
                       const int32_t *restrict left_W, const int32_t *restrict right_W,
                       const int16_t *restrict weight_W2, int64_t fast, int16_t *restrict rows, uint8_t *restrict out,
                       int64_t out_stride, int64_t height, int64_t width)
{
    const int64_t count = CHANNELS * width;
    int16_t *first = rows, *second = rows + count + SPARE_NUMBERS;
    int64_t in_first = -1, in_second = -1;
    const int by_four = has_avx2();
    for (int64_t y = 0; y < height; y++) {
        if (upper_H[y] == in_second) {
            int16_t *const other = first;
            first = second;
            second = other;
            in_second = in_first;
            in_first = upper_H[y];
        }
        if (upper_H[y] != in_first)
            mix_row(image + upper_H[y] * stride, left_W, right_W, weight_W2, fast, by_four, first, width);
        if (lower_H[y] != in_second)
            mix_row(image + lower_H[y] * stride, left_W, right_W, weight_W2, fast, by_four, second, width);
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
