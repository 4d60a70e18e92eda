/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "zipf.h"

#include <math.h>

#include "internal.h"

/* h(x) = x^-s, its integral from 1, and the inverse of that. */
static double height(const struct zipf *z, double x)
{
	return pow(x, -z->s);
}

static double integral(const struct zipf *z, double x)
{
	return (pow(x, 1 - z->s) - 1) / (1 - z->s);
}

static double inverse(const struct zipf *z, double area)
{
	return pow(1 + (1 - z->s) * area, 1 / (1 - z->s));
}

void zipf_init(struct zipf *z, uint64_t n, double s)
{
	z->n = (double)n;
	z->s = s;
	z->top = integral(z, z->n + 0.5);
	z->bottom = integral(z, 1.5) - 1;
	z->sure = 2 - inverse(z, integral(z, 2.5) - height(z, 2));
}

/*
 * A point below the curve, uniformly, lies over some x.  The column around
 * the whole number k nearest to x keeps an area of h(k) at its right end; what
 * falls to the left of that is drawn again.
 */
uint64_t zipf_draw(const struct zipf *z, uint64_t *random)
{
	for (;;) {
		double u = (double)bench_random(random, 1ul << 53) * 0x1p-53;
		double area = z->top + u * (z->bottom - z->top);
		double x = inverse(z, area);
		double k = fmin(fmax(floor(x + 0.5), 1), z->n);

		if (k - x <= z->sure || area >= integral(z, k + 0.5) - height(z, k))
			return (uint64_t)k;
	}
}

struct draws {
	uint64_t streams;
	uint32_t *stream;
	struct draws *next;
};

static struct draws *made;

static uint64_t gcd(uint64_t a, uint64_t b)
{
	return b ? gcd(b, a % b) : a;
}

/* A step prime to @streams: it visits all, and takes neighbours far apart. */
static uint64_t stride(uint64_t streams)
{
	uint64_t step = (uint64_t)((double)streams * 0.6180339887) | 1;

	while (gcd(step, streams) != 1)
		step++;
	return step;
}

static struct draws *draws_make(uint64_t streams)
{
	struct draws *draws = bench_alloc(sizeof(*draws));
	const uint64_t step = stride(streams);
	uint64_t random = 1;
	struct zipf z;

	if (streams > UINT32_MAX)
		bench_die("too many streams for zipf");
	*draws = (struct draws){ .streams = streams, .next = made };
	draws->stream = bench_alloc(ZIPF_DRAWS * sizeof(*draws->stream));
	zipf_init(&z, streams, ZIPF_S);
	for (size_t i = 0; i < ZIPF_DRAWS; i++)
		draws->stream[i] = (uint32_t)(zipf_draw(&z, &random) * step % streams);
	made = draws;
	return draws;
}

const uint32_t *zipf_streams(uint64_t streams)
{
	struct draws *draws = made;

	while (draws && draws->streams != streams)
		draws = draws->next;
	return (draws ? draws : draws_make(streams))->stream;
}

void zipf_free_all(void)
{
	for (struct draws *next; made; made = next) {
		next = made->next;
		free(made->stream);
		free(made);
	}
}
