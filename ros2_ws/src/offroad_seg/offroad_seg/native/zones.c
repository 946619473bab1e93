/* SPDX-License-Identifier: Apache-2.0
 *
 * Pixels near the edges of their class: see boundary.py.
 */
#include "common.h"

#define UNLABELLED 255

enum { TABLE = 256, TURNS = 2 };

/* flat[x] is 1 where all pixels of a row within `distance` beside x lie in the image and have its label. `even` and `odd`
 * are like `flat`: first 1 where a pixel is like the next one, then where two in turn are, four …, as many as it takes. */
PART void find_flat(const uint8_t *restrict row, int64_t width, int64_t distance, uint8_t *restrict even,
                    uint8_t *restrict odd, uint8_t *restrict flat)
{
    int64_t size = 1, count = width - 1;
    for (int64_t x = 0; x < width; x++)
        flat[x] = 0;
    if (width <= 2 * distance)
        return;
    for (int64_t x = 0; x < count; x++)
        even[x] = row[x] == row[x + 1];
    const uint8_t *from = even;
    while (size < 2 * distance) {
        const int64_t step = 2 * size <= 2 * distance ? size : 2 * distance - size;
        uint8_t *to = from == even ? odd : even;
        count -= step;
        for (int64_t x = 0; x < count; x++)
            to[x] = from[x] & from[x + step];
        size += step;
        from = to;
    }
    for (int64_t x = 0; x < count; x++)
        flat[x + distance] = from[x];
}

/* One more row: runs[x] counts the rows that were flat without a break, all of one label, up to `most`. */
PART void follow(const uint8_t *restrict row, const uint8_t *restrict above, const uint8_t *restrict flat, int64_t width,
                 uint16_t most, uint16_t *restrict runs)
{
    for (int64_t x = 0; x < width; x++) {
        const uint16_t before = row[x] == above[x] ? runs[x] : 0;
        const uint16_t next = before < most ? (uint16_t)(before + 1) : most;
        runs[x] = flat[x] ? next : 0;
    }
}

/* What is shown: what was predicted, but for what has no truth. */
PART void show(const uint8_t *restrict truth, const uint8_t *restrict predicted, int64_t width, uint8_t *restrict shown)
{
    for (int64_t x = 0; x < width; x++)
        shown[x] = truth[x] == UNLABELLED ? UNLABELLED : predicted[x];
}

/* One row's pixels by label and kind. Kinds of the truth: 0 is no zone, 1 the zone of the truth alone, 2 of both where
 * they agree; kinds of what is shown: 0 and 1. `kinds` and `shown_kinds` say which; two tables take turns. */
PART void count_row(const uint8_t *restrict truth, const uint8_t *restrict shown, const uint8_t *restrict kinds,
                    const uint8_t *restrict shown_kinds, int64_t width, int64_t *restrict of_truth,
                    int64_t *restrict of_shown)
{
    for (int64_t x = 0; x < width;) {
        if (x + EIGHT <= width && alike(truth + x) && alike(shown + x) && alike(kinds + x) && alike(shown_kinds + x)) {
            of_truth[truth[x] + TABLE * kinds[x]] += EIGHT;
            of_shown[shown[x] + TABLE * shown_kinds[x]] += EIGHT;
            x += EIGHT;
            continue;
        }
        const int64_t end = x + EIGHT < width ? x + EIGHT : width;
        for (; x < end; x++) {
            const int64_t turn = x & 1;
            of_truth[truth[x] + TABLE * (kinds[x] + 3 * turn)]++;
            of_shown[shown[x] + TABLE * (shown_kinds[x] + 2 * turn)]++;
        }
    }
}

/* Pixels of each label within `distance` (1 to 32,000) of another one or of the image's border, in a square: of the
 * truth, of what is shown, and of both where they agree; `counts` has 3 x 256 numbers, those of UNLABELLED mean nothing.
 * `runs` has 2 x width zeros, `rows` 8 x width bytes, `tables` 10 x 256 zeros. */
KERNEL void count_zones(const uint8_t *restrict truth, const uint8_t *restrict predicted, int64_t height, int64_t width,
                        int64_t distance, uint16_t *restrict runs, uint8_t *restrict rows, int64_t *restrict tables,
                        int64_t *restrict counts)
{
    const uint16_t most = (uint16_t)(2 * distance + 1);
    uint16_t *restrict shown_runs = runs + width;
    uint8_t *even = rows, *odd = rows + width, *flat = rows + 2 * width, *middle = rows + 3 * width;
    uint8_t *kinds = rows + 4 * width, *shown_kinds = rows + 5 * width;
    uint8_t *shown = rows + 6 * width, *shown_above = rows + 7 * width;
    int64_t *of_truth = tables, *of_shown = tables + 3 * TURNS * TABLE;
    /* The row in whose middle a window ends lies `distance` above: at the bottom, rows go on that are not there. */
    for (int64_t y = 0; y < height + distance; y++) {
        if (y < height) {
            const uint8_t *row = truth + y * width;
            show(row, predicted + y * width, width, shown);
            find_flat(row, width, distance, even, odd, flat);
            follow(row, y ? row - width : row, flat, width, most, runs);
            find_flat(shown, width, distance, even, odd, flat);
            follow(shown, y ? shown_above : shown, flat, width, most, shown_runs);
            uint8_t *last = shown_above;
            shown_above = shown;
            shown = last;
        }
        const int64_t at = y - distance;
        if (at < 0)
            continue;
        const uint8_t *row = truth + at * width;
        const uint8_t border = at < distance || y >= height;
        show(row, predicted + at * width, width, middle);
        for (int64_t x = 0; x < width; x++) {
            const uint8_t zone = border | (runs[x] < most), shown_zone = border | (shown_runs[x] < most);
            kinds[x] = (uint8_t)(zone + (zone & shown_zone & (row[x] == middle[x])));
            shown_kinds[x] = shown_zone;
        }
        count_row(row, middle, kinds, shown_kinds, width, of_truth, of_shown);
    }
    for (int64_t k = 0; k < TABLE; k++) {
        const int64_t both = of_truth[2 * TABLE + k] + of_truth[5 * TABLE + k];
        counts[k] = of_truth[TABLE + k] + of_truth[4 * TABLE + k] + both;
        counts[TABLE + k] = of_shown[TABLE + k] + of_shown[3 * TABLE + k];
        counts[2 * TABLE + k] = both;
    }
}
