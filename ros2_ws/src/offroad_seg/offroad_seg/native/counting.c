/* SPDX-License-Identifier: Apache-2.0
 *
 * Counting the pixels of an image: see metrics.py, calibration.py, counting.py and replay/evaluation.py.
 *
 * Labels come in areas, so eight pixels at a time are mostly alike: then they count at once. Where they are not, two
 * tables take turns, because neighbours often are alike all the same, and adding to the number that was just written
 * waits for it.
 */
#include "common.h"

#define UNLABELLED 255

enum { BLOCK = 64 };

/* Pixels of each pair (truth, prediction): `pairs` has (n + 1)^2 numbers, the last row and column for what is no class;
 * `truths` 256, for each true id. Both are added to; `other` is a table like `pairs`. */
KERNEL void count_pairs(const uint8_t *restrict truth, const uint8_t *restrict predicted, int64_t count, int64_t n,
                        int64_t *restrict pairs, int64_t *restrict other, int64_t *restrict truths)
{
    const int64_t side = n + 1;
    for (int64_t i = 0; i < count;) {
        if (i + EIGHT <= count && alike(truth + i) && alike(predicted + i)) {
            const int64_t t = truth[i], p = predicted[i];
            pairs[(t < n ? t : n) * side + (p < n ? p : n)] += EIGHT;
            truths[t] += t >= n ? EIGHT : 0;
            i += EIGHT;
            continue;
        }
        const int64_t end = i + EIGHT < count ? i + EIGHT : count;
        for (; i < end; i++) {
            const int64_t t = truth[i], p = predicted[i];
            int64_t *table = i & 1 ? other : pairs;
            table[(t < n ? t : n) * side + (p < n ? p : n)]++;
            truths[t] += t >= n;
        }
    }
    for (int64_t k = 0; k < side * side; k++)
        pairs[k] += other[k];
}

/* How often each byte occurs, where the mask (if there is one) is not 0: `counts` has 2 x 256 numbers. */
KERNEL void count_values(const uint8_t *restrict values, const uint8_t *mask, int64_t count, int64_t *restrict counts)
{
    for (int64_t i = 0; i < count;) {
        if (i + EIGHT <= count && alike(values + i) && (!mask || alike(mask + i))) {
            counts[values[i]] += !mask || mask[i] ? EIGHT : 0;
            i += EIGHT;
            continue;
        }
        const int64_t end = i + EIGHT < count ? i + EIGHT : count;
        for (; i < end; i++)
            counts[values[i] + ((i & 1) << 8)] += !mask || mask[i];
    }
    for (int64_t k = 0; k < 256; k++)
        counts[k] += counts[k + 256];
}

/* Labelled pixels of each confidence, and those of them that are right: 256 numbers each, added to. A pixel adds to one
 * number, of those without truth, the wrong ones, or the right ones. */
KERNEL void count_confidence(const uint8_t *restrict confidence, const uint8_t *restrict truth,
                             const uint8_t *restrict predicted, int64_t count, int64_t *restrict known,
                             int64_t *restrict right)
{
    enum { KINDS = 3, TABLE = 256, TURNS = 2 };
    int64_t tables[TURNS * KINDS * TABLE] = {0};
    for (int64_t i = 0; i < count;) {
        if (i + EIGHT <= count && alike(confidence + i) && alike(truth + i) && alike(predicted + i)) {
            const int64_t labelled = truth[i] != UNLABELLED;
            const int64_t kind = labelled + (labelled & (truth[i] == predicted[i]));
            tables[kind * TABLE + confidence[i]] += EIGHT;
            i += EIGHT;
            continue;
        }
        const int64_t end = i + EIGHT < count ? i + EIGHT : count;
        for (; i < end; i++) {
            const int64_t labelled = truth[i] != UNLABELLED;
            const int64_t kind = labelled + (labelled & (truth[i] == predicted[i]));
            tables[((i & (TURNS - 1)) * KINDS + kind) * TABLE + confidence[i]]++;
        }
    }
    for (int64_t turn = 0; turn < TURNS; turn++) {
        const int64_t *wrong = tables + (turn * KINDS + 1) * TABLE, *good = wrong + TABLE;
        for (int64_t k = 0; k < TABLE; k++) {
            known[k] += wrong[k] + good[k];
            right[k] += good[k];
        }
    }
}

/* Pixels that are labelled in both images, and those of them whose label differs: `changed_2` = [changed, compared]. */
KERNEL void count_changes(const uint8_t *restrict before, const uint8_t *restrict now, int64_t count,
                          int64_t *restrict changed_2)
{
    int64_t changed = 0, compared = 0;
    for (int64_t start = 0; start < count; start += BLOCK) {
        const int64_t size = start + BLOCK < count ? BLOCK : count - start;
        const uint8_t *b = before + start, *n = now + start;
        uint8_t differ = 0, both = 0;
        for (int64_t i = 0; i < size; i++) {
            const uint8_t known = (b[i] != UNLABELLED) & (n[i] != UNLABELLED);
            both = (uint8_t)(both + known);
            differ = (uint8_t)(differ + (known & (b[i] != n[i])));
        }
        changed += differ;
        compared += both;
    }
    changed_2[0] = changed;
    changed_2[1] = compared;
}
