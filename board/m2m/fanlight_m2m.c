// SPDX-License-Identifier: MIT OR GPL-2.0
/*
 * fanlight_m2m: a memory-to-memory H.264 encoder for the emulated board, on the kernel's own V4L2 and videobuf2.
 *
 * It stands for the hardware encoders of real boards: stateful and multi-planar, with the controls, defaults and
 * alignments of bcm2835-codec, and it can wedge. What it codes is real, if coarse (h264.h). Everything a test wants to
 * know or to break is a module parameter: /sys/module/fanlight_m2m/parameters.
 */
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/slab.h>
#include <linux/version.h>
#include <linux/workqueue.h>
#include <media/v4l2-ctrls.h>
#include <media/v4l2-device.h>
#include <media/v4l2-event.h>
#include <media/v4l2-fh.h>
#include <media/v4l2-ioctl.h>
#include <media/v4l2-mem2mem.h>
#include <media/videobuf2-vmalloc.h>

#include "h264.h"

#define NAME "fanlight_m2m"
#define SIDE_MIN 32
#define SIDE_MAX 1920

/* What it does. */
static int delay_ms = 5;
module_param(delay_ms, int, 0644);
MODULE_PARM_DESC(delay_ms, "how long a picture takes");
static bool header_alone = true;
module_param(header_alone, bool, 0644);
MODULE_PARM_DESC(header_alone, "parameter sets have a buffer of their own, whatever the header mode");
static bool import_allowed = true;
module_param(import_allowed, bool, 0644);
MODULE_PARM_DESC(import_allowed, "memory of other devices is taken; where not, QBUF fails as with memory in pieces");
static int wedges;
module_param(wedges, int, 0644);
MODULE_PARM_DESC(wedges, "so many more pictures are never done");
static int let_go_ms;
module_param(let_go_ms, int, 0644);
MODULE_PARM_DESC(let_go_ms, "how long STREAMOFF takes of one that is wedged");

/* What it saw. */
static int open_now, opened, coded, keys_forced, imported, bitrate, frame_rate, profile, level;
module_param(open_now, int, 0444);
module_param(opened, int, 0444);
module_param(coded, int, 0444);
module_param(keys_forced, int, 0444);
module_param(imported, int, 0444);
module_param(bitrate, int, 0444);
module_param(frame_rate, int, 0444);
module_param(profile, int, 0444);
module_param(level, int, 0444);

static const u32 raw_formats[] = { V4L2_PIX_FMT_YUV420, V4L2_PIX_FMT_NV12, V4L2_PIX_FMT_YUYV };

struct encoder {
	struct v4l2_device v4l2;
	struct video_device video;
	struct v4l2_m2m_dev *m2m;
	struct mutex lock;
	struct delayed_work work;
};

struct context {
	struct v4l2_fh fh;
	struct v4l2_ctrl_handler controls;
	struct encoder *encoder;
	struct v4l2_pix_format_mplane raw, coded;
	struct v4l2_rect crop;
	u32 sequence[2];
	struct v4l2_fract interval;
	/* Set when the stream starts, as real ones do. */
	bool repeat_header;
	bool header_due, wedged;
	bool key;
	u8 frame_num, key_id;
	unsigned int since_key, columns, rows;
	struct mosaic *wanted, *before;
};

static struct context *context_of(struct file *file)
{
	return container_of(file->private_data, struct context, fh);
}

static int control(struct context *context, u32 id)
{
	return v4l2_ctrl_g_ctrl(v4l2_ctrl_find(&context->controls, id));
}

/* --- coding */

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

	profile = control(context, V4L2_CID_MPEG_VIDEO_H264_PROFILE);
	level = levels[control(context, V4L2_CID_MPEG_VIDEO_H264_LEVEL)];
	switch (profile) {
	case V4L2_MPEG_VIDEO_H264_PROFILE_BASELINE:
		profile = 66;
		put_parameter_sets(stream, 66, 0x80, level, context->crop.width, context->crop.height);
		break;
	case V4L2_MPEG_VIDEO_H264_PROFILE_CONSTRAINED_BASELINE:
		profile = 66;
		put_parameter_sets(stream, 66, 0xC0, level, context->crop.width, context->crop.height);
		break;
	case V4L2_MPEG_VIDEO_H264_PROFILE_MAIN:
		profile = 77;
		put_parameter_sets(stream, 77, 0x40, level, context->crop.width, context->crop.height);
		break;
	default:
		profile = 100;
		put_parameter_sets(stream, 100, 0, level, context->crop.width, context->crop.height);
	}
}

static bool joins_header(struct context *context)
{
	return !header_alone && control(context, V4L2_CID_MPEG_VIDEO_HEADER_MODE) ==
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
		keys_forced++;
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
		imported++;
	coded++;
	v4l2_m2m_buf_done(from, VB2_BUF_STATE_DONE);
	finish(context, to, &stream);
}

static void work(struct work_struct *item)
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

	if (!context->wedged && wedges > 0) {
		wedges--;
		context->wedged = true;
	}
	/* One that is wedged never ends its job, and nobody else has a turn. */
	if (!context->wedged)
		schedule_delayed_work(&context->encoder->work, msecs_to_jiffies(delay_ms));
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
		schedule_delayed_work(&context->encoder->work, msecs_to_jiffies(let_go_ms));
}

static const struct v4l2_m2m_ops m2m_ops = {
	.device_run = device_run,
	.job_ready = job_ready,
	.job_abort = job_abort,
};

/* --- buffers */

static struct v4l2_pix_format_mplane *format_of(struct context *context, u32 type)
{
	return V4L2_TYPE_IS_OUTPUT(type) ? &context->raw : &context->coded;
}

static int queue_setup(struct vb2_queue *queue, unsigned int *buffers, unsigned int *planes, unsigned int sizes[],
		       struct device *devices[])
{
	u32 size = format_of(vb2_get_drv_priv(queue), queue->type)->plane_fmt[0].sizeimage;

	if (*planes)
		return *planes == 1 && sizes[0] >= size ? 0 : -EINVAL;
	*planes = 1;
	sizes[0] = size;
	return 0;
}

static int buffer_prepare(struct vb2_buffer *buffer)
{
	struct context *context = vb2_get_drv_priv(buffer->vb2_queue);
	u32 size = format_of(context, buffer->vb2_queue->type)->plane_fmt[0].sizeimage;

	if (V4L2_TYPE_IS_CAPTURE(buffer->vb2_queue->type))
		return 0;
	to_vb2_v4l2_buffer(buffer)->field = V4L2_FIELD_NONE;
	if (buffer->memory == VB2_MEMORY_DMABUF && !import_allowed)
		return -EFAULT;
	return vb2_plane_size(buffer, 0) >= size && vb2_get_plane_payload(buffer, 0) >= size ? 0 : -EINVAL;
}

static void buffer_queue(struct vb2_buffer *buffer)
{
	struct context *context = vb2_get_drv_priv(buffer->vb2_queue);

	v4l2_m2m_buf_queue(context->fh.m2m_ctx, to_vb2_v4l2_buffer(buffer));
}

static int start_streaming(struct vb2_queue *queue, unsigned int count)
{
	struct context *context = vb2_get_drv_priv(queue);

	if (V4L2_TYPE_IS_CAPTURE(queue->type)) {
		context->sequence[1] = 0;
		context->repeat_header = control(context, V4L2_CID_MPEG_VIDEO_REPEAT_SEQ_HEADER);
		return 0;
	}
	context->columns = DIV_ROUND_UP(context->crop.width, 16);
	context->rows = DIV_ROUND_UP(context->crop.height, 16);
	kvfree(context->wanted);
	kvfree(context->before);
	context->wanted = kvcalloc(context->columns * context->rows, sizeof(struct mosaic), GFP_KERNEL);
	context->before = kvcalloc(context->columns * context->rows, sizeof(struct mosaic), GFP_KERNEL);
	context->sequence[0] = 0;
	context->header_due = true;
	if (context->wanted && context->before)
		return 0;
	while (v4l2_m2m_num_src_bufs_ready(context->fh.m2m_ctx))
		v4l2_m2m_buf_done(v4l2_m2m_src_buf_remove(context->fh.m2m_ctx), VB2_BUF_STATE_QUEUED);
	return -ENOMEM;
}

static void stop_streaming(struct vb2_queue *queue)
{
	struct context *context = vb2_get_drv_priv(queue);
	struct vb2_v4l2_buffer *buffer;

	for (;;) {
		buffer = V4L2_TYPE_IS_OUTPUT(queue->type) ? v4l2_m2m_src_buf_remove(context->fh.m2m_ctx) :
							     v4l2_m2m_dst_buf_remove(context->fh.m2m_ctx);
		if (!buffer)
			return;
		v4l2_m2m_buf_done(buffer, VB2_BUF_STATE_ERROR);
	}
}

static const struct vb2_ops queue_ops = {
	.queue_setup = queue_setup,
	.buf_prepare = buffer_prepare,
	.buf_queue = buffer_queue,
	.start_streaming = start_streaming,
	.stop_streaming = stop_streaming,
	.wait_prepare = vb2_ops_wait_prepare,
	.wait_finish = vb2_ops_wait_finish,
};

static int queue_init(void *priv, struct vb2_queue *source, struct vb2_queue *destination)
{
	struct context *context = priv;
	struct vb2_queue *queues[] = { source, destination };
	int i, error;

	source->type = V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE;
	destination->type = V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE;
	for (i = 0; i < 2; i++) {
		queues[i]->io_modes = VB2_MMAP | VB2_DMABUF;
		queues[i]->drv_priv = context;
		queues[i]->ops = &queue_ops;
		queues[i]->mem_ops = &vb2_vmalloc_memops;
		queues[i]->buf_struct_size = sizeof(struct v4l2_m2m_buffer);
		queues[i]->timestamp_flags = V4L2_BUF_FLAG_TIMESTAMP_COPY;
		queues[i]->lock = &context->encoder->lock;
		error = vb2_queue_init(queues[i]);
		if (error)
			return error;
	}
	return 0;
}

/* --- formats */

static void fit(struct context *context, struct v4l2_format *format)
{
	struct v4l2_pix_format_mplane *pix = &format->fmt.pix_mp;
	u32 stride, i;
	bool known = false;

	pix->num_planes = 1;
	pix->field = V4L2_FIELD_NONE;
	pix->flags = 0;
	if (V4L2_TYPE_IS_CAPTURE(format->type)) {
		pix->pixelformat = V4L2_PIX_FMT_H264;
		pix->width = clamp(pix->width, SIDE_MIN, SIDE_MAX) & ~1u;
		pix->height = clamp(pix->height, SIDE_MIN, SIDE_MAX) & ~1u;
		pix->plane_fmt[0].bytesperline = 0;
		pix->plane_fmt[0].sizeimage = clamp(pix->plane_fmt[0].sizeimage, 512u << 10, 4u << 20);
		return;
	}
	for (i = 0; i < ARRAY_SIZE(raw_formats); i++)
		known |= pix->pixelformat == raw_formats[i];
	if (!known)
		pix->pixelformat = raw_formats[0];
	/* As bcm2835-codec: rows of a multiple of 32 bytes, for YU12 64; a height of whole macroblocks. */
	pix->width = clamp(pix->width, SIDE_MIN, SIDE_MAX) & ~1u;
	pix->height = ALIGN(clamp(pix->height, SIDE_MIN, SIDE_MAX), 16);
	stride = pix->pixelformat == V4L2_PIX_FMT_YUYV ? pix->width * 2 : pix->width;
	stride = clamp(pix->plane_fmt[0].bytesperline, stride, 2 * stride);
	stride = ALIGN(stride, pix->pixelformat == V4L2_PIX_FMT_YUV420 ? 64 : 32);
	pix->plane_fmt[0].bytesperline = stride;
	pix->plane_fmt[0].sizeimage = stride * pix->height;
	if (pix->pixelformat != V4L2_PIX_FMT_YUYV)
		pix->plane_fmt[0].sizeimage += stride * pix->height / 2;
}

static int query_capabilities(struct file *file, void *priv, struct v4l2_capability *capability)
{
	strscpy(capability->driver, NAME, sizeof(capability->driver));
	strscpy(capability->card, "Emulated encoder", sizeof(capability->card));
	strscpy(capability->bus_info, "platform:" NAME, sizeof(capability->bus_info));
	return 0;
}

static int enum_raw(struct file *file, void *priv, struct v4l2_fmtdesc *format)
{
	if (format->index >= ARRAY_SIZE(raw_formats))
		return -EINVAL;
	format->pixelformat = raw_formats[format->index];
	return 0;
}

static int enum_coded(struct file *file, void *priv, struct v4l2_fmtdesc *format)
{
	if (format->index)
		return -EINVAL;
	format->pixelformat = V4L2_PIX_FMT_H264;
	return 0;
}

static int get_format(struct file *file, void *priv, struct v4l2_format *format)
{
	format->fmt.pix_mp = *format_of(context_of(file), format->type);
	return 0;
}

static int try_format(struct file *file, void *priv, struct v4l2_format *format)
{
	fit(context_of(file), format);
	return 0;
}

static int set_format(struct file *file, void *priv, struct v4l2_format *format)
{
	struct context *context = context_of(file);

	if (vb2_is_busy(v4l2_m2m_get_vq(context->fh.m2m_ctx, format->type)))
		return -EBUSY;
	fit(context, format);
	*format_of(context, format->type) = format->fmt.pix_mp;
	if (V4L2_TYPE_IS_OUTPUT(format->type)) {
		context->crop = (struct v4l2_rect){ 0, 0, format->fmt.pix_mp.width, format->fmt.pix_mp.height };
		context->coded.width = format->fmt.pix_mp.width;
		context->coded.height = format->fmt.pix_mp.height;
	}
	return 0;
}

static int get_selection(struct file *file, void *priv, struct v4l2_selection *selection)
{
	struct context *context = context_of(file);

	if (selection->type != V4L2_BUF_TYPE_VIDEO_OUTPUT)
		return -EINVAL;
	switch (selection->target) {
	case V4L2_SEL_TGT_CROP:
		selection->r = context->crop;
		return 0;
	case V4L2_SEL_TGT_CROP_DEFAULT:
	case V4L2_SEL_TGT_CROP_BOUNDS:
		selection->r = (struct v4l2_rect){ 0, 0, context->raw.width, context->raw.height };
		return 0;
	default:
		return -EINVAL;
	}
}

static int set_selection(struct file *file, void *priv, struct v4l2_selection *selection)
{
	struct context *context = context_of(file);

	if (selection->type != V4L2_BUF_TYPE_VIDEO_OUTPUT || selection->target != V4L2_SEL_TGT_CROP)
		return -EINVAL;
	selection->r.left = selection->r.top = 0;
	selection->r.width = clamp(selection->r.width, 16u, context->raw.width) & ~1u;
	selection->r.height = clamp(selection->r.height, 16u, context->raw.height) & ~1u;
	context->crop = selection->r;
	return 0;
}

static int set_rate(struct file *file, void *priv, struct v4l2_streamparm *parm)
{
	struct context *context = context_of(file);

	if (!V4L2_TYPE_IS_OUTPUT(parm->type))
		return -EINVAL;
	parm->parm.output.capability = V4L2_CAP_TIMEPERFRAME;
	if (parm->parm.output.timeperframe.numerator && parm->parm.output.timeperframe.denominator)
		context->interval = parm->parm.output.timeperframe;
	parm->parm.output.timeperframe = context->interval;
	frame_rate = context->interval.denominator / context->interval.numerator;
	return 0;
}

static const struct v4l2_ioctl_ops ioctl_ops = {
	.vidioc_querycap = query_capabilities,
	.vidioc_enum_fmt_vid_out = enum_raw,
	.vidioc_enum_fmt_vid_cap = enum_coded,
	.vidioc_g_fmt_vid_out_mplane = get_format,
	.vidioc_g_fmt_vid_cap_mplane = get_format,
	.vidioc_try_fmt_vid_out_mplane = try_format,
	.vidioc_try_fmt_vid_cap_mplane = try_format,
	.vidioc_s_fmt_vid_out_mplane = set_format,
	.vidioc_s_fmt_vid_cap_mplane = set_format,
	.vidioc_g_selection = get_selection,
	.vidioc_s_selection = set_selection,
	.vidioc_s_parm = set_rate,
	.vidioc_reqbufs = v4l2_m2m_ioctl_reqbufs,
	.vidioc_querybuf = v4l2_m2m_ioctl_querybuf,
	.vidioc_qbuf = v4l2_m2m_ioctl_qbuf,
	.vidioc_dqbuf = v4l2_m2m_ioctl_dqbuf,
	.vidioc_prepare_buf = v4l2_m2m_ioctl_prepare_buf,
	.vidioc_create_bufs = v4l2_m2m_ioctl_create_bufs,
	.vidioc_expbuf = v4l2_m2m_ioctl_expbuf,
	.vidioc_streamon = v4l2_m2m_ioctl_streamon,
	.vidioc_streamoff = v4l2_m2m_ioctl_streamoff,
	.vidioc_subscribe_event = v4l2_ctrl_subscribe_event,
	.vidioc_unsubscribe_event = v4l2_event_unsubscribe,
};

/* --- controls: those of bcm2835-codec, with its ranges and defaults */

static int set_control(struct v4l2_ctrl *control)
{
	struct context *context = container_of(control->handler, struct context, controls);

	if (control->id == V4L2_CID_MPEG_VIDEO_FORCE_KEY_FRAME)
		context->key = true;
	if (control->id == V4L2_CID_MPEG_VIDEO_BITRATE)
		bitrate = control->val;
	return 0;
}

static const struct v4l2_ctrl_ops control_ops = { .s_ctrl = set_control };

static int add_controls(struct context *context)
{
	struct v4l2_ctrl_handler *handler = &context->controls;
	const struct v4l2_ctrl_ops *ops = &control_ops;

	v4l2_ctrl_handler_init(handler, 12);
	v4l2_ctrl_new_std_menu(handler, ops, V4L2_CID_MPEG_VIDEO_BITRATE_MODE, V4L2_MPEG_VIDEO_BITRATE_MODE_CBR, 0,
			       V4L2_MPEG_VIDEO_BITRATE_MODE_VBR);
	v4l2_ctrl_new_std(handler, ops, V4L2_CID_MPEG_VIDEO_BITRATE, 25000, 25000000, 25000, 10000000);
	v4l2_ctrl_new_std_menu(handler, ops, V4L2_CID_MPEG_VIDEO_HEADER_MODE,
			       V4L2_MPEG_VIDEO_HEADER_MODE_JOINED_WITH_1ST_FRAME, 0,
			       V4L2_MPEG_VIDEO_HEADER_MODE_SEPARATE);
	v4l2_ctrl_new_std(handler, ops, V4L2_CID_MPEG_VIDEO_REPEAT_SEQ_HEADER, 0, 1, 1, 0);
	v4l2_ctrl_new_std(handler, ops, V4L2_CID_MPEG_VIDEO_FORCE_KEY_FRAME, 0, 0, 0, 0);
	v4l2_ctrl_new_std(handler, ops, V4L2_CID_MPEG_VIDEO_H264_I_PERIOD, 0, 0x7FFFFFFF, 1, 60);
	v4l2_ctrl_new_std(handler, ops, V4L2_CID_MPEG_VIDEO_H264_MIN_QP, 0, 51, 1, 20);
	v4l2_ctrl_new_std(handler, ops, V4L2_CID_MPEG_VIDEO_H264_MAX_QP, 0, 51, 1, 51);
	v4l2_ctrl_new_std_menu(handler, ops, V4L2_CID_MPEG_VIDEO_H264_LEVEL, V4L2_MPEG_VIDEO_H264_LEVEL_4_2, 0,
			       V4L2_MPEG_VIDEO_H264_LEVEL_4_0);
	v4l2_ctrl_new_std_menu(handler, ops, V4L2_CID_MPEG_VIDEO_H264_PROFILE, V4L2_MPEG_VIDEO_H264_PROFILE_HIGH,
			       ~(1u << V4L2_MPEG_VIDEO_H264_PROFILE_BASELINE |
				 1u << V4L2_MPEG_VIDEO_H264_PROFILE_CONSTRAINED_BASELINE |
				 1u << V4L2_MPEG_VIDEO_H264_PROFILE_MAIN | 1u << V4L2_MPEG_VIDEO_H264_PROFILE_HIGH),
			       V4L2_MPEG_VIDEO_H264_PROFILE_HIGH);
	return handler->error;
}

/* --- open, close, load, unload */

static int encoder_open(struct file *file)
{
	struct encoder *encoder = video_drvdata(file);
	struct context *context = kzalloc(sizeof(*context), GFP_KERNEL);
	struct v4l2_format format = { .type = V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE };
	int error;

	if (!context)
		return -ENOMEM;
	context->encoder = encoder;
	context->interval = (struct v4l2_fract){ 1, 30 };
	v4l2_fh_init(&context->fh, &encoder->video);
	file->private_data = &context->fh;
	error = add_controls(context);
	if (error)
		goto fail;
	context->fh.ctrl_handler = &context->controls;
	context->fh.m2m_ctx = v4l2_m2m_ctx_init(encoder->m2m, context, queue_init);
	if (IS_ERR(context->fh.m2m_ctx)) {
		error = PTR_ERR(context->fh.m2m_ctx);
		goto fail;
	}
	format.fmt.pix_mp.width = 640;
	format.fmt.pix_mp.height = 480;
	fit(context, &format);
	context->raw = format.fmt.pix_mp;
	context->crop = (struct v4l2_rect){ 0, 0, context->raw.width, context->raw.height };
	format.type = V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE;
	fit(context, &format);
	context->coded = format.fmt.pix_mp;
	v4l2_fh_add(&context->fh);
	open_now++;
	opened++;
	return 0;
fail:
	v4l2_ctrl_handler_free(&context->controls);
	v4l2_fh_exit(&context->fh);
	kfree(context);
	return error;
}

static int encoder_release(struct file *file)
{
	struct encoder *encoder = video_drvdata(file);
	struct context *context = context_of(file);

	mutex_lock(&encoder->lock);
	v4l2_m2m_ctx_release(context->fh.m2m_ctx);
	mutex_unlock(&encoder->lock);
	v4l2_fh_del(&context->fh);
	v4l2_fh_exit(&context->fh);
	v4l2_ctrl_handler_free(&context->controls);
	kvfree(context->wanted);
	kvfree(context->before);
	kfree(context);
	open_now--;
	return 0;
}

static const struct v4l2_file_operations file_ops = {
	.owner = THIS_MODULE,
	.open = encoder_open,
	.release = encoder_release,
	.poll = v4l2_m2m_fop_poll,
	.unlocked_ioctl = video_ioctl2,
	.mmap = v4l2_m2m_fop_mmap,
};

static int probe(struct platform_device *device)
{
	struct encoder *encoder = devm_kzalloc(&device->dev, sizeof(*encoder), GFP_KERNEL);
	struct video_device *video;
	int error;

	if (!encoder)
		return -ENOMEM;
	mutex_init(&encoder->lock);
	INIT_DELAYED_WORK(&encoder->work, work);
	error = v4l2_device_register(&device->dev, &encoder->v4l2);
	if (error)
		return error;
	encoder->m2m = v4l2_m2m_init(&m2m_ops);
	if (IS_ERR(encoder->m2m)) {
		error = PTR_ERR(encoder->m2m);
		goto unregister;
	}
	video = &encoder->video;
	strscpy(video->name, NAME, sizeof(video->name));
	video->vfl_dir = VFL_DIR_M2M;
	video->fops = &file_ops;
	video->ioctl_ops = &ioctl_ops;
	video->release = video_device_release_empty;
	video->lock = &encoder->lock;
	video->v4l2_dev = &encoder->v4l2;
	video->device_caps = V4L2_CAP_VIDEO_M2M_MPLANE | V4L2_CAP_STREAMING;
	video_set_drvdata(video, encoder);
	platform_set_drvdata(device, encoder);
	error = video_register_device(video, VFL_TYPE_VIDEO, 11);
	if (!error)
		return 0;
	v4l2_m2m_release(encoder->m2m);
unregister:
	v4l2_device_unregister(&encoder->v4l2);
	return error;
}

static void unplug(struct platform_device *device)
{
	struct encoder *encoder = platform_get_drvdata(device);

	video_unregister_device(&encoder->video);
	cancel_delayed_work_sync(&encoder->work);
	v4l2_m2m_release(encoder->m2m);
	v4l2_device_unregister(&encoder->v4l2);
}

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 11, 0)
static int remove(struct platform_device *device)
{
	unplug(device);
	return 0;
}
#else
#define remove unplug
#endif

static struct platform_driver driver = { .probe = probe, .remove = remove, .driver = { .name = NAME } };
static struct platform_device *device;

static int __init load(void)
{
	int error = platform_driver_register(&driver);

	if (error)
		return error;
	device = platform_device_register_simple(NAME, PLATFORM_DEVID_NONE, NULL, 0);
	if (!IS_ERR(device))
		return 0;
	platform_driver_unregister(&driver);
	return PTR_ERR(device);
}

static void __exit unload(void)
{
	platform_device_unregister(device);
	platform_driver_unregister(&driver);
}

module_init(load);
module_exit(unload);

MODULE_DESCRIPTION("Emulated memory-to-memory H.264 encoder");
MODULE_LICENSE("Dual MIT/GPL");
