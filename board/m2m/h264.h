/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * The least H.264 encoder that makes real pictures: each macroblock becomes one flat colour, the mean of its pixels,
 * coded as Intra_16x16 with one coefficient (ITU-T H.264, 7.3 and 9.2). In pictures between key frames, macroblocks that
 * are as before are skipped, so that such a picture needs the one before, as everybody's does.
 */
#ifndef FANLIGHT_M2M_H264_H
#define FANLIGHT_M2M_H264_H

#include <linux/minmax.h>
#include <linux/string.h>
#include <linux/types.h>

/* Steps of the quantiser 30 in 64ths of a sample: one level of luma, and of chroma, which has quantiser 29. */
#define LUMA_STEP 80
#define CHROMA_STEP 144

/* One macroblock: Y, Cb, Cr. */
struct mosaic {
	u8 part[3];
};

struct stream {
	u8 *out;
	size_t length, room;
	/* Zeros at the end of what was written of this unit: a third one is hidden (7.4.1). */
	unsigned int zeros;
	u32 held;
	unsigned int bits;
	bool overflow;
};

static void put_raw(struct stream *s, u8 byte)
{
	if (s->length < s->room)
		s->out[s->length++] = byte;
	else
		s->overflow = true;
}

static void put_byte(struct stream *s, u8 byte)
{
	if (s->zeros == 2 && byte <= 3) {
		put_raw(s, 3);
		s->zeros = 0;
	}
	put_raw(s, byte);
	s->zeros = byte ? 0 : s->zeros + 1;
}

static void put(struct stream *s, unsigned int count, u32 value)
{
	while (count--) {
		s->held = s->held << 1 | (value >> count & 1);
		if (++s->bits == 8) {
			put_byte(s, s->held);
			s->held = s->bits = 0;
		}
	}
}

static void put_ue(struct stream *s, u32 value)
{
	unsigned int length = fls(value + 1);

	put(s, length - 1, 0);
	put(s, length, value + 1);
}

static void unit_begin(struct stream *s, u8 header)
{
	put_raw(s, 0);
	put_raw(s, 0);
	put_raw(s, 0);
	put_raw(s, 1);
	s->zeros = 0;
	put_byte(s, header);
}

static void unit_end(struct stream *s)
{
	put(s, 1, 1);
	while (s->bits)
		put(s, 1, 0);
}

static void put_parameter_sets(struct stream *s, u8 profile, u8 constraints, u8 level, unsigned int width,
			       unsigned int height)
{
	unsigned int columns = DIV_ROUND_UP(width, 16), rows = DIV_ROUND_UP(height, 16);
	bool cropped = columns * 16 != width || rows * 16 != height;

	unit_begin(s, 0x67);
	put(s, 8, profile);
	put(s, 8, constraints);
	put(s, 8, level);
	put_ue(s, 0); /* id */
	if (profile == 100) {
		put_ue(s, 1); /* 4:2:0 */
		put_ue(s, 0);
		put_ue(s, 0);
		put(s, 2, 0);
	}
	put_ue(s, 4); /* frame_num has 8 bits */
	put_ue(s, 2); /* pictures are shown in the order in which they are coded */
	put_ue(s, 1); /* one reference frame */
	put(s, 1, 0);
	put_ue(s, columns - 1);
	put_ue(s, rows - 1);
	put(s, 1, 1); /* frames only */
	put(s, 1, 1);
	put(s, 1, cropped);
	if (cropped) {
		put_ue(s, 0);
		put_ue(s, (columns * 16 - width) / 2);
		put_ue(s, 0);
		put_ue(s, (rows * 16 - height) / 2);
	}
	put(s, 1, 0); /* no VUI */
	unit_end(s);

	unit_begin(s, 0x68);
	put_ue(s, 0);
	put_ue(s, 0);
	put(s, 2, 0); /* CAVLC, one kind of order */
	put_ue(s, 0); /* one slice group */
	put_ue(s, 0);
	put_ue(s, 0);
	put(s, 3, 0); /* no weighted prediction */
	put_ue(s, 7); /* quantiser 30: se(4) */
	put_ue(s, 0);
	put_ue(s, 0);
	put(s, 3, 4); /* the slice says what becomes of the deblocking filter */
	unit_end(s);
}

/* A block with at most one coefficient, its first one (9.2). `none`, `one`, `more`: coeff_token, as (bits, code). */
static void put_block(struct stream *s, int level, const u8 none[2], const u8 one[2], const u8 more[2])
{
	unsigned int code;

	if (!level) {
		put(s, none[0], none[1]);
		return;
	}
	if (abs(level) == 1) {
		put(s, one[0], one[1]);
		put(s, 1, level < 0);
	} else {
		put(s, more[0], more[1]);
		/* The first level beside trailing ones is never one of these: two codes are free. */
		code = (level > 0 ? 2 * level - 2 : -2 * level - 1) - 2;
		if (code < 14) {
			put(s, code + 1, 1);
		} else if (code < 30) {
			put(s, 15, 1);
			put(s, 4, code - 14);
		} else {
			put(s, 16, 1);
			put(s, 12, code - 30);
		}
	}
	put(s, 1, 1); /* no zeros before it */
}

/* The level that comes nearest, and in *seen what a decoder makes of it. */
static int quantise(int wanted, int predicted, int step, u8 *seen)
{
	int far = (wanted - predicted) * 64;
	int level = far >= 0 ? (far + step / 2) / step : -((-far + step / 2) / step);

	*seen = clamp(predicted + ((level * step + 32) >> 6), 0, 255);
	return level;
}

/*
 * One slice with the whole picture. `wanted` is the picture, `before` what a decoder has of the one before and gets what it
 * has of this one.
 */
static void put_slice(struct stream *s, bool key, u8 frame_num, u8 key_id, unsigned int columns, unsigned int rows,
		      const struct mosaic *wanted, struct mosaic *before)
{
	static const u8 luma[3][2] = { { 1, 1 }, { 2, 1 }, { 6, 5 } }, chroma[3][2] = { { 2, 1 }, { 1, 1 }, { 6, 7 } };
	unsigned int skipped = 0, column, row, part, mode, chroma_mode, at = 0;
	struct mosaic left, above;

	unit_begin(s, key ? 0x65 : 0x61);
	put_ue(s, 0);
	put_ue(s, key ? 7 : 5);
	put_ue(s, 0);
	put(s, 8, frame_num);
	if (key) {
		put_ue(s, key_id);
		put(s, 2, 0);
	} else {
		put(s, 3, 0); /* as many references, in the usual order, as the parameter sets say */
	}
	put_ue(s, 0); /* the quantiser of the parameter set */
	put_ue(s, 1); /* no deblocking */

	for (row = 0; row < rows; row++) {
		for (column = 0; column < columns; column++, at++) {
			struct mosaic predicted = { { 128, 128, 128 } }, seen;
			int level[3];

			/* Whichever neighbour is there, as it is: left horizontally, above vertically, or else none. */
			mode = chroma_mode = 0;
			if (column) {
				left = before[at - 1];
				predicted = left;
				mode = chroma_mode = 1;
			} else if (row) {
				above = before[at - columns];
				predicted = above;
				mode = 0;
				chroma_mode = 2;
			} else {
				mode = 2;
			}
			for (part = 0; part < 3; part++)
				level[part] = quantise(wanted[at].part[part], predicted.part[part],
						       part ? CHROMA_STEP : LUMA_STEP, &seen.part[part]);
			if (!key) {
				/* What differs by less than a step and a half is as before. */
				if (abs(before[at].part[0] - wanted[at].part[0]) <= 2 &&
				    abs(before[at].part[1] - wanted[at].part[1]) <= 3 &&
				    abs(before[at].part[2] - wanted[at].part[2]) <= 3) {
					skipped++;
					continue;
				}
				put_ue(s, skipped);
				skipped = 0;
			}
			before[at] = seen;
			put_ue(s, (key ? 0 : 5) + 1 + mode + (level[1] || level[2] ? 4 : 0));
			put_ue(s, chroma_mode);
			put(s, 1, 1); /* the same quantiser */
			put_block(s, level[0], luma[0], luma[1], luma[2]);
			if (level[1] || level[2]) {
				put_block(s, level[1], chroma[0], chroma[1], chroma[2]);
				put_block(s, level[2], chroma[0], chroma[1], chroma[2]);
			}
		}
	}
	if (skipped)
		put_ue(s, skipped);
	unit_end(s);
}

#endif
