/* SPDX-License-Identifier: Apache-2.0
 *
 * Evidence of cells: see mapping/evidence.py, of which this is the twin, operation by operation.
 */
#include "common.h"

#define BLOCK 16

/* Whether nothing was seen of cells that lie side by side: most are out of view. */
PART int unseen(const float *evidence)
{
    uint32_t bits[BLOCK], any = 0;
    memcpy(bits, evidence, sizeof bits);
    for (int i = 0; i < BLOCK; i++)
        any |= bits[i];
    return any == 0;
}

/* One look at cells that lie side by side, both in the observation and in the store. `at` is the first one's slot. */
PART void look(const uint8_t *restrict labels, const float *restrict evidence,
                        const uint8_t *restrict confidence, int64_t n, float *restrict store, float *restrict total,
                        float *restrict graded, float *restrict lethal, float *restrict doubted,
                        int8_t *restrict cost, uint8_t *restrict who, const uint8_t *restrict channels,
                        const float *restrict weights, const float *restrict doubts, int64_t n_channels,
                        int64_t source, float scale, float limit, float share, float sure, float gain)
{
    int64_t first = n, end = 0;
    for (int64_t block = 0; block < n; block += BLOCK) {
        int64_t stop = block + BLOCK;
        if (stop > n)
            stop = n;
        else if (unseen(evidence + block))
            continue;
        first = first < block ? first : block;
        end = stop;
        for (int64_t i = block; i < stop; i++) {
            if (!(evidence[i] > 0.0f))
                continue;
            int64_t channel = channels[labels[i]];
            float weight = (evidence[i] < 1.0f ? evidence[i] : 1.0f) * scale;
            float *row = store + i * n_channels;
            row[channel] += weight;
            total[i] += weights[channel] * weight;
            graded[i] += weights[n_channels + channel] * weight;
            lethal[i] += weights[2 * n_channels + channel] * weight;
            if (confidence)
                doubted[i] += weight * doubts[confidence[i]];
            if (total[i] > limit) {
                float shrink = limit / total[i];
                for (int64_t c = 0; c < n_channels; c++)
                    row[c] *= shrink;
                total[i] *= shrink;
                graded[i] *= shrink;
                lethal[i] *= shrink;
                doubted[i] *= shrink;
            }
            who[i] = (uint8_t)source;
        }
    }
    /* Several cells at once: those between that were not seen are worked out too, and left as they are. */
    for (int64_t i = first; i < end; i++) {
        float safe = total[i] > 1e-30f ? total[i] : 1e-30f;
        float mean = graded[i] / safe;
        float extra = (sure - total[i] / (safe + doubted[i])) * gain;
        extra = extra > 0.0f ? extra : 0.0f;
        extra = extra < 1.0f ? extra : 1.0f;
        mean += (98.0f - mean) * extra;
        mean = mean > 0.0f ? mean : 0.0f;
        mean = mean < 98.0f ? mean : 98.0f;
        int32_t value = (int32_t)rintf(mean);
        value = lethal[i] >= share * safe ? 100 : value;
        cost[i] = evidence[i] > 0.0f ? (int8_t)value : cost[i];
    }
}

/* Add the part [top, bottom) × [left, right) of an observation; its first cell is that slot of a window that wraps. */
KERNEL void fusion_add(const uint8_t *labels, const float *evidence, const uint8_t *confidence, int64_t pitch,
                       int64_t top, int64_t bottom, int64_t left, int64_t right, float *store, float *sums,
                       int8_t *cost, uint8_t *who, const uint8_t *channels, const float *weights, const float *doubts,
                       int64_t n_channels, int64_t height, int64_t width, int64_t slot_y, int64_t slot_x,
                       int64_t source, float scale, float limit, float share, float sure, float gain)
{
    int64_t cells = height * width;
    for (int64_t y = top; y < bottom; y++) {
        int64_t row = (slot_y + y - top) % height * width, x = left, column = slot_x;
        while (x < right) {
            int64_t n = right - x < width - column ? right - x : width - column;
            int64_t from = y * pitch + x, at = row + column;
            look(labels + from, evidence + from, confidence ? confidence + from : NULL, n, store + at * n_channels,
                 sums + at, sums + cells + at, sums + 2 * cells + at, sums + 3 * cells + at, cost + at, who + at,
                 channels, weights, doubts, n_channels, source, scale, limit, share, sure, gain);
            x += n;
            column = 0;
        }
    }
}

/* No evidence in some rows and columns of a window that wraps. */
KERNEL void fusion_clear(float *restrict store, float *restrict sums, int64_t n_channels, int64_t height, int64_t width,
                         int64_t top, int64_t rows, int64_t left, int64_t columns)
{
    int64_t cells = height * width, n = columns < width - left ? columns : width - left;
    for (int64_t y = top; y < top + rows; y++) {
        int64_t row = y % height * width;
        memset(store + (row + left) * n_channels, 0, (size_t)(n * n_channels) * sizeof *store);
        memset(store + row * n_channels, 0, (size_t)((columns - n) * n_channels) * sizeof *store);
        for (int64_t k = 0; k < 4; k++) {
            memset(sums + k * cells + row + left, 0, (size_t)n * sizeof *sums);
            memset(sums + k * cells + row, 0, (size_t)(columns - n) * sizeof *sums);
        }
    }
}

PART void tell(const float *restrict total, const float *restrict lethal, const int8_t *restrict cost,
                        int8_t *restrict out, int64_t n, float caution, float least)
{
    for (int64_t i = 0; i < n; i++) {
        int8_t value = cost[i];
        out[i] = total[i] + caution * lethal[i] >= least ? value : -1;
    }
}

/* Costs in the order of rows and columns, −1 where there is too little evidence. */
KERNEL void fusion_grid(const float *restrict sums, const int8_t *restrict cost, int8_t *restrict out, int64_t height,
                        int64_t width, int64_t slot_y, int64_t slot_x, float caution, float least)
{
    const float *lethal = sums + 2 * height * width;
    for (int64_t y = 0; y < height; y++) {
        int64_t row = (slot_y + y) % height * width, n = width - slot_x, at = row + slot_x;
        tell(sums + at, lethal + at, cost + at, out + y * width, n, caution, least);
        tell(sums + row, lethal + row, cost + row, out + y * width + n, slot_x, caution, least);
    }
}

/* An OccupancyGrid's costs in costmap_2d's units: _RAW_256 in ros/costmap_messages.py. */
KERNEL void raw_costs(const int8_t *restrict cost, uint8_t *restrict out, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const int8_t value = cost[i];
        const uint16_t steps = (uint16_t)(value > 0 ? value - 1 : 0);
        /* Rounded up: for 1 to 98 no product has more than 16 bits. */
        uint8_t raw = (uint8_t)(1 + (uint16_t)(steps * 251 + 96) / 97);
        raw = value > 98 ? (uint8_t)(value + 154) : raw;
        raw = value == 0 ? 0 : raw;
        out[i] = value < 0 || value > 100 ? 255 : raw;
    }
}
