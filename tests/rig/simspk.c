/* simspk: a loudspeaker in user space for the real alsa-lib, for tests on machines without a sound card. It is the
 * counterpart of simmic.c, and made and named in the configuration in the same way.
 *
 * It plays at the pace of the monotonic clock. Who writes too late gets a real underrun. What is written is appended to
 * the file of ALSA_CONFIG_PATH with ".raw" behind its name.
 *
 *   pcm_type.simspk { lib "/where/it/is/simspk.so" }
 *   pcm.spk { type simspk rate 44100 channels 2 format "S16_LE" xrun_every_ms 700 }
 *
 * rate N, channels N, format "NAME": the only ones it has (48000, 1, S16_LE)
 * ppm N: its clock is too fast by N ppm
 * xrun_every_ms N: an underrun after N ms of running, each time
 * stall_after_ms N: after N ms of running, takes no samples any more, and no error
 * gone_after_ms N: it is unplugged N ms after it was opened
 * fails "NAME": opening fails with EBUSY, EACCES or ENODEV
 */
#include <alsa/asoundlib.h>
#include <alsa/pcm_external.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

struct spk {
	snd_pcm_ioplug_t io;
	int timer;
	FILE *file;
	snd_pcm_format_t format;
	long rate, channels, ppm, xrun_every, stall_after, gone_after;
	int64_t opened, started; /* ns of CLOCK_MONOTONIC */
	uint64_t played; /* frames played since `started`; alsa-lib's `appl_ptr` counts those written */
};

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int spk_start(snd_pcm_ioplug_t *io)
{
	struct spk *s = io->private_data;
	s->started = now_ns();
	return 0;
}

static int spk_stop(snd_pcm_ioplug_t *io)
{
	(void)io;
	return 0;
}

static int spk_prepare(snd_pcm_ioplug_t *io)
{
	struct spk *s = io->private_data;
	s->played = 0;
	return 0;
}

/* The hardware position in the buffer. All simulated faults of the card happen here. */
static snd_pcm_sframes_t spk_pointer(snd_pcm_ioplug_t *io)
{
	struct spk *s = io->private_data;
	int64_t now = now_ns(), running = now - s->started;

	if (s->gone_after && now - s->opened > s->gone_after * 1000000) {
		snd_pcm_ioplug_set_state(io, SND_PCM_STATE_DISCONNECTED);
		return (snd_pcm_sframes_t)(s->played % io->buffer_size);
	}
	if (io->state != SND_PCM_STATE_RUNNING)
		return (snd_pcm_sframes_t)(s->played % io->buffer_size);
	if (s->xrun_every && running >= s->xrun_every * 1000000)
		return -EPIPE;
	if (s->stall_after && running > s->stall_after * 1000000)
		return (snd_pcm_sframes_t)(s->played % io->buffer_size);
	s->played = (uint64_t)((double)running * (double)s->rate / 1e9 * (1.0 + (double)s->ppm * 1e-6));
	if (s->played > io->appl_ptr)
		return -EPIPE;
	return (snd_pcm_sframes_t)(s->played % io->buffer_size);
}

static snd_pcm_sframes_t spk_transfer(snd_pcm_ioplug_t *io, const snd_pcm_channel_area_t *areas,
				      snd_pcm_uframes_t offset, snd_pcm_uframes_t size)
{
	struct spk *s = io->private_data;
	size_t width = (size_t)snd_pcm_format_physical_width(s->format) / 8;
	for (snd_pcm_uframes_t i = 0; i < size; i++)
		for (long c = 0; c < s->channels; c++) {
			const snd_pcm_channel_area_t *a = &areas[c];
			fwrite((unsigned char *)a->addr + (a->first + a->step * (offset + i)) / 8, width, 1, s->file);
		}
	fflush(s->file);
	return (snd_pcm_sframes_t)size;
}

static int spk_close(snd_pcm_ioplug_t *io)
{
	struct spk *s = io->private_data;
	fclose(s->file);
	close(s->timer);
	free(s);
	return 0;
}

static const snd_pcm_ioplug_callback_t callbacks = {
	.start = spk_start, .stop = spk_stop, .prepare = spk_prepare, .pointer = spk_pointer,
	.transfer = spk_transfer, .close = spk_close,
};

static int offer(snd_pcm_ioplug_t *io, const struct spk *s)
{
	const unsigned int access[] = { SND_PCM_ACCESS_RW_INTERLEAVED, SND_PCM_ACCESS_MMAP_INTERLEAVED };
	const unsigned int format[] = { (unsigned int)s->format };
	unsigned int rate = (unsigned int)s->rate, channels = (unsigned int)s->channels;
	unsigned int frame = channels * (unsigned int)snd_pcm_format_physical_width(s->format) / 8;
	int err = snd_pcm_ioplug_set_param_list(io, SND_PCM_IOPLUG_HW_ACCESS, 2, access);
	if (!err) err = snd_pcm_ioplug_set_param_list(io, SND_PCM_IOPLUG_HW_FORMAT, 1, format);
	if (!err) err = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_RATE, rate, rate);
	if (!err) err = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_CHANNELS, channels, channels);
	if (!err) err = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_PERIOD_BYTES, 32 * frame, 8192 * frame);
	if (!err) err = snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_BUFFER_BYTES, 128 * frame, 65536 * frame);
	return err;
}

static FILE *file_of_test(void)
{
	char path[4096];
	const char *conf = getenv("ALSA_CONFIG_PATH");
	snprintf(path, sizeof path, "%s.raw", conf ? conf : "/tmp/simspk");
	return fopen(path, "ab");
}

SND_PCM_PLUGIN_DEFINE_FUNC(simspk)
{
	snd_config_iterator_t i, next;
	const char *format = "S16_LE", *fails = "";
	struct spk *s = calloc(1, sizeof *s);
	int err;

	(void)root;
	if (!s)
		return -ENOMEM;
	s->rate = 48000, s->channels = 1;
	struct { const char *name; long *value; } numbers[] = {
		{ "rate", &s->rate }, { "channels", &s->channels }, { "ppm", &s->ppm },
		{ "xrun_every_ms", &s->xrun_every }, { "stall_after_ms", &s->stall_after },
		{ "gone_after_ms", &s->gone_after },
	};
	snd_config_for_each(i, next, conf) {
		snd_config_t *n = snd_config_iterator_entry(i);
		const char *id;
		if (snd_config_get_id(n, &id) < 0)
			continue;
		if (!strcmp(id, "format")) snd_config_get_string(n, &format);
		if (!strcmp(id, "fails")) snd_config_get_string(n, &fails);
		for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++)
			if (!strcmp(id, numbers[k].name)) snd_config_get_integer(n, numbers[k].value);
	}
	err = stream != SND_PCM_STREAM_PLAYBACK ? -ENODEV
	    : !strcmp(fails, "EBUSY") ? -EBUSY : !strcmp(fails, "EACCES") ? -EACCES : !strcmp(fails, "ENODEV") ? -ENODEV : 0;
	s->format = snd_pcm_format_value(format);
	if (s->format == SND_PCM_FORMAT_UNKNOWN)
		err = -EINVAL;
	s->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (s->timer < 0)
		err = -errno;
	if (err >= 0 && !(s->file = file_of_test()))
		err = -errno;
	if (err < 0)
		goto failed;
	s->opened = now_ns();
	s->io.version = SND_PCM_IOPLUG_VERSION;
	s->io.name = "simulated loudspeaker";
	s->io.flags = SND_PCM_IOPLUG_FLAG_MONOTONIC;
	s->io.callback = &callbacks;
	s->io.private_data = s;
	s->io.poll_fd = s->timer;
	s->io.poll_events = POLLIN;
	err = snd_pcm_ioplug_create(&s->io, name, stream, mode);
	if (err < 0)
		goto failed;
	err = offer(&s->io, s);
	if (err < 0) {
		snd_pcm_ioplug_delete(&s->io); /* this also closes and frees it */
		return err;
	}
	*pcmp = s->io.pcm;
	return 0;
failed:
	if (s->file)
		fclose(s->file);
	if (s->timer >= 0)
		close(s->timer);
	free(s);
	return err;
}
SND_PCM_PLUGIN_SYMBOL(simspk);
