/* SPDX-License-Identifier: Apache-2.0
 *
 * Rays, depths and points of one row in one go, eight pixels at once, while the memory is still busy with those before.
 * The compiler would do each of the three for a whole row, and write eight numbers as two times four: vectors of its own
 * are cut to what the oldest processor has, before it makes the version for this one.
 */
#ifndef OFFROAD_SEG_POINTS_AVX2_H
#define OFFROAD_SEG_POINTS_AVX2_H

#include "points.h"

enum { BLOCK = 8 };

#ifdef AVX2
/* One row of words, eight pixels at once: all come from the eight that begin at starts[b], each from the one that its
 * control says. */
AVX2 static void shuffle_words(const uint32_t *restrict words, const int32_t *restrict starts,
                               const uint8_t *restrict controls, int64_t blocks, uint32_t *restrict row)
{
    for (int64_t b = 0; b < blocks; b++) {
        const __m256i pixels = _mm256_loadu_si256((const __m256i *)(words + starts[b]));
        const __m256i control = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(controls + BLOCK * b)));
        _mm256_storeu_si256((__m256i *)(row + BLOCK * b), _mm256_permutevar8x32_epi32(pixels, control));
    }
}

AVX2 static inline __m256 line_8(const float *corners)
{
    const __m256 part = _mm256_setr_ps(0.0f, 0.125f, 0.25f, 0.375f, 0.5f, 0.625f, 0.75f, 0.875f);
    return _mm256_add_ps(_mm256_set1_ps(corners[0]), _mm256_mul_ps(_mm256_set1_ps(corners[1] - corners[0]), part));
}

AVX2 static inline __m256 product(__m256 a, float b) { return _mm256_mul_ps(a, _mm256_set1_ps(b)); }

/* As depth_of() in cloud.c, in the same order. */
AVX2 static inline __m256 depth_8(__m256 x, __m256 y, struct plane plane, __m256i words, int inside)
{
    const __m256 along = _mm256_add_ps(product(x, plane.normal_x),
                                       _mm256_add_ps(product(y, plane.normal_y), _mm256_set1_ps(plane.normal_z)));
    const __m256 depth = _mm256_div_ps(_mm256_set1_ps(plane.drop), along);
    __m256 good = _mm256_castsi256_ps(_mm256_srai_epi32(words, 31));
    if (!inside) {
        const __m256 rise = _mm256_add_ps(product(x, plane.up_x),
                                          _mm256_add_ps(product(y, plane.up_y), _mm256_set1_ps(plane.up_z)));
        const __m256 far = _mm256_add_ps(_mm256_mul_ps(x, x),
                                         _mm256_add_ps(_mm256_mul_ps(y, y), _mm256_set1_ps(1.0f)));
        const __m256 flat = _mm256_sub_ps(far, _mm256_mul_ps(rise, rise));
        const __m256 reach = _mm256_mul_ps(_mm256_mul_ps(flat, depth), depth);
        good = _mm256_and_ps(good, _mm256_cmp_ps(depth, _mm256_setzero_ps(), _CMP_GT_OQ));
        good = _mm256_and_ps(good, _mm256_cmp_ps(reach, _mm256_set1_ps(plane.square), _CMP_LE_OQ));
    }
    return _mm256_blendv_ps(_mm256_set1_ps(NAN), depth, good);
}

AVX2 static inline void store_8(uint32_t *to, __m256 x, __m256 y, __m256 z, __m256 said)
{
    const __m256d xy = _mm256_castps_pd(_mm256_unpacklo_ps(x, y)), zs = _mm256_castps_pd(_mm256_unpacklo_ps(z, said));
    const __m256d xy_2 = _mm256_castps_pd(_mm256_unpackhi_ps(x, y)), zs_2 = _mm256_castps_pd(_mm256_unpackhi_ps(z, said));
    const __m256d found[4] = {_mm256_unpacklo_pd(xy, zs), _mm256_unpackhi_pd(xy, zs), _mm256_unpacklo_pd(xy_2, zs_2),
                              _mm256_unpackhi_pd(xy_2, zs_2)};
    for (int k = 0; k < 4; k++)
        _mm_stream_pd((double *)(to + 4 * k), _mm256_castpd256_pd128(found[k]));
    for (int k = 0; k < 4; k++)
        _mm_stream_pd((double *)(to + 16 + 4 * k), _mm256_extractf128_pd(found[k], 1));
}

/* x and y: of the pixels, or of the corners for NODES, or one y. Returns how many are done. */
AVX2 static inline __attribute__((always_inline)) int64_t fused(
    const float *restrict x_W, const float *restrict y_W, int64_t kind, int inside, struct plane plane,
    const uint32_t *restrict row, uint32_t *restrict to, int64_t width)
{
    int64_t k = 0;
    for (; k + 8 <= width; k += 8) {
        const __m256 x = kind == NODES ? line_8(x_W + k / 8) : _mm256_loadu_ps(x_W + k);
        const __m256 y = kind == NODES    ? line_8(y_W + k / 8)
                         : kind == TABLED ? _mm256_loadu_ps(y_W + k)
                                          : _mm256_set1_ps(*y_W);
        const __m256i words = _mm256_loadu_si256((const __m256i *)(row + k));
        const __m256 z = depth_8(x, y, plane, words, inside);
        const __m256i said = _mm256_and_si256(words, _mm256_set1_epi32((int)SAID));
        store_8(to + POINT_WORDS * k, _mm256_mul_ps(x, z), _mm256_mul_ps(y, z), z, _mm256_castsi256_ps(said));
    }
    return k;
}

AVX2 static int64_t fused_row(const float *restrict x_W, const float *restrict y_W, int64_t kind, int inside,
                              struct plane plane, const uint32_t *restrict row, uint32_t *restrict to, int64_t width)
{
    /* Each way written out, so that it is a loop of its own. */
    if (kind == NODES)
        return inside ? fused(x_W, y_W, NODES, 1, plane, row, to, width)
                      : fused(x_W, y_W, NODES, 0, plane, row, to, width);
    if (kind == TABLED)
        return inside ? fused(x_W, y_W, TABLED, 1, plane, row, to, width)
                      : fused(x_W, y_W, TABLED, 0, plane, row, to, width);
    return inside ? fused(x_W, y_W, ONE_EACH, 1, plane, row, to, width)
                  : fused(x_W, y_W, ONE_EACH, 0, plane, row, to, width);
}
#else
#define fused_row(...) 0
#define shuffle_words(...) ((void)0)
#endif
#endif
