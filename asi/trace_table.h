/*
 * What is traced, by asi/trace_points.c, and the branches that trace=on redirects, as tools/tracepoints generates them
 * from the linked kernel.
 */
#ifndef ASI_TRACE_TABLE_H
#define ASI_TRACE_TABLE_H

#include <stdint.h>

#define TRACE_TABLE_SECTION __attribute__((section(".trace_table")))

/* A function and its twin: addresses. */
struct trace_point {
    uint64_t original, traced;
};
extern const struct trace_point trace_points[]; /* in the order of TRACE_POINTS */

struct trace_site {
    uint32_t offset; /* of the branch's last four bytes, its displacement, from text_start */
    uint32_t point;  /* place of the function in TRACE_POINTS */
};

extern const uint32_t trace_site_count;
extern const struct trace_site trace_sites[];

#endif
