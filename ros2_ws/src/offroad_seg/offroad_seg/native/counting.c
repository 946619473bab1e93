/* SPDX-License-Identifier: Apache-2.0
 *
 * Counting the pixels of an image: see metrics.py, calibration.py and boundary.py.
 */
#include "common.h"

#define UNLABELLED 255

/* Pixels of each pair (truth, prediction): `pairs` has (n + 1)^2 numbers, the last row and column for what is no class;
 * `truths` 256, for each true id. Both are added to. Two tables take turns, because neighbours are mostly alike, and adding
 * to the number that was just written waits for it. */
KERNEL void count_pairs(const uint8_t *restrict truth, const uint8_t *restrict predicted, int64_t count, int64_t n,
                        int64_t *restrict pairs, int64_t *restrict other, int64_t *restrict truths)
{
    const int64_t side = n + 1;
    int64_t i = 0;
    for (; i + 1 < count; i += 2) {
        const int64_t t0 = truth[i], p0 = predicted[i], t1 = truth[i + 1], p1 = predicted[i + 1];
        pairs[(t0 < n ? t0 : n) * side + (p0 < n ? p0 : n)]++;
        other[(t1 < n ? t1 : n) * side + (p1 < n ? p1 : n)]++;
        if (t0 >= n)
            truths[t0]++;
        if (t1 >= n)
            truths[t1]++;
    }
    if (i < count) {
        const int64_t t = truth[i], p = predicted[i];
        pairs[(t < n ? t : n) * side + (p < n ? p : n)]++;
        if (t >= n)
            truths[t]++;
    }
    for (int64_t k = 0; k < side * side; k++)
        pairs[k] += other[k];
}

/* Labelled pixels of each confidence, and those of them that are right: 2 x 256 numbers each, taking turns as above. */
KERNEL void count_confidence(const uint8_t *restrict confidence, const uint8_t *restrict truth,
                             const uint8_t *restrict predicted, int64_t count, int64_t *restrict known,
                             int64_t *restrict right)
{
    for (int64_t i = 0; i < count; i++) {
        const int64_t at = confidence[i] + ((i & 1) << 8);
        const int64_t labelled = truth[i] != UNLABELLED;
        known[at] += labelled;
        right[at] += labelled & (truth[i] == predicted[i]);
    }
    for (int64_t k = 0; k < 256; k++) {
        known[k] += known[k + 256];
        right[k] += right[k + 256];
    }
}

/* Pixels of each class in the edge zones, where the greatest and the least label around a pixel differ: of the truth, of
 * what is shown, and of both where they agree. 2 x 256 numbers each, taking turns. */
KERNEL void count_zones(const uint8_t *restrict truth, const uint8_t *restrict greatest, const uint8_t *restrict least,
                        const uint8_t *restrict shown, const uint8_t *restrict shown_greatest,
                        const uint8_t *restrict shown_least, int64_t count, int64_t *restrict of_truth,
                        int64_t *restrict of_shown, int64_t *restrict of_both)
{
    for (int64_t i = 0; i < count; i++) {
        const int64_t turn = (i & 1) << 8;
        const int64_t zone = greatest[i] != least[i], shown_zone = shown_greatest[i] != shown_least[i];
        of_truth[truth[i] + turn] += zone;
        of_shown[shown[i] + turn] += shown_zone;
        of_both[truth[i] + turn] += zone & shown_zone & (truth[i] == shown[i]);
    }
    for (int64_t k = 0; k < 256; k++) {
        of_truth[k] += of_truth[k + 256];
        of_shown[k] += of_shown[k + 256];
        of_both[k] += of_both[k + 256];
    }
}
