// SPDX-License-Identifier: MIT OR GPL-2.0
/* Jobs: one picture in, one access unit out. */
#include "encoder.h"
#include "h264.h"

struct sum {
	u32 total, count;
};

static void add(struct sum *sum, const u8 *row, unsigned int first, unsigned int step, unsigned int count)
{
	for (; count; count--, first += step) {
		sum->total += row[first];
		sum->count++;
	}
}

/* The mean colours of one macroblock, of those of its pixels that are seen. */
static struct mosaic look(const struct context *context, const u8 *bytes, unsigned int column, unsigned int row)
{
	unsigned int stride = context->raw.plane_fmt[0].bytesperline, height = context->raw.height;
	unsigned int x = column * 16, y = row * 16, line, part;
	unsigned int wide = min(16u, context->crop.width - x), high = min(16u, context->crop.height - y);
	const u8 *chroma = bytes + stride * height;
	struct sum sums[3] = { };
	struct mosaic mosaic;

	for (line = y; line < y + high; line++) {
		switch (context->raw.pixelformat) {
		case V4L2_PIX_FMT_YUYV:
			add(&sums[0], bytes + line * stride, 2 * x, 2, wide);
			add(&sums[1], bytes + line * stride, 2 * x + 1, 4, wide / 2);
			add(&sums[2], bytes + line * stride, 2 * x + 3, 4, wide / 2);
			break;
		case V4L2_PIX_FMT_NV12:
			add(&sums[0], bytes + line * stride, x, 1, wide);
			if (line % 2)
				break;
			add(&sums[1], chroma + line / 2 * stride, x, 2, wide / 2);
			add(&sums[2], chroma + line / 2 * stride, x + 1, 2, wide / 2);
			break;
		default:
			add(&sums[0], bytes + line * stride, x, 1, wide);
			if (line % 2)
				break;
			add(&sums[1], chroma + line / 2 * (stride / 2), x / 2, 1, wide / 2);
			add(&sums[2], chroma + stride / 2 * (height / 2) + line / 2 * (stride / 2), x / 2, 1, wide / 2);
		}
	}
	for (part = 0; part < 3; part++)
		mosaic.part[part] = (sums[part].total + sums[part].count / 2) / max(sums[part].count, 1u);
	return mosaic;
}

static void put_header(struct context *context, struct stream *stream)
{
	static const u8 levels[] = { 10, 9, 11, 12, 13, 20, 21, 22, 30, 31, 32, 40, 41, 42, 50, 51 };

	saw.profile = control(context, V4L2_CID_MPEG_VIDEO_H264_PROFILE);
	saw.level = levels[control(context, V4L2_CID_MPEG_VIDEO_H264_LEVEL)];
	switch (saw.profile) {
	case V4L2_MPEG_VIDEO_H264_PROFILE_BASELINE:
		saw.profile = 66;
		put_parameter_sets(stream, 66, 0x80, saw.level, context->crop.width, context->crop.height);
		break;
	case V4L2_MPEG_VIDEO_H264_PROFILE_CONSTRAINED_BASELINE:
		saw.profile = 66;
		put_parameter_sets(stream, 66, 0xC0, saw.level, context->crop.width, context->crop.height);
		break;
	case V4L2_MPEG_VIDEO_H264_PROFILE_MAIN:
		saw.profile = 77;
		put_parameter_sets(stream, 77, 0x40, saw.level, context->crop.width, context->crop.height);
		break;
	default:
		saw.profile = 100;
		put_parameter_sets(stream, 100, 0, saw.level, context->crop.width, context->crop.height);
	}
}

static bool joins_header(struct context *context)
{
	return !does.header_alone && control(context, V4L2_CID_MPEG_VIDEO_HEADER_MODE) ==
					V4L2_MPEG_VIDEO_HEADER_MODE_JOINED_WITH_1ST_FRAME;
}

static struct stream stream_of(struct vb2_v4l2_buffer *buffer)
{
	return (struct stream){ .out = vb2_plane_vaddr(&buffer->vb2_buf, 0),
				.room = vb2_plane_size(&buffer->vb2_buf, 0) };
}

static void finish(struct context *context, struct vb2_v4l2_buffer *buffer, struct stream *stream)
{
	buffer->sequence = context->sequence[1]++;
	vb2_set_plane_payload(&buffer->vb2_buf, 0, stream->overflow ? 0 : stream->length);
	v4l2_m2m_buf_done(buffer, stream->overflow ? VB2_BUF_STATE_ERROR : VB2_BUF_STATE_DONE);
}

static void code(struct context *context)
{
	struct vb2_v4l2_buffer *from, *to;
	struct stream stream;
	unsigned int row, column, period = control(context, V4L2_CID_MPEG_VIDEO_H264_I_PERIOD);
	const u8 *bytes;
	bool key, first = context->header_due;

	if (first && !joins_header(context)) {
		to = v4l2_m2m_dst_buf_remove(context->fh.m2m_ctx);
		to->flags &= ~(V4L2_BUF_FLAG_KEYFRAME | V4L2_BUF_FLAG_PFRAME);
		to->vb2_buf.timestamp = 0;
		stream = stream_of(to);
		put_header(context, &stream);
		finish(context, to, &stream);
	}
	from = v4l2_m2m_src_buf_remove(context->fh.m2m_ctx);
	to = v4l2_m2m_dst_buf_remove(context->fh.m2m_ctx);
	from->sequence = context->sequence[0]++;
	v4l2_m2m_buf_copy_metadata(from, to, true);
	to->flags &= ~(V4L2_BUF_FLAG_KEYFRAME | V4L2_BUF_FLAG_PFRAME);
	bytes = vb2_plane_vaddr(&from->vb2_buf, 0);
	for (row = 0; row < context->rows; row++)
		for (column = 0; column < context->columns; column++)
			context->wanted[row * context->columns + column] = look(context, bytes, column, row);

	key = first || context->key || (period && context->since_key >= period);
	if (context->key)
		saw.keys_forced++;
	context->key = false;
	if (key) {
		context->since_key = context->frame_num = 0;
		context->key_id++;
	}
	stream = stream_of(to);
	if (key && ((first && joins_header(context)) || (!first && context->repeat_header)))
		put_header(context, &stream);
	put_slice(&stream, key, context->frame_num++, context->key_id & 1, context->columns, context->rows,
		  context->wanted, context->before);
	context->header_due = false;
	context->since_key++;
	to->flags |= key ? V4L2_BUF_FLAG_KEYFRAME : V4L2_BUF_FLAG_PFRAME;
	if (from->vb2_buf.memory == VB2_MEMORY_DMABUF)
		saw.imported++;
	saw.coded++;
	v4l2_m2m_buf_done(from, VB2_BUF_STATE_DONE);
	finish(context, to, &stream);
}

void encoder_work(struct work_struct *item)
{
	struct encoder *encoder = container_of(to_delayed_work(item), struct encoder, work);
	struct context *context = v4l2_m2m_get_curr_priv(encoder->m2m);

	if (!context)
		return;
	if (!context->wedged)
		code(context);
	v4l2_m2m_job_finish(encoder->m2m, context->fh.m2m_ctx);
}

static void device_run(void *priv)
{
	struct context *context = priv;

	if (!context->wedged && does.wedges > 0) {
		does.wedges--;
		context->wedged = true;
	}
	/* One that is wedged never ends its job, and nobody else has a turn. */
	if (!context->wedged)
		schedule_delayed_work(&context->encoder->work, msecs_to_jiffies(does.delay_ms));
}

static int job_ready(void *priv)
{
	struct context *context = priv;
	unsigned int needed = context->header_due && !joins_header(context) ? 2 : 1;

	return v4l2_m2m_num_src_bufs_ready(context->fh.m2m_ctx) >= 1 &&
	       v4l2_m2m_num_dst_bufs_ready(context->fh.m2m_ctx) >= needed;
}

static void job_abort(void *priv)
{
	struct context *context = priv;

	if (context->wedged)
		schedule_delayed_work(&context->encoder->work, msecs_to_jiffies(does.let_go_ms));
}

const struct v4l2_m2m_ops m2m_ops = {
	.device_run = device_run,
	.job_ready = job_ready,
	.job_abort = job_abort,
};

/* Makes room for the pictures of a stream. */
int coding_begin(struct context *context)
{
	coding_end(context);
	context->columns = DIV_ROUND_UP(context->crop.width, 16);
	context->rows = DIV_ROUND_UP(context->crop.height, 16);
	context->wanted = kvcalloc(context->columns * context->rows, sizeof(struct mosaic), GFP_KERNEL);
	context->before = kvcalloc(context->columns * context->rows, sizeof(struct mosaic), GFP_KERNEL);
	context->header_due = true;
	return context->wanted && context->before ? 0 : -ENOMEM;
}

void coding_end(struct context *context)
{
	kvfree(context->wanted);
	kvfree(context->before);
	context->wanted = context->before = NULL;
}
