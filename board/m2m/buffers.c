// SPDX-License-Identifier: MIT OR GPL-2.0
/* The two queues: pictures, and what they are coded as. */
#include <linux/delay.h>
#include "encoder.h"

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
	if (buffer->memory == VB2_MEMORY_DMABUF && !does.import_allowed)
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
	context->sequence[0] = 0;
	msleep(does.start_ms);
	if (!coding_begin(context))
		return 0;
	while (v4l2_m2m_num_src_bufs_ready(context->fh.m2m_ctx))
		v4l2_m2m_buf_done(v4l2_m2m_src_buf_remove(context->fh.m2m_ctx), VB2_BUF_STATE_QUEUED);
	return -ENOMEM;
}

static void stop_streaming(struct vb2_queue *queue)
{
	struct context *context = vb2_get_drv_priv(queue);
	struct vb2_v4l2_buffer *buffer;

	if (V4L2_TYPE_IS_OUTPUT(queue->type))
		msleep(does.stop_ms);
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

int queue_init(void *priv, struct vb2_queue *source, struct vb2_queue *destination)
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
