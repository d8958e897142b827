// SPDX-License-Identifier: MIT OR GPL-2.0
/* Formats, crop, frame rate and controls. */
#include "encoder.h"

#define SIDE_MIN 32
#define SIDE_MAX 1920

static const u32 raw_formats[] = { V4L2_PIX_FMT_YUV420, V4L2_PIX_FMT_NV12, V4L2_PIX_FMT_YUYV };

void fit(struct context *context, struct v4l2_format *format)
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
	saw.frame_rate = context->interval.denominator / context->interval.numerator;
	return 0;
}

const struct v4l2_ioctl_ops ioctl_ops = {
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
		saw.bitrate = control->val;
	return 0;
}

static const struct v4l2_ctrl_ops control_ops = { .s_ctrl = set_control };

int add_controls(struct context *context)
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
