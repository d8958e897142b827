// SPDX-License-Identifier: MIT OR GPL-2.0
/* What it does and saw; open and close, load and unload. */
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/version.h>

#include "encoder.h"

struct does does = { .delay_ms = 5, .header_alone = true, .import_allowed = true };
struct saw saw;

module_param_named(delay_ms, does.delay_ms, int, 0644);
MODULE_PARM_DESC(delay_ms, "how long a picture takes");
module_param_named(header_alone, does.header_alone, bool, 0644);
MODULE_PARM_DESC(header_alone, "parameter sets have a buffer of their own, whatever the header mode");
module_param_named(import_allowed, does.import_allowed, bool, 0644);
MODULE_PARM_DESC(import_allowed, "memory of other devices is taken; where not, QBUF fails as with memory in pieces");
module_param_named(wedges, does.wedges, int, 0644);
MODULE_PARM_DESC(wedges, "so many more pictures are never done");
module_param_named(let_go_ms, does.let_go_ms, int, 0644);
MODULE_PARM_DESC(let_go_ms, "how long STREAMOFF takes of one that is wedged");
module_param_named(start_ms, does.start_ms, int, 0644);
MODULE_PARM_DESC(start_ms, "how long STREAMON of raw pictures takes, whatever signals come");
module_param_named(stop_ms, does.stop_ms, int, 0644);
MODULE_PARM_DESC(stop_ms, "how long STREAMOFF of raw pictures takes, whatever signals come");

#define SAW(what) module_param_named(what, saw.what, int, 0444)
SAW(open_now);
SAW(opened);
SAW(coded);
SAW(keys_forced);
SAW(imported);
SAW(bitrate);
SAW(frame_rate);
SAW(profile);
SAW(level);

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
	saw.open_now++;
	saw.opened++;
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
	coding_end(context);
	kfree(context);
	saw.open_now--;
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
	INIT_DELAYED_WORK(&encoder->work, encoder_work);
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
static int driver_remove(struct platform_device *device)
{
	unplug(device);
	return 0;
}
#else
#define driver_remove unplug
#endif

static struct platform_driver driver = { .probe = probe, .remove = driver_remove, .driver = { .name = NAME } };
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
