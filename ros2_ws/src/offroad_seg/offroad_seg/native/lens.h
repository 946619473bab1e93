/* SPDX-License-Identifier: Apache-2.0
 *
 * Where points are seen, and in which direction they lie: the twin of mapping/lens.py and mapping/directions.py, in the
 * same order of the same float32 operations.
 */
#ifndef OFFROAD_SEG_LENS_H
#define OFFROAD_SEG_LENS_H

#include "common.h"

/* The kinds of lens; what a loop calls with a constant kind has no branch on it. */
enum { PINHOLE = 0, POLYNOMIAL = 1, RATIONAL = 2, FISHEYE = 3 };

typedef struct {
    int kind;
    float fx, fy, cx, cy, k1, k2, k3, k4, k5, k6, p1, p2, twice_p1, twice_p2, max_r2;
} lens_t;

#define MIN_DEPTH 1e-2f
#define PI_F 3.14159265358979323846f
#define HALF_PI_F 1.57079632679489661923f

PART float least(float a, float b) { return a < b ? a : b; }
PART float most(float a, float b) { return a > b ? a : b; }

/* From Lens.numbers_14: kind, fx, fy, cx, cy, k1 … k6, p1, p2, largest radius squared. */
PART lens_t lens_of(const double *n)
{
    lens_t l = {(int)n[0],    (float)n[1],  (float)n[2],  (float)n[3],        (float)n[4],        (float)n[5],
                (float)n[6],  (float)n[7],  (float)n[8],  (float)n[9],        (float)n[10],       (float)n[11],
                (float)n[12], (float)(2 * n[11]), (float)(2 * n[12]), (float)n[13]};
    return l;
}

/* Of t from 0 to 1: see mapping/directions.py. */
PART float arctan_unit(float t)
{
    float s = t * t, p = 0.006667296402156353f;
    p = p * s + -0.03311904892325401f;
    p = p * s + 0.0789913609623909f;
    p = p * s + -0.1319340318441391f;
    p = p * s + 0.19795462489128113f;
    p = p * s + -0.33315736055374146f;
    p = p * s + 0.9999955296516418f;
    return p * t;
}

/* Number of a direction, 0 to count − 1; `per_turn` is count / 2π. */
PART int32_t direction_of(float x, float y, float per_turn, int32_t count)
{
    float along = fabsf(x), across = fabsf(y);
    float large = most(most(along, across), 1e-30f);
    float a = arctan_unit(least(along, across) / large);
    a = across > along ? HALF_PI_F - a : a;
    a = x < 0.0f ? PI_F - a : a;
    a = y < 0.0f ? -a : a;
    float number = (a + PI_F) * per_turn;
    /* Bounds before the conversion: NaN becomes 0. */
    number = number > 0.0f ? number : 0.0f;
    return (int32_t)least(number, (float)(count - 1));
}

/* A point in the optical frame → pixel; whether it is in front of the camera and within the lens's range. */
PART int place(const lens_t *l, int kind, float x, float y, float z, float *u, float *v)
{
    int seen = z > MIN_DEPTH;
    float near = 1.0f / most(z, MIN_DEPTH);
    x = x * near;
    y = y * near;
    if (kind != PINHOLE) {
        float r2 = x * x + y * y;
        seen &= r2 <= l->max_r2;
        r2 = least(r2, l->max_r2);
        if (kind == FISHEYE) {
            float r = most(sqrtf(r2), 1e-6f);
            float inverse = 1.0f / r;
            float theta = arctan_unit(least(r, inverse));
            theta = r > 1.0f ? HALF_PI_F - theta : theta;
            float t = theta * theta;
            float scale = (((l->k4 * t + l->k3) * t + l->k2) * t + l->k1) * t + 1.0f;
            scale = scale * theta / r;
            x = x * scale;
            y = y * scale;
        } else {
            float radial = ((l->k3 * r2 + l->k2) * r2 + l->k1) * r2 + 1.0f;
            if (kind == RATIONAL)
                radial = radial / (((l->k6 * r2 + l->k5) * r2 + l->k4) * r2 + 1.0f);
            radial = radial + y * l->twice_p1;
            radial = radial + x * l->twice_p2;
            x = x * radial + r2 * l->p2;
            y = y * radial + r2 * l->p1;
        }
    }
    *u = x * l->fx + l->cx;
    *v = y * l->fy + l->cy;
    return seen;
}

/* What a look at ground is worth: see worth_of in mapping/cells.py. */
PART float worth_of(float depth, float distance, float cover, float spread_per_m2)
{
    float worth = least(cover / (depth * depth), 1.0f);
    float spread = distance * distance * spread_per_m2;
    return worth / (spread * spread + 1.0f);
}

#endif
