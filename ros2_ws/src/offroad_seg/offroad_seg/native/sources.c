/* SPDX-License-Identifier: Apache-2.0 */
#include "common.h"

/* Which sources this library was made of: Python refuses one that was not made of those beside it. */
__attribute__((visibility("default"))) const char *offroad_seg_sources(void);
const char *offroad_seg_sources(void) { return OFFROAD_SEG_SOURCES; }
