/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * fanlight_m2m: a memory-to-memory H.264 encoder for the emulated board, on the kernel's own V4L2 and videobuf2.
 *
 *   device.c   what it does and saw, as parameters; open and close, load and unload
 *   ioctls.c   formats, crop, frame rate, controls
 *   buffers.c  the two queues
 *   coding.c   jobs: one picture in, one access unit out; h264.h codes it
 *
 * It stands for the hardware encoders of real boards: stateful and multi-planar, with the controls, defaults and
 * alignments of bcm2835-codec, and it can wedge. What it codes is real, if coarse (h264.h). Everything a test wants to
 * know or to break is a module parameter: /sys/module/fanlight_m2m/parameters.
 */
#ifndef FANLIGHT_M2M_ENCODER_H
#define FANLIGHT_M2M_ENCODER_H

#include <linux/slab.h>
#include <linux/workqueue.h>
#include <media/v4l2-ctrls.h>
#include <media/v4l2-device.h>
#include <media/v4l2-event.h>
#include <media/v4l2-fh.h>
#include <media/v4l2-ioctl.h>
#include <media/v4l2-mem2mem.h>
#include <media/videobuf2-vmalloc.h>

#define NAME "fanlight_m2m"

/* What it does. */
extern struct does {
	int delay_ms, wedges, let_go_ms, start_ms, stop_ms;
	bool header_alone, import_allowed;
} does;

/* What it saw. */
extern struct saw {
	int open_now, opened, coded, keys_forced, imported, bitrate, frame_rate, profile, level;
} saw;

struct encoder {
	struct v4l2_device v4l2;
	struct video_device video;
	struct v4l2_m2m_dev *m2m;
	struct mutex lock;
	struct delayed_work work;
};

struct mosaic;

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

static inline struct context *context_of(struct file *file)
{
	return container_of(file->private_data, struct context, fh);
}

static inline int control(struct context *context, u32 id)
{
	return v4l2_ctrl_g_ctrl(v4l2_ctrl_find(&context->controls, id));
}

static inline struct v4l2_pix_format_mplane *format_of(struct context *context, u32 type)
{
	return V4L2_TYPE_IS_OUTPUT(type) ? &context->raw : &context->coded;
}

/* coding.c */
extern const struct v4l2_m2m_ops m2m_ops;
void encoder_work(struct work_struct *item);
int coding_begin(struct context *context);
void coding_end(struct context *context);

/* buffers.c */
int queue_init(void *priv, struct vb2_queue *source, struct vb2_queue *destination);

/* ioctls.c */
extern const struct v4l2_ioctl_ops ioctl_ops;
void fit(struct context *context, struct v4l2_format *format);
int add_controls(struct context *context);

#endif
