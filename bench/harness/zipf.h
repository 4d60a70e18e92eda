/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Zipf's law: of @n items, the k-th most popular is drawn in proportion to
 * 1 / k^s.  Exact, by rejection-inversion (W. Hörmann and G. Derflinger,
 * "Rejection-inversion to generate variates from monotone discrete
 * distributions", ACM TOMACS 6, 1996): about 1.1 uniform numbers a draw, no table.
 */
#ifndef BENCH_ZIPF_H
#define BENCH_ZIPF_H

#include <stddef.h>
#include <stdint.h>

#define ZIPF_S     0.99
#define ZIPF_DRAWS (1u << 21) /* made beforehand; then they repeat */

struct zipf {
	double n, s;
	double top, bottom; /* the integral at n + 1/2, and at 3/2 less h(1) */
	double sure;        /* so near to a whole number needs no test */
};

/* s > 0, and not 1. */
void zipf_init(struct zipf *z, uint64_t n, double s);
/* 1 .. n; @random is the state of bench_random(). */
uint64_t zipf_draw(const struct zipf *z, uint64_t *random);

/*
 * ZIPF_DRAWS numbers of streams in [0, @streams), the popular ones spread
 * over all.  Made at the first call for it, and kept.
 */
const uint32_t *zipf_streams(uint64_t streams);
void zipf_free_all(void);

#endif /* BENCH_ZIPF_H */
